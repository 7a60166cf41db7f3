"""The matting network against the published keys and torchvision's VGG16."""

import pytest
import torch
import torchvision
from torch import nn

from models.matting import REACH, SMALLEST_SIZE, DeepImageMatting, PoolingEncoder


def test_matting_network_has_the_published_keys_and_parameter_count() -> None:
    network = DeepImageMatting()
    shapes = {key: tuple(value.shape) for key, value in network.state_dict().items()}
    assert len(shapes) == 130
    assert sum(p.numel() for p in network.parameters()) == 25_684_912
    assert shapes["_head_conv.weight"] == (3, 4, 5, 5)
    assert shapes["_feature_extractor.features.40.weight"] == (512, 512, 3, 3)
    assert shapes["_decode_layers.0.weight"] == (512, 512, 5, 5)
    assert shapes["_decode_layers.4.weight"] == (256, 512, 5, 5)
    assert shapes["_decode_layers.8.weight"] == (128, 256, 5, 5)
    assert shapes["_decode_layers.12.weight"] == (64, 128, 5, 5)
    assert shapes["_decode_layers.16.weight"] == (64, 64, 5, 5)
    assert shapes["_decode_layers.17.running_mean"] == (64,)
    assert shapes["_final_conv.weight"] == (1, 64, 5, 5)


def test_encoder_is_torchvisions_vgg16_with_batch_norm() -> None:
    theirs = torchvision.models.vgg16_bn(weights=None).features[:43].eval()
    ours = PoolingEncoder(64).eval()
    ours.features.load_state_dict(theirs.state_dict())
    x = torch.rand(1, 3, 37, 50)
    with torch.inference_mode():
        torch.testing.assert_close(ours(x)[0], theirs(x))


@pytest.mark.parametrize("size", [(16, 16), (17, 31), (65, 50)], ids=str)
def test_alpha_has_the_pictures_size_whatever_it_is(size: tuple[int, int]) -> None:
    with torch.inference_mode():
        alpha = DeepImageMatting(2).eval()(torch.randn(2, 4, *size))
    assert alpha.shape == (2, 1, *size)
    assert 0 <= float(alpha.min()) <= float(alpha.max()) <= 1


def test_smallest_size_is_the_least_that_four_poolings_leave_a_pixel_of() -> None:
    network = DeepImageMatting(2).eval()
    network(torch.randn(1, 4, SMALLEST_SIZE, SMALLEST_SIZE))
    with pytest.raises(RuntimeError):
        network(torch.randn(1, 4, SMALLEST_SIZE - 1, 40))


def test_reach_is_as_far_as_a_pixel_can_carry() -> None:
    network = DeepImageMatting(2).double().eval()
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.uniform_(module.weight, 0.0, 2.0 / module.weight[0].numel())
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    middle = 256
    x = torch.rand(1, 4, 16, 2 * middle, dtype=torch.double, requires_grad=True)
    logits: list[torch.Tensor] = []
    network.get_submodule("_final_conv").register_forward_hook(
        lambda _module, _inputs, output: logits.append(output)
    )
    network(x)
    farthest = 0
    for column in range(middle, middle + 16):
        (gradient,) = torch.autograd.grad(logits[0][..., column].sum(), x, retain_graph=True)
        touched = torch.nonzero(gradient.abs().sum(dim=(0, 1, 2)))[:, 0]
        farthest = max(farthest, int((touched - column).abs().max()))
    # A maximum hides three of four pixels, so one picture shows a little less than can be.
    assert REACH - 24 <= farthest <= REACH
