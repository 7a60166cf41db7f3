"""Figure c: a photo of 12 megapixels with a hole of 1 %, against the network on all of it.

The photo goes through a running `retouchd`, as people's photos do: a JPEG in, a PNG out. Its parts
(decode, the windows' forwards, encode) are measured alone, in turn with it.
"""

import io
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import scenes
from findings import Bound, Finding, Row
from PIL import Image
from recording import Windows, windows_of
from side_by_side import Measure, Times, side_by_side, timed
from workbench import Daemon, Site, Workbench, drop, finished, running, save, worker_peak_bytes

from daemon.worker import companions, pictures
from daemon.worker.inference import Network

TITLE: Final = "a photo of 12 megapixels with a hole of 1 %"
SIZE: Final = (4000, 3000)
HOLE_SHARE: Final = 0.01
BUDGET_S: Final = 35.0
# The largest square that the network is given whole, of those that fit in memory and in this time.
WHOLE_SIDES_PX: Final = (512, 1024, 1536, 2048, 3072, 3464)
WHOLE_BUDGET_S: Final = 35.0
SPECKS_BUDGET_S: Final = 20.0
# Parts of the photo that are worked with specks where the whole would take too long.
SPECK_PARTS: Final = ((1, 1), (2, 2), (4, 4), (6, 6))

_JPEG_QUALITY: Final = 92
_MOST_PIXELS: Final = 200_000_000
_FASTER: Final = Bound("at least", 30)
_END_TO_END: Final = Bound("at most", 1.3)
_MEMORY_GB: Final = Bound("at most", 2)


@dataclass(frozen=True)
class Scene:
    """A photo with its mask, in memory and as files."""

    photo: scenes.Pixels
    mask: scenes.Pixels
    photo_file: Path
    mask_file: Path


@dataclass(frozen=True)
class Whole:
    """What the network would take for so many pixels at once, by the pace of a square."""

    side: int
    seconds: float


@dataclass(frozen=True)
class Specks:
    """What dust all over the photo takes, by the part of it that was worked."""

    part: tuple[int, int]
    windows: int
    seconds: float
    is_whole: bool


def measure(bench: Workbench, size: tuple[int, int] = SIZE, budget_s: float = BUDGET_S) -> Finding:
    """Through the daemon, in parts, whole, and with specks instead of one hole."""
    artifact = bench.need_networks().files["inpaint"]
    photo, mask = scenes.photo(*size), scenes.square_hole(*size, HOLE_SHARE)
    scene = make_scene(bench.folder / "hole", photo, mask)
    windows = windows_of(artifact, "inpaint", bench.device, photo, mask)
    network = Network(artifact, "inpaint", bench.device)
    site = bench.site("hole-spool", "inpaint")
    with running(site) as daemon:
        through = Through(site, daemon, scene)
        times = side_by_side({"end to end": through, **parts(scene, windows, network)}, budget_s, 4)
        peak = worker_peak_bytes(daemon)
        whole = whole_picture(network, mask.size)
        pace = whole.seconds / mask.size
        specks = _specks(bench, through, pace, size)
        peak_after_specks = worker_peak_bytes(daemon)
    rows = (*rows_of(times, whole), _memory_row(peak, windows), _specks_row(specks, whole))
    details: dict[str, Any] = {
        "photo": list(size),
        "windows": [list(shape) for shape in windows.shapes],
        "times": {name: one.as_json() for name, one in times.items()},
        "steps_of_last_job": through.steps,
        "whole": asdict(whole),
        "peak_bytes": peak,
        "peak_bytes_after_specks": peak_after_specks,
        "specks": asdict(specks),
    }
    return Finding(rows, details)


def rows_of(times: dict[str, Times], whole: Whole) -> tuple[Row, Row]:
    """Against the whole picture, and against its own parts."""
    alone = {name: one.least for name, one in times.items()}
    told = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in alone.items())
    end_to_end = alone.pop("end to end")
    return (
        Row(
            "whole photo, extrapolated / end to end",
            whole.seconds / end_to_end,
            "times",
            _FASTER,
            f"{whole.seconds:.0f} s, from a square of {whole.side} px, to {end_to_end:.2f} s",
        ),
        Row(
            "end to end / (forward + decode + encode)",
            end_to_end / sum(alone.values()),
            "",
            _END_TO_END,
            f"{told}; {times['end to end'].how}",
        ),
    )


