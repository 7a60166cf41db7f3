"""The weights that come with the project: whole, small, described, and better than none."""

import json

import pytest
import torch

from models.checkpoints import (
    EDGE_WEIGHTS_FILE,
    INPAINT_WEIGHTS_FILE,
    MATTING_WEIGHTS_FILE,
    STARTER_WEIGHTS,
    build_edge_generator,
    build_inpaint_generator,
    build_matting,
    read_checkpoint,
)
from models.edgeconnect import CorrectingInpaintGenerator
from models.matting_corrected import CorrectingMatting
from models.prefill import SmoothFill
from models.sides import Sides

FILES = (EDGE_WEIGHTS_FILE, INPAINT_WEIGHTS_FILE, MATTING_WEIGHTS_FILE)
LARGEST_TOGETHER_BYTES = 24_000_000


def test_all_are_there_and_small_together() -> None:
    assert {path.name for path in STARTER_WEIGHTS.glob("*.safetensors")} == set(FILES)
    total = sum(path.stat().st_size for path in STARTER_WEIGHTS.glob("*.safetensors"))
    assert total <= LARGEST_TOGETHER_BYTES


@pytest.mark.parametrize("name", FILES)
def test_each_says_its_licence_how_it_was_trained_and_that_it_is_small(name: str) -> None:
    about = read_checkpoint(STARTER_WEIGHTS / name).about
    assert about["licence"]
    assert "small" in about["note"]
    assert json.loads(about["training"])["settings"]["steps"] > 0
    assert json.loads(about["metrics"])


@pytest.mark.parametrize("card", ["edgeconnect.md", "matting.md"])
def test_each_card_names_what_a_user_has_to_know(card: str) -> None:
    text = (STARTER_WEIGHTS / card).read_text(encoding="utf-8").lower()
    for subject in ("data", "licence", "loss", "steps", "hardware", "metrics", "known failures"):
        assert subject in text, f"{card} does not speak of {subject}"


def test_edge_and_inpaint_networks_fit_together() -> None:
    edge = read_checkpoint(STARTER_WEIGHTS / EDGE_WEIGHTS_FILE)
    inpaint = read_checkpoint(STARTER_WEIGHTS / INPAINT_WEIGHTS_FILE)
    assert edge.fills_smoothly
    assert inpaint.fills_smoothly
    assert isinstance(build_inpaint_generator(inpaint), CorrectingInpaintGenerator)
    build_edge_generator(edge)


def test_inpaint_network_continues_an_edge_that_a_smooth_fill_smears() -> None:
    """Black beside white, with a hole across the border, and the edge drawn."""
    network = build_inpaint_generator(read_checkpoint(STARTER_WEIGHTS / INPAINT_WEIGHTS_FILE))
    true = torch.full((1, 3, 128, 128), 0.2)
    true[..., 64:] = 0.8
    hole = torch.zeros((1, 1, 128, 128), dtype=torch.bool)
    hole[..., 44:84, 44:84] = True
    edges = torch.zeros((1, 1, 128, 128))
    edges[..., 64] = 1
    filled = SmoothFill()(true, hole)
    with torch.inference_mode():
        made = network(torch.cat([filled, edges, hole.float()], 1))
    error = ((made - true).square() * hole).sum()
    assert error < 0.7 * ((filled - true).square() * hole).sum()


def test_matting_network_does_better_than_the_first_alpha_that_it_corrects() -> None:
    """Discs with a soft rim on mosaics, in noise: colours that form no clean lines."""
    network = build_matting(read_checkpoint(STARTER_WEIGHTS / MATTING_WEIGHTS_FILE))
    assert isinstance(network, CorrectingMatting)
    y, x = torch.meshgrid(torch.arange(160.0), torch.arange(160.0), indexing="ij")
    distance = ((x - 80).square() + (y - 80).square()).sqrt()
    alpha = ((50 - distance) / 4).clamp(0, 1).expand(4, 1, -1, -1)
    chance = torch.Generator().manual_seed(0)
    mosaics = torch.rand(8, 3, 16, 16, generator=chance).repeat_interleave(10, 2)
    front, ground = mosaics.repeat_interleave(10, 3).split(4)
    front = 0.4 * front + 0.6 * torch.tensor([0.8, 0.5, 0.2]).view(1, 3, 1, 1)
    noise = 0.1 * torch.randn(4, 3, 160, 160, generator=chance)
    image = (alpha * front + (1 - alpha) * ground + noise).clamp(0, 1)
    trimap = torch.where(distance < 40, 1.0, torch.where(distance > 60, 0.0, 0.5)).expand_as(alpha)
    seen = Sides()(image, trimap)
    mean = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
    with torch.inference_mode():
        made = network(torch.cat([(image - mean) / std, trimap, seen], 1))
    unknown = trimap == 0.5
    error = (made - alpha)[unknown].abs().mean()
    assert error < 0.9 * (seen[:, 0:1] - alpha)[unknown].abs().mean()
