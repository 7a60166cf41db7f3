"""The only decoder of pictures, and their only encoder.

Trusts: nothing in a file. Promises: what comes out is complete and upright, in 8 bits, and knows
what it must keep; what can't be kept is refused in words, never bent silently.

Arrays are uint8, `[H,W,3]` RGB or `[H,W]`, 0 to 255.
"""

import hashlib
import io
import struct
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageCms, UnidentifiedImageError

from daemon.reasons import Trouble
from daemon.settings import OutputFormat
from daemon.worker.protocol import Input

Pixels = NDArray[np.uint8]

# The only decoders that strangers' files may reach. JPEG brings MPO, the two-view JPEG of phones.
FORMATS: Final = ("JPEG", "PNG", "TIFF", "WEBP", "BMP")

# A lossless mask means every value it holds; a lossy one is blurred by its compression, and what
# is above zero there is twice the hole that was drawn.
LOSSY_MASK_THRESHOLD: Final = 127
# A lossy trimap's values spread around 0, 128 and 255; these lie half way between, less a half.
LOSSY_TRIMAP_BACKGROUND: Final = 42
LOSSY_TRIMAP_FOREGROUND: Final = 213

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

_SIGNATURES: Final = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"II*\x00", "TIFF"),
    (b"MM\x00*", "TIFF"),
    (b"RIFF", "WEBP"),
    (b"BM", "BMP"),
)
_FOREIGN_SIGNATURES: Final = (
    (b"GIF8", "a GIF"),
    (b"%PDF", "a PDF document"),
    (b"8BPS", "a Photoshop document"),
    (b"PK\x03\x04", "a ZIP archive or office document"),
    (b"<svg", "an SVG drawing"),
    (b"<?xml", "an XML or SVG file"),
    (b"<!DOCTYPE", "a web page"),
    (b"<html", "a web page"),
    (b"\x00\x00\x00\x0cjP  ", "a JPEG 2000 picture"),
)
_LONGEST_SIGNATURE: Final = 16
# The last chunk of a PNG. Something may follow it, such as a share's own trailer.
_PNG_END: Final = b"IEND\xaeB`\x82"
_PNG_TRAILER_BYTES: Final = 1 << 16

_SUFFIX: Final = {"png": ".png", "tiff": ".tif", "webp": ".webp", "jpeg": ".jpg", "bmp": ".bmp"}
_SAME: Final = {
    "PNG": "png",
    "TIFF": "tiff",
    "WEBP": "webp",
    "JPEG": "jpeg",
    "MPO": "jpeg",
    "BMP": "bmp",
}

