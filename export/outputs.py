"""Where an artifact may be written: in a folder that is there, over another artifact or nothing.

Promises: no checkpoint that the export reads, and no file of anybody else's, is written over.
"""

import os
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from daemon.artifact import MANIFEST_KEY

# What a damaged or forged zip makes zipfile raise where only its list of members is read.
_ZIP_ERRORS: Final = (zipfile.BadZipFile, NotImplementedError, OSError, OverflowError, ValueError)


class OutputError(Exception):
    """An artifact must not be written there. The text says why and what to do."""


def check_output(output: Path, inputs: Iterable[Path]) -> None:
    """Raise `OutputError` unless an artifact may take the name `output`.

    `inputs` are the files that the export reads; those that are missing don't count. A link counts
    as the file that it leads to.
    """
    if output.is_dir():
        raise OutputError(f"--output {output}: is a folder. Name a file in it.")
    if not output.parent.is_dir():
        raise OutputError(f"--output {output}: there is no folder {output.parent}. Make it first.")
    if not output.exists():
        return
    for path in inputs:
        if path.exists() and os.path.samefile(path, output):  # noqa: PTH121 - as the two are named
            raise OutputError(
                f"--output {output}: is the checkpoint {path} itself, which would be lost. "
                "Name another file."
            )
    if not _is_artifact(output):
        raise OutputError(
            f"--output {output}: is there already and is no artifact of retouchd's, so it is left "
            "as it is. Move it away, or name another file."
        )


def _is_artifact(path: Path) -> bool:
    """Whether a file is a zip with a manifest where an artifact has it, of whatever version."""
    if not path.is_file():
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith(f"/extra/{MANIFEST_KEY}") for name in archive.namelist())
    except _ZIP_ERRORS:
        return False
