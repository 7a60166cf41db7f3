"""What lies in a folder in which a daemon is at work."""

import os
from pathlib import Path


def files_below(root: Path) -> list[str]:
    """The files below a folder, by their paths in it, sorted; hidden ones and links too.

    A folder that goes while it is read counts as empty; `Path.rglob` would raise an error.
    """
    found = (Path(folder, name) for folder, _, names in os.walk(root) for name in names)
    return sorted(str(path.relative_to(root)) for path in found)
