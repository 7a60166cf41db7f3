"""Where an artifact may be written: in a folder that is there, over another artifact or nothing.

Promises: no checkpoint that the export reads, and no file of anybody else's, is written over.
"""

import os
from collections.abc import Iterable
from pathlib import Path

from daemon.artifact import holds_manifest


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
    if not holds_manifest(output):
        raise OutputError(
            f"--output {output}: is there already and is no artifact of retouchd's, so it is left "
            "as it is. Move it away, or name another file."
        )
