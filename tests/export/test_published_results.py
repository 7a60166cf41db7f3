"""An artifact's pixels against the published networks' test mode, by an oracle of its own."""

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import published_reference as reference
import pytest
import torch
from published_reference import Pixels
from skimage import data

from export.artifacts import DTYPES, Recipe, compile_pipeline, edgeconnect_recipe, matting_recipe
from export.torchscript import from_bytes, to_bytes
from models.untrained import write_edgeconnect, write_matting

Run = Callable[[Pixels, Pixels], Pixels]

# EdgeConnect's own code takes these: multiples of 4.
MULTIPLES = [(256, 256), (224, 320), (300, 252)]
ODD = (251, 333)
# The part of the hole's samples that may be off, and then by one.
OFF_SHARE = 0.005


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Checkpoints in the published layout, of width 8 with 2 blocks."""
    folder = tmp_path_factory.mktemp("narrow")
    write_edgeconnect(folder, width=8, blocks=2, seed=3)
    write_matting(folder / "matting.pth", width=8, seed=3)
    return folder


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Checkpoints of the published size."""
    folder = tmp_path_factory.mktemp("wide")
    write_edgeconnect(folder, width=64, blocks=8, seed=4)
    write_matting(folder / "matting.pth", width=64, seed=4)
    return folder


@pytest.mark.parametrize("size", MULTIPLES, ids=str)
@pytest.mark.parametrize("stage", [1, 2, 3])
def test_edgeconnect_gives_the_published_result(narrow: Path, stage: Any, size: Any) -> None:
    image, mask = photo(*size), holes(*size)
    made = as_artifact(edgeconnect_recipe(narrow, stage))(image, mask)
    expected = reference.inpaint(*edgeconnect_states(narrow), image, mask, stage)
    assert_same(made, expected, mask != 0)


@pytest.mark.parametrize("stage", [2, 3])
def test_edgeconnect_of_the_published_size_gives_the_published_result(
    wide: Path, stage: Any
) -> None:
    image, mask = photo(256, 256), holes(256, 256)
    made = as_artifact(edgeconnect_recipe(wide, stage))(image, mask)
    expected = reference.inpaint(*edgeconnect_states(wide), image, mask, stage)
    assert_same(made, expected, mask != 0)


@pytest.mark.parametrize("stage", [2, 3])
@pytest.mark.parametrize("size", [ODD, (1, 1), (3, 70), (12, 13)], ids=str)
def test_any_size_runs_and_is_exact_outside_the_mask(narrow: Path, stage: Any, size: Any) -> None:
    image, mask = photo(*size), holes(*size)
    made = as_artifact(edgeconnect_recipe(narrow, stage))(image, mask)
    assert made.shape == image.shape
    np.testing.assert_array_equal(made[mask == 0], image[mask == 0])


def test_any_size_runs_for_the_edge_map(narrow: Path) -> None:
    image, mask = photo(*ODD), holes(*ODD)
    made = as_artifact(edgeconnect_recipe(narrow, 1))(image, mask)
    assert made.shape == ODD
    assert set(np.unique(made[mask == 0])) == {0, 255}


def test_hole_in_an_odd_picture_is_what_the_extended_picture_gives(narrow: Path) -> None:
    # 251x333 is worked as 252x336, the last row and columns repeated; only Canny sees the
    # picture as it is. Far from the seam no pixel can tell.
    image, mask = photo(*ODD), holes(*ODD)
    extended = [
        np.pad(x, [(0, 1), (0, 3)] + [(0, 0)] * (x.ndim - 2), "edge") for x in (image, mask)
    ]
    run = as_artifact(edgeconnect_recipe(narrow, 2))
    gap = np.abs(run(image, mask).astype(int) - run(*extended)[:251, :333].astype(int))
    assert gap.mean() < 1


