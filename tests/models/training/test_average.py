"""The moving average of weights, against means by hand."""

import io

import pytest
import torch
from torch import nn

from models.training.average import MovingAverage


def one_weight(value: float) -> nn.Linear:
    layer = nn.Linear(1, 1, bias=False)
    return set_to(layer, value)


def set_to(layer: nn.Linear, value: float) -> nn.Linear:
    nn.init.constant_(layer.weight, value)
    return layer


def mean_of(average: MovingAverage) -> float:
    (network,) = average.networks.values()
    return float(next(network.parameters()))


def test_mean_by_hand() -> None:
    layer = one_weight(1.0)
    average = MovingAverage({"a": layer}, 0.75)
    set_to(layer, 3.0)
    average.update(1000)
    assert mean_of(average) == pytest.approx(0.75 * 1.0 + 0.25 * 3.0)
    set_to(layer, -2.0)
    average.update(1001)
    assert mean_of(average) == pytest.approx(0.75 * 1.5 + 0.25 * -2.0)


def test_early_mean_is_short() -> None:
    layer = one_weight(0.0)
    average = MovingAverage({"a": layer}, 0.999)
    set_to(layer, 1.0)
    average.update(1)
    assert mean_of(average) == pytest.approx(9 / 11)
    average.update(2)
    assert mean_of(average) == pytest.approx(1 - (2 / 11) * (3 / 12))


def test_mean_is_never_longer_than_its_decay() -> None:
    layer = one_weight(0.0)
    average = MovingAverage({"a": layer}, 0.5)
    set_to(layer, 1.0)
    average.update(10**6)
    assert mean_of(average) == 0.5


def test_buffers_are_copied_and_not_averaged() -> None:
    layer = nn.BatchNorm1d(2)
    average = MovingAverage({"a": layer}, 0.9)
    layer(torch.tensor([[1.0, 2.0], [5.0, 8.0]]))
    average.update(1000)
    mean = average.networks["a"]
    assert torch.equal(mean.get_buffer("running_mean"), layer.get_buffer("running_mean"))
    assert int(mean.get_buffer("num_batches_tracked")) == 1


def test_normed_layers_can_be_averaged_while_they_are_trained() -> None:
    layer = nn.utils.spectral_norm(nn.Linear(3, 2))
    average = MovingAverage({"a": layer}, 0.9)
    layer(torch.ones(1, 3)).sum().backward()
    with torch.no_grad():
        layer.get_parameter("weight_orig").add_(1.0)
    average.update(1000)
    x = torch.ones(1, 3)
    assert torch.isfinite(average.networks["a"](x)).all()
    assert not torch.equal(average.networks["a"](x), layer.eval()(x))


def test_decay_of_0_keeps_none() -> None:
    average = MovingAverage({"a": one_weight(1.0)}, 0.0)
    average.update(3)
    assert average.networks == {}
    assert average.state() == {}


def test_means_are_to_be_used_and_not_to_be_trained() -> None:
    layer = one_weight(1.0)
    average = MovingAverage({"a": layer}, 0.9)
    assert not average.networks["a"].training
    assert not next(average.networks["a"].parameters()).requires_grad
    assert layer.training
    assert layer.weight.requires_grad


def test_restart_begins_with_the_networks_as_they_are() -> None:
    layer = one_weight(1.0)
    average = MovingAverage({"a": layer}, 0.9)
    set_to(layer, 7.0)
    average.restart()
    assert mean_of(average) == 7.0


def test_state_comes_back_from_a_file() -> None:
    layer = one_weight(1.0)
    average = MovingAverage({"a": layer}, 0.9)
    set_to(layer, 2.0)
    average.update(1000)
    file = io.BytesIO()
    torch.save(average.state(), file)
    file.seek(0)
    again = MovingAverage({"a": one_weight(5.0)}, 0.9)
    again.load(torch.load(file, weights_only=True))
    assert mean_of(again) == mean_of(average) == pytest.approx(1.1)
