"""The only decoder of pictures, and their only encoder.

Trusts: nothing in a file. Promises: what comes out is complete and upright, in 8 bits, and knows
what it must keep; what can't be kept is refused in words, never bent silently.

Arrays are uint8, `[H,W,3]` RGB or `[H,W]`, 0 to 255.
"""

import contextlib
import hashlib
import io
import struct
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Final

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageCms, TiffImagePlugin, UnidentifiedImageError

from daemon.reasons import Trouble
from daemon.settings import OutputFormat
from daemon.worker import excess, signatures
from daemon.worker.protocol import Input

Pixels = NDArray[np.uint8]

# The only decoders that strangers' files may reach. JPEG brings MPO, the two-view JPEG of phones.
FORMATS: Final = ("JPEG", "PNG", "TIFF", "WEBP", "BMP")

# The eight orientations of EXIF, as what turns the stored picture upright.
_UPRIGHT: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

_SUFFIX: Final = {"png": ".png", "tiff": ".tif", "webp": ".webp", "jpeg": ".jpg", "bmp": ".bmp"}
_SAME: Final = {
    "PNG": "png",
    "TIFF": "tiff",
    "WEBP": "webp",
    "JPEG": "jpeg",
    "MPO": "jpeg",
    "BMP": "bmp",
}

# What Pillow's grey modes must have in a BMP to be read right.
_BMP_GREY_BITS: Final = {"1": 1, "L": 8}

# A resolution beyond this is damage.
MAX_DPI: Final = 1e6

# TIFF compressions that lose, as Pillow names them.
_LOSSY_COMPRESSIONS: Final = ("jpeg", "tiff_jpeg", "webp")

# Some of what Pillow raises shows the file's own bytes, and as many as the file likes.
MOST_DETAIL: Final = 120

# What a damaged file makes Pillow raise, besides OSError.
_DECODING_ERRORS: Final = (
    SyntaxError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    AssertionError,
    EOFError,
    OverflowError,
    ZeroDivisionError,
    SystemError,
    struct.error,
    RuntimeError,
)


@dataclass(frozen=True)
class Picture:
    """A decoded picture, upright.

    `kept` is what the result keeps outside the hole, in mode L, LA, RGB or RGBA; `keepsakes` are
    the profile, EXIF and resolution that go into the result.
    """

    kept: Image.Image
    stored_size: tuple[int, int]
    orientation: int
    format: str
    read: Input
    keepsakes: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def size(self) -> tuple[int, int]:
        """Width and height, upright."""
        return self.kept.size

    def rgb(self) -> Pixels:
        """`[H,W,3]`, transparency left out."""
        return np.asarray(self.kept.convert("RGB"))


@dataclass(frozen=True)
class Decoded:
    """A loaded image, upright, and what only the file could tell.

    `orientation` is what the file said of its stored pixels, which had `stored_size`. `depth` names
    more than 8 bits a channel, also where Pillow reads 8 of them silently.
    """

    image: Image.Image
    stored_size: tuple[int, int]
    orientation: int
    read: Input
    depth: str | None
    is_lossy: bool


# -- Reading ---------------------------------------------------------------------------------------


def read_picture(data: bytes, max_pixels: int) -> Picture:
    """Decode a picture whole. Raises `Trouble`, of kind `FILE` or `WAIT` (perhaps incomplete)."""
    decoded = decode(data, "picture", max_pixels)
    if decoded.depth:
        raise Trouble("deep_colour", mode=decoded.depth)
    image, read = decoded.image, decoded.read
    with damage_is_trouble("picture", read.format):
        kept, profile, notes = _to_kept(image)
        keepsakes: dict[str, Any] = {}
        if profile:
            keepsakes["icc_profile"] = profile
        if read.format != "TIFF":  # a TIFF's tags speak of its own layout
            exif = _exif_without_orientation(image)
            if exif:
                keepsakes["exif"] = exif
        dpi = _resolution(image)
        if dpi:
            keepsakes["dpi"] = dpi
    return Picture(
        kept, decoded.stored_size, decoded.orientation, read.format, read, keepsakes, notes
    )


def decode(data: bytes, role: str, max_pixels: int) -> Decoded:
    """Check, load and turn a file's content upright. Raises `Trouble`."""
    kind = signatures.kind_of(data, role)
    missing = signatures.what_is_missing(data, kind)
    if missing:
        raise Trouble("incomplete", role=role, detail=missing)
    Image.MAX_IMAGE_PIXELS = None  # our own limit is checked below, before any pixel is decoded
    with damage_is_trouble(role, kind):
        return _decode(data, kind, role, max_pixels)


