"""Tiny artifacts that meet the contract, written without `export`, as a third party would.

They do something exact, so that a test can tell the right result from every other, and one of them
can be told by the picture to take its time.
"""

import json
import warnings
from pathlib import Path

import torch

# A picture whose first pixel is this colour makes the tiny networks slow.
SLOW_PIXEL = (1, 2, 3)
SLOW_ROUNDS = 60


def dawdle(image: torch.Tensor, rounds: int) -> None:
    """Take some time over a picture that asks for it."""
    first = image[0, :, 0, 0]
    if int(first[0]) == 1 and int(first[1]) == 2 and int(first[2]) == 3:
        work = torch.rand(700, 700)
        for _ in range(rounds):
            work = torch.tanh(work @ work)


class InvertHoles(torch.nn.Module):
    """Paints each hole with the negative of what was there."""

    def __init__(self, rounds: int) -> None:
        super().__init__()
        self.rounds = rounds

    def forward(self, image: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        dawdle(image, self.rounds)
        return torch.where(mask > 0, 255 - image, image)


class PaintHoles(torch.nn.Module):
    """Paints each hole in one grey."""

    def __init__(self, grey: int) -> None:
        super().__init__()
        self.grey = grey

    def forward(self, image: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return torch.where(mask > 0, torch.full_like(image, self.grey), image)


class Lies(torch.nn.Module):
    """Does not give what the contract says, from pictures of a height on."""

    def __init__(self, what: str, height: int) -> None:
        super().__init__()
        self.what = what
        self.height = height

    def forward(self, image: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        if image.shape[2] < self.height:
            return image
        if self.what == "floats":
            return image.float()
        if self.what == "channels":
            return mask
        if self.what == "batch":
            return torch.cat([image, image])
        return image[:, :, 1:]


class Hangs(torch.nn.Module):
    """Never comes to an end."""

    def forward(self, image: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:  # noqa: ARG002
        work = torch.rand(50, 50)
        for _ in range(1_000_000_000_000):
            work = torch.tanh(work @ work)
        return image * work.to(torch.uint8)[0, 0]  # what is not used is not computed


class HalfAlpha(torch.nn.Module):
    """Gives the unknown band an alpha of 100."""

    def __init__(self, rounds: int) -> None:
        super().__init__()
        self.rounds = rounds

    def forward(self, image: torch.Tensor, trimap: torch.Tensor) -> torch.Tensor:
        dawdle(image, self.rounds)
        return torch.where(trimap == 128, torch.full_like(trimap, 100), trimap)


class Raises(torch.nn.Module):
    """Fails on any picture taller than 40 pixels, and not on the worker's own trial."""

    def forward(self, image: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:  # noqa: ARG002
        assert image.shape[2] <= 40, "this network always fails"
        return image


def write_inpaint(path: Path, **manifest: object) -> Path:
    """An inpainting artifact."""
    return _write(InvertHoles(SLOW_ROUNDS), path, {"task": "inpaint", **manifest})


def write_painting(path: Path, grey: int, **manifest: object) -> Path:
    """An inpainting artifact that paints holes grey."""
    return _write(PaintHoles(grey), path, {"task": "inpaint", **manifest})


def write_lying(path: Path, what: str, height: int = 0) -> Path:
    """An inpainting artifact whose output is wrong in shape or kind."""
    return _write(Lies(what, height), path, {"task": "inpaint"})


def write_hanging(path: Path) -> Path:
    """An inpainting artifact whose first trial does not end."""
    return _write(Hangs(), path, {"task": "inpaint"})


def write_matting(path: Path, **manifest: object) -> Path:
    """A matting artifact."""
    return _write(HalfAlpha(SLOW_ROUNDS), path, {"task": "matting", **manifest})


def write_raising(path: Path, **manifest: object) -> Path:
    """An inpainting artifact that raises."""
    return _write(Raises(), path, {"task": "inpaint", **manifest})


def _write(module: torch.nn.Module, path: Path, manifest: dict[str, object]) -> Path:
    whole = {
        "contract": "retouchd",
        "contract_version": 1,
        "network": "tiny",
        "memory_bytes_per_pixel": 64,
        **manifest,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scripted = torch.jit.script(module.eval())
        torch.jit.save(scripted, path, _extra_files={"manifest.json": json.dumps(whole)})
    path.chmod(0o644)
    return path
