"""Real photos in every format and mode that people have, and decoders that share nothing with ours.

The photos are the ones that scikit-image's wheel brings.
"""

import io
import struct
import zlib
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, Final

import cv2
import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image, ImageCms
from skimage import data

from daemon.worker import companions, pictures
from daemon.worker.companions import Companion, Subject
from daemon.worker.pictures import Picture

Pixels = NDArray[np.uint8]
Fine = NDArray[np.uint16]

# Not square, and a multiple of nothing.
WIDTH, HEIGHT = 97, 61
MAX_PIXELS = 1_000_000
ORIENTATION = 0x0112
# The passes of an interlaced PNG: first row and column, and how many rows and columns on.
_ADAM7 = (
    *((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4)),
    *((2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)),
)


@lru_cache
def photo(width: int = WIDTH, height: int = HEIGHT) -> Image.Image:
    """A colour photo."""
    return Image.fromarray(data.astronaut()).resize((width, height))


def opacity(width: int = WIDTH, height: int = HEIGHT) -> Image.Image:
    """A ramp from transparent to opaque."""
    ramp = np.linspace(0, 255, width).round().astype(np.uint8)
    return Image.fromarray(np.tile(ramp, (height, 1)))


@lru_cache
def in_mode(mode: str) -> Image.Image:
    """The photo in one of Pillow's modes."""
    if mode in ("LA", "RGBA"):
        image = photo().convert(mode[:-1])
        image.putalpha(opacity())
        return image
    return photo().quantize(32) if mode == "P" else photo().convert(mode)


def encoded(image: Image.Image, form: str, **options: Any) -> bytes:
    """The bytes of a file."""
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def oriented(image: Image.Image, form: str, orientation: int, **options: Any) -> bytes:
    """A file whose EXIF says how its stored pixels are to be turned."""
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return encoded(image, form, exif=exif, **options)


def deep(form: str, colour: bool, dtype: str = "uint16", **options: Any) -> bytes:
    """A file of 16 bits a channel, or of floats: the photo's values times 257, or over 255."""
    values = np.asarray(photo() if colour else photo().convert("L"))
    wide = values / 255 if dtype.startswith("float") else values.astype(np.uint32) * 257
    out = io.BytesIO()
    if form == "TIFF":
        photometric = "rgb" if colour else "minisblack"
        pixels = wide.astype(dtype)
        if options.get("planarconfig") == "separate":
            pixels = np.moveaxis(pixels, -1, 0)
        tifffile.imwrite(out, pixels, photometric=photometric, **options)
        return out.getvalue()
    return png_of(wide.astype(np.uint16), 16, 2 if colour else 0)


@lru_cache
def fine_photo(channels: int = 3) -> Fine:
    """The photo in 16 bits, with grain finer than a level of 8: grey, grey and alpha, RGB, RGBA."""
    grain = np.random.default_rng(0).integers(-128, 129, (HEIGHT, WIDTH, 3))
    colours = np.clip(np.asarray(photo()).astype(np.int32) * 257 + grain, 0, 65535)
    colours = colours if channels > 2 else colours[..., 1:2]
    ramp = np.tile(np.linspace(0, 65535, WIDTH).round(), (HEIGHT, 1))[..., None]
    planes = np.dstack([colours, ramp]) if channels in (2, 4) else colours
    return np.ascontiguousarray(planes.astype(np.uint16).squeeze())


# Pictures of 16 bits: format, channels, and how they are written.
DEEP: Final[dict[str, tuple[str, int, dict[str, Any]]]] = {
    "png 16 grey": ("PNG", 1, {}),
    "png 16 grey with alpha": ("PNG", 2, {}),
    "png 16 rgb": ("PNG", 3, {}),
    "png 16 rgba": ("PNG", 4, {}),
    "png 16 interlaced": ("PNG", 3, {"interlace": True}),
    "tiff 16 grey": ("TIFF", 1, {}),
    "tiff 16 grey from white": ("TIFF", 1, {"photometric": "miniswhite"}),
    "tiff 16 grey with alpha": ("TIFF", 2, {"extrasamples": ["unassalpha"]}),
    "tiff 16 rgb": ("TIFF", 3, {}),
    "tiff 16 big end first": ("TIFF", 3, {"byteorder": ">"}),
    "tiff 16 rgba": ("TIFF", 4, {"extrasamples": ["unassalpha"]}),
    "tiff 16 strips": ("TIFF", 3, {"rowsperstrip": 7}),
    "tiff 16 tiles": ("TIFF", 3, {"tile": (32, 48)}),
    "tiff 16 planes": ("TIFF", 3, {"planarconfig": "separate"}),
    "tiff 16 deflate": ("TIFF", 3, {"compression": "zlib", "rowsperstrip": 16}),
    "tiff 16 deflate of differences": ("TIFF", 3, {"compression": "zlib", "predictor": True}),
    "tiff 16 tiles of differences, big end first": (
        "TIFF",
        1,
        {"compression": "zlib", "predictor": True, "tile": (16, 64), "byteorder": ">"},
    ),
    "tiff 16 lzw": ("TIFF", 3, {"lzw": "none"}),
    "tiff 16 lzw of differences": ("TIFF", 3, {"lzw": "horizontal"}),
    "bigtiff 16": ("TIFF", 3, {"bigtiff": True}),
}