@pytest.mark.parametrize("size", [(256, 256), (251, 333), (67, 97), (16, 16), (17, 130)], ids=str)
def test_matting_gives_the_published_result_at_any_size(narrow: Path, size: Any) -> None:
    image, trimap = photo(*size), regions(*size)
    made = as_artifact(matting_recipe(narrow / "matting.pth"))(image, trimap)
    state = torch.load(narrow / "matting.pth", weights_only=True)
    assert_same(made, reference.matte(state, image, trimap), trimap == 128)


def test_matting_of_the_published_size_gives_the_published_result(wide: Path) -> None:
    image, trimap = photo(131, 203), regions(131, 203)
    made = as_artifact(matting_recipe(wide / "matting.pth"))(image, trimap)
    state = torch.load(wide / "matting.pth", weights_only=True)
    assert_same(made, reference.matte(state, image, trimap), trimap == 128)


@pytest.mark.parametrize("size", [(1, 1), (5, 40), (15, 15)], ids=str)
def test_matting_takes_pictures_smaller_than_its_poolings(narrow: Path, size: Any) -> None:
    image, trimap = photo(*size), regions(*size)
    made = as_artifact(matting_recipe(narrow / "matting.pth"))(image, trimap)
    known = trimap != 128
    np.testing.assert_array_equal(made[known], trimap[known])


def test_trimap_values_between_are_taken_as_unknown(narrow: Path) -> None:
    run = as_artifact(matting_recipe(narrow / "matting.pth"))
    image, trimap = photo(64, 64), regions(64, 64)
    smeared = trimap.copy()
    smeared[trimap == 128] = np.resize(np.arange(1, 255, dtype=np.uint8), (trimap == 128).sum())
    np.testing.assert_array_equal(run(image, smeared), run(image, trimap))


def test_any_mask_value_but_zero_is_hole(narrow: Path) -> None:
    run = as_artifact(edgeconnect_recipe(narrow, 3))
    image, mask = photo(64, 96), holes(64, 96)
    np.testing.assert_array_equal(run(image, mask), run(image, (mask != 0).astype(np.uint8)))


def test_each_picture_of_a_batch_is_worked_as_if_alone(narrow: Path) -> None:
    pictures = [photo(61, 90, n) for n in range(3)]
    masks = [holes(61, 90, n) for n in range(3)]
    module = load(edgeconnect_recipe(narrow, 3))
    with torch.inference_mode():
        batch = module(
            torch.cat([as_tensor(p) for p in pictures]), torch.cat([as_tensor(m) for m in masks])
        )
    for n in range(3):
        alone = as_artifact(edgeconnect_recipe(narrow, 3))(pictures[n], masks[n])
        assert_same(as_pixels(batch[n : n + 1]), alone, masks[n] != 0)


def test_picture_without_a_hole_comes_back_as_it_was(narrow: Path) -> None:
    image = photo(50, 60)
    made = as_artifact(edgeconnect_recipe(narrow, 3))(image, np.zeros((50, 60), np.uint8))
    np.testing.assert_array_equal(made, image)


def test_picture_that_is_all_hole_runs(narrow: Path) -> None:
    image = photo(50, 60)
    made = as_artifact(edgeconnect_recipe(narrow, 3))(image, np.full((50, 60), 255, np.uint8))
    assert made.shape == image.shape


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_lower_precision_keeps_known_pixels_exact(narrow: Path, precision: str) -> None:
    image, mask = photo(64, 64), holes(64, 64)
    recipe = edgeconnect_recipe(narrow, 3)
    made = as_artifact(recipe, precision)(image, mask)
    full = as_artifact(recipe)(image, mask)
    np.testing.assert_array_equal(made[mask == 0], image[mask == 0])
    assert np.abs(made.astype(int) - full.astype(int)).mean() < 2


