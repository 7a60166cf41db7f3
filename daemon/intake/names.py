"""Which names in an inbox can be pictures, which never are, and which are the same to us.

The junk is what uploaders, shares and desktops leave beside the pictures: it is neither touched
nor reported.
"""

import os
import re
from typing import Final, Literal, cast

from daemon.spelling import folded as folded

Kind = Literal["picture", "unreadable", "marker"]
Junk = Literal["hidden", "backup", "temporary", "desktop"]

# Linux's NAME_MAX on every file system a spool is likely to lie on, in bytes.
MAX_NAME_BYTES: Final = 255

PICTURE_SUFFIXES: Final = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".tif", ".tiff", ".webp", ".bmp"}
)

# Pictures all the same, only not for us: whoever drops one deserves to be told.
UNREADABLE_SUFFIXES: Final = frozenset(
    {".gif", ".heic", ".heif", ".avif", ".jp2", ".jxl", ".psd", ".xcf", ".svg", ".pdf"}
    | {".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".orf", ".rw2"}
)

# What an uploader puts beside a picture that is complete, where a setting asks for it.
MARKER_SUFFIX: Final = ".done"

_JUNK_FILES: Final = (
    r"(?P<hidden>\..*)|(?P<backup>~.*|.*~)"
    r"|(?P<temporary>.*\.(?:tmp|part|partial|filepart|crdownload|download|swp|lock|!sync|!ut))"
    r"|(?P<desktop>thumbs\.db|desktop\.ini)"
)

_JUNK_FOLDERS: Final = (
    r"\..*|@eadir|#recycle|@recycle|@recently-snapshot|\$recycle\.bin|system volume information"
    r"|lost\+found|__macosx|~syncthing~.*"
)

_junk_file = re.compile(_JUNK_FILES, re.DOTALL).fullmatch
_junk_folder = re.compile(_JUNK_FOLDERS, re.DOTALL).fullmatch


def is_junk_file(name: str) -> bool:
    """True for temporary, hidden and desktop files, whatever their case."""
    return _junk_file(name.lower()) is not None


def kind_of_junk(name: str) -> Junk | None:
    """Which of these a file's name is; None for one that is no junk."""
    found = _junk_file(name.lower())
    return cast("Junk | None", found and found.lastgroup)


def is_junk_folder(name: str) -> bool:
    """True for hidden folders and the ones that NAS boxes and desktops keep for themselves."""
    return _junk_folder(name.lower()) is not None


def split_suffix(name: str) -> tuple[str, str]:
    """`("cat", ".JPG")` for `cat.JPG`. A name without a dot has no suffix, nor has `.cat`."""
    stem, dot, suffix = name.rpartition(".")
    return (stem, dot + suffix) if stem else (name, "")


def fitted(base: str, suffix: str) -> str:
    """`base + suffix`, the base shortened to what a file name may have in bytes."""
    room = MAX_NAME_BYTES - len(os.fsencode(suffix))
    while len(os.fsencode(base)) > room:
        base = base[:-1]  # a character, whole, or a byte that is none
    return base + suffix


def kind_of(name: str, *, with_markers: bool = False) -> Kind | None:
    """What a file of this name could be: a picture, one that can't be read here, or neither.

    A marker is something only where it is asked for.
    """
    suffix = split_suffix(name)[1].lower()
    if suffix in PICTURE_SUFFIXES:
        kind: Kind = "picture"
    elif suffix in UNREADABLE_SUFFIXES:
        kind = "unreadable"
    elif with_markers and suffix == MARKER_SUFFIX:
        kind = "marker"
    else:
        return None
    return None if is_junk_file(name) else kind
