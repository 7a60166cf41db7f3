"""A run's folder that is damaged, another's or changed: a sentence, never a traceback."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from models.deprecation import deprecation_put_aside
from models.training.run_folder import RunError, networks_of, read_about, read_checkpoint, settle

CHECKPOINT: dict[str, Any] = {
    "step": 7,
    "networks": {"matting": {"weight": torch.zeros(5000)}},
    "averages": {"matting": {"weight": torch.ones(5000)}},
    "optimizers": {},
}
SETTINGS = {"steps": 10, "clip": 0.0, "width": 4, "betas": (0.9, 0.999), "loaders": 0}


def saved(folder: Path) -> Path:
    """A folder with a checkpoint of step 7."""
    torch.save(CHECKPOINT, folder / "last.pt")
    return folder


def _cut(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def _scripted(path: Path) -> None:
    with deprecation_put_aside():
        torch.jit.script(torch.nn.Linear(2, 2)).save(str(path))


DAMAGES: dict[str, Callable[[Path], object]] = {
    "cut by half": _cut,
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("Dear diary,\n", encoding="utf-8"),
    "TorchScript": _scripted,
    "a tensor": lambda path: torch.save(torch.zeros(2), path),
    "no step": lambda path: torch.save(CHECKPOINT | {"step": None}, path),
    "no averages": lambda path: torch.save(CHECKPOINT | {"averages": 3}, path),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_named_with_what_to_do(damage: str, tmp_path: Path) -> None:
    DAMAGES[damage](saved(tmp_path) / "last.pt")
    for read in (read_checkpoint, networks_of):
        with pytest.raises(RunError, match=r"last\.pt: is no checkpoint .*train from the start"):
            read(tmp_path)


def test_a_whole_checkpoint_gives_its_averages(tmp_path: Path) -> None:
    assert networks_of(saved(tmp_path))["matting"]["weight"].min() == 1


@pytest.mark.parametrize(
    "text", ["[]", "3", '{"stage": "edge"}', '{"stage": 1, "settings": {}}', "{", "\xff",
             '{"stage": "edge", "settings": {}, "changes": 3}'],
)  # fmt: skip
def test_a_run_json_that_tells_of_no_training_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "run.json").write_text(text, encoding="latin-1")
    with pytest.raises(RunError, match=r"run\.json: does not tell of a training"):
        read_about(tmp_path)
    with pytest.raises(RunError, match=r"run\.json: does not tell of a training"):
        settle(tmp_path, "edge", SETTINGS, {})
    assert (tmp_path / "run.json").read_text(encoding="latin-1") == text, "it was somebody's"


def test_a_run_json_missing_beside_its_checkpoint_is_said_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"holds last\.pt but no run\.json"):
        read_about(saved(tmp_path))


def test_a_run_json_of_before_fingerprints_is_taken_up(tmp_path: Path) -> None:
    saved(tmp_path)
    old = {"stage": "matting", "settings": SETTINGS}
    (tmp_path / "run.json").write_text(json.dumps(old), encoding="utf-8")
    assert settle(tmp_path, "matting", SETTINGS, {"data": "pack 1"}) == []
    assert read_about(tmp_path)["data"] == {"data": "pack 1"}


def test_a_setting_of_later_steps_may_change_and_is_written_down_with_the_step(
    tmp_path: Path,
) -> None:
    settle(tmp_path, "matting", SETTINGS, {})
    saved(tmp_path)
    told = settle(tmp_path, "matting", SETTINGS | {"steps": 20, "clip": 1.0}, {})
    assert told == ["clip = 1.0 (was 0.0)", "steps = 20 (was 10)"]
    assert settle(tmp_path, "matting", SETTINGS | {"steps": 20, "clip": 1.0}, {}) == []
    about = read_about(tmp_path)
    assert about["changes"] == [{"step": 7, "changed": told}]
    assert about["settings"]["steps"] == 20


def test_other_data_is_told_and_written_down(tmp_path: Path) -> None:
    settle(tmp_path, "edge", SETTINGS, {"data": "pack 1", "masks": "folder 1"})
    saved(tmp_path)
    assert settle(tmp_path, "edge", SETTINGS, {"data": "pack 1", "masks": "folder 1"}) == []
    assert settle(tmp_path, "edge", SETTINGS, {"data": "pack 2"}) == ["other data", "other masks"]
    (change,) = read_about(tmp_path)["changes"]
    assert change == {"step": 7, "changed": ["other data", "other masks"]}


def test_before_the_first_checkpoint_nothing_is_a_change(tmp_path: Path) -> None:
    settle(tmp_path, "edge", SETTINGS, {"data": "pack 1"})
    assert settle(tmp_path, "edge", SETTINGS | {"width": 8}, {"data": "pack 2"}) == []
    assert "changes" not in read_about(tmp_path)
