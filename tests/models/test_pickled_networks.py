"""Networks saved as whole objects: their tensors are read where their classes are not."""

import io
import pickle
import random
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from pickle_writers import Call, Global, Persistent, Python2, legacy, module, zipped
from torch import Tensor, nn

from models import pickles
from models.checkpoints import CheckpointError, build_matting, read_checkpoint
from models.matting_normed import NormedMatting
from models.matting_skips import SkipMatting
from models.pickled_networks import read_pickled_state
from models.pickles import PickleError

# Saves a network of the published layout in classes that are not importable outside its folder.
FOREIGN_TRAINING = """
import sys
import numpy
import torch
from torch import nn
from foreign_matting import Net, Trainer

torch.manual_seed(1)
net = Net(4)
net(torch.rand(2, 4, 64, 64))  # batch norm's statistics become the network's own
parallel = nn.DataParallel(net)
optimizer = Trainer(parallel)
optimizer.step(parallel(torch.rand(2, 4, 64, 64)).mean())
everything = {
    "epoch": 3, "loss": numpy.float64(0.5), "model": parallel, "optimizer": optimizer
}
for layout, is_zip in (("zip", True), ("legacy", False)):
    torch.save(parallel, f"alone-{layout}.tar", _use_new_zipfile_serialization=is_zip)
    torch.save(everything, f"everything-{layout}.tar", _use_new_zipfile_serialization=is_zip)
torch.save(everything, "protocol-4.tar", pickle_protocol=4)
torch.save(net.state_dict(), "state.pth")
x = torch.rand(1, 4, 64, 96, generator=torch.Generator().manual_seed(2))
torch.save(net.eval()(x).detach(), "alpha.pth")
"""
FOREIGN_CLASSES = """
import torch
import torch.nn.functional as F
from torch import nn

class Unit(nn.Module):
    def __init__(self, a, b, k, relu):
        super().__init__()
        layers = [nn.Conv2d(a, b, k, padding=k // 2), nn.BatchNorm2d(b)]
        self.cbr_unit = nn.Sequential(*layers, *([nn.ReLU(inplace=True)] if relu else []))
        self.register_buffer("passing", torch.zeros(2), persistent=False)

    def forward(self, x):
        return self.cbr_unit(x)

class Down(nn.Module):
    def __init__(self, a, b, n):
        super().__init__()
        for i in range(n):
            setattr(self, f"conv{i + 1}", Unit(a if i == 0 else b, b, 3, True))
        self.pool = nn.MaxPool2d(2, 2, return_indices=True)

    def forward(self, x):
        for child in list(self.children())[:-1]:
            x = child(x)
        return self.pool(x)

class Up(nn.Module):
    def __init__(self, a, b):
        super().__init__()
        self.conv = Unit(a, b, 5, False)

    def forward(self, x, where):
        return self.conv(F.max_unpool2d(x, where, 2, 2))

class Net(nn.Module):
    def __init__(self, w):
        super().__init__()
        widths = [4, w, 2 * w, 4 * w, 8 * w, 8 * w]
        for i in range(5):
            setattr(self, f"down{i + 1}", Down(widths[i], widths[i + 1], 2 if i < 2 else 3))
        for i, (a, b) in enumerate(((8, 8), (8, 4), (4, 2), (2, 1))):
            setattr(self, f"up{5 - i}", Up(a * w, b * w))
        self.up1 = Up(w, 1)

    def forward(self, x):
        found = []
        for i in range(5):
            x, where = getattr(self, f"down{i + 1}")(x)
            found.append(where)
        for i in range(5, 0, -1):
            x = getattr(self, f"up{i}")(x, found.pop())
        return torch.sigmoid(x)

class Trainer:
    def __init__(self, network):
        self.state = {parameter: torch.zeros_like(parameter) for parameter in network.parameters()}
        self.settings = {"rate": 0.1}

    def step(self, loss):
        loss.backward()
        for parameter, momentum in self.state.items():
            momentum += parameter.grad
            parameter.data -= self.settings["rate"] * momentum
"""


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files that another process saved, of classes that this one can't import."""
    folder = tmp_path_factory.mktemp("foreign")
    (folder / "foreign_matting.py").write_text(FOREIGN_CLASSES)
    (folder / "training.py").write_text(FOREIGN_TRAINING)
    subprocess.run([sys.executable, "training.py"], cwd=folder, check=True)
    return folder


@pytest.mark.parametrize(
    "file",
    [
        *("alone-zip.tar", "alone-legacy.tar"),
        *("everything-zip.tar", "everything-legacy.tar", "protocol-4.tar"),
    ],
)
def test_pickled_network_is_read_without_its_classes(foreign: Path, file: str) -> None:
    network = build_matting(read_checkpoint(foreign / file, whole_objects=True))
    assert isinstance(network, NormedMatting)
    trained = network.state_dict()
    expected = torch.load(foreign / "state.pth", weights_only=True)
    if not file.startswith("alone"):
        assert float(expected["up1.conv.cbr_unit.1.num_batches_tracked"]) == 2
    assert trained.keys() == expected.keys()
    assert all(torch.equal(trained[key], expected[key]) for key in expected)
    with pytest.raises(ModuleNotFoundError, match="foreign_matting"):
        torch.load(foreign / file, weights_only=False)


