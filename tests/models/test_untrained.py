"""Untrained checkpoints: the published layout, seeded, and outputs that are not flat."""

from pathlib import Path

import pytest
import torch

from models.checkpoints import (
    build_edge_generator,
    build_inpaint_generator,
    build_matting,
    read_checkpoint,
)
from models.untrained import write_edgeconnect, write_matting


def test_files_have_the_published_layout(tmp_path: Path) -> None:
    write_edgeconnect(tmp_path / "made", width=4, blocks=1)
    generator = torch.load(tmp_path / "made" / "EdgeModel_gen.pth", weights_only=True)
    judge = torch.load(tmp_path / "made" / "InpaintingModel_dis.pth", weights_only=True)
    assert generator.keys() == {"iteration", "generator"}
    assert generator["iteration"] == 0
    assert judge.keys() == {"discriminator"}


def test_same_seed_gives_the_same_weights_and_disturbs_no_other_chance(tmp_path: Path) -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        write_matting(tmp_path / name, width=2, seed=seed)
    assert torch.equal(torch.rand(1), expected)
    a, b, c = (read_checkpoint(tmp_path / name).state["_head_conv.weight"] for name in "abc")
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


@pytest.mark.parametrize("width", [4, 16])
def test_outputs_vary_over_the_picture(tmp_path: Path, width: int) -> None:
    write_edgeconnect(tmp_path, width=width, blocks=2)
    write_matting(tmp_path / "matting.pth", width=width)
    edge = build_edge_generator(read_checkpoint(tmp_path / "EdgeModel_gen.pth"))
    paint = build_inpaint_generator(read_checkpoint(tmp_path / "InpaintingModel_gen.pth"))
    matting = build_matting(read_checkpoint(tmp_path / "matting.pth"))
    x = torch.rand(1, 4, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        for made in (edge(x[:, :3]), paint(x), matting(4 * x - 2)):
            assert float(made.std()) > 0.05
