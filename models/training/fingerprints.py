"""Whether pictures are still those that a run began with."""

import hashlib
from pathlib import Path

from models.training.listing import pictures_under


def fingerprint(path: Path) -> str:
    """A pack's SHA-256; a folder's, of its pictures' names and sizes, wherever the folder lies."""
    if not path.is_dir():
        with path.open("rb") as stream:
            return f"pack {hashlib.file_digest(stream, 'sha256').hexdigest()}"
    names = hashlib.sha256()
    for file in pictures_under(path, lambda _: None):
        names.update(f"{file.relative_to(path).as_posix()} {file.stat().st_size}\n".encode())
    return f"folder {names.hexdigest()}"
