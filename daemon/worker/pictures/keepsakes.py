"""What goes from a picture's file into its result beside the pixels: EXIF and resolution.

The colour profile is `colours`' business. XMP is left out: it may hold an orientation, edits that
programs would apply anew, and previews of the picture as it was.
"""

import io
from collections.abc import Mapping
from typing import Any, Final

from PIL import ExifTags, Image, TiffImagePlugin

from daemon.worker.directories import bytes_of, entries_at, layout_of
from daemon.worker.pictures.damage import DECODING_ERRORS

# The eight orientations of EXIF, as what turns the stored picture upright.
TURNS: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# Those that change places of height and width.
ON_SIDE: Final = (5, 6, 7, 8)

# A resolution beyond this is damage.
MAX_DPI: Final = 1e6

# A JPEG holds no more EXIF, and no camera writes more. Each of its tags may claim all of it for its
# values, and Pillow before 13 reads it as often: what is larger is not looked at.
MOST_EXIF_BYTES: Final = 65_533

# What a TIFF's first directory says of the photo; its other tags are about the file.
PHOTO_TAGS: Final[tuple[int, ...]] = (
    ExifTags.Base.ImageDescription,
    ExifTags.Base.Make,
    ExifTags.Base.Model,
    ExifTags.Base.Software,
    ExifTags.Base.DateTime,
    ExifTags.Base.Artist,
    ExifTags.Base.Copyright,
)
# Directories of their own: what the camera says, and where it was.
PHOTO_DIRECTORIES: Final[tuple[int, ...]] = (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo)
# Its places are those of the file that it was in.
_MAKER_NOTE: Final = ExifTags.Base.MakerNote
_INTEROPERABILITY: Final = ExifTags.IFD.Interop

_PROFILE: Final = 34675
_INCH, _CENTIMETRE = 2, 3
_CM_PER_INCH: Final = 2.54

Tags = Mapping[int, Any]
Dots = tuple[float, float]


def orientation_of(image: Image.Image) -> int:
    """1 to 8; 1 where it is damaged or not told. From here on, the image has no EXIF too large."""
    if len(image.info.get("exif", b"")) > MOST_EXIF_BYTES:
        image.info["exif"] = b""
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    except (OSError, *DECODING_ERRORS):
        return 1
    return orientation if orientation in TURNS else 1


def exif_of(image: Image.Image) -> bytes | None:
    """The EXIF block for an upright picture, or None where there is none or it is damaged.

    Call it after `orientation_of`.
    """
    try:
        exif = image.getexif()
        exif.pop(ExifTags.Base.Orientation, None)
        return exif.tobytes() if exif else None
    except (OSError, *DECODING_ERRORS):
        return None


def resolution_of(image: Image.Image) -> Dots | None:
    """Dots an inch, across and down, or None where they are not told or damaged."""
    return _dots(image.info.get("dpi"))


def upright_resolution(dots: Dots | None, orientation: int) -> Dots | None:
    """Dots an inch of a picture that was stored in this orientation: across is down on its side."""
    return dots[::-1] if dots and orientation in ON_SIDE else dots


def tags_of(data: bytes) -> Tags:
    """The tags of a TIFF's first directory. Raises what Pillow raises of a damaged one."""
    return _directory(data, None)


def exif_of_tiff(data: bytes) -> bytes | None:
    """An EXIF block of what a TIFF's tags say of the photo; None where there is none or damage."""
    try:
        tags, exif = tags_of(data), Image.Exif()
        for tag in PHOTO_TAGS:
            if tag in tags:
                exif[tag] = tags[tag]
        for tag in PHOTO_DIRECTORIES:
            if tag in tags:
                exif[tag] = _photo_directory(data, tags[tag])
        block = exif.tobytes() if exif else None
    except (OSError, *DECODING_ERRORS):
        return None
    return block if block and len(block) < MOST_EXIF_BYTES else None


def profile_of_tiff(tags: Tags) -> bytes | None:
    """The colour profile among a TIFF's tags."""
    profile = tags.get(_PROFILE)
    return profile if isinstance(profile, bytes) else None


def resolution_of_tiff(tags: Tags) -> Dots | None:
    """Dots an inch, across and down, by a TIFF's tags."""
    dots = tags.get(TiffImagePlugin.X_RESOLUTION), tags.get(TiffImagePlugin.Y_RESOLUTION)
    unit = tags.get(TiffImagePlugin.RESOLUTION_UNIT, _INCH)
    factor = {_INCH: 1.0, _CENTIMETRE: _CM_PER_INCH}.get(unit)
    found = _dots(dots)
    return (found[0] * factor, found[1] * factor) if found and factor else None


def orientation_of_tiff(tags: Tags) -> int:
    """1 to 8; 1 where it is not told."""
    orientation = tags.get(ExifTags.Base.Orientation, 1)
    return orientation if orientation in TURNS else 1


def _photo_directory(data: bytes, at: int) -> dict[int, Any]:
    claimed = sum(map(bytes_of, entries_at(io.BytesIO(data), layout_of(data), at)))
    if claimed > MOST_EXIF_BYTES:
        return {}
    left_out = (_MAKER_NOTE, _INTEROPERABILITY)
    return {tag: value for tag, value in _directory(data, at).items() if tag not in left_out}


def _dots(told: Any) -> Dots | None:
    try:
        across, down = (float(each) for each in told)
    except DECODING_ERRORS:
        return None
    return (across, down) if 0 < across < MAX_DPI and 0 < down < MAX_DPI else None


def _directory(data: bytes, at: int | None) -> Tags:
    """One of a TIFF's directories; without a place, the first."""
    file = io.BytesIO(data)
    head = file.read(16)
    tags = TiffImagePlugin.ImageFileDirectory_v2(head if b"+" in head[2:4] else head[:8])
    file.seek(tags.next if at is None else at)
    tags.load(file)
    return tags