def _decode(data: bytes, kind: str, role: str, max_pixels: int) -> Decoded:
    canvas = excess.webp_canvas(data) if kind == "WEBP" else None
    if canvas:
        _refuse_size(canvas, role, max_pixels)
    try:
        image: Image.Image = Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError:
        if kind == "TIFF":
            _refuse_unknown_depth(data, role)
        raise
    form = image.format or kind
    _refuse_size(image.size, role, max_pixels)
    too_much = excess.what_is_excessive(data, kind, *image.size)
    if too_much:
        raise Trouble("out_of_proportion", role=role, detail=too_much)
    pages = excess.tiff_pages(data) if kind == "TIFF" else getattr(image, "n_frames", 1)
    if pages > 1 and form != "MPO":  # a phone's JPEG with a second view inside
        raise Trouble("several_pages", role=role, pages=pages)
    if form == "BMP" and signatures.bmp_bits(data) != _BMP_GREY_BITS.get(
        image.mode, signatures.bmp_bits(data)
    ):
        # Pillow reads these as if their pixels had as few bits as their palette has colours.
        raise Trouble("colour_space", role=role, mode="BMP with a palette of few greys")
    depth = _depth(image, data)
    is_lossy = _is_lossy(image, data)
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        _refuse_unwritten(image, data, role)
        _refuse_deep_planes(image, role)
        orientation = _orientation(image)  # Pillow turns a TIFF upright, and forgets that it did
        image.load()
        upright: Image.Image = image
    else:
        image.load()
        orientation = _orientation(image)
        _scale_transparent_grey(image, data)
        upright = turned(image, orientation)
    width, height = upright.size
    read = Input(
        sha256=hashlib.sha256(data).hexdigest(),
        bytes=len(data),
        width=width,
        height=height,
        mode=image.mode,
        format=form,
    )
    stored_size = (height, width) if orientation >= 5 else (width, height)
    return Decoded(upright, stored_size, orientation, read, depth, is_lossy)


@contextlib.contextmanager
def damage_is_trouble(role: str, kind: str) -> Iterator[None]:
    """What a damaged file makes Pillow raise, in here, becomes a `Trouble`."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about damaged metadata, which is left out anyway
            yield
    except UnidentifiedImageError:
        raise Trouble("incomplete", role=role, detail=f"its {kind} header is damaged") from None
    except MemoryError:
        raise Trouble("out_of_memory", detail=f"while decoding the {role}") from None
    except (OSError, *_DECODING_ERRORS) as error:
        # The bytes are in memory already: no error of the world can be among these.
        raise Trouble("incomplete", role=role, detail=_in_short(error)) from None


def _in_short(error: Exception) -> str:
    text = str(error) or type(error).__name__
    return text if len(text) <= MOST_DETAIL else text[:MOST_DETAIL] + " ..."


def _refuse_size(size: tuple[int, int], role: str, max_pixels: int) -> None:
    width, height = size
    if width * height > max_pixels:
        raise Trouble(
            "too_many_pixels", role=role, width=width, height=height, max_pixels=max_pixels
        )


def _refuse_unwritten(image: TiffImagePlugin.TiffImageFile, data: bytes, role: str) -> None:
    """Some of a TIFF's compressions take zeros that are yet to be filled in for pixels."""
    is_compressed = image.tag_v2.get(TiffImagePlugin.COMPRESSION, 1) != 1
    if is_compressed and signatures.has_unwritten_blocks(data):
        raise Trouble("incomplete", role=role, detail="a part of it is still zeros")


def _refuse_unknown_depth(data: bytes, role: str) -> None:
    """Tell a TIFF of a depth that Pillow does not know, such as doubles, from a damaged one."""
    file = io.BytesIO(data)
    tags = TiffImagePlugin.ImageFileDirectory_v2(file.read(8))
    file.seek(tags.next)
    tags.load(file)
    bits = max(tags.get(TiffImagePlugin.BITSPERSAMPLE, (1,)))
    if bits > 8 and role == "picture":
        raise Trouble("deep_colour", mode=f"TIFF, {bits} bits")
    if bits > 8:
        raise Trouble("colour_space", role=role, mode=f"TIFF of {bits} bits a channel")


