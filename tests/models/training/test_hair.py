"""Hair keeps the body whole and grows soft strands out of it."""

import numpy as np
import pytest

from models.training.composites import CompositeError, Pixels, Plane
from models.training.hair import hair
from models.training.mattes import silhouette

SEEDS = range(12)


@pytest.mark.parametrize("seed", SEEDS)
def test_body_stays_opaque(seed: int) -> None:
    body = disc()
    made = hair(np.random.default_rng(seed), body)
    assert (made.alpha[body == 1] == 1).all()
    assert (made.alpha >= body - 1 / 255).all()


def test_strands_outside_are_soft_and_leave_the_rest_clear() -> None:
    outside = disc() == 0
    soft, clear = [], []
    for seed in SEEDS:
        alpha = hair(np.random.default_rng(seed), disc()).alpha[outside]
        soft.append(np.mean((alpha > 0.02) & (alpha < 0.98)))
        clear.append(np.mean(alpha == 0))
    # Hair may be short and grow in patches, so few pixels at the least.
    assert min(soft) > 0.002
    assert np.mean(soft) > 0.04
    assert min(clear) > 0.2


def test_cover_takes_all_values() -> None:
    alphas = [hair(np.random.default_rng(seed), disc()).alpha.ravel() for seed in SEEDS]
    counts = np.histogram(np.concatenate(alphas), 20, (0.01, 0.99))[0]
    assert counts.min() > 30


def test_hair_reaches_beyond_the_contour() -> None:
    far = np.hypot(*(np.mgrid[:160, :160] - 80)) > 60
    reached = [hair(np.random.default_rng(seed), disc()).alpha[far].any() for seed in SEEDS]
    assert sum(reached) >= len(SEEDS) // 2


def test_same_seed_grows_the_same_hair_and_another_seed_other() -> None:
    one, again, other = (hair(np.random.default_rng(seed), disc()) for seed in (3, 3, 4))
    np.testing.assert_array_equal(one.alpha, again.alpha)
    np.testing.assert_array_equal(one.pixels, again.pixels)
    assert (one.alpha != other.alpha).any()


def test_body_of_a_cutout_keeps_its_colours_where_no_hair_lies() -> None:
    rgba = cutout()
    for seed in SEEDS:
        made = hair(np.random.default_rng(seed), rgba)
        kept = np.abs(made.pixels * 255 - rgba[..., :3]).max(2) < 1
        assert kept[rgba[..., 3] == 255].mean() > 0.05


def test_soft_body_stays_what_it_was_far_from_hair() -> None:
    body = disc()
    for seed in SEEDS:
        made = hair(np.random.default_rng(seed), body)
        soft = (body > 0) & (body < 1)
        assert (made.alpha[soft] >= body[soft] - 1 / 255).all()


def test_colours_are_hairs_own_also_where_it_is_thin() -> None:
    # Thin cover times colour must not darken: strands are as bright as where they are dense.
    for seed in SEEDS:
        made = hair(np.random.default_rng(seed), disc())
        outside = disc() == 0
        thin = outside & (made.alpha > 0.02) & (made.alpha < 0.2)
        dense = outside & (made.alpha > 0.5)
        if thin.sum() > 50 and dense.sum() > 50:
            ratio = made.pixels[thin].mean() / made.pixels[dense].mean()
            assert 0.6 < ratio < 1.7


@pytest.mark.parametrize("body", ["bytes", "whole", "wide"])
def test_any_silhouette_carries_hair(body: str) -> None:
    bodies: dict[str, Plane | Pixels] = {
        "bytes": np.rint(disc() * 255).astype(np.uint8),
        "whole": np.ones((70, 90), np.float32),
        "wide": silhouette(np.random.default_rng(0), 90, 240),
    }
    made = hair(np.random.default_rng(5), bodies[body])
    assert made.alpha.shape == bodies[body].shape
    assert made.pixels.shape == (*made.alpha.shape, 3)
    assert np.isfinite(made.pixels).all()
    assert made.pixels.min() >= 0 and made.pixels.max() <= 1


def test_silhouette_without_a_body_is_refused() -> None:
    with pytest.raises(CompositeError, match="solid body"):
        hair(np.random.default_rng(0), np.full((40, 40), 0.4, np.float32))


def disc() -> Plane:
    """A disc of radius 45 on 160 px, with a rim of about two pixels."""
    radius = np.hypot(*(np.mgrid[:160, :160] - 80))
    return np.asarray(np.clip((45 - radius) / 2 + 0.5, 0, 1), np.float32)


def cutout() -> Pixels:
    rgba = np.random.default_rng(7).integers(0, 256, (160, 160, 4), dtype=np.uint8)
    rgba[..., 3] = np.rint(disc() * 255)
    return rgba