def _memory_row(peak: int, windows: Windows) -> Row:
    count = "1 window" if windows.count == 1 else f"{windows.count} windows"
    height, width = windows.shapes[0][1:]
    note = f"{count} of {width} x {height}"
    return Row("peak memory of the worker", peak / 1e9, "GB", _MEMORY_GB, note)


def _specks_row(specks: Specks, whole: Whole) -> Row:
    width, height = specks.part
    how = "all of it" if specks.is_whole else f"extrapolated from {width} x {height}"
    return Row(
        "specks all over, 1 %: whole photo / end to end",
        whole.seconds / specks.seconds,
        "times",
        note=f"{specks.seconds:.0f} s, {how}, {specks.windows} windows there",
    )


def make_scene(folder: Path, photo: scenes.Pixels, mask: scenes.Pixels) -> Scene:
    """A JPEG as a camera writes it, and a PNG mask."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "photo.jpg"
    Image.fromarray(photo).save(file, quality=_JPEG_QUALITY)
    return Scene(photo, mask, file, save(mask, folder / "mask.png"))


class Through:
    """Drops a pair each time it is called; gives the seconds from the job's start to its end."""

    def __init__(self, site: Site, daemon: Daemon, scene: Scene) -> None:
        self._site, self._daemon, self._scene = site, daemon, scene
        self._count = 0
        self.steps: dict[str, float] = {}

    def of(self, scene: Scene) -> "Through":
        """The same daemon, for another scene."""
        return Through(self._site, self._daemon, scene)

    def __call__(self) -> float:
        self._count += 1
        name = f"{self._scene.photo_file.parent.name} {self._count}.jpg"
        drop(self._site, name, "mask", self._scene.photo_file, self._scene.mask_file)
        job = finished(self._daemon, name)
        self.steps = job.steps
        return job.seconds


def parts(scene: Scene, windows: Windows, network: Network) -> dict[str, Measure]:
    """Measures of the least that any program would have to do, by the daemon's own functions."""
    photo, mask = scene.photo_file.read_bytes(), scene.mask_file.read_bytes()
    picture = pictures.read_picture(photo, _MOST_PIXELS)

    def decode() -> None:
        companions.read_mask(mask, pictures.read_picture(photo, _MOST_PIXELS), _MOST_PIXELS)

    def encode() -> None:
        pictures.write_retouched(picture, scene.photo, scene.mask, io.BytesIO(), "png", 95)

    return {
        "forward": forwards_of(windows, network),
        "decode": timed(decode),
        "encode": timed(encode),
    }


def forwards_of(windows: Windows, network: Network) -> Measure:
    """A measure of one forward for each window, at its size."""
    batches = [
        (
            np.stack([scenes.photo(width, height)] * count),
            np.stack([scenes.square_hole(width, height, 0.25)] * count),
        )
        for count, height, width in windows.shapes
    ]
    return timed(lambda: [network.run_batch(*batch) for batch in batches])


def whole_picture(network: Network, pixels: int, budget_s: float = WHOLE_BUDGET_S) -> Whole:
    """What so many pixels would take at the pace of a square.

    It is the largest of a list that fits in memory, and in the time by the pace of the one before.
    """
    most = network.pixels_at_once(2**62)
    seconds = pace = 0.0
    best = WHOLE_SIDES_PX[0]
    for side in WHOLE_SIDES_PX:
        if side**2 > most or pace * side**2 > budget_s:
            break
        photo, mask = (
            scenes.photo(side, side)[None],
            scenes.square_hole(side, side, HOLE_SHARE)[None],
        )
        once = timed(partial(network.run_batch, photo, mask))
        seconds = min(once() for _ in range(2 if pace * side**2 < budget_s / 10 else 1))
        best, pace = side, seconds / side**2
    return Whole(best, pace * pixels)


def _specks(bench: Workbench, through: "Through", pace: float, size: tuple[int, int]) -> Specks:
    """The largest part that fits in the time, by what the network takes for a pixel."""
    artifact = bench.need_networks().files["inpaint"]
    for across, down in SPECK_PARTS:
        width, height = size[0] // across, size[1] // down
        photo, mask = scenes.photo(width, height), scenes.specks(width, height, HOLE_SHARE)
        windows = windows_of(artifact, "inpaint", bench.device, photo, mask)
        if windows.pixels * pace <= SPECKS_BUDGET_S:
            break
    scene = make_scene(bench.folder / "specks", photo, mask)
    seconds = through.of(scene)() * (size[0] * size[1]) / mask.size
    return Specks((width, height), windows.count, seconds, (across, down) == (1, 1))