# What a damaged file makes Pillow raise, besides OSError.
_DECODING_ERRORS: Final = (
    SyntaxError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    EOFError,
    OverflowError,
    ZeroDivisionError,
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
class Companion:
    """A decoded mask (0 keep, 255 hole) or trimap (0, 128, 255), `[H,W]`, fitted to its picture."""

    values: Pixels
    read: Input
    notes: tuple[str, ...] = ()


def read_picture(path: Path, max_pixels: int) -> Picture:
    """Decode a picture whole. Raises `Trouble`, of kind `FILE` or `WAIT` (perhaps incomplete)."""
    decoded = _decode(path, "picture", max_pixels)
    image, read, orientation = decoded.image, decoded.read, decoded.orientation
    deep = _deep_mode(decoded)
    if deep:
        raise Trouble("deep_colour", mode=deep)
    kept, profile, notes = _to_kept(image)
    keepsakes: dict[str, Any] = {}
    if profile:
        keepsakes["icc_profile"] = profile
    if read.format != "TIFF":  # a TIFF's tags speak of its own layout
        exif = _exif_without_orientation(image)
        if exif:
            keepsakes["exif"] = exif
    if "dpi" in image.info and all(0 < dpi < 1e6 for dpi in image.info["dpi"]):
        keepsakes["dpi"] = tuple(float(dpi) for dpi in image.info["dpi"])
    return Picture(
        _upright(kept, orientation), image.size, orientation, read.format, read, keepsakes, notes
    )


def read_mask(path: Path, picture: Picture, max_pixels: int) -> Companion:
    """Decode a mask: white is the hole.

    A pixel's value is its brightest channel times its opacity. Lossless files: above 0 is hole.
    Lossy files (JPEG, lossy WebP): above 127. Raises `Trouble`.
    """
    values, white, lossy, read = _read_plane(path, "mask", picture, max_pixels)
    hole = values > (LOSSY_MASK_THRESHOLD * (white // 255) if lossy else 0)
    if hole.all():
        raise Trouble("mask_covers_everything")
    notes = () if hole.any() else ("the mask marks nothing, so the picture is unchanged",)
    return Companion(np.where(hole, np.uint8(255), np.uint8(0)), read, notes)


def read_trimap(path: Path, picture: Picture, max_pixels: int) -> Companion:
    """Decode a trimap: black is background, white foreground, everything between is unknown.

    In lossy files 0 to 42 counts as black and 213 to 255 as white. Raises `Trouble`.
    """
    values, white, lossy, read = _read_plane(path, "trimap", picture, max_pixels)
    low, high = (LOSSY_TRIMAP_BACKGROUND, LOSSY_TRIMAP_FOREGROUND) if lossy else (0, 255)
    scale = white // 255
    trimap = np.full(values.shape, 128, np.uint8)
    trimap[values <= low * scale] = 0
    trimap[values >= high * scale] = 255
    notes = () if (trimap == 128).any() else ("the trimap has no unknown band",)
    return Companion(trimap, read, notes)


def write_retouched(
    picture: Picture, filled: Pixels, mask: Pixels, out: Path, form: OutputFormat, quality: int
) -> tuple[str, tuple[str, ...]]:
    """Write the picture with its holes filled; the rest is the picture's own pixels, to the bit.

    Returns the suffix that belongs to the format, and notes. A grey picture stays grey, and
    transparency stays as it was.
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
    _save(result, out, chosen, picture.keepsakes, quality)
    return _SUFFIX[chosen], notes


def write_alpha(alpha: Pixels, out: Path) -> None:
    """Write an alpha matte as 8-bit grey PNG; 0 is background, 255 foreground."""
    _save(Image.fromarray(alpha), out, "png", {}, 0)


def write_cutout(picture: Picture, foreground: Pixels, alpha: Pixels, out: Path) -> None:
    """Write the cut-out as RGBA PNG with straight (not premultiplied) estimated colours."""
    rgba = np.dstack([foreground, alpha])
    keepsakes = picture.keepsakes if picture.kept.mode.startswith("RGB") else {}
    _save(Image.fromarray(rgba), out, "png", keepsakes, 0)


@dataclass(frozen=True)
class _Decoded:
    """A loaded image, as stored, with what loading it makes Pillow forget."""

    image: Image.Image
    read: Input
    orientation: int
    raw_modes: tuple[str, ...]
    lossy: bool


def _decode(path: Path, role: str, max_pixels: int) -> _Decoded:
    """Read, check and load a file."""
    data = path.read_bytes()
    _refuse_foreign(data, role)
    Image.MAX_IMAGE_PIXELS = None  # our own limit is checked below, before any pixel is decoded
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about damaged metadata, which is left out anyway
        image = _decoding(role, data, lambda: Image.open(io.BytesIO(data), formats=FORMATS))
        width, height = image.size
        if width * height > max_pixels:
            raise Trouble(
                "too_many_pixels", role=role, width=width, height=height, max_pixels=max_pixels
            )
        pages = _decoding(role, data, lambda: getattr(image, "n_frames", 1))
        if pages > 1 and image.format != "MPO":  # a phone's JPEG with a second view inside
            raise Trouble("several_pages", role=role, pages=pages)
        raw_modes = tuple(str(tile[3]) for tile in image.tile)
        _decoding(role, data, image.load)
    if image.format == "PNG" and _PNG_END not in data[-_PNG_TRAILER_BYTES:]:
        raise Trouble("incomplete", role=role, detail="its end is missing")
    read = Input(
        sha256=hashlib.sha256(data).hexdigest(),
        bytes=len(data),
        width=image.size[0],
        height=image.size[1],
        mode=image.mode,
        format=image.format or "?",
    )
    return _Decoded(image, read, _orientation(image), raw_modes, _is_lossy(image, data))


def _decoding(role: str, data: bytes, step: Callable[[], Any]) -> Any:
    """Run a step of the decoder; what a damaged file makes it raise becomes a `Trouble`."""
    try:
        return step()
    except UnidentifiedImageError:
        kind = next((name for start, name in _SIGNATURES if data.startswith(start)), "picture")
        raise Trouble("incomplete", role=role, detail=f"its {kind} header is damaged") from None
    except MemoryError:
        raise Trouble("out_of_memory", detail=f"while decoding the {role}") from None
    except OSError as error:
        if error.errno:
            raise
        raise Trouble("incomplete", role=role, detail=str(error)) from None
    except _DECODING_ERRORS as error:
        raise Trouble("incomplete", role=role, detail=str(error) or type(error).__name__) from None


def _refuse_foreign(data: bytes, role: str) -> None:
    """Refuse what is certainly no picture of ours; what may be the start of one is let through."""
    head = data[:_LONGEST_SIGNATURE]
    if any(head.startswith(start[: len(head)]) for start, _ in _SIGNATURES):
        return
    # Some uploaders make the file at its final size first, all zeros, and fill it in later.
    if not head.strip(b"\0"):
        raise Trouble("incomplete", role=role, detail="it begins with zeros")
    looks_like = next(
        (name for start, name in _FOREIGN_SIGNATURES if head.startswith(start)), "something else"
    )
    if head[4:8] == b"ftyp":
        looks_like = "a HEIC or AVIF picture, or a film"
    raise Trouble("not_a_picture", role=role, looks_like=looks_like)


def _read_plane(
    path: Path, role: str, picture: Picture, max_pixels: int
) -> tuple[NDArray[np.uint16], int, bool, Input]:
    """Values `[H,W]` from 0 to `white` (255 or 65535), whether they are lossy, what was read."""
    decoded = _decode(path, role, max_pixels)
    image, orientation = decoded.image, decoded.orientation
    white = 255
    if image.mode.startswith("I"):
        white = 65535
        plane = np.asarray(image).astype(np.int64).clip(0, white).astype(np.uint16)
    elif image.mode == "F":
        raise Trouble("colour_space", role=role, mode="floating point")
    else:
        rgba = np.asarray(_to_rgb_or_rgba(image).convert("RGBA")).astype(np.uint16)
        plane = rgba[..., :3].max(axis=2) * rgba[..., 3] // 255
    if orientation == 1 and image.size == picture.stored_size != picture.size:
        orientation = picture.orientation  # drawn on the stored picture, before it was turned
    plane = _upright_plane(plane, orientation)
    height, width = plane.shape
    if (width, height) != picture.size:
        raise Trouble(
            "size_mismatch",
            role=role,
            picture_width=picture.size[0],
            picture_height=picture.size[1],
            companion_width=width,
            companion_height=height,
        )
    return plane, white, decoded.lossy, decoded.read


def _to_kept(image: Image.Image) -> tuple[Image.Image, bytes | None, tuple[str, ...]]:
    """The picture in the mode its result will have, with the profile that still describes it."""
    profile: bytes | None = image.info.get("icc_profile")
    if image.mode == "CMYK":
        converted = _cmyk_to_srgb(image, profile)
        return converted, None, ("converted from CMYK to sRGB",)
    if image.mode == "LAB":
        raise Trouble("colour_space", role="picture", mode="Lab")
    transparent = image.mode in ("LA", "PA", "La") or "transparency" in image.info
    if image.mode in ("1", "L", "LA", "La"):
        kept = image.convert("LA" if transparent else "L")
    else:
        kept = _to_rgb_or_rgba(image)
    wanted = "GRAY" if kept.mode.startswith("L") else "RGB"
    if profile and _profile_space(profile) != wanted:
        return kept, None, (f"left out a colour profile that is not for {wanted}",)
    return kept, profile, ()


def _to_rgb_or_rgba(image: Image.Image) -> Image.Image:
    transparent = image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info
    return image.convert("RGBA" if transparent else "RGB")


def _cmyk_to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    if profile and _profile_space(profile) == "CMYK":
        converted = ImageCms.profileToProfile(
            image,
            ImageCms.ImageCmsProfile(io.BytesIO(profile)),
            ImageCms.createProfile("sRGB"),
            outputMode="RGB",
        )
        if converted is not None:
            return converted
    return image.convert("RGB")


def _profile_space(profile: bytes) -> str | None:
    """The colour space a profile is for, such as `RGB`, `GRAY` or `CMYK`; None for a broken one."""
    try:
        space: str = ImageCms.getOpenProfile(io.BytesIO(profile)).profile.xcolor_space
    except (ImageCms.PyCMSError, OSError):
        return None
    return space.strip()


def _deep_mode(decoded: _Decoded) -> str | None:
    """A name for more than 8 bits a channel, also where Pillow would read 8 of 16 silently."""
    if decoded.image.mode.startswith("I") or decoded.image.mode == "F":
        return decoded.image.mode
    if any(";16" in raw for raw in decoded.raw_modes):
        return f"{decoded.image.mode}, 16 bits"
    return None


def _is_lossy(image: Image.Image, data: bytes) -> bool:
    if image.format in ("JPEG", "MPO"):
        return True
    if image.format == "WEBP":
        return _webp_is_lossy(data)
    return str(image.info.get("compression", "")) in ("jpeg", "tiff_jpeg", "webp")


def _webp_is_lossy(data: bytes) -> bool:
    """True where the pixels lie in a `VP8 ` chunk rather than a `VP8L` one (RFC 9649)."""
    at = 12
    while at + 8 <= len(data):
        name, size = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        if name in (b"VP8 ", b"VP8L"):
            return name == b"VP8 "
        at += 8 + size + size % 2
    return True


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
        if not exif:
            return None
        exif.pop(ExifTags.Base.Orientation, None)
        return exif.tobytes()
    except (OSError, *_DECODING_ERRORS):
        return None


def _upright(image: Image.Image, orientation: int) -> Image.Image:
    return image.transpose(_UPRIGHT[orientation]) if orientation in _UPRIGHT else image


def _upright_plane(plane: NDArray[np.uint16], orientation: int) -> NDArray[np.uint16]:
    if orientation not in _UPRIGHT:
        return plane
    return np.asarray(_upright(Image.fromarray(plane), orientation)).astype(np.uint16)


def _save(
    image: Image.Image, out: Path, form: str, keepsakes: dict[str, Any], quality: int
) -> None:
    options: dict[str, dict[str, Any]] = {
        "png": {"compress_level": 3},
        "tiff": {"compression": "tiff_adobe_deflate"},
        "webp": {"lossless": True, "quality": 50},
        "jpeg": {"quality": quality, "subsampling": 0},
        "bmp": {},
    }
    kept = {key: value for key, value in keepsakes.items() if form != "bmp" or key == "dpi"}
    if form == "tiff":
        kept.pop("exif", None)
    try:
        image.save(out, form.upper(), **options[form], **kept)
    except OSError as error:
        if error.errno:
            raise  # the disk's fault, not the picture's
        raise Trouble("cannot_encode", form=form.upper(), detail=error) from None
    except (ValueError, struct.error) as error:
        raise Trouble("cannot_encode", form=form.upper(), detail=error) from None
