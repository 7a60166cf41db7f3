"""Deep Image Matting's two other published layouts: keys, sizes, reach, training, recognition."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from models import matting_normed, matting_skips
from models.checkpoints import CheckpointError, build_matting, read_checkpoint
from models.matting import DeepImageMatting
from models.matting_normed import NormedMatting
from models.matting_skips import SkipMatting
from models.untrained import write_matting

Layout = Callable[..., nn.Module]
REFINED = partial(SkipMatting, refine=True)
PLAIN = partial(SkipMatting, skips=False)
LAYOUTS: dict[str, Layout] = {
    "skips": SkipMatting,
    "plain": PLAIN,
    "skips, refined": REFINED,
    "plain, refined": partial(SkipMatting, skips=False, refine=True),
    "oldest": partial(SkipMatting, skips=False, refine=True, bottom_kernel=1),
    "normed": NormedMatting,
}


def test_layout_with_skips_has_the_published_keys_and_shapes() -> None:
    network = SkipMatting()
    shapes = {key: tuple(value.shape) for key, value in network.state_dict().items()}
    encoder = [f"conv{a}_{b}" for a, n in enumerate((2, 2, 3, 3, 3, 1), 1) for b in range(1, n + 1)]
    decoder = [f"deconv{a}_1" for a in range(6, 0, -1)] + ["deconv1"]
    assert shapes.keys() == {f"{k}.{w}" for k in encoder + decoder for w in ("weight", "bias")}
    # VGG16's convolutions 14,714,688, the trimap's plane 576, and what follows them.
    assert sum(p.numel() for p in network.parameters()) == 28_297_153
    assert shapes["conv1_1.weight"] == (64, 4, 3, 3)
    assert shapes["conv5_3.weight"] == (512, 512, 3, 3)
    assert shapes["conv6_1.weight"] == (512, 512, 3, 3)
    assert shapes["deconv6_1.weight"] == (512, 512, 1, 1)
    assert shapes["deconv5_1.weight"] == (512, 512, 5, 5)
    assert shapes["deconv1_1.weight"] == (64, 64, 5, 5)
    assert shapes["deconv1.weight"] == (1, 64, 5, 5)


def test_refinement_adds_four_convolutions() -> None:
    refined = SkipMatting(refine=True)
    more = refined.state_dict().keys() - SkipMatting().state_dict().keys()
    assert len(more) == 8
    assert all(key.startswith("refine_") for key in more)
    assert sum(p.numel() for p in refined.parameters()) == 28_373_954
    assert refined.refine_conv1.weight.shape == (64, 4, 3, 3)
    assert refined.refine_pred.weight.shape == (1, 64, 3, 3)


def test_skips_add_no_tensor() -> None:
    assert PLAIN(width=2).state_dict().keys() == SkipMatting(width=2).state_dict().keys()


def test_normed_layout_has_the_published_keys_and_parameter_count() -> None:
    network = NormedMatting()
    shapes = {key: tuple(value.shape) for key, value in network.state_dict().items()}
    assert len(shapes) == 126
    assert sum(p.numel() for p in network.parameters()) == 25_582_595
    assert shapes["down1.conv1.cbr_unit.0.weight"] == (64, 4, 3, 3)
    assert shapes["down5.conv3.cbr_unit.1.running_var"] == (512,)
    assert shapes["up5.conv.cbr_unit.0.weight"] == (512, 512, 5, 5)
    assert shapes["up1.conv.cbr_unit.0.weight"] == (1, 64, 5, 5)
    assert shapes["up1.conv.cbr_unit.1.weight"] == (1,)


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("size", [(32, 32), (33, 63), (65, 50)], ids=str)
def test_alpha_has_the_pictures_size_whatever_it_is(layout: Layout, size: tuple[int, int]) -> None:
    with torch.inference_mode():
        alpha = layout(width=2).eval()(torch.randn(2, 4, *size))
    assert alpha.shape == (2, 1, *size)
    assert 0 <= float(alpha.min()) <= float(alpha.max()) <= 1


@pytest.mark.parametrize("layout", [SkipMatting, NormedMatting])
def test_smallest_size_is_the_least_that_five_poolings_leave_a_pixel_of(layout: Layout) -> None:
    network = layout(width=2).eval()
    assert matting_skips.SMALLEST_SIZE == matting_normed.SMALLEST_SIZE == 32
    with pytest.raises(RuntimeError):
        network(torch.randn(1, 4, 31, 40))


@pytest.mark.parametrize(
    ("layout", "reach"),
    [
        (SkipMatting, matting_skips.REACH),
        (PLAIN, matting_skips.REACH),
        (REFINED, matting_skips.REFINED_REACH),
        (NormedMatting, matting_normed.REACH),
    ],
    ids=["skips", "plain", "refined", "normed"],
)
def test_reach_is_as_far_as_a_pixel_can_carry(layout: Layout, reach: int) -> None:
    # How much less than the reach a picture shows is chance; the seed keeps it the same.
    torch.manual_seed(2)
    network = layout(width=2).double().eval()
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.uniform_(module.weight, 0.0, 2.0 / module.weight[0].numel())
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    middle = 240
    x = torch.rand(3, 4, 32, 2 * middle, dtype=torch.double, requires_grad=True)
    alpha = network(x)
    farthest = 0
    for column in range(middle, middle + 32):
        (gradient,) = torch.autograd.grad(alpha[..., column].sum(), x, retain_graph=True)
        touched = torch.nonzero(gradient.abs().sum(dim=(0, 1, 2)))[:, 0]
        farthest = max(farthest, int((touched - column).abs().max()))
    # A maximum hides three of four pixels, so a few pictures show a little less than can be.
    assert reach - 28 <= farthest <= reach


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("in_channels", [4, 11])
def test_every_tensor_is_trained(layout: Layout, in_channels: int) -> None:
    torch.manual_seed(0)
    network = layout(width=4, in_channels=in_channels)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
    x = torch.randn(2, in_channels, 64, 96)
    alpha: Tensor = network(x)
    (alpha - torch.rand_like(alpha)).abs().mean().backward()
    silent = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert silent == []


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_scripted_network_gives_what_the_network_gives(layout: Layout) -> None:
    network = layout(width=2).eval()
    scripted = torch.jit.freeze(torch.jit.script(network), optimize_numerics=False)
    for size in ((64, 64), (50, 77)):
        x = torch.randn(2, 4, *size)
        with torch.inference_mode():
            assert torch.allclose(scripted(x), network(x), atol=1e-6)


def test_refinement_sees_colours_and_alpha_and_moves_the_logits() -> None:
    torch.manual_seed(1)
    network = SkipMatting(width=2, refine=True).eval()
    seen: list[Tensor] = []
    network.refine_conv1.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))
    nn.init.zeros_(network.refine_pred.weight)
    bias = network.refine_pred.bias
    assert bias is not None
    nn.init.constant_(bias, 0.5)
    x = torch.randn(1, 4, 32, 32)
    with torch.inference_mode():
        first = SkipMatting(width=2)
        first.load_state_dict({k: v for k, v in network.state_dict().items() if "refine" not in k})
        alpha = first.eval()(x)
        refined = network(x)
    assert torch.allclose(seen[0], torch.cat([x[:, :3], alpha], dim=1), atol=1e-6)
    assert torch.allclose(torch.logit(refined), torch.logit(alpha) + 0.5, atol=1e-5)


# -- Recognition -----------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_layout_is_recognised_by_its_keys_and_shapes(tmp_path: Path, layout: Layout) -> None:
    write_matting(tmp_path / "file.pth", width=3, layout=layout)
    checkpoint = read_checkpoint(tmp_path / "file.pth")
    given = layout(width=3)
    network = build_matting(checkpoint)
    assert type(network) is type(given)
    assert not network.training
    assert network.state_dict().keys() == checkpoint.state.keys()
    assert all(torch.equal(network.state_dict()[k], v) for k, v in checkpoint.state.items())
    if isinstance(network, SkipMatting) and isinstance(given, SkipMatting):
        assert network.refine == given.refine
        assert network.conv6_1.kernel_size == given.conv6_1.kernel_size
        assert network.skips == (given.conv6_1.kernel_size == (3, 3))


def test_skips_are_as_said_where_the_tensors_do_not_tell(tmp_path: Path) -> None:
    write_matting(tmp_path / "file.pth", width=2, layout=SkipMatting)
    checkpoint = read_checkpoint(tmp_path / "file.pth")
    for skips in (True, False):
        network = build_matting(checkpoint, skips=skips)
        assert isinstance(network, SkipMatting)
        assert network.skips == skips


def test_states_of_several_gpus_are_read(tmp_path: Path) -> None:
    state = {f"module.{k}": v for k, v in SkipMatting(width=2).state_dict().items()}
    torch.save({"epoch": 1, "state_dict": state, "best_sad": 1.0}, tmp_path / "file.pth")
    assert isinstance(build_matting(read_checkpoint(tmp_path / "file.pth")), SkipMatting)


def test_file_of_no_layout_is_refused_with_the_names_of_three(tmp_path: Path) -> None:
    torch.save({"backbone.weight": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match=r"Shirhe-Lyh.*huochaitiantang.*foamliu.*backbone"):
        build_matting(read_checkpoint(tmp_path / "other.pth"))


@pytest.mark.parametrize(
    ("layout", "key", "words"),
    [
        (SkipMatting, "conv3_2.bias", r"missing conv3_2\.bias"),
        (SkipMatting, "conv6_1.weight", r"missing conv6_1\.weight"),
        (REFINED, "refine_pred.weight", r"missing refine_pred\.weight"),
        (REFINED, "refine_conv1.weight", r"foreign refine_conv1\.bias"),
        (NormedMatting, "up2.conv.cbr_unit.1.bias", r"missing up2\.conv\.cbr_unit\.1\.bias"),
    ],
)
def test_missing_tensor_is_named(tmp_path: Path, layout: Layout, key: str, words: str) -> None:
    state = layout(width=2).state_dict()
    del state[key]
    torch.save(state, tmp_path / "spoiled.pth")
    with pytest.raises(CheckpointError, match=rf"spoiled\.pth.*{words}"):
        build_matting(read_checkpoint(tmp_path / "spoiled.pth"))


@pytest.mark.parametrize(
    ("layout", "key"),
    [
        (SkipMatting, "conv1_1.weight"),
        (SkipMatting, "conv6_1.weight"),
        (SkipMatting, "deconv2_1.weight"),
        (REFINED, "refine_conv1.weight"),
        (NormedMatting, "down1.conv1.cbr_unit.0.weight"),
        (NormedMatting, "up1.conv.cbr_unit.1.bias"),
    ],
)
@pytest.mark.parametrize("shape", [(2, 7, 3, 3), (5,), (), (0, 4, 3, 3)], ids=str)
def test_tensor_of_another_shape_is_named(
    tmp_path: Path, layout: Layout, key: str, shape: tuple[int, ...]
) -> None:
    state = layout(width=2).state_dict()
    state[key] = torch.zeros(shape)
    torch.save(state, tmp_path / "spoiled.pth")
    with pytest.raises(CheckpointError, match=rf"spoiled\.pth.*{key}"):
        build_matting(read_checkpoint(tmp_path / "spoiled.pth"))


def test_layout_of_before_is_still_recognised(tmp_path: Path) -> None:
    write_matting(tmp_path / "file.pth", width=2)
    checkpoint = read_checkpoint(tmp_path / "file.pth", whole_objects=True)
    assert isinstance(build_matting(checkpoint), DeepImageMatting)
