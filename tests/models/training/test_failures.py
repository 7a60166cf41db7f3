"""What torch gives up with is put in words; an error of the program is not."""

import os
import signal
from pathlib import Path

import pytest
import tiny_runs
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from models.training.failures import in_words


class Killed(Dataset[Tensor]):
    """A sample that its process does not survive."""

    def __getitem__(self, number: int) -> Tensor:
        os.kill(os.getpid(), signal.SIGKILL)
        return torch.zeros(number)


def test_memory_that_is_not_there_is_told_with_what_to_lower() -> None:
    with pytest.raises(RuntimeError) as raised:
        torch.empty(2**60, dtype=torch.uint8)
    text = in_words(raised.value)
    assert text and all(word in text for word in ("memory", "batch", "size", "width"))
    assert in_words(MemoryError()) == text


def test_a_killed_loader_is_told_with_what_to_set() -> None:
    with pytest.raises(RuntimeError) as raised:
        next(iter(DataLoader(Killed(), batch_sampler=[[1]], num_workers=1)))
    text = in_words(raised.value)
    assert text and "loaders" in text and "same command" in text


def test_an_error_of_the_program_is_left_to_be_seen(tmp_path: Path) -> None:
    run = tiny_runs.inpaint_run(tmp_path)
    with pytest.raises(RuntimeError) as raised:
        run.training.networks["inpaint"](torch.zeros(1, 2, 32, 32))
    assert in_words(raised.value) is None
