"""A process that reads malformed pictures as a worker does, and tells what came of each.

It takes a question a line on standard input and gives an answer a line on standard output; that it
may die of one is what it is for. `gauntlet` starts it. What is accepted is read once more with
other bytes in fresh memory, and written again: a picture that shows what lay in memory, or can't
be written, is told like one that raises.
"""

import contextlib
import ctypes
import faulthandler
import hashlib
import io
import json
import os
import resource
import sys
import time
import traceback
from pathlib import Path
from typing import Any, Final

import numpy as np
from mutations import Malformed
from PIL import Image

from daemon.reasons import Trouble
from daemon.worker import companions, pictures
from daemon.worker.companions import Companion
from daemon.worker.pictures import Picture

MAX_PIXELS: Final = 4_000_000
# Beyond this much address space more than at its start, the process gets no more memory.
MOST_MORE_BYTES: Final = 1 << 30

_M_PERTURB: Final = -6  # malloc.h: fresh memory is filled with the complement of a byte
_FORMATS: Final = ("JPEG", "MPO", "PNG", "TIFF", "WEBP", "BMP")
_SIZE: Final = (97, 61)
_LONGEST_SENTENCE: Final = 500

Answer = dict[str, Any]


class Finding(Exception):  # noqa: N818 - what one looks for is no error
    """Something that must not be."""


def read(data: bytes, role: str) -> Picture | Companion:
    """Read a file as its role, and a companion as that of a picture of its own size."""
    if role == "picture":
        return _read_picture(data)
    try:
        return _read_companion(data, role, _SIZE)
    except Trouble as trouble:
        if trouble.reason.key != "size_mismatch":
            raise
        size = (int(trouble.facts["companion_width"]), int(trouble.facts["companion_height"]))
        return _read_companion(data, role, size)


def _read_picture(data: bytes) -> Picture:
    return pictures.read_picture(data, MAX_PIXELS)


def _read_companion(data: bytes, role: str, size: tuple[int, int]) -> Companion:
    blank = io.BytesIO()
    Image.new("L", size).save(blank, "PNG", compress_level=1)
    picture = _read_picture(blank.getvalue())
    reader = companions.read_mask if role == "mask" else companions.read_trimap
    return reader(data, picture, MAX_PIXELS)


