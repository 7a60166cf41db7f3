"""Samples for matting: the same by number in any process, true to I = alpha F + (1 - alpha) B."""

import multiprocessing
from dataclasses import replace

import numpy as np
import pytest
import tiny_runs
import torch
from torch import Tensor

from models.training import trimapped
from models.training.trimapped import MattingSamples

Sample = dict[str, Tensor]

KINDS: dict[str, dict[str, float]] = {
    "cut-outs": {"hair": 0.0, "lace": 0.0, "smoke": 0.0},
    "hair": {"hair": 1.0, "lace": 0.0, "smoke": 0.0},
    "lace": {"hair": 0.0, "lace": 1.0, "smoke": 0.0},
    "smoke": {"hair": 0.0, "lace": 0.0, "smoke": 1.0},
}


def samples(kind: str = "") -> MattingSamples:
    shares = KINDS[kind] if kind else {"hair": 0.4, "lace": 0.2, "smoke": 0.2}
    return MattingSamples(
        tiny_runs.cutouts(), tiny_runs.photos(), 48, 1, least_band=1, most_band=4, **shares
    )


def same(one: Sample, other: Sample) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def composed(sample: Sample) -> Tensor:
    """alpha F + (1 - alpha) B in 0..255."""
    alpha = sample["alpha"]
    return alpha * sample["foreground"].float() + (1 - alpha) * sample["background"].float()


def as_arrays(sample: Sample) -> dict[str, np.ndarray]:
    return {key: value.numpy() for key, value in sample.items()}


def arrays_of(data: MattingSamples, number: int) -> dict[str, np.ndarray]:
    return as_arrays(data[number])


def test_sample_has_the_sizes_and_ranges_it_promises() -> None:
    sample = samples()[0]
    shapes = {key: (tuple(value.shape), value.dtype) for key, value in sample.items()}
    assert shapes == {
        "image": ((3, 48, 48), torch.uint8),
        "trimap": ((1, 48, 48), torch.uint8),
        "alpha": ((1, 48, 48), torch.float32),
        "foreground": ((3, 48, 48), torch.uint8),
        "background": ((3, 48, 48), torch.uint8),
    }


# Few are drawn here, so that each is asked for by several numbers and drawn by the first of them.
def test_sample_of_a_number_is_the_same_in_any_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trimapped, "DRAWN", 5)
    data = samples()
    first = [data[number] for number in range(16)]
    assert len(data._drawn) < 10
    backwards = samples()
    last = [backwards[number] for number in reversed(range(16))]
    assert all(same(one, other) for one, other in zip(first, reversed(last), strict=True))
    assert all(same(first[number], data[number]) for number in range(16)), "asked for again"


def test_sample_of_a_number_is_the_same_in_another_process() -> None:
    data = samples()
    _ = data[3]  # drawn here and sent along, or drawn there: no matter
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        there = pool.starmap(arrays_of, [(data, 5), (samples(), 3)])
    for number, arrays in zip((5, 3), there, strict=True):
        here = as_arrays(data[number])
        assert all(np.array_equal(here[key], arrays[key]) for key in here)


def test_another_seed_gives_other_samples() -> None:
    one, other = samples(), replace(samples(), seed=2)
    assert not any(same(one[number], other[number]) for number in range(4))


@pytest.mark.parametrize("kind", KINDS)
def test_image_is_foreground_over_background(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trimapped, "NOISY_SHARE", 0.0)
    data = samples(kind)
    for number in range(5):
        sample = data[number]
        # Image and foreground are rounded to eight bits, each by half a level at the most.
        assert (sample["image"].float() - composed(sample)).abs().max() <= 1.001


def test_some_images_are_noisy_and_none_by_much() -> None:
    data = samples("cut-outs")
    off = [(data[n]["image"].float() - composed(data[n])).square().mean().sqrt() for n in range(30)]
    noisy = [float(value) for value in off if value > 1.0]
    assert 2 <= len(noisy) <= 18
    assert max(noisy) < 1.2 * 255 * trimapped.NOISE


@pytest.mark.parametrize("kind", KINDS)
def test_trimap_never_lies(kind: str) -> None:
    data = samples(kind)
    for number in range(8):
        alpha, trimap = data[number]["alpha"], data[number]["trimap"]
        assert set(trimap.unique().tolist()) <= {0, 128, 255}
        assert (alpha[trimap == 0] == 0).all()
        assert (alpha[trimap == 255] == 1).all()


@pytest.mark.parametrize("kind", KINDS)
def test_crop_shows_alpha_s_turn(kind: str) -> None:
    data = samples(kind)
    for number in range(8):
        alpha, trimap = data[number]["alpha"], data[number]["trimap"]
        assert alpha.min() < alpha.max()
        assert (trimap == 128).any()


def test_crop_finds_a_small_thing_in_much_clear_room() -> None:
    lonely = np.zeros((400, 500, 4), np.uint8)
    lonely[300:312, 450:462] = 255
    data = replace(samples("cut-outs"), cutouts=[lonely])
    assert all(data[number]["alpha"].max() > 0.5 for number in range(8))


def test_cut_outs_without_an_edge_are_shown_all_the_same() -> None:
    full = np.full((60, 60, 4), 255, np.uint8)
    sample = replace(samples("cut-outs"), cutouts=[full])[0]
    assert sample["alpha"].max() == 1


def test_hair_grows_where_every_cut_out_is_too_thin_to_carry_it() -> None:
    _, cloud = tiny_runs.cutouts()
    data = replace(samples("hair"), cutouts=[cloud])
    assert all(data[number]["alpha"].max() > 0.9 for number in range(8))


def test_shares_of_0_leave_nothing_but_cut_outs() -> None:
    blue = tiny_runs.cutouts()[0]
    blue[..., :2] = 0
    data = replace(samples("cut-outs"), cutouts=[blue])
    assert all(not data[number]["foreground"][:2].any() for number in range(10))


@pytest.mark.parametrize("kind", ["lace", "smoke"])
def test_share_of_1_leaves_no_cut_outs(kind: str) -> None:
    blue = tiny_runs.cutouts()[0]
    blue[..., :2] = 0
    data = replace(samples(kind), cutouts=[blue])
    assert all(data[number]["foreground"][:2].any() for number in range(6))


def test_band_of_the_trimap_follows_its_settings() -> None:
    wide = replace(samples("cut-outs"), cutouts=tiny_runs.cutouts()[:1], least_band=6, most_band=6)
    thin = replace(wide, least_band=1, most_band=1)
    for number in range(4):
        unknown = [(data[number]["trimap"] == 128).float().mean() for data in (wide, thin)]
        assert unknown[0] > 2 * unknown[1]
