"""Checkpoint files: the published layouts are read, and everything else is refused in words."""

import os
import pickle
import random
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from models.checkpoints import (
    CheckpointError,
    build_discriminator,
    build_edge_generator,
    build_inpaint_generator,
    build_matting,
    read_checkpoint,
)
from models.edgeconnect import EdgeGenerator
from models.matting import DeepImageMatting
from models.untrained import write_edgeconnect, write_matting

State = dict[str, Tensor]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Checkpoints in the published layouts, narrow."""
    folder = tmp_path_factory.mktemp("checkpoints")
    write_edgeconnect(folder, width=4, blocks=3)
    write_matting(folder / "matting.pth", width=4)
    return folder


def test_width_and_blocks_are_read_from_the_tensors(folder: Path) -> None:
    edge = build_edge_generator(read_checkpoint(folder / "EdgeModel_gen.pth"))
    paint = build_inpaint_generator(read_checkpoint(folder / "InpaintingModel_gen.pth"))
    matting = build_matting(read_checkpoint(folder / "matting.pth"))
    assert edge.get_parameter("decoder.7.weight").shape == (1, 4, 7, 7)
    assert "middle.2.conv_block.5.weight" in paint.state_dict()
    assert "middle.3.conv_block.5.weight" not in paint.state_dict()
    assert matting.get_parameter("_final_conv.weight").shape == (1, 4, 5, 5)
    assert not (edge.training or paint.training or matting.training)


@pytest.mark.parametrize(("file", "channels"), [("EdgeModel", 2), ("InpaintingModel", 3)])
def test_discriminators_are_read(folder: Path, file: str, channels: int) -> None:
    network = build_discriminator(read_checkpoint(folder / f"{file}_dis.pth", "discriminator"))
    assert network.get_parameter("conv1.0.weight_orig").shape == (4, channels, 4, 4)


def test_every_tensor_comes_from_the_file(folder: Path) -> None:
    checkpoint = read_checkpoint(folder / "EdgeModel_gen.pth")
    state = build_edge_generator(checkpoint).state_dict()
    saved = torch.load(folder / "EdgeModel_gen.pth", weights_only=True)["generator"]
    assert state.keys() == saved.keys()
    assert all(torch.equal(state[key], saved[key]) for key in saved)


def test_state_alone_and_state_of_several_gpus_are_read(folder: Path, tmp_path: Path) -> None:
    state = read_checkpoint(folder / "EdgeModel_gen.pth").state
    several = {f"module.{key}": value for key, value in state.items()}
    for saved in (state, several, {"iteration": 7, "generator": several}):
        torch.save(saved, tmp_path / "file.pth")
        build_edge_generator(read_checkpoint(tmp_path / "file.pth"))


def test_files_of_torch_1_0_are_read(folder: Path, tmp_path: Path) -> None:
    saved = torch.load(folder / "EdgeModel_gen.pth", weights_only=True)
    torch.save(saved, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    build_edge_generator(read_checkpoint(tmp_path / "old.pth"))


def test_file_of_torch_0_4_without_weight_v_gives_nearly_the_same_network(
    folder: Path, tmp_path: Path
) -> None:
    checkpoint = read_checkpoint(folder / "EdgeModel_gen.pth")
    old = {key: value for key, value in checkpoint.state.items() if not key.endswith("_v")}
    for key in [key for key in old if key.endswith("weight_orig")]:
        old[key.removesuffix("_orig")] = old[key] * 0.5  # the last step's normed weight
    torch.save(OrderedDict(old), tmp_path / "old.pth")
    network = build_edge_generator(read_checkpoint(tmp_path / "old.pth"))
    x = torch.rand(1, 3, 16, 16)
    with torch.inference_mode():
        gap = network(x) - build_edge_generator(checkpoint)(x)
    assert float(gap.abs().max()) < 0.02


def test_batch_norm_without_its_count_of_batches_is_read(folder: Path, tmp_path: Path) -> None:
    state = read_checkpoint(folder / "matting.pth").state
    torch.save({k: v for k, v in state.items() if "num_batches" not in k}, tmp_path / "old.pth")
    build_matting(read_checkpoint(tmp_path / "old.pth"))


def test_half_precision_weights_are_read_as_float32(folder: Path, tmp_path: Path) -> None:
    state = read_checkpoint(folder / "matting.pth").state
    torch.save(
        {k: v.half() if v.is_floating_point() else v for k, v in state.items()},
        tmp_path / "half.pth",
    )
    network = build_matting(read_checkpoint(tmp_path / "half.pth"))
    assert {p.dtype for p in network.parameters()} == {torch.float32}


class Marker:
    """An object whose unpickling would make a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("layout", ["zip", "legacy", "pickle"])
