"""The silhouettes that hair grows on, and what all procedural mattes have in common."""

from collections.abc import Callable

import numpy as np
import pytest

from models.training.composites import Foreground, composite, trimap_of
from models.training.mattes import hair, lace, silhouette, smoke

Draw = Callable[[np.random.Generator], Foreground]

KINDS: dict[str, Draw] = {
    "hair": lambda rng: hair(rng, silhouette(rng, 120, 130)),
    "lace": lambda rng: lace(rng, 120, 130),
    "smoke": lambda rng: smoke(rng, 120, 130),
}


@pytest.mark.parametrize("kind", KINDS)
def test_background_shows_by_exactly_what_alpha_leaves(kind: str) -> None:
    rng = np.random.default_rng(1)
    one, other = rng.random((2, 120, 130, 3), dtype=np.float32)
    for seed in range(4):
        made = KINDS[kind](np.random.default_rng(seed))
        shown = composite(made.pixels, made.alpha, one) - composite(made.pixels, made.alpha, other)
        np.testing.assert_allclose(shown, (1 - made.alpha)[..., None] * (one - other), atol=3e-7)


@pytest.mark.parametrize("kind", KINDS)
def test_alpha_is_never_what_eight_bits_take_for_0_or_1(kind: str) -> None:
    for seed in range(4):
        alpha = KINDS[kind](np.random.default_rng(seed)).alpha
        levels = np.rint(alpha * 255)
        assert (alpha[levels == 0] == 0).all()
        assert (alpha[levels == 255] == 1).all()


@pytest.mark.parametrize("kind", KINDS)
def test_trimap_has_something_to_find_out(kind: str) -> None:
    rng = np.random.default_rng(2)
    for seed in range(6):
        alpha = KINDS[kind](np.random.default_rng(seed)).alpha
        trimap = trimap_of(rng, alpha, least_px=1, most_px=5)
        assert (trimap == 128).mean() > 0.02


def test_silhouette_is_a_body_with_a_rim_and_room_around() -> None:
    shares = []
    for seed in range(40):
        alpha = silhouette(np.random.default_rng(seed), 120, 130)
        assert alpha.shape == (120, 130)
        assert alpha.dtype == np.float32
        assert alpha.max() == 1 and alpha.min() == 0
        assert ((alpha > 0) & (alpha < 1)).sum() > 50
        shares.append(alpha.mean())
    assert min(shares) > 0.03
    assert max(shares) < 0.75


def test_same_seed_draws_the_same_silhouette_and_another_seed_another() -> None:
    one, again, other = (silhouette(np.random.default_rng(seed), 60, 60) for seed in (3, 3, 4))
    np.testing.assert_array_equal(one, again)
    assert (one != other).any()
