"""The networks of EdgeConnect against the published keys, shapes and equations."""

import copy

import pytest
import torch
from torch import nn

from models.edgeconnect import (
    Discriminator,
    EdgeGenerator,
    InpaintGenerator,
    fold_spectral_norm,
    reach,
)


@pytest.mark.parametrize(
    ("network", "keys", "parameters"),
    [(EdgeGenerator, 70, 10_761_089), (InpaintGenerator, 44, 10_774_595)],
)
def test_generators_have_the_published_keys_and_parameter_counts(
    network: type[nn.Module], keys: int, parameters: int
) -> None:
    made = network()
    assert len(made.state_dict()) == keys
    assert sum(p.numel() for p in made.parameters()) == parameters


def test_edge_generator_has_the_published_shapes() -> None:
    shapes = {key: tuple(value.shape) for key, value in EdgeGenerator().state_dict().items()}
    assert shapes["encoder.1.weight_orig"] == (64, 3, 7, 7)
    assert shapes["encoder.1.bias"] == (64,)
    assert shapes["encoder.7.weight_v"] == (128 * 16,)
    assert shapes["middle.7.conv_block.1.weight_u"] == (256,)
    assert "middle.0.conv_block.1.bias" not in shapes
    assert shapes["decoder.0.weight_orig"] == (256, 128, 4, 4)
    assert shapes["decoder.0.weight_u"] == (128,)
    assert shapes["decoder.0.weight_v"] == (256 * 16,)
    assert shapes["decoder.7.weight"] == (1, 64, 7, 7)


def test_inpaint_generator_has_the_published_shapes() -> None:
    shapes = {key: tuple(value.shape) for key, value in InpaintGenerator().state_dict().items()}
    assert shapes["encoder.1.weight"] == (64, 4, 7, 7)
    assert shapes["middle.0.conv_block.5.bias"] == (256,)
    assert shapes["decoder.7.weight"] == (3, 64, 7, 7)


def test_discriminator_holds_its_first_convolution_under_two_names() -> None:
    network = Discriminator(in_channels=2)
    state = network.state_dict()
    assert torch.equal(state["conv1.0.weight_orig"], state["features.0.weight_orig"])
    assert {key.split(".")[0] for key in state} == {
        *("conv1", "features", "conv2", "conv3", "conv4", "conv5")
    }
    assert not any(key.endswith("bias") for key in state)
    assert state["conv5.0.weight_orig"].shape == (1, 512, 4, 4)


def test_discriminator_judges_patches_and_shows_its_features() -> None:
    score, features = Discriminator(3, width=4)(torch.rand(2, 3, 64, 48))
    assert score.shape == (2, 1, 6, 4)
    assert [f.shape[1] for f in features] == [4, 8, 16, 32, 1]
    assert bool(((score > 0) & (score < 1)).all())


def test_discriminator_without_sigmoid_gives_raw_scores() -> None:
    raw = Discriminator(3, width=4, sigmoid=False).eval()
    score, features = raw(torch.rand(1, 3, 32, 32))
    assert torch.equal(score, features[-1])


def test_generators_give_their_ranges_at_the_smallest_size() -> None:
    x = torch.rand(2, 4, 12, 16)
    for network, channels in ((EdgeGenerator(4, 1), 1), (InpaintGenerator(4, 1), 3)):
        with torch.inference_mode():
            y = network(x[:, : 4 - (channels == 1)])
        assert y.shape == (2, channels, 12, 16)
        assert 0 <= float(y.min()) <= float(y.max()) <= 1


def test_folded_spectral_norm_gives_the_same_pixels_and_plain_keys() -> None:
    network = EdgeGenerator(4, 2).eval()
    folded = copy.deepcopy(network)
    fold_spectral_norm(folded)
    x = torch.rand(1, 3, 16, 16)
    torch.testing.assert_close(folded(x), network(x))
    assert not any("_orig" in key or key.endswith(("_u", "_v")) for key in folded.state_dict())
    assert "encoder.1.weight_orig" in network.state_dict()


def test_training_moves_spectral_norm_and_evaluation_does_not() -> None:
    network = EdgeGenerator(4, 1)
    x = torch.rand(1, 3, 16, 16)
    u = network.get_buffer("encoder.1.weight_u")
    before = u.clone()
    network.eval()(x)
    assert torch.equal(u, before)
    network.train()(x)
    assert not torch.equal(network.get_buffer("encoder.1.weight_u"), before)


@pytest.mark.parametrize("blocks", [0, 2])
def test_reach_is_as_far_as_the_convolutions_carry(blocks: int) -> None:
    network = InpaintGenerator(2, blocks).double().eval()
    for module in network.modules():
        for name, child in module.named_children():
            if isinstance(child, nn.InstanceNorm2d | nn.ReLU):
                setattr(module, name, nn.Identity())  # statistics reach everywhere
            elif isinstance(child, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.uniform_(child.weight, 0.5, 1.0)  # and nothing cancels
    middle = 96
    x = torch.zeros(1, 4, 8, 2 * middle, dtype=torch.double)
    x = torch.nn.functional.pad(x, [0, 0, 4, 4]).requires_grad_()
    logits = network.decoder(network.middle(network.encoder(x)))
    farthest = 0
    for column in range(middle, middle + 4):  # the four phases of the strides
        (gradient,) = torch.autograd.grad(logits[..., column].sum(), x, retain_graph=True)
        touched = torch.nonzero(gradient.abs().sum(dim=(0, 1, 2)))[:, 0]
        farthest = max(farthest, int((touched - column).abs().max()))
    assert reach(blocks) - 4 <= farthest <= reach(blocks)
