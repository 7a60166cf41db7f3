"""The count of a step's operations, against numbers by hand."""

import torch

from models.training.speed import Speed, count_operations, measure_peak


def test_a_convolution_s_operations_are_counted() -> None:
    layer = torch.nn.Conv2d(3, 8, 5, padding=2, bias=False)
    x = torch.rand((2, 3, 16, 16))
    assert count_operations(lambda: layer(x)) == 2 * 2 * 8 * 16 * 16 * 3 * 25


def test_learning_counts_forth_and_back() -> None:
    layer = torch.nn.Conv2d(3, 8, 5, padding=2, bias=False)
    x = torch.rand((2, 3, 16, 16), requires_grad=True)
    forth = count_operations(lambda: layer(x))
    both = count_operations(lambda: layer(x).sum().backward())
    assert both == 3 * forth


def test_peak_is_a_rate_this_machine_could_have() -> None:
    peak = measure_peak(torch.device("cpu"), torch.float32)
    assert 1e8 < peak < 1e15


def test_share_of_the_peak_by_hand() -> None:
    assert Speed(step_flop=50, peak_flops=400.0).share(2.0) == 0.25
