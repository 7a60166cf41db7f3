"""Both sides' colours under the unknown band, and the alpha read off them."""

import torch

from models.sides import Sides


def halves(alpha: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """A red foreground at the right over a green background; unknown in the middle third."""
    red = torch.tensor([0.9, 0.1, 0.2]).view(1, 3, 1, 1)
    green = torch.tensor([0.1, 0.7, 0.3]).view(1, 3, 1, 1)
    trimap = torch.where(alpha <= 0, 0.0, torch.where(alpha >= 1, 1.0, 0.5))
    return alpha * red + (1 - alpha) * green, trimap


def test_alpha_between_two_plain_colours_is_found() -> None:
    ramp = ((torch.arange(60) - 20) / 20).clamp(0, 1).view(1, 1, 1, 60).expand(1, 1, 40, 60)
    image, trimap = halves(ramp)
    first = Sides()(image, trimap)[:, 0:2]
    assert (first - ramp).abs().max() < 0.03


def test_the_colours_of_each_side_go_on_under_the_band() -> None:
    ramp = ((torch.arange(60) - 20) / 20).clamp(0, 1).view(1, 1, 1, 60).expand(1, 1, 40, 60)
    image, trimap = halves(ramp)
    made = Sides()(image, trimap)
    assert (made[:, 2:5] - image[:, :, :, -1:]).abs().max() < 0.02
    assert (made[:, 5:8] - image[:, :, :, :1]).abs().max() < 0.02


def test_alpha_is_the_trimap_where_that_is_sure() -> None:
    trimap = (torch.rand((2, 1, 50, 41)) * 3).floor() / 2
    first = Sides()(torch.rand((2, 3, 50, 41)), trimap)[:, 0:2]
    sure = (trimap != 0.5).expand_as(first)
    assert torch.equal(first[sure], trimap.expand_as(first)[sure])


def test_two_sides_of_one_colour_project_to_about_one_half() -> None:
    trimap = torch.full((1, 1, 30, 30), 0.5)
    trimap[..., :8], trimap[..., -8:] = 0.0, 1.0
    first = Sides()(torch.full((1, 3, 30, 30), 0.4), trimap)[:, 1:2]
    assert (first[trimap == 0.5] - 0.5).abs().max() < 0.05


def test_a_trimap_without_either_side_still_gives_numbers() -> None:
    for value in (0.0, 0.5, 1.0):
        made = Sides()(torch.rand((1, 3, 20, 33)), torch.full((1, 1, 20, 33), value))
        assert torch.isfinite(made).all()
        assert made.min() >= 0
        assert made.max() <= 1
