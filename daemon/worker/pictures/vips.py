"""libvips, and nothing of it but PNG and TIFF: how samples of 8 and 16 bits get in and out.

Trusts: nothing. It is given files of which only what the pixels need is left, so that no metadata
reaches it, and what it says a file holds is compared with what was expected before it decodes.
"""

import math
import os
from collections.abc import Callable
from typing import Any, BinaryIO, Final

import numpy as np

from daemon.reasons import Trouble
from daemon.worker.pictures.damage import in_short
from daemon.worker.pictures.parts import Parts
from daemon.worker.pictures.picture import Samples, mode_of
from daemon.worker.pictures.png_chunks import KeepsakesIn
from daemon.worker.shortage import can_be_had

# Read once, when libvips starts. What it warns of is an error, or nothing; and as one picture is
# decoded by one thread whatever it is told, more would only take memory.
os.environ.setdefault("VIPS_WARNING", "0")
os.environ.setdefault("VIPS_CONCURRENCY", "1")
# What is larger would go through a file, which a confined worker can't make.
os.environ["VIPS_DISC_THRESHOLD"] = "1000g"

import pyvips

# Many pictures are decoded, none twice: a cache would hold what is long done.
pyvips.cache_set_max(0)
pyvips.operation_block_set("VipsForeign", True)
for _wanted in ("LoadPngSource", "LoadTiffSource", "SavePngTarget", "SaveTiffTarget"):
    pyvips.operation_block_set(f"VipsForeign{_wanted}", False)

# An error of libpng's is one of the pixels, its warnings are about what may follow them. libtiff
# warns of damaged pixels, and of nothing else in a file of which the rest has been taken out.
_LOADERS: Final = {
    "PNG": lambda file: pyvips.Image.pngload_source(file, fail_on="error", access="sequential"),
    "TIFF": lambda file: pyvips.Image.tiffload_source(file, fail_on="warning", access="sequential"),
}
# Where its threads can't be had for want of memory, libvips crashes or waits for ever. This is
# several times what they take, so that it is never asked with less.
_THREADS_BYTES: Final = 256 << 20
# Level 6 takes a fifth more time for the same bytes of grain.
TIFF_LEVEL: Final = 3
_LARGEST_CLASSIC_TIFF: Final = 4_000_000_000
_INTERPRETATIONS: Final = {1: "grey16", 2: "grey16", 3: "rgb16", 4: "rgb16"}
_NARROW: Final = {1: "b-w", 2: "b-w", 3: "srgb", 4: "srgb"}
_MM_PER_INCH: Final = 25.4
# What a custom target's functions give where they can't do what they should.
_FAILED: Final = -1


def has_room_for(nbytes: int) -> bool:
    """Whether libvips can be given pictures of so many bytes now without coming to harm."""
    return can_be_had(2 * nbytes + _THREADS_BYTES)


def decoded(file: Parts, kind: str, shape: tuple[int, ...], role: str = "picture") -> Any:
    """Samples `[H,W,C]` of 16 bits of a PNG or TIFF that should have this shape.

    They can be written to. Takes no memory but theirs. Raises `Trouble` where the file is damaged,
    or holds something else, and `MemoryError`.
    """
    _require_room(math.prod(shape) * 2)
    source = pyvips.SourceCustom()
    source.on_read(file.read)
    source.on_seek(file.seek)
    try:
        image = _LOADERS[kind](source)
        if (image.height, image.width, image.bands) != shape or image.format != "ushort":
            raise Trouble("incomplete", role=role, detail=f"its {kind} header contradicts itself")
        samples = np.frombuffer(image.write_to_memory(), np.uint16).reshape(shape)
    except pyvips.Error as error:
        raise _trouble(error, role) from None
    return samples


