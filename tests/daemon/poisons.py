"""Pairs that are the death of their worker or the despair of their model, and how each ends."""

import json
import warnings
from dataclasses import dataclass
from pathlib import Path

import torch
import venom
from driver import REPOSITORY, Site, hole, photo, save, trimap
from PIL import Image
from PIL.PngImagePlugin import PngInfo

# For a pair that is alone, and to be late.
TIMEOUT_S = 2.0
# For one that is not: more than any machine takes, however busy.
AMPLE_S = 100.0
# For one in company: longer than it takes to start two workers, on most machines.
LIMIT_S = 12.0
# Enough for torch and small pictures.
MEMORY_GB = 1

RAISING_PIXEL = (3, 2, 1)
HUNGRY_PIXEL = (3, 2, 2)


@dataclass(frozen=True)
class Poison:
    """What is wrong with a pair, and what comes of a try.

    `act` is done by whoever opens the picture (see `venom`), `pixel` is its first one and meant for
    the model. `how` the worker ends; None where it lives on, because nothing is wrong with it.
    """

    reason: str
    says: str
    how: str | None = None
    act: str | None = None
    pixel: tuple[int, int, int] | None = None

    def drop(self, picture: Path, role: str = "mask") -> dict[Path, bytes]:
        """Put the pair there; returns its files and their content."""
        pixels = photo(99)
        if self.pixel:
            pixels[0, 0] = self.pixel
        text = PngInfo()
        if self.act:
            text.add_text("Comment", venom.mark(self.act))
        picture.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(picture, pnginfo=text)
        companion = picture.with_name(f"{picture.stem}_{role}.png")
        save(hole() if role == "mask" else trimap(), companion)
        return {file: file.read_bytes() for file in (picture, companion)}


SEGFAULT = Poison(
    "worker_died", "(signal SIGSEGV)", how="signal SIGSEGV", act="reads_at_address_zero"
)
ABORT = Poison("worker_died", "(signal SIGABRT)", how="signal SIGABRT", act="aborts")
OUT_OF_MACHINE = Poison(
    "worker_died", "(signal SIGKILL)", how="signal SIGKILL", act="is_ended_by_the_kernel"
)
SLEEPER = Poison("timed_out", f"longer than {TIMEOUT_S:g} s", how="signal SIGKILL", act="sleeps")
HANG = Poison(
    "timed_out",
    f"longer than {LIMIT_S:g} s",
    how="signal SIGKILL",
    act="hangs_and_lets_nobody_else_run",
)
# Nothing is wrong with it.
SLOW = Poison("", "", act="takes_its_time")
GLUTTON = Poison("out_of_memory", "while decoding the picture", act="eats_memory")
LOST_DEVICE = Poison(
    "worker_died", "(exit status 70)", how="exit status 70", act="loses_its_device"
)
FOREGROUND = Poison(
    "worker_died", "(signal SIGSEGV)", how="signal SIGSEGV", act="dies_of_its_foreground"
)
RAISES = Poison("model_raised", "can not stand this picture", pixel=RAISING_PIXEL)
HUNGRY = Poison("out_of_memory", "can't allocate memory", pixel=HUNGRY_PIXEL)


class Moody(torch.nn.Module):
    """Paints each hole with its negative; fails, or wants too much memory, if a picture says so."""

    def forward(self, image: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        first = image[0, :, 0, 0]
        if int(first[0]) == 3 and int(first[1]) == 2:
            assert int(first[2]) != 1, "this network can not stand this picture"
            image = image + torch.zeros([1 << 32], dtype=torch.uint8)[:1]
        return torch.where(mask > 0, 255 - image, image)


def site(root: Path, model: Path, **environment: str) -> Site:
    """A spool whose workers can be poisoned, with an ample limit of time and one of memory."""
    paths = venom.lay(root / "venom")
    return Site(
        root / "spool",
        {
            "PYTHONPATH": f"{paths}:{REPOSITORY}",
            "OMP_NUM_THREADS": "1",
            "RETOUCHD_INPAINT_MODEL": str(model),
            "RETOUCHD_JOB_TIMEOUT_S": str(AMPLE_S),
            "RETOUCHD_WORKER_MEMORY_GB": str(MEMORY_GB),
            **environment,
        },
    )


def write_moody(path: Path) -> Path:
    """The artifact that `RAISES` and `HUNGRY` are for."""
    manifest = {
        "contract": "retouchd",
        "contract_version": 1,
        "network": "moody",
        "task": "inpaint",
        "memory_bytes_per_pixel": 64,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scripted = torch.jit.script(Moody().eval())
        torch.jit.save(scripted, path, _extra_files={"manifest.json": json.dumps(manifest)})
    path.chmod(0o644)
    return path