def test_pickled_network_computes_what_its_own_classes_compute(foreign: Path) -> None:
    network = build_matting(read_checkpoint(foreign / "alone-zip.tar", whole_objects=True))
    x = torch.rand(1, 4, 64, 96, generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        gap = network(x) - torch.load(foreign / "alpha.pth", weights_only=True)
    assert float(gap.abs().max()) < 1e-5


def test_objects_are_left_alone_unless_asked_for(foreign: Path) -> None:
    with pytest.raises(CheckpointError, match="could run code"):
        read_checkpoint(foreign / "alone-zip.tar")


def test_file_of_python_2_with_numpys_numbers_is_read(tmp_path: Path) -> None:
    # So the best published file was saved: its `best_sad` is numpy's, with eight raw bytes in it.
    network = SkipMatting(width=2)
    saved = {"epoch": 13, "state_dict": network.state_dict(), "best_sad": np.float64(52.99)}
    torch.save(
        saved, tmp_path / "old.pth", pickle_module=Python2, _use_new_zipfile_serialization=False
    )
    with pytest.raises(CheckpointError):
        read_checkpoint(tmp_path / "old.pth")
    state = read_checkpoint(tmp_path / "old.pth", whole_objects=True).state
    assert state.keys() == network.state_dict().keys()
    assert all(torch.equal(state[key], value) for key, value in network.state_dict().items())


def test_views_and_strides_are_cut_out_of_their_storage() -> None:
    whole = torch.arange(24.0)
    state = {
        "part": whole[4:10].view(2, 3),
        "turned": whole.view(4, 6).t(),
        "half": torch.tensor([0.5, -2.0]).half(),
        "count": torch.tensor(7),
        "none": torch.zeros(0, 3),
        "parameter": nn.Parameter(torch.ones(2)),
    }
    for is_zip in (True, False):
        file = io.BytesIO()
        torch.save({"state_dict": state}, file, _use_new_zipfile_serialization=is_zip)
        # Three views of one storage hold more than the storage: room for them must be in the file.
        read = read_pickled_state(file.getvalue())
        assert read is not None
        assert all(torch.equal(read[key], value) for key, value in state.items())
        assert all(read[key].dtype == value.dtype for key, value in state.items())


def test_part_of_a_storage_as_torch_0_4_referred_to_it_is_read() -> None:
    reference = ("storage", Global("torch FloatStorage"), "9", "cpu", 6, ("10", 2, 3))
    tensor = Call("torch._utils _rebuild_tensor_v2", Persistent(reference), 1, (2,), (1,), False)
    data = legacy({"state_dict": {"a": tensor}}, {"9": struct.pack("<6f", *range(6))})
    read = read_pickled_state(data)
    assert read is not None
    assert read["a"].tolist() == [3.0, 4.0]


def test_reading_names_of_files_torch_did_not_make_gives_none() -> None:
    plain = io.BytesIO()
    with zipfile.ZipFile(plain, "w") as archive:
        archive.writestr("a/readme", "nothing")
    for data in (b"", b"hello" * 9, b"PK\x03\x04", pickle.dumps([1]), plain.getvalue()):
        assert read_pickled_state(data) is None


def test_two_networks_in_a_file_are_not_guessed_between() -> None:
    with pytest.raises(PickleError, match="no network, or more than one"):
        read_pickled_state(zipped({"a": module(), "b": module()}))


@pytest.mark.parametrize("file", ["everything-zip.tar", "everything-legacy.tar"])
def test_damaged_pickled_network_is_read_or_refused_and_nothing_else(
    foreign: Path, tmp_path: Path, file: str
) -> None:
    whole = (foreign / file).read_bytes()
    chance, damaged_file = random.Random(1), tmp_path / "damaged.tar"
    refused = 0
    for turn in range(60):
        damaged = bytearray(whole[: chance.randrange(len(whole))] if turn % 4 == 0 else whole)
        head = min(len(damaged), 60_000 if turn % 2 else len(damaged))
        for _ in range(chance.randrange(1, 60)):
            damaged[chance.randrange(head)] = chance.randrange(256)
        damaged_file.write_bytes(damaged)
        try:
            build_matting(read_checkpoint(damaged_file, whole_objects=True))
        except CheckpointError as error:
            refused += 1
            assert str(damaged_file) in str(error)
    assert refused > 30


def test_limit_is_far_above_what_a_network_takes(
    foreign: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pickles, "MAX_INSTRUCTIONS", pickles.MAX_INSTRUCTIONS // 6)
    for file in ("everything-zip.tar", "everything-legacy.tar"):
        state: dict[str, Tensor] | None = read_pickled_state((foreign / file).read_bytes())
        assert state is not None
        assert len(state) == 126
