"""Verification: what it lets pass, what it finds, and what it measures."""

import platform
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from daemon.artifact import Manifest
from export.torchscript import freeze, to_bytes
from export.verify import BATCHES, SHAPES, Case, FreshProcess, VerificationError, make_cases

MANIFEST = Manifest(contract="retouchd", contract_version=1, task="inpaint", network="test")


class Filler(torch.nn.Module):
    """An inpainting network that makes every hole of one grey, and perhaps a mistake."""

    def __init__(self, grey: int = 90, outside: int = 0, cut: int = 0, planes: int = 0) -> None:
        super().__init__()
        self.grey = grey
        self.outside = outside
        self.cut = cut
        self.planes = planes

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        filled = (image + self.outside).masked_fill(mask != 0, self.grey)
        waste = image.to(torch.float32).repeat(1, self.planes, 1, 1)
        filled = filled + (waste.sum() * 0).to(torch.uint8)
        return filled[:, :, : filled.size(2) - self.cut]


@pytest.fixture(scope="module")
def fresh() -> Iterator[FreshProcess]:
    with FreshProcess("cpu") as process:
        yield process


@pytest.fixture(scope="module")
def cases() -> list[Case]:
    return make_cases(Filler(), "inpaint")


def write(folder: Path, network: torch.nn.Module, manifest: Manifest = MANIFEST) -> Path:
    path = folder / "file.pt"
    path.write_bytes(to_bytes(freeze(network), manifest.model_dump_json()))
    path.chmod(0o600)
    return path


def test_cases_are_of_several_shapes_and_batches(cases: list[Case]) -> None:
    seen = {tuple(case.image.shape[2:]) for case in cases}
    assert seen == set(SHAPES)
    assert len(seen) >= 3
    assert any(height != width and (height % 4 or width % 4) for height, width in seen)
    assert {len(case.image) for case in cases} == set(BATCHES)
    assert all(case.companion.any() for case in cases)


def test_matting_cases_have_every_kind_of_region() -> None:
    cases = make_cases(lambda _image, trimap: trimap, "matting")
    assert set(torch.cat([c.companion.flatten() for c in cases]).tolist()) == {0, 128, 255}


def test_faithful_artifact_passes(fresh: FreshProcess, cases: list[Case], tmp_path: Path) -> None:
    report = fresh.check(write(tmp_path, Filler()), cases)
    assert (report.off, report.largest) == (0, 0)
    assert report.cases == len(cases)


@pytest.mark.parametrize(
    ("network", "words"),
    [
        (Filler(grey=91), "samples, by up to 1"),
        (Filler(outside=1), "outside the mask"),
        (Filler(cut=1), "it gives torch.uint8"),
    ],
)
def test_difference_is_found(
    fresh: FreshProcess, cases: list[Case], tmp_path: Path, network: Filler, words: str
) -> None:
    with pytest.raises(VerificationError, match=words):
        fresh.check(write(tmp_path, network), cases)


def test_lower_precision_is_held_to_its_mean(
    fresh: FreshProcess, cases: list[Case], tmp_path: Path
) -> None:
    half = MANIFEST.model_copy(update={"precision": "fp16"})
    assert fresh.check(write(tmp_path, Filler(grey=92), half), cases).mean == 2
    with pytest.raises(VerificationError, match=r"5\.00 in the mean"):
        fresh.check(write(tmp_path, Filler(grey=95), half), cases)


def test_artifact_without_a_manifest_is_found_out(cases: list[Case], tmp_path: Path) -> None:
    path = tmp_path / "file.pt"
    path.write_bytes(to_bytes(freeze(Filler()), ""))
    with (
        FreshProcess("cpu") as fresh,
        pytest.raises(VerificationError, match="manifest is empty"),
    ):
        fresh.check(path, cases)


def test_memory_is_within_twice_of_what_is_needed(fresh: FreshProcess, tmp_path: Path) -> None:
    planes = 20
    needed = planes * 3 * 4  # float32 copies of RGB, all at once
    measured = fresh.measure_memory(write(tmp_path, Filler(planes=planes)))
    assert needed <= measured <= 2 * needed


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="no other C library keeps so much")
def test_memory_that_loading_leaves_free_is_given_back_before_it_is_measured() -> None:
    code = """
import torch
from export.verify import _return_free_memory, _status_bytes
before = _status_bytes("VmRSS")
blocks = [torch.ones(16_000) for _ in range(3000)]  # 64 kB each: from the heap, not mapped apart
last = torch.ones(16_000)  # keeps the heap's end where it is
del blocks
kept = _status_bytes("VmRSS") - before
_return_free_memory()
print(kept, _status_bytes("VmRSS") - before)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    kept, left = (int(word) for word in run.stdout.split())
    assert kept > 100e6
    assert left < 0.2 * kept
