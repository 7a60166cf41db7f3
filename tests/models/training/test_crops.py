"""Samples for inpainting: the same by number, of the right size, with the edges of the crop."""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import pytest
import tiny_runs
import torch
from skimage.color import rgb2gray
from skimage.feature import canny
from torch import Tensor

from models.training.crops import EDGE_SIGMA, InpaintSamples, random_crop

Pixels = npt.NDArray[np.uint8]


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def map_of_places(height: int, width: int) -> Pixels:
    """A picture that says of each pixel where it lies: row in red, column in green."""
    y, x = np.mgrid[:height, :width]
    return np.dstack([y, x, 0 * x]).astype(np.uint8)


def crops(photo: Pixels, size: int, smallest: float, seeds: Iterable[int]) -> list[Pixels]:
    return [random_crop(np.random.default_rng(seed), photo, size, smallest) for seed in seeds]


def test_sample_of_a_number_is_the_same_in_any_order() -> None:
    forwards = InpaintSamples(tiny_runs.photos(), 32, 1)
    backwards = InpaintSamples(tiny_runs.photos(), 32, 1)
    first = [forwards[n] for n in range(8)]
    last = [backwards[n] for n in reversed(range(8))]
    assert all(same(one, other) for one, other in zip(first, reversed(last), strict=True))
    assert not any(same(first[0], other) for other in first[1:])


def test_another_seed_gives_other_samples() -> None:
    one, other = (InpaintSamples(tiny_runs.photos(), 32, seed) for seed in (1, 2))
    assert not any(same(one[n], other[n]) for n in range(4))


@pytest.mark.parametrize("size", [32, 45])
@pytest.mark.parametrize("shape", [(48, 64), (33, 200), (20, 12), (1, 5)])
def test_every_photo_gives_samples_of_the_size_asked_for(size: int, shape: tuple[int, int]) -> None:
    photo = np.random.default_rng(0).integers(0, 256, (*shape, 3)).astype(np.uint8)
    samples = InpaintSamples([photo], size, 1)
    for number in range(6):
        sample = samples[number]
        assert (sample["image"].shape, sample["image"].dtype) == ((3, size, size), torch.uint8)
        for key in ("hole", "edges"):
            assert (sample[key].shape, sample[key].dtype) == ((1, size, size), torch.bool)


def test_a_photo_smaller_than_the_crop_is_shown_whole() -> None:
    for crop in crops(map_of_places(10, 10), 40, 0.3, range(8)):
        assert crop[..., 0].min() <= 1 and crop[..., 0].max() >= 8
        assert crop[..., 1].min() <= 1 and crop[..., 1].max() >= 8


def test_an_unscaled_crop_is_a_piece_of_the_photo_or_its_mirror_image() -> None:
    photo, ways = map_of_places(90, 70), set()
    for crop in crops(photo, 32, 1.0, range(20)):
        left_to_right = bool(crop[0, 0, 1] < crop[0, -1, 1])
        ways.add(left_to_right)
        upright = crop if left_to_right else crop[:, ::-1]
        top, left = (int(v) for v in upright[0, 0, :2])
        np.testing.assert_array_equal(upright, photo[top : top + 32, left : left + 32])
    assert ways == {True, False}


def test_scales_lie_between_the_smallest_and_1_and_use_that_room() -> None:
    steps = []
    for crop in crops(map_of_places(250, 250), 32, 0.25, range(60)):
        rows = crop[4:-4, 0, 0].astype(float)
        steps.append((rows[-1] - rows[0]) / (len(rows) - 1))
    scales = 1 / np.array(steps)
    assert 0.23 < scales.min() < 0.3
    assert 0.85 < scales.max() < 1.05


def test_crops_come_from_everywhere() -> None:
    found = crops(map_of_places(200, 240), 32, 1.0, range(150))
    seen = np.zeros((200, 240), bool)
    for crop in found:
        seen[crop[..., 0], crop[..., 1]] = True
    assert seen.mean() > 0.75
    assert seen[:20].any() and seen[-20:].any() and seen[:, :20].any() and seen[:, -20:].any()


def test_own_masks_take_the_place_of_drawn_holes() -> None:
    mask = np.zeros((60, 80), np.uint8)
    mask[:, 30:50] = 255
    samples = InpaintSamples(tiny_runs.photos(), 32, 1, masks=[mask])
    shares = []
    for number in range(20):
        hole = samples[number]["hole"]
        assert torch.equal(hole, hole[:, :1].expand_as(hole)), "an upright bar has equal rows"
        shares.append(float(hole.float().mean()))
    assert max(shares) > 0.2


def test_drawn_holes_keep_to_the_ratios_asked_for() -> None:
    samples = InpaintSamples(
        tiny_runs.photos(), 64, 1, scratches=0.0, least_hole=0.2, most_hole=0.3
    )
    shares = [float(samples[n]["hole"].float().mean()) for n in range(20)]
    assert 0.19 < min(shares) < max(shares) < 0.31


def test_a_share_of_scratches_of_1_draws_thin_damage_only() -> None:
    samples = InpaintSamples(tiny_runs.photos(), 64, 1, scratches=1.0, least_hole=0.3)
    assert max(float(samples[n]["hole"].float().mean()) for n in range(20)) < 0.065


def test_edges_are_scikit_image_s_on_the_whole_crop() -> None:
    samples = InpaintSamples(tiny_runs.photos(), 48, 1)
    found = 0
    for number in range(12):
        sample = samples[number]
        grey = rgb2gray(sample["image"].permute(1, 2, 0).numpy())
        truth = canny(grey, sigma=EDGE_SIGMA)
        np.testing.assert_array_equal(sample["edges"][0].numpy(), truth)
        found += int(truth.sum())
    assert found > 200