def _refuse_deep_planes(image: TiffImagePlugin.TiffImageFile, role: str) -> None:
    """Pillow reads uncompressed planes of more than 8 bits as if they had 8: nonsense."""
    bits = max(image.tag_v2.get(TiffImagePlugin.BITSPERSAMPLE, (1,)))
    is_planar = image.tag_v2.get(TiffImagePlugin.PLANAR_CONFIGURATION, 1) == 2
    if role != "picture" and is_planar and bits > 8 and image.mode not in ("I;16", "I;16B", "F"):
        raise Trouble("colour_space", role=role, mode=f"separate planes of {bits} bits")


def _depth(image: Image.Image, data: bytes) -> str | None:
    """A name for more than 8 bits a channel, or None."""
    bits = 8
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        bits = max(image.tag_v2.get(TiffImagePlugin.BITSPERSAMPLE, (1,)))
    elif image.format == "PNG":
        bits = signatures.png_bits(data)
    if bits > 8 or image.mode.startswith(("I", "F")):
        return f"{image.mode}, {max(bits, 16)} bits"
    return None


def _is_lossy(image: Image.Image, data: bytes) -> bool:
    if image.format in ("JPEG", "MPO"):
        return True
    if image.format == "WEBP":
        return signatures.webp_is_lossy(data)
    return image.info.get("compression") in _LOSSY_COMPRESSIONS