def test_file_that_would_run_code_is_refused_and_runs_none(tmp_path: Path, layout: str) -> None:
    marker, file = tmp_path / "ran", tmp_path / "evil.pth"
    evil = {"generator": {"encoder.1.weight": Marker(marker)}}
    if layout == "pickle":
        file.write_bytes(pickle.dumps(evil))
    else:
        torch.save(evil, file, _use_new_zipfile_serialization=layout == "zip")
    with pytest.raises(CheckpointError, match=r"evil\.pth"):
        read_checkpoint(file)
    assert not marker.exists()
    if layout == "zip":
        with pytest.raises(CheckpointError, match="could run code"):
            read_checkpoint(file)
        torch.load(file, weights_only=False)
        assert marker.exists(), "the file is no danger, so its refusal shows nothing"


def test_pickled_network_object_is_refused_with_advice(tmp_path: Path) -> None:
    torch.save(DeepImageMatting(2), tmp_path / "object.tar")
    with pytest.raises(CheckpointError, match=r"object\.tar.*state_dict\(\)"):
        read_checkpoint(tmp_path / "object.tar")


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"none\.pth: there is no such file"):
        read_checkpoint(tmp_path / "none.pth")


def test_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="can't be read"):
        read_checkpoint(tmp_path)


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n", b"hello" * 100, b"PK\x03\x04"])
def test_file_that_is_no_checkpoint_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file.pth").write_bytes(content)
    with pytest.raises(CheckpointError, match="is not a checkpoint"):
        read_checkpoint(tmp_path / "file.pth")


def test_damaged_file_is_read_or_refused_and_nothing_else(folder: Path, tmp_path: Path) -> None:
    whole = (folder / "EdgeModel_dis.pth").read_bytes()
    chance, file = random.Random(1), tmp_path / "damaged.pth"
    for _ in range(40):
        damaged = bytearray(
            whole[: chance.randrange(len(whole))] if chance.random() < 0.5 else whole
        )
        for _ in range(chance.randrange(1, 200)):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        file.write_bytes(damaged)
        try:
            build_discriminator(read_checkpoint(file, "discriminator"))
        except CheckpointError as error:
            assert str(file) in str(error)


@pytest.mark.parametrize("content", [[1, 2], {}, {"generator": {}}, {"a": 1}, torch.zeros(3)])
def test_content_that_is_no_state_is_refused(tmp_path: Path, content: Any) -> None:
    torch.save(content, tmp_path / "file.pth")
    with pytest.raises(CheckpointError, match=r"file\.pth"):
        read_checkpoint(tmp_path / "file.pth")


def test_other_part_is_refused_by_its_name(folder: Path) -> None:
    with pytest.raises(CheckpointError, match="holds a discriminator, where a generator"):
        read_checkpoint(folder / "EdgeModel_dis.pth")


def test_other_networks_file_is_refused(folder: Path) -> None:
    edge = read_checkpoint(folder / "EdgeModel_gen.pth")
    paint = read_checkpoint(folder / "InpaintingModel_gen.pth")
    matting = read_checkpoint(folder / "matting.pth")
    for build, other in (
        (build_edge_generator, paint),
        (build_inpaint_generator, edge),
        (build_matting, edge),
        (build_edge_generator, matting),
        (build_discriminator, edge),
    ):
        with pytest.raises(CheckpointError, match="another network's file"):
            build(other)


def drop(state: State) -> None:
    del state["middle.1.conv_block.1.weight_orig"]


def add(state: State) -> None:
    state["surplus.weight"] = torch.zeros(1)


def reshape(state: State) -> None:
    state["decoder.7.weight"] = torch.zeros(1, 4, 5, 5)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (drop, r"missing middle\.1\.conv_block\.1\.weight_orig"),
        (add, r"foreign surplus\.weight"),
        (reshape, r"decoder\.7\.weight \[1, 4, 5, 5\] instead of \[1, 4, 7, 7\]"),
    ],
)
def test_keys_and_shapes_that_do_not_fit_are_named(
    folder: Path, tmp_path: Path, spoil: Callable[[State], None], words: str
) -> None:
    state = dict(read_checkpoint(folder / "EdgeModel_gen.pth").state)
    spoil(state)
    torch.save({"generator": state}, tmp_path / "spoiled.pth")
    with pytest.raises(CheckpointError, match=rf"spoiled\.pth.*{words}"):
        build_edge_generator(read_checkpoint(tmp_path / "spoiled.pth"))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_named(folder: Path, tmp_path: Path, value: float) -> None:
    state = dict(read_checkpoint(folder / "matting.pth").state)
    state["_final_conv.bias"] = torch.tensor([value])
    torch.save(state, tmp_path / "spoiled.pth")
    with pytest.raises(CheckpointError, match=r"_final_conv\.bias: NaN or infinite"):
        read_checkpoint(tmp_path / "spoiled.pth")


def test_error_names_some_keys_and_counts_the_rest(folder: Path, tmp_path: Path) -> None:
    state = EdgeGenerator(4, 3).state_dict()
    kept = {key: value for key, value in state.items() if not key.startswith("decoder.")}
    torch.save(kept, tmp_path / "half.pth")
    with pytest.raises(CheckpointError, match=r"missing decoder\.0\.bias, .* and 6 more"):
        build_edge_generator(read_checkpoint(tmp_path / "half.pth"))
