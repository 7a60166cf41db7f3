"""The picture files under a folder, and a word on each that looks like one and can't be used."""

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from models.training.pack import PackError

Report = Callable[[str], None]

PICTURES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"}


def pictures_under(root: Path, report: Report) -> list[Path]:
    """The ordinary files with an ending of a picture, and links to such, at any depth, sorted.

    Hidden ones are passed over. Named to `report`: pipes and the like, links that lead nowhere,
    names that are not UTF-8, folders that can't be read and links to folders, which are not
    followed. Raises `PackError` where there is no such folder or no picture in it, OSError where
    the folder itself can't be read.
    """
    if not root.is_dir():
        raise PackError(f"{root}: there is no such folder.")
    found = []
    for path in _files(root, report):
        why = _why_not(path, root)
        if why:
            report(f"{path}: {why} It was left out.")
        else:
            found.append(path)
    if not found:
        endings = ", ".join(sorted(PICTURES))
        raise PackError(f"{root}: holds no pictures that can be read ({endings}).")
    return sorted(found)


def _files(root: Path, report: Report) -> Iterator[Path]:
    def left_out(error: OSError) -> None:
        folder = Path(error.filename)
        if folder == root:
            raise error
        report(
            f"{folder}: can't be read ({error.strerror}) and was left out. "
            "Give yourself the right to read it."
        )

    for parent, folders, files in os.walk(root, onerror=left_out):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for path in (Path(parent, name) for name in folders):
            if path.is_symlink():
                # It may lead back here, and show one picture to two splits.
                report(f"{path}: is a link to a folder, and was left out. Put the folder there.")
        for path in (Path(parent, name) for name in files if not name.startswith(".")):
            if path.suffix.lower() in PICTURES:
                yield path


def _why_not(path: Path, root: Path) -> str | None:
    """Why a file is none that a picture can be read from, or None where it may be one."""
    try:
        str(path.relative_to(root)).encode()
        mode = path.stat().st_mode
    except UnicodeEncodeError:
        return "its name is not in UTF-8. Rename it."
    except FileNotFoundError:
        return "is a link that leads nowhere."
    except OSError as error:
        return f"can't be read ({error.strerror})."
    return None if stat.S_ISREG(mode) else "is no ordinary file."