def _scale_transparent_grey(image: Image.Image, data: bytes) -> None:
    """Pillow spreads the greys of a 1, 2 or 4 bit PNG to 0 to 255, but not the transparent one.

    Older versions leave that of 1 bit as it is, newer ones spread it.
    """
    key = image.info.get("transparency")
    if image.format == "PNG" and image.mode in ("1", "L") and isinstance(key, int):
        image.info["transparency"] = min(255, key * 255 // (2 ** signatures.png_bits(data) - 1))


def _orientation(image: Image.Image) -> int:
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    except (OSError, *_DECODING_ERRORS):
        return 1
    return orientation if orientation in _UPRIGHT else 1


def _exif_without_orientation(image: Image.Image) -> bytes | None:
    """The EXIF block for an upright picture, or None where there is none or it is damaged."""
    try:
        exif = image.getexif()
        exif.pop(ExifTags.Base.Orientation, None)
        return exif.tobytes() if exif else None
    except (OSError, *_DECODING_ERRORS):
        return None


def _resolution(image: Image.Image) -> tuple[float, float] | None:
    """Dots an inch, across and down, or None where they are not told or damaged."""
    try:
        across, down = (float(each) for each in image.info["dpi"])
    except _DECODING_ERRORS:
        return None
    return (across, down) if 0 < across < MAX_DPI and 0 < down < MAX_DPI else None


def turned(image: Image.Image, orientation: int) -> Image.Image:
    """The stored image of an EXIF orientation, upright."""
    return image.transpose(_UPRIGHT[orientation]) if orientation in _UPRIGHT else image


def _to_kept(image: Image.Image) -> tuple[Image.Image, bytes | None, tuple[str, ...]]:
    """The picture in the mode its result will have, with the profile that still describes it."""
    profile: bytes | None = image.info.get("icc_profile")
    if image.mode == "CMYK":
        converted, note = _cmyk_to_srgb(image, profile)
        return converted, None, (note,)
    if image.mode in ("1", "L", "LA", "La"):
        kept = image.convert("LA" if _is_transparent(image) else "L")
    else:
        kept = colours(image, "picture")
    wanted = "GRAY" if kept.mode.startswith("L") else "RGB"
    if profile and _profile_space(profile) != wanted:
        return kept, None, (f"left out a colour profile that is not for {wanted}",)
    return kept, profile, ()


def colours(image: Image.Image, role: str) -> Image.Image:
    """The image as RGB, or as RGBA where it has any transparency. Raises `Trouble`."""
    if image.mode == "LAB":
        raise Trouble("colour_space", role=role, mode="Lab")
    return image.convert("RGBA" if _is_transparent(image) else "RGB")


def _is_transparent(image: Image.Image) -> bool:
    return image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info


def _cmyk_to_srgb(image: Image.Image, profile: bytes | None) -> tuple[Image.Image, str]:
    if profile and _profile_space(profile) == "CMYK":
        with contextlib.suppress(ImageCms.PyCMSError):
            converted = ImageCms.profileToProfile(
                image,
                ImageCms.ImageCmsProfile(io.BytesIO(profile)),
                ImageCms.createProfile("sRGB"),
                outputMode="RGB",
            )
            if converted is not None:
                return converted, "converted from CMYK to sRGB by its colour profile"
    return image.convert("RGB"), "converted from CMYK to RGB without a colour profile"


def _profile_space(profile: bytes) -> str | None:
    """The colour space a profile is for, such as `RGB`, `GRAY` or `CMYK`; None for a broken one."""
    try:
        space: str = ImageCms.getOpenProfile(io.BytesIO(profile)).profile.xcolor_space
    except (ImageCms.PyCMSError, OSError):
        return None
    return space.strip()


# -- Writing ---------------------------------------------------------------------------------------


def write_retouched(
    picture: Picture, filled: Pixels, mask: Pixels, out: BinaryIO, form: OutputFormat, quality: int
) -> tuple[str, tuple[str, ...]]:
    """Write the picture with its holes filled; the rest is the picture's own pixels, to the bit.

    `out` is an empty file that can be read back. Returns the suffix that belongs to the format, and
    notes. A grey picture stays grey, and transparency stays as it was.
    """
    kept = picture.kept
    fill = Image.fromarray(filled).convert("RGB" if kept.mode.startswith("RGB") else "L")
    result = kept.copy()
    bands = list(result.split())
    hole = Image.fromarray(mask)
    for at, band in enumerate(fill.split()):
        bands[at].paste(band, mask=hole)
    result = Image.merge(kept.mode, bands)
    chosen = _SAME[picture.format] if form == "same" else form
    notes: tuple[str, ...] = ()
    if chosen in ("jpeg", "bmp") and kept.mode in ("LA", "RGBA"):
        chosen, notes = "png", (f"written as PNG: {chosen.upper()} can't hold its transparency",)
    keepsakes = picture.keepsakes
    if chosen == "webp" and kept.mode.startswith("L") and "icc_profile" in keepsakes:
        keepsakes = _without_profile(keepsakes)
        notes = ("left out the grey colour profile: WebP holds all pictures as RGB",)
    _save(result, out, chosen, keepsakes, quality)
    return _SUFFIX[chosen], notes


def write_plane(plane: Pixels, out: BinaryIO) -> None:
    """Write an alpha matte or a trimap as 8-bit grey PNG; 0 is background, 255 foreground."""
    _save(Image.fromarray(plane), out, "png", {}, 0)


def write_cutout(picture: Picture, foreground: Pixels, alpha: Pixels, out: BinaryIO) -> None:
    """Write the cut-out as RGBA PNG with straight (not premultiplied) estimated colours.

    What was transparent in the picture stays so.
    """
    if picture.kept.mode in ("LA", "RGBA"):
        own = np.asarray(picture.kept.getchannel("A")).astype(np.uint16)
        alpha = ((alpha * own + 127) // 255).astype(np.uint8)
    is_grey = picture.kept.mode.startswith("L")
    keepsakes = _without_profile(picture.keepsakes) if is_grey else picture.keepsakes
    _save(Image.fromarray(np.dstack([foreground, alpha])), out, "png", keepsakes, 0)


def _without_profile(keepsakes: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in keepsakes.items() if key != "icc_profile"}


def _save(
    image: Image.Image, out: BinaryIO, form: str, keepsakes: dict[str, Any], quality: int
) -> None:
    options: dict[str, dict[str, Any]] = {
        "png": {"compress_level": 3},
        "tiff": {"compression": "tiff_adobe_deflate"},
        # exact: the colours of transparent pixels too
        "webp": {"lossless": True, "quality": 50, "exact": True},
        "jpeg": {"quality": quality, "subsampling": 0},
        "bmp": {},
    }
    kept = {key: value for key, value in keepsakes.items() if form != "bmp" or key == "dpi"}
    if form == "tiff":
        kept.pop("exif", None)  # Pillow can't write it into a compressed TIFF
    image.info = {}  # Pillow would write what the input's file held: a profile that we left out
    try:
        image.save(out, form.upper(), **options[form], **kept)
    except OSError as error:
        if error.errno:
            raise  # the disk's fault, not the picture's
        raise Trouble("cannot_encode", form=form.upper(), detail=_in_short(error)) from None
    except (ValueError, struct.error) as error:
        raise Trouble("cannot_encode", form=form.upper(), detail=_in_short(error)) from None
