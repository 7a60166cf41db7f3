"""Figure d: a portrait of 12 megapixels cut out along its trimap.

It goes through a running `retouchd`, as people's photos do. Where all of it would take too long,
its left half is worked, which holds half of the unknown band, and counted twice.
"""

from pathlib import Path
from typing import Any, Final

import scenes
from findings import Finding, Row
from networks import run
from PIL import Image
from recording import windows_of
from side_by_side import timed
from workbench import Workbench, drop, finished, running, save, worker_peak_bytes

TITLE: Final = "a portrait of 12 megapixels cut out, band 2 % of its shorter side"
SIZE: Final = (4000, 3000)
BAND_PERCENT: Final = 2.0
# For the networks' part, by what they take for a pixel.
BUDGET_S: Final = 60.0
_PACE_SIDE_PX: Final = 512
_JPEG_QUALITY: Final = 92


def measure(bench: Workbench, size: tuple[int, int] = SIZE, budget_s: float = BUDGET_S) -> Finding:
    """Seconds, memory, megapixels a second, and how much of the photo the network saw."""
    artifact = bench.need_networks().files["matting"]
    photo, trimap = scenes.photo(*size), scenes.portrait(*size, BAND_PERCENT)
    windows = windows_of(artifact, "matting", bench.device, photo, trimap)
    unknown = float((trimap == 128).mean())
    pace = _seconds_a_pixel(bench)
    is_whole = windows.pixels * pace <= budget_s
    if not is_whole:
        photo, trimap = photo[:, : size[0] // 2], trimap[:, : size[0] // 2]
    files = _files(bench.folder / "matte", photo, trimap)
    site = bench.site("matte-spool", "matting")
    with running(site) as daemon:
        drop(site, "portrait.jpg", "trimap", *files)
        job = finished(daemon, "portrait.jpg")
        peak = worker_peak_bytes(daemon)
    seconds = job.seconds if is_whole else 2 * job.seconds
    how = "" if is_whole else "its left half, counted twice; "
    steps = ", ".join(f"{name} {took:.1f} s" for name, took in job.steps.items())
    rows = (
        Row("end to end", seconds, "s", None, how + steps),
        Row("megapixels a second", size[0] * size[1] / 1e6 / seconds, "MP/s"),
        Row("peak memory of the worker", peak / 1e9, "GB", None, how.rstrip("; ")),
        Row(
            "pixels the network saw / pixels of the photo",
            windows.pixels / (size[0] * size[1]),
            "",
            None,
            f"{windows.count} windows; {100 * unknown:.1f} % of the photo is unknown",
        ),
    )
    details: dict[str, Any] = {
        "photo": list(size),
        "worked": [photo.shape[1], photo.shape[0]],
        "windows_of_all": [list(shape) for shape in windows.shapes],
        "unknown_share": unknown,
        "job_s": job.seconds,
        "steps": job.steps,
        "notes": list(job.notes),
        "peak_bytes": peak,
        "network_s_a_megapixel_alone": pace * 1e6,
    }
    return Finding(rows, details)


def _files(folder: Path, photo: scenes.Pixels, trimap: scenes.Pixels) -> tuple[Path, Path]:
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(photo).save(folder / "photo.jpg", quality=_JPEG_QUALITY)
    return folder / "photo.jpg", save(trimap, folder / "trimap.png")


def _seconds_a_pixel(bench: Workbench) -> float:
    """What the network takes for a pixel, alone."""
    artifact = bench.need_networks().artifact("matting")
    image, trimap = scenes.batch("matting", _PACE_SIDE_PX, 1, bench.device)
    forward = timed(lambda: run(artifact, image, trimap))
    return min(forward() for _ in range(2)) / _PACE_SIDE_PX**2
