"""Artifacts of Deep Image Matting's other layouts: the oracle's pixels, and what they tell."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import matting_reference as reference
import numpy as np
import pytest
import torch
from matting_reference import Pixels
from skimage import data

from daemon.artifact import read_manifest
from export import cli
from export.artifacts import Recipe, compile_pipeline, matting_recipe
from export.torchscript import from_bytes, to_bytes
from models.checkpoints import CheckpointError, read_checkpoint
from models.matting_normed import NormedMatting
from models.matting_skips import SkipMatting
from models.untrained import write_matting

Oracle = Callable[[reference.State, Pixels, Pixels], Pixels]

# The part of the unknown samples that may be off, and then by one.
OFF_SHARE = 0.005
SIZES = [(256, 256), (224, 320), (300, 252), (131, 203), (33, 97)]


def published(state: reference.State, image: Pixels, trimap: Pixels, *, skips: bool) -> Pixels:
    return reference.matte(
        lambda x: reference.plain_vgg(state, x, skips=skips), image, trimap, multiple=32
    )


def normed(state: reference.State, image: Pixels, trimap: Pixels) -> Pixels:
    return reference.matte(lambda x: reference.normed_vgg(state, x), image, trimap)


# By the manifest's name of the network: how it is made untrained, and its oracle.
LAYOUTS: dict[str, tuple[Any, Oracle]] = {
    "deep-image-matting-skips": (SkipMatting, partial(published, skips=True)),
    "deep-image-matting-plain": (
        partial(SkipMatting, skips=False),
        partial(published, skips=False),
    ),
    "deep-image-matting-skips-refined": (
        partial(SkipMatting, refine=True),
        partial(published, skips=True),
    ),
    "deep-image-matting-plain-refined": (
        partial(SkipMatting, skips=False, refine=True, bottom_kernel=1),
        partial(published, skips=False),
    ),
    "deep-image-matting-normed": (NormedMatting, normed),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of each layout under the network's name, narrow."""
    folder = tmp_path_factory.mktemp("matting")
    for name, (layout, _) in LAYOUTS.items():
        write_matting(folder / f"{name}.pth", width=4, seed=3, layout=layout)
    return folder


def recipe_of(folder: Path, name: str) -> Recipe:
    skips = None if name == "deep-image-matting-normed" else "-skips" in name
    return matting_recipe(folder / f"{name}.pth", skips=skips)


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("name", LAYOUTS)
def test_layout_gives_the_published_result(folder: Path, name: str, size: Any) -> None:
    image, trimap = photo(*size), regions(*size)
    made = as_artifact(recipe_of(folder, name))(image, trimap)
    state = read_checkpoint(folder / f"{name}.pth").state
    assert_same(made, LAYOUTS[name][1](state, image, trimap), trimap == 128)


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("size", [(1, 1), (5, 40), (31, 31)], ids=str)
def test_pictures_smaller_than_the_poolings_are_taken(folder: Path, name: str, size: Any) -> None:
    image, trimap = photo(*size), regions(*size)
    made = as_artifact(recipe_of(folder, name))(image, trimap)
    known = trimap != 128
    np.testing.assert_array_equal(made[known], trimap[known])


def test_layout_of_the_published_size_gives_the_published_result(tmp_path: Path) -> None:
    write_matting(tmp_path / "wide.pth", width=64, seed=4, layout=SkipMatting)
    image, trimap = photo(96, 130), regions(96, 130)
    made = as_artifact(matting_recipe(tmp_path / "wide.pth"))(image, trimap)
    state = read_checkpoint(tmp_path / "wide.pth").state
    assert_same(made, published(state, image, trimap, skips=True), trimap == 128)


@pytest.mark.parametrize(
    ("name", "skips", "multiple", "halo"),
    [
        ("deep-image-matting-skips", None, 32, 217),
        ("deep-image-matting-plain", False, 32, 217),
        ("deep-image-matting-skips-refined", True, 32, 221),
        ("deep-image-matting-plain-refined", None, 32, 221),  # its 1x1 conv6_1 tells
        ("deep-image-matting-normed", None, 1, 183),
    ],
)
def test_recipe_tells_what_the_layout_is(
    folder: Path, name: str, skips: bool | None, multiple: int, halo: int
) -> None:
    recipe = matting_recipe(folder / f"{name}.pth", skips=skips)
    assert (recipe.task, recipe.network, recipe.width) == ("matting", name, 4)
    assert (recipe.size_multiple, recipe.best_size, recipe.halo) == (multiple, 320, halo)


