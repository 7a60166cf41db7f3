"""Alpha carried along colour lines, against PyMatting's matting Laplacian and a direct solution."""

import numpy as np
import pytest
import torch
from pymatting import cf_laplacian
from torch import Tensor

from models.colour_lines import COLOUR_VARIANCE, ColourLines, _apply, _laplacian, _neighbours


def scene(size: int = 48) -> tuple[Tensor, Tensor, Tensor]:
    """A soft edge in a broad band between a shaded front and a shaded ground.

    The colours of either side change along the band, each on a line through black. Gives image,
    trimap and true alpha.
    """
    x = torch.arange(size, dtype=torch.float32).expand(size, size)[None, None]
    alpha = ((x - size / 2) / 4 + 0.5).clamp(0, 1)
    shade = 0.4 + 0.6 * torch.linspace(0, 1, size).view(1, 1, size, 1)
    front = shade * torch.tensor([0.9, 0.3, 0.1]).view(1, 3, 1, 1)
    ground = shade.flip(2) * torch.tensor([0.1, 0.4, 0.8]).view(1, 3, 1, 1)
    trimap = torch.where(x < size / 3, 0.0, torch.where(x > 2 * size / 3, 1.0, 0.5))
    return alpha * front + (1 - alpha) * ground, trimap, alpha


def random_scene(batch: int, height: int, width: int) -> tuple[Tensor, Tensor, Tensor]:
    """Image, trimap and guess of noise, from a fixed seed."""
    generator = torch.Generator().manual_seed(0)
    image = torch.rand((batch, 3, height, width), generator=generator)
    trimap = torch.randint(0, 3, (batch, 1, height, width), generator=generator) / 2
    return image, trimap, torch.rand((batch, 1, height, width), generator=generator)


def test_rows_are_those_of_the_matting_laplacian() -> None:
    image, trimap, values = (t.double() for t in random_scene(1, 14, 17))
    unknown = trimap == 0.5
    places = torch.nn.functional.pad(unknown, [2, 2, 2, 2]).flatten().nonzero().flatten()
    rows = _laplacian(image, unknown, places, COLOUR_VARIANCE)
    padded = torch.nn.functional.pad(values, [2, 2, 2, 2]).flatten()
    made = _apply(rows, _neighbours(places, 17), padded)
    reference = cf_laplacian(image[0].permute(1, 2, 0).numpy(), epsilon=9 * COLOUR_VARIANCE)
    expected = torch.from_numpy(reference @ values.flatten().numpy())[unknown.flatten()]
    torch.testing.assert_close(made, expected, rtol=0, atol=1e-9)


def test_enough_steps_reach_the_direct_solution() -> None:
    image, trimap, guess = scene(24)
    image = image + 0.05 * torch.rand(image.shape, generator=torch.Generator().manual_seed(0))
    lines = ColourLines()
    lines.halvings, lines.steps, lines.weight, lines.variance = 0, 500, 1e-2, 1e-4
    made = lines(image, trimap, guess)

    unknown = (trimap == 0.5).flatten().numpy()
    laplacian = cf_laplacian(image[0].permute(1, 2, 0).double().numpy(), epsilon=9e-4).tocsr()
    known = trimap.flatten().double().numpy() * ~unknown
    matrix = laplacian[unknown][:, unknown].toarray() + 1e-2 * np.eye(unknown.sum())
    wanted = 1e-2 * guess.flatten().double().numpy()[unknown] - (laplacian @ known)[unknown]
    solution = np.clip(np.linalg.solve(matrix, wanted), 0, 1)
    assert np.abs(made.flatten().numpy()[unknown] - solution).max() < 1e-5


def test_alpha_is_found_between_shaded_sides_from_a_guess_that_knows_nothing() -> None:
    image, trimap, alpha = scene()
    guess = torch.where(trimap == 0.5, 0.5, trimap)
    unknown = trimap == 0.5
    made = ColourLines()(image, trimap, guess)
    assert (made - alpha)[unknown].abs().mean() < 0.2 * (guess - alpha)[unknown].abs().mean()


def test_alpha_is_the_trimap_where_that_is_sure() -> None:
    image, trimap, guess = random_scene(2, 50, 41)
    made = ColourLines()(image, trimap, guess)
    sure = trimap != 0.5
    assert torch.equal(made[sure], trimap[sure])
    assert made.min() >= 0
    assert made.max() <= 1


def test_pictures_of_a_batch_do_not_touch_each_other() -> None:
    image, trimap, guess = random_scene(3, 33, 40)
    lines = ColourLines()
    together = lines(image, trimap, guess)
    for i in range(3):
        one = slice(i, i + 1)
        alone = lines(image[one], trimap[one], guess[one])
        torch.testing.assert_close(together[one], alone, rtol=0, atol=1e-6)


@pytest.mark.parametrize("size", [(1, 1), (1, 6), (2, 2), (3, 3), (5, 4)], ids=str)
@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_the_smallest_pictures_and_trimaps_of_one_value(
    size: tuple[int, int], value: float
) -> None:
    image, _, guess = random_scene(1, *size)
    made = ColourLines()(image, torch.full((1, 1, *size), value), guess)
    assert made.shape == guess.shape
    assert torch.isfinite(made).all()
    if value != 0.5:
        assert torch.equal(made, torch.full_like(made, value))


def test_a_guess_on_one_colour_stays() -> None:
    _, trimap, guess = random_scene(1, 20, 20)
    grey = torch.full((1, 3, 20, 20), 0.4)
    made = ColourLines()(grey, torch.full_like(trimap, 0.5), guess.new_full(guess.shape, 0.3))
    assert (made - 0.3).abs().max() < 1e-3


def test_too_many_unknown_pixels_are_solved_on_a_coarser_level() -> None:
    image, trimap, alpha = scene(96)
    unknown = trimap == 0.5
    guess = torch.where(unknown, 0.5, trimap)
    lines = ColourLines()
    lines.most_unknown = int(unknown.sum()) - 1
    made = lines(image, trimap, guess)
    assert (made - alpha)[unknown].abs().mean() < 0.3 * (guess - alpha)[unknown].abs().mean()
    assert not torch.equal(made, ColourLines()(image, trimap, guess))


def test_torchscript_gives_the_same() -> None:
    image, trimap, guess = random_scene(2, 37, 52)
    lines = ColourLines()
    assert torch.equal(torch.jit.script(lines)(image, trimap, guess), lines(image, trimap, guess))
