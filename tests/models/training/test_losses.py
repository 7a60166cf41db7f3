"""Each loss: nothing where the aim is met, known numbers by hand, and a way down to the aim."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from models.training import losses

HOLE = torch.zeros((1, 1, 8, 8))
HOLE[..., 2:6, 2:6] = 1


def test_reconstruction_is_divided_by_the_hole_s_share() -> None:
    true = torch.zeros((1, 3, 8, 8))
    made = true + 0.1 * HOLE
    assert losses.in_hole(made, true, HOLE).item() == pytest.approx(0.1, rel=1e-5)


def test_decibels_by_hand_and_each_picture_by_its_own_measure() -> None:
    true = torch.zeros((2, 3, 8, 8))
    made = torch.stack([torch.full((3, 8, 8), 0.1), torch.full((3, 8, 8), 0.01)])
    hole = HOLE.expand(2, -1, -1, -1)
    level = 1 / 255**2
    by_hand = 10 * (math.log10(0.01 + level) + math.log10(0.0001 + level)) / 2
    assert losses.decibels_in_hole(made, true, hole).item() == pytest.approx(by_hand, rel=1e-4)


def test_squares_are_divided_by_the_hole_s_share() -> None:
    true = torch.zeros((1, 3, 8, 8))
    assert losses.squares_in_hole(true + 0.1 * HOLE, true, HOLE).item() == pytest.approx(0.01)


def test_an_undecided_judge_costs_the_logarithm_of_two() -> None:
    score = torch.zeros((2, 1, 4, 4))
    assert losses.judged(score, True).item() == pytest.approx(math.log(2))
    assert losses.judged(score, False).item() == pytest.approx(math.log(2))


def test_feature_matching_adds_the_layers_mean_differences() -> None:
    made = [torch.full((1, 2, 4, 4), 1.0), torch.full((1, 5, 2, 2), 3.0)]
    real = [torch.zeros((1, 2, 4, 4)), torch.full((1, 5, 2, 2), 1.0)]
    assert losses.feature_matching(made, real).item() == pytest.approx(3.0)


def test_style_does_not_see_where_things_are() -> None:
    features = torch.rand((1, 6, 8, 8))
    moved = features.roll((3, 2), dims=(2, 3))
    assert losses.style([moved], [features]).item() == pytest.approx(0, abs=1e-7)
    assert losses.style([2 * features], [features]).item() > 0.01


def test_gram_matrix_by_hand() -> None:
    features = torch.tensor([[[[1.0, 2.0]], [[3.0, 4.0]]]])
    expected = torch.tensor([[[5.0, 11.0], [11.0, 25.0]]]) / 4
    assert torch.allclose(losses.gram(features), expected)


def test_few_edges_weigh_as_much_as_the_many_pixels_without() -> None:
    edges = torch.zeros((1, 1, 8, 8))
    edges[..., 3, 2:6] = 1
    blind, sighted = torch.full_like(edges, 0.1), torch.full_like(edges, 0.9)
    assert losses.true_edges(blind, edges, HOLE).item() == pytest.approx(
        losses.true_edges(sighted, edges, HOLE).item(), rel=1e-4
    )


def test_what_is_drawn_outside_the_hole_costs_nothing() -> None:
    edges = torch.zeros((1, 1, 8, 8))
    good = torch.full_like(edges, 1e-6)
    wild = torch.where(HOLE > 0, good, torch.rand_like(good))
    assert torch.equal(losses.true_edges(good, edges, HOLE), losses.true_edges(wild, edges, HOLE))


def test_alpha_counts_in_the_unknown_region_alone() -> None:
    true = torch.zeros((1, 1, 8, 8))
    made = torch.where(HOLE > 0, 0.25, 1.0)
    assert losses.alpha_prediction(made, true, HOLE).item() == pytest.approx(0.25, rel=1e-5)


def test_composition_weighs_alpha_by_the_contrast_of_the_sides() -> None:
    true, made = torch.full((1, 1, 8, 8), 0.5), torch.full((1, 1, 8, 8), 0.75)
    front, back = torch.full((1, 3, 8, 8), 0.9), torch.full((1, 3, 8, 8), 0.1)
    image = true * front + (1 - true) * back
    found = losses.composition(made, image, front, back, HOLE).item()
    assert found == pytest.approx(0.25 * 0.8, rel=1e-5)


def test_a_smeared_edge_costs_steps_where_a_shifted_level_does_not() -> None:
    true = torch.zeros((1, 1, 8, 8))
    true[..., 4:] = 1
    shifted = true * 0.9 + 0.05
    smeared = torch.nn.functional.avg_pool2d(true, 3, 1, 1, count_include_pad=False)
    region = torch.ones_like(true)
    assert losses.gradients(true + 0.1, true, region).item() == pytest.approx(0, abs=1e-6)
    assert losses.gradients(smeared, true, region) > losses.gradients(shifted, true, region)


def test_no_unknown_region_is_no_division_by_zero() -> None:
    nothing = torch.zeros((1, 1, 8, 8))
    picture = torch.rand((1, 3, 8, 8))
    alpha = torch.rand((1, 1, 8, 8))
    assert losses.alpha_prediction(alpha, 1 - alpha, nothing) == 0
    assert losses.composition(alpha, picture, picture, picture, nothing) == 0
    assert losses.gradients(alpha, 1 - alpha, nothing) == 0
    assert losses.true_edges(alpha, (alpha > 0.5).float(), nothing) == 0


ALPHA = torch.rand((1, 1, 8, 8), generator=torch.Generator().manual_seed(1))
RGB = torch.rand((1, 3, 8, 8), generator=torch.Generator().manual_seed(2))
EDGES = (ALPHA > 0.7).float()
EVERYWHERE = torch.ones((1, 1, 8, 8))


@pytest.mark.parametrize(
    ("aim", "loss"),
    [
        (RGB, lambda made: losses.in_hole(made, RGB, HOLE)),
        (RGB, lambda made: losses.squares_in_hole(made, RGB, EVERYWHERE)),
        (RGB, lambda made: losses.feature_matching([made], [RGB])),
        (RGB, lambda made: losses.style([made], [RGB])),
        (EDGES, lambda made: losses.true_edges(made, EDGES, EVERYWHERE)),
        (ALPHA, lambda made: losses.alpha_prediction(made, ALPHA, EVERYWHERE)),
        (ALPHA, lambda made: losses.gradients(made, ALPHA, EVERYWHERE)),
    ],
)
def test_going_down_a_loss_ends_near_zero(aim: Tensor, loss: Callable[[Tensor], Tensor]) -> None:
    noise = torch.rand(aim.shape, generator=torch.Generator().manual_seed(3))
    made = (0.4 + 0.2 * noise).requires_grad_()
    optimizer = torch.optim.Adam([made], 0.02)
    first = loss(made).item()
    for step in range(400):
        optimizer.param_groups[0]["lr"] = 0.02 * (1 - step / 400)
        optimizer.zero_grad()
        loss(made).backward()
        optimizer.step()
        with torch.no_grad():
            made.clamp_(0, 1)
    assert loss(made).item() < 0.05 * first