def _check_picture(picture: Picture) -> bytes:
    """What a picture promises holds, and it can be written. Returns a digest of it."""
    kept = picture.kept
    width, height = picture.size
    _expect(kept.dtype in (np.uint8, np.uint16), f"samples of {kept.dtype}")
    _expect(kept.ndim == 2 or 2 <= kept.shape[2] <= 4, f"shape {kept.shape}")
    _expect(0 < width * height <= MAX_PIXELS, f"{width} x {height}")
    _expect((width, height) == (picture.read.width, picture.read.height), "size was told wrong")
    _expect(picture.format in _FORMATS, f"format {picture.format}")
    rgb = picture.rgb()
    is_rgb = rgb.shape == (height, width, 3) and rgb.dtype == np.uint8
    _expect(is_rgb, f"{rgb.shape} {rgb.dtype}")
    mask = np.zeros((height, width), np.uint8)
    mask[:, : width // 2] = 255
    out = io.BytesIO()
    suffix, _ = pictures.write_retouched(picture, 255 - rgb, mask, out, "png", 95)
    after = _read_picture(out.getvalue()).kept if picture.is_deep else _decoded(out)
    is_same_kind = (suffix, after.dtype, after.shape) == (".png", kept.dtype, kept.shape)
    _expect(is_same_kind, f"written as {suffix} {after.dtype} {after.shape}")
    _expect(bool((kept[mask == 0] == after[mask == 0]).all()), "written differently")
    try:
        pictures.write_retouched(picture, rgb, mask, io.BytesIO(), "same", 95)
    except Trouble as trouble:
        _expect(trouble.reason.key == "cannot_encode", f"written again: {trouble}")
    pictures.write_cutout(picture, rgb, mask, io.BytesIO())
    more = repr((kept.dtype, kept.shape, picture.keepsakes, picture.notes, picture.orientation))
    return hashlib.sha256(kept.tobytes() + more.encode()).digest()


def _decoded(file: io.BytesIO) -> Any:
    """A PNG of 8 bits as Pillow sees it."""
    with Image.open(file, formats=("PNG",)) as written:
        return np.asarray(written)


def _check_companion(companion: Companion, role: str) -> bytes:
    """What a mask or a trimap promises holds. Returns a digest of it."""
    values = companion.values
    allowed = (0, 255) if role == "mask" else (0, 128, 255)
    is_plane = values.ndim == 2 and values.dtype == np.uint8
    _expect(is_plane, f"{values.dtype} {values.shape}")
    _expect(0 < values.size <= MAX_PIXELS, f"shape {values.shape}")
    _expect(bool(np.isin(values, allowed).all()), "other values than it may have")
    return hashlib.sha256(values.tobytes() + repr(companion.notes).encode()).digest()


def _expect(is_so: bool, otherwise: str) -> None:
    if not is_so:
        raise Finding(otherwise)


def _check_words(trouble: Trouble) -> None:
    """A refusal is one short line, and shows nothing of the program's inside."""
    sentence = trouble.sentence
    _expect(sentence.isprintable() and len(sentence) < _LONGEST_SENTENCE, f"says {sentence[:200]}")
    _expect(" at 0x" not in sentence, f"says {sentence}")


def _outcome(data: bytes, role: str) -> tuple[str, str, bytes]:
    """Verdict (`accepted` or a reason's key), detail, and a digest of what was accepted."""
    try:
        got = read(data, role)
    except Trouble as trouble:
        _check_words(trouble)
        return trouble.reason.key, trouble.sentence, b""
    return (
        "accepted",
        "",
        (_check_picture(got) if isinstance(got, Picture) else _check_companion(got, role)),
    )


def examine(data: bytes, role: str) -> Answer:
    """What came of a file: verdict, seconds of processor time, and megabytes more than before."""
    libc = ctypes.CDLL(None)
    Path("/proc/self/clear_refs").write_text("5")  # the highest memory is from now on (proc(5))
    memory, start = _status_mb("VmRSS"), time.process_time()
    try:
        with contextlib.suppress(Trouble):
            read(data, role)
        seconds, more = time.process_time() - start, _status_mb("VmHWM") - memory
        verdict, detail, digest = _outcome(data, role)
        if verdict == "accepted":
            libc.mallopt(_M_PERTURB, 0x55)
            _expect(_outcome(data, role)[2] == digest, "shows what lay in memory")
    except Finding as finding:
        verdict, detail = "wrong", str(finding)
    except Exception:  # noqa: BLE001 - any that escapes is what is looked for
        verdict, detail = "escaped", traceback.format_exc(limit=-6)
    finally:
        libc.mallopt(_M_PERTURB, 0)
    if verdict in ("wrong", "escaped"):
        seconds, more = time.process_time() - start, _status_mb("VmHWM") - memory
    return {
        "verdict": verdict, "detail": detail, "bytes": len(data), "seconds": round(seconds, 3),
        "more_mb": round(more, 1), "peak_mb": round(_status_mb("VmHWM"), 1),
    }  # fmt: skip


def _status_mb(field: str) -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return int(value.split()[0]) / 1024
    raise KeyError(field)


def main() -> None:
    """Answer until standard input ends. One that takes longer than it may: tell where, and end."""
    hang_s = float(sys.argv[1])
    faulthandler.enable()
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # whatever a library prints is no answer
    examine(Malformed("PNG", "bits_flipped", 0).make(), "picture")  # what is loaded once, is
    most = int(_status_mb("VmSize") * (1 << 20)) + MOST_MORE_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    out.write("ready\n")
    for line in sys.stdin:
        question = json.loads(line)
        if "path" in question:
            data = Path(question["path"]).read_bytes()
        else:
            data = Malformed.named(question["name"]).make()
        faulthandler.dump_traceback_later(hang_s, exit=True)
        answer = examine(data, question["role"])
        faulthandler.cancel_dump_traceback_later()
        out.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