@lru_cache
def deep_sample(name: str) -> bytes:
    """One of `DEEP` as a file, written by what is not the daemon's."""
    form, channels, options = DEEP[name]
    pixels = fine_photo(channels)
    if form == "PNG" and not options:
        return png_of(pixels, 16, {1: 0, 2: 4, 3: 2, 4: 6}[channels])
    if form == "PNG":
        return png_of(pixels, 16, 2, interlaced=True)
    if "lzw" in options:
        differences = [cv2.IMWRITE_TIFF_PREDICTOR, 2 if options["lzw"] == "horizontal" else 1]
        wanted = [cv2.IMWRITE_TIFF_COMPRESSION, 5, *differences]
        return bytes(cv2.imencode(".tif", pixels[..., ::-1].copy(), wanted)[1])
    if options.get("photometric") == "miniswhite":
        pixels = 65535 - pixels
    if options.get("planarconfig") == "separate":
        pixels = np.moveaxis(pixels, -1, 0)
    out = io.BytesIO()
    colour = {"photometric": "minisblack" if channels < 3 else "rgb", "planarconfig": "contig"}
    tifffile.imwrite(out, pixels, **{**colour, **options})
    return out.getvalue()


def png_of(
    samples: NDArray[Any],
    bits: int,
    colour_type: int,
    *chunks: tuple[bytes, bytes],
    interlaced: bool = False,
) -> bytes:
    """A PNG written by hand, for what Pillow can't write: any depth, and chunks of one's choice."""
    height, width = samples.shape[:2]
    passes = (
        [samples[y::down, x::right] for y, x, down, right in _ADAM7] if interlaced else [samples]
    )
    rows = [row.ravel() for part in passes if part.size for row in part]
    if bits == 16:
        packed = [row.astype(">u2").tobytes() for row in rows]
    else:
        as_bits = [np.unpackbits(row.astype(np.uint8)[:, None], axis=1)[:, -bits:] for row in rows]
        packed = [np.packbits(row.ravel()).tobytes() for row in as_bits]
    header = struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, interlaced)
    body = zlib.compress(b"".join(b"\0" + row for row in packed))
    whole = [(b"IHDR", header), *chunks, (b"IDAT", body), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, content) for name, content in whole)


def _chunk(name: bytes, content: bytes) -> bytes:
    check = zlib.crc32(name + content)
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", check)


def decoded_png(file: bytes) -> Pixels:
    """An 8-bit PNG decoded from its specification: `[H,W]` or `[H,W,C]`."""
    at, body, header = 8, b"", b""
    while at < len(file):
        (size,) = struct.unpack(">I", file[at : at + 4])
        name, content = file[at + 4 : at + 8], file[at + 8 : at + 8 + size]
        assert struct.unpack(">I", file[at + 8 + size : at + 12 + size])[0] == zlib.crc32(
            name + content
        )
        header = content if name == b"IHDR" else header
        body += content if name == b"IDAT" else b""
        at += 12 + size
    width, height, bits, colour_type, _, _, interlaced = struct.unpack(">IIBBBBB", header)
    assert (bits, interlaced) == (8, 0)
    channels = {0: 1, 2: 3, 4: 2, 6: 4}[colour_type]
    lines = np.frombuffer(zlib.decompress(body), np.uint8).reshape(height, 1 + width * channels)
    above = [0] * (width * channels)
    rows = []
    for line in lines:
        above = _unfiltered(int(line[0]), line[1:].tolist(), above, channels)
        rows.append(above)
    pixels = np.array(rows, np.uint8).reshape(height, width, channels)
    return pixels[..., 0] if channels == 1 else pixels