def test_no_device_is_written_into_the_code(narrow: Path) -> None:
    for recipe in (edgeconnect_recipe(narrow, 3), matting_recipe(narrow / "matting.pth")):
        graph = str(load(recipe).inlined_graph)
        assert "prim::Constant" in graph
        assert 'value="cpu"' not in graph
        assert 'value="cuda' not in graph


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_artifact_made_on_the_cpu_runs_on_a_gpu(narrow: Path) -> None:
    image, mask = photo(64, 96), holes(64, 96)
    recipe = edgeconnect_recipe(narrow, 3)
    data_ = to_bytes(compile_pipeline(recipe, torch.float32, "cpu"), "{}")
    with torch.inference_mode():
        made = from_bytes(data_, "cuda")(as_tensor(image).cuda(), as_tensor(mask).cuda()).cpu()
    gap = np.abs(as_pixels(made).astype(int) - as_artifact(recipe)(image, mask).astype(int))
    assert gap[mask == 0].max() == 0
    assert gap.mean() < 1


def assert_same(made: Pixels, expected: Pixels, where: Any) -> None:
    """Exact outside `where`; in it, off by one at most on a small share. And nothing flat."""
    assert made.shape == expected.shape
    assert made.dtype == np.uint8
    np.testing.assert_array_equal(made[~where], expected[~where])
    gap = np.abs(made[where].astype(int) - expected[where].astype(int))
    share = (gap > 0).mean()
    assert gap.max() <= 1
    assert share <= OFF_SHARE
    assert expected[where].std() > 10, "a flat result would prove nothing"


def load(recipe: Recipe, precision: str = "fp32") -> torch.jit.ScriptModule:
    """The recipe's artifact as a file would give it back, from its bytes."""
    return from_bytes(to_bytes(compile_pipeline(recipe, DTYPES[precision], "cpu"), "{}"), "cpu")


def as_artifact(recipe: Recipe, precision: str = "fp32") -> Run:
    """The recipe's artifact as a function of arrays."""
    module = load(recipe, precision)

    def run(image: Pixels, companion: Pixels) -> Pixels:
        with torch.inference_mode():
            return as_pixels(module(as_tensor(image), as_tensor(companion)))

    return run


def as_tensor(x: Pixels) -> torch.Tensor:
    """`[H,W]` or `[H,W,3]` -> `[1,C,H,W]`"""
    planes = x[None] if x.ndim == 2 else np.moveaxis(x, 2, 0)
    return torch.from_numpy(np.ascontiguousarray(planes))[None]


def as_pixels(x: torch.Tensor) -> Pixels:
    """`[1,C,H,W]` -> `[H,W]` or `[H,W,3]`"""
    planes: Pixels = x[0].numpy()
    return planes[0] if len(planes) == 1 else np.moveaxis(planes, 0, 2)


def edgeconnect_states(folder: Path) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """The two generators' tensors, as the files hold them."""
    edge, paint = (
        torch.load(folder / name, weights_only=True)["generator"]
        for name in ("EdgeModel_gen.pth", "InpaintingModel_gen.pth")
    )
    return edge, paint


@lru_cache
def photo(height: int, width: int, seed: int = 0) -> Pixels:
    """A part of a real photo, `[height,width,3]`."""
    whole = [data.astronaut(), data.coffee(), data.chelsea()][seed % 3]
    tiles = -(-height // whole.shape[0]), -(-width // whole.shape[1]), 1
    return np.ascontiguousarray(np.tile(whole, tiles)[:height, :width])


@lru_cache
def holes(height: int, width: int, seed: int = 0) -> Pixels:
    """A mask with irregular holes, their values anything from 1 to 255."""
    random = np.random.default_rng(seed)
    mask = np.zeros((height, width), np.uint8)
    y, x = np.mgrid[:height, :width]
    for _ in range(4):
        cy, cx, ry, rx = random.uniform(0.1, 1, 4) * [height, width, height / 5, width / 5] + 0.1
        mask[((y - cy) / ry) ** 2 + ((x - cx) / rx) ** 2 < 1] = random.integers(1, 256)
    return mask


@lru_cache
def regions(height: int, width: int) -> Pixels:
    """A trimap: foreground to the left, background to the right, a wavy unknown band between."""
    y, x = np.mgrid[:height, :width]
    middle = width / 2 + width / 8 * np.sin(y / 9)
    return np.select([x < middle - width / 5, x > middle + width / 5], [255, 0], 128).astype(
        np.uint8
    )
