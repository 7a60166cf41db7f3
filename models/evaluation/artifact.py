"""An artifact file as a method: loaded by torch, run on the CPU, labelled by its manifest.

`torch.jit.load` runs what the file says: evaluate only files you trust. The manifest is read as a
member of the zip beforehand; a file without one is evaluated all the same and labelled so.
"""

import hashlib
import io
import json
import zipfile
from collections.abc import Callable, Collection, Sequence
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.deprecation import deprecation_put_aside
from models.evaluation.methods import EvaluationError, Method, Picture, TaskName

# The member of the zip that holds the manifest is ARCHIVE/extra/manifest.json.
MANIFEST_MEMBER = "extra/manifest.json"
MAX_MANIFEST_BYTES = 256 * 1024

# What the tables say of an artifact, where its manifest names it.
_TOLD = ("stage", "width", "blocks", "prefill", "precision", "licence")

Network = Callable[[Tensor, Tensor], Tensor]


def load_artifacts(
    paths: Sequence[Path], task: TaskName, taken: Collection[str] = ()
) -> list[Method]:
    """The artifacts of a task, each under its file's stem, numbered where that name is taken.

    Raises `EvaluationError` where a file is missing, no artifact, or made for another task.
    """
    methods: list[Method] = []
    for path in paths:
        used = {*taken, *(method.name for method in methods)}
        names = (path.stem if n == 1 else f"{path.stem} ({n})" for n in count(1))
        methods.append(_load(path, task, next(name for name in names if name not in used)))
    return methods


def _load(path: Path, task: TaskName, name: str) -> Method:
    data = _read(path)
    manifest = read_manifest(path, data)
    if manifest.get("task", task) != task:
        raise EvaluationError(
            f"{path}: is an artifact for {manifest['task']}, not for {task}. "
            "Give it to the command of its task, or name another file."
        )
    network = _network(path, data)
    facts = {
        "file": path.name,
        "sha256": hashlib.sha256(data).hexdigest(),
        "manifest": manifest,
    }
    return Method(name, "artifact", describe(manifest), partial(_run, path, network), facts=facts)


def read_manifest(path: Path, data: bytes) -> dict[str, Any]:
    """The manifest inside an artifact's bytes, without running any of them; empty if it has none.

    Raises `EvaluationError` where the file is no zip or its manifest no JSON object.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = [m for m in archive.infolist() if m.filename.endswith(MANIFEST_MEMBER)]
            if not members:
                return {}
            # What a zip says of its members' sizes need not be true.
            with archive.open(members[0]) as member:
                text = member.read(MAX_MANIFEST_BYTES + 1)
            if len(text) > MAX_MANIFEST_BYTES:
                raise ValueError("too long")
            manifest = json.loads(text)
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError) as error:
        raise EvaluationError(
            f"{path}: is no artifact with a readable manifest ({type(error).__name__}). "
            "Make one with retouchd-export."
        ) from None
    if not isinstance(manifest, dict):
        raise EvaluationError(f"{path}: its manifest is no JSON object. Make the file anew.")
    return manifest


def describe(manifest: dict[str, Any]) -> str:
    """One line for the tables, from what the manifest names."""
    if not manifest:
        return "no manifest"
    parts = [f"{key} {manifest[key]}" for key in _TOLD if manifest.get(key) is not None]
    if manifest.get("network") is not None:
        parts.insert(0, str(manifest["network"]))
    if manifest.get("trained") is False:
        parts.append("UNTRAINED")
    return ", ".join(parts)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise EvaluationError(
            f"{path}: there is no such file. Make one with retouchd-export, or correct the path."
        ) from None
    except OSError as error:
        raise EvaluationError(f"{path}: can't be read ({error.strerror}).") from None


def _network(path: Path, data: bytes) -> Network:
    try:
        with deprecation_put_aside():
            network: Network = torch.jit.load(io.BytesIO(data), map_location="cpu")
    except (RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise EvaluationError(
            f"{path}: torch can't load it ({reason}). Make one with retouchd-export."
        ) from None
    return network


def _run(path: Path, network: Network, picture: Picture, guide: Picture) -> Picture:
    image = torch.from_numpy(picture).permute(2, 0, 1)[None].contiguous()
    try:
        with torch.inference_mode(), deprecation_put_aside():
            result = network(image, torch.from_numpy(guide)[None, None])
    except (RuntimeError, torch.jit.Error) as error:
        reason = str(error).strip().splitlines()[-1]
        raise EvaluationError(
            f"{path}: failed on a picture of {picture.shape[1]} x {picture.shape[0]} px ({reason})."
        ) from None
    if result.dtype != torch.uint8 or result.shape[2:] != image.shape[2:]:
        raise EvaluationError(
            f"{path}: gave {result.dtype} {list(result.shape)} for a picture "
            f"{list(image.shape)}; an artifact gives uint8 of the same height and width."
        )
    pixels: Picture = np.ascontiguousarray(result[0].permute(1, 2, 0).numpy())
    return pixels[:, :, 0] if pixels.shape[2] == 1 else pixels