def _unfiltered(kind: int, line: list[int], above: list[int], step: int) -> list[int]:
    row: list[int] = []
    for at, value in enumerate(line):
        a = row[at - step] if at >= step else 0
        b = above[at]
        c = above[at - step] if at >= step else 0
        paeth = min((abs(b - c), 0, a), (abs(a - c), 1, b), (abs(a + b - 2 * c), 2, c))[2]
        row.append((value + [0, a, b, (a + b) // 2, paeth][kind]) & 255)
    return row


@lru_cache  # it holds the time at which it was made
def colour_profile(space: str) -> bytes:
    """An ICC profile: made for RGB, and patched to claim another colour space for others."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return profile[:16] + space.ljust(4).encode() + profile[20:]


def hole(width: int = WIDTH, height: int = HEIGHT) -> Pixels:
    """A mask with a round hole and a corner, `[H,W]` of 0 and 255."""
    y, x = np.mgrid[:height, :width]
    inside = (x - width // 2) ** 2 + (y - height // 2) ** 2 < (min(width, height) // 4) ** 2
    inside[:5, :9] = True
    return np.where(inside, np.uint8(255), np.uint8(0))


def bands(width: int = WIDTH, height: int = HEIGHT) -> Pixels:
    """A trimap: foreground disc, unknown ring, background, `[H,W]` of 0, 128 and 255."""
    y, x = np.mgrid[:height, :width]
    distance = np.hypot(x - width // 2, y - height // 2)
    inner, outer = min(width, height) // 5, min(width, height) // 3
    return np.where(distance < inner, 255, np.where(distance < outer, 128, 0)).astype(np.uint8)


class Folder:
    """Reads files through the daemon's decoder as a worker does, and holds what is written."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def picture(self, file: bytes | Image.Image, max_pixels: int = MAX_PIXELS) -> Picture:
        return pictures.read_picture(_content(file), max_pixels)

    def mask(self, file: bytes | Image.Image, picture: Picture | None = None) -> Pixels:
        return self.mask_whole(file, picture).values

    def mask_whole(self, file: bytes | Image.Image, picture: Picture | None = None) -> Companion:
        picture = picture or self.picture(photo())
        return companions.read_mask(_content(file), picture, MAX_PIXELS)

    def trimap(self, file: bytes | Image.Image, picture: Picture | None = None) -> Pixels:
        return self.trimap_whole(file, picture).values

    def trimap_whole(self, file: bytes | Image.Image, picture: Picture | None = None) -> Companion:
        picture = picture or self.picture(photo())
        return companions.read_trimap(_content(file), picture, MAX_PIXELS)

    def subject(self, file: bytes | Image.Image, picture: Picture | None = None) -> Subject:
        picture = picture or self.picture(photo())
        return companions.read_subject(_content(file), picture, MAX_PIXELS)

    def written(self, write: Callable[[BinaryIO], object]) -> bytes:
        """What is in a file after `write` was given it, empty and open for reading and writing."""
        with (self.root / "out").open("w+b") as file:
            write(file)
        return (self.root / "out").read_bytes()


def _content(file: bytes | Image.Image) -> bytes:
    return file if isinstance(file, bytes) else encoded(file, "PNG")


FORMATS_AND_MODES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "jpeg": ("JPEG", "RGB", {}),
    "jpeg 4:4:4": ("JPEG", "RGB", {"quality": 97, "subsampling": 0}),
    "jpeg progressive": ("JPEG", "RGB", {"progressive": True}),
    "jpeg grey": ("JPEG", "L", {}),
    "jpeg cmyk": ("JPEG", "CMYK", {}),
    "mpo": ("MPO", "RGB", {"save_all": True, "append_images": [in_mode("RGB")]}),
    "png 1 bit": ("PNG", "1", {}),
    "png grey": ("PNG", "L", {}),
    "png grey with alpha": ("PNG", "LA", {}),
    "png palette": ("PNG", "P", {}),
    "png palette with transparency": ("PNG", "P", {"transparency": bytes(range(0, 256, 8))}),
    "png palette with one transparent": ("PNG", "P", {"transparency": 3}),
    "png rgb": ("PNG", "RGB", {}),
    "png with a transparent colour": ("PNG", "RGB", {"transparency": (10, 20, 30)}),
    "png rgba": ("PNG", "RGBA", {}),
    "tiff": ("TIFF", "RGB", {}),
    "tiff 1 bit fax": ("TIFF", "1", {"compression": "group4"}),
    "tiff grey": ("TIFF", "L", {}),
    "tiff grey with alpha": ("TIFF", "LA", {}),
    "tiff palette": ("TIFF", "P", {}),
    "tiff rgba lzw": ("TIFF", "RGBA", {"compression": "tiff_lzw"}),
    "tiff deflate": ("TIFF", "RGB", {"compression": "tiff_adobe_deflate"}),
    "tiff packbits": ("TIFF", "RGB", {"compression": "packbits"}),
    "tiff jpeg": ("TIFF", "RGB", {"compression": "jpeg"}),
    "tiff cmyk": ("TIFF", "CMYK", {}),
    "webp": ("WEBP", "RGB", {}),
    "webp rgba": ("WEBP", "RGBA", {}),
    "webp lossless": ("WEBP", "RGB", {"lossless": True}),
    "webp lossless rgba": ("WEBP", "RGBA", {"lossless": True, "exact": True}),
    "bmp 1 bit": ("BMP", "1", {}),
    "bmp grey": ("BMP", "L", {}),
    "bmp palette": ("BMP", "P", {}),
    "bmp": ("BMP", "RGB", {}),
    "bmp rgba": ("BMP", "RGBA", {}),
}


@lru_cache
def sample(name: str) -> bytes:
    """One of `FORMATS_AND_MODES` as a file."""
    form, mode, options = FORMATS_AND_MODES[name]
    return encoded(in_mode(mode), form, **options)


def plain_decode(file: bytes) -> Image.Image:
    """What Pillow itself makes of a file, without any rule of ours."""
    with Image.open(io.BytesIO(file)) as image:
        image.load()
        return image.copy()