@pytest.mark.parametrize(
    ("name", "options"),
    [("deep-image-matting-plain", ["--no-skips"]), ("deep-image-matting-normed", [])],
)
def test_layout_is_exported_and_verified(
    folder: Path, tmp_path: Path, name: str, options: list[str]
) -> None:
    output = tmp_path / "matting.pt"
    command = ["matting", "--checkpoint", str(folder / f"{name}.pth"), "--output", str(output)]
    assert cli.main([*command, *options, "--width", "4", "--untrained"]) == 0
    manifest = read_manifest(output)
    assert (manifest.task, manifest.network, manifest.width) == ("matting", name, 4)
    assert manifest.size_multiple == (32 if options else 1)
    assert (manifest.smallest_size, manifest.trained) == (1, False)


def test_pickled_network_is_exported(tmp_path: Path) -> None:
    torch.manual_seed(2)
    whole = torch.nn.DataParallel(NormedMatting(width=2))
    saved = {"epoch": 1, "model": whole, "loss": np.float64(0.5)}
    torch.save(saved, tmp_path / "BEST_checkpoint.tar", _use_new_zipfile_serialization=False)
    recipe = matting_recipe(tmp_path / "BEST_checkpoint.tar")
    assert recipe.network == "deep-image-matting-normed"
    assert recipe.checkpoints[0].state.keys() == whole.module.state_dict().keys()


@pytest.mark.parametrize("name", ["stage1_sad_54.4.pth", "my_stage0_sad_72.9.pth"])
def test_name_of_a_file_without_skips_is_asked_about(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    file = tmp_path / name
    file.write_bytes((folder / "deep-image-matting-plain.pth").read_bytes())
    command = ["matting", "--checkpoint", str(file), "--output", str(tmp_path / "out.pt")]
    assert cli.main(command) == 2
    assert "Say --no-skips, or --skips" in capsys.readouterr().err
    assert matting_recipe(file, skips=False).network == "deep-image-matting-plain"
    assert matting_recipe(file, skips=True).network == "deep-image-matting-skips"


def test_name_of_the_file_with_skips_is_taken(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "stage1_skip_sad_52.9.pth"
    file.write_bytes((folder / "deep-image-matting-skips.pth").read_bytes())
    assert matting_recipe(file).network == "deep-image-matting-skips"


def test_skips_of_a_layout_that_has_none_are_refused(folder: Path) -> None:
    with pytest.raises(CheckpointError, match="Leave --skips and --no-skips out"):
        matting_recipe(folder / "deep-image-matting-normed.pth", skips=False)


def assert_same(made: Pixels, expected: Pixels, unknown: Any) -> None:
    """Exact where the trimap knows; elsewhere off by one at most on a small share. Not flat."""
    assert made.shape == expected.shape
    np.testing.assert_array_equal(made[~unknown], expected[~unknown])
    gap = np.abs(made[unknown].astype(int) - expected[unknown].astype(int))
    assert gap.max() <= 1
    assert (gap > 0).mean() <= OFF_SHARE
    assert expected[unknown].std() > 10, "a flat result would prove nothing"


def as_artifact(recipe: Recipe) -> Callable[[Pixels, Pixels], Pixels]:
    """The recipe's artifact, as a file would give it back, as a function of arrays."""
    module = from_bytes(to_bytes(compile_pipeline(recipe, torch.float32, "cpu"), "{}"), "cpu")

    def run(image: Pixels, trimap: Pixels) -> Pixels:
        planes = torch.from_numpy(np.ascontiguousarray(np.moveaxis(image, 2, 0)))[None]
        with torch.inference_mode():
            made: Pixels = module(planes, torch.from_numpy(trimap)[None, None])[0, 0].numpy()
        return made

    return run


def photo(height: int, width: int) -> Pixels:
    """A part of a photo."""
    return np.ascontiguousarray(data.astronaut()[40 : 40 + height, 100 : 100 + width])


def regions(height: int, width: int) -> Pixels:
    """A trimap: foreground to the left, background to the right, a wavy unknown band between."""
    y, x = np.mgrid[:height, :width]
    middle = width / 2 + width / 8 * np.sin(y / 9)
    known = [x < middle - width / 4, x > middle + width / 4]
    return np.select(known, [255, 0], 128).astype(np.uint8)
