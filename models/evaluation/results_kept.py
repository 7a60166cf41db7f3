"""Peers' results on disk, so that an evaluation after new training need not run them again.

A result is kept under a hash of all it depends on: the method's identity (library versions and
parameters), the number of threads, the picture and the hole or trimap. The time that goes with it
is that of the run that made it.
"""

import hashlib
import io
import os
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.evaluation.methods import Picture


@dataclass(frozen=True)
class Attempt:
    """What a method made of one picture, and what it took; `kept` if that was an earlier time."""

    result: Picture
    seconds: float
    cpu_seconds: float
    kept: bool = False


class KeptResults:
    """Results in a folder, one file each. A damaged file counts as none and is written anew."""

    def __init__(self, folder: Path, threads: str) -> None:
        self._folder = folder
        self._threads = threads

    def find(self, identity: str, picture: Picture, guide: Picture) -> Attempt | None:
        """The attempt that was kept for exactly this input, or None."""
        try:
            # Read first: numpy leaves a file open that it can't make sense of.
            data = io.BytesIO(self._file(identity, picture, guide).read_bytes())
            with np.load(data, allow_pickle=False) as kept:
                seconds, cpu_seconds = map(float, kept["seconds"])
                return Attempt(kept["result"], seconds, cpu_seconds, kept=True)
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None

    def keep(self, identity: str, picture: Picture, guide: Picture, attempt: Attempt) -> None:
        """Keep an attempt; the file appears whole or not at all."""
        self._folder.mkdir(parents=True, exist_ok=True)
        fd, draft = tempfile.mkstemp(prefix=".", suffix=".draft", dir=self._folder)
        try:
            with os.fdopen(fd, "wb") as file:
                np.savez_compressed(
                    file,
                    result=attempt.result,
                    seconds=np.array([attempt.seconds, attempt.cpu_seconds]),
                )
            Path(draft).replace(self._file(identity, picture, guide))
        finally:
            Path(draft).unlink(missing_ok=True)

    def _file(self, identity: str, picture: Picture, guide: Picture) -> Path:
        key = hashlib.sha256(f"{identity}\n{self._threads}\n".encode())
        for array in (picture, guide):
            key.update(f"{array.shape}\n".encode())
            key.update(np.ascontiguousarray(array).tobytes())
        return self._folder / f"{key.hexdigest()}.npz"