def cmyk_to_srgb(inks: Any, profile: bytes) -> Any | None:
    """sRGB samples `[H,W,3]` of CMYK ones `[H,W,4]`, both of 16 bits; None if the profile fails."""
    _require_room(2 * inks.nbytes)
    image = _image(inks).copy(interpretation="cmyk")
    image.set_type(pyvips.GValue.blob_type, "icc-profile-data", profile)
    try:
        converted = image.icc_transform("srgb", embedded=True, depth=16)
        shape = (*inks.shape[:2], 3)
        return np.frombuffer(converted.write_to_memory(), np.uint16).reshape(shape)
    except (pyvips.Error, ValueError):
        return None


def write_png(samples: Samples, out: BinaryIO, keepsakes: dict[str, Any], compression: int) -> None:
    """Write samples of 8 or 16 bits as a PNG with these keepsakes; compression 0 to 9.

    Goes into `out` as it is made, and is never in memory whole. Raises `OSError` of `out`.
    """
    bits = 8 * samples.itemsize
    _save("PNG", _image(samples).pngsave_target, _Target(KeepsakesIn(out, keepsakes)),
          compression=compression, filter="sub", bitdepth=bits, keep="none")  # fmt: skip


def write_tiff(
    samples: Samples, out: BinaryIO, profile: bytes | None, dpi: tuple[float, float] | None
) -> None:
    """Write samples of 8 or 16 bits as a TIFF, deflated after prediction, with these keepsakes.

    Goes into `out`, which can be read and is empty, as it is made. Raises `OSError` of `out`.
    """
    image = _image(samples)
    if dpi:
        image = image.copy(xres=dpi[0] / _MM_PER_INCH, yres=dpi[1] / _MM_PER_INCH)
    if profile:
        image.set_type(pyvips.GValue.blob_type, "icc-profile-data", profile)
    _save("TIFF", image.tiffsave_target, _Target(out), compression="deflate",
          predictor="horizontal", level=TIFF_LEVEL, resunit="inch",
          keep="icc" if profile else "none",
          bigtiff=samples.nbytes > _LARGEST_CLASSIC_TIFF)  # fmt: skip


class _Target:
    """A file that libvips writes to; for TIFF also one that it seeks and reads in.

    Nothing can be raised through libvips: it is told that something failed, and what it was stays
    here.
    """

    def __init__(self, out: BinaryIO | KeepsakesIn) -> None:
        self.error: OSError | None = None
        self.target = pyvips.TargetCustom()
        self.target.on_write(self._caught(out.write, _FAILED))
        if not isinstance(out, KeepsakesIn):
            self.target.on_read(self._caught(out.read, None))
            self.target.on_seek(self._caught(out.seek, _FAILED))

    def _caught(self, what: Callable[..., Any], otherwise: Any) -> Callable[..., Any]:
        def quiet(*arguments: Any) -> Any:
            try:
                return what(*arguments)
            except OSError as error:
                self.error = self.error or error
                return otherwise

        return quiet


def _require_room(nbytes: int) -> None:
    if not has_room_for(nbytes):
        raise MemoryError


def _save(form: str, save: Any, out: _Target, **options: Any) -> None:
    try:
        save(out.target, **options)
    except pyvips.Error as error:
        if out.error:
            raise out.error from None
        if _is_memory(error):
            raise _trouble(error, "result") from None
        raise Trouble("cannot_encode", form=form, detail=in_short(error)) from None


def _image(samples: Samples) -> Any:
    _require_room(samples.nbytes)
    height, width = samples.shape[:2]
    bands = len(mode_of(samples))
    names, kind = (_INTERPRETATIONS, "ushort") if samples.itemsize == 2 else (_NARROW, "uchar")
    memory = np.ascontiguousarray(samples).data
    image = pyvips.Image.new_from_memory(memory, width, height, bands, kind)
    return image.copy(interpretation=names[bands])


def _is_memory(error: Exception) -> bool:
    return "out of memory" in str(error).lower() or "cannot allocate" in str(error).lower()


def _trouble(error: Exception, role: str) -> Trouble:
    if _is_memory(error):
        return Trouble("out_of_memory", detail=f"while decoding the {role}")
    return Trouble("incomplete", role=role, detail=in_short(error))
