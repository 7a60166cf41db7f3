"""When a folder's model that was refused is tried again: by its file alone, on a clock of ours."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from standin import HELLO, MODEL

from daemon.folders import FolderSettings
from daemon.settings import Settings
from daemon.supervisor.folder_models import (
    FIRST_RETRY_S,
    LONGEST_RETRY_S,
    LOOK_EVERY_S,
    Wanted,
)
from daemon.supervisor.member import Worker
from daemon.worker.protocol import Hello, Refused


class Looks:
    """A worker has just been asked for the model, and could not use it."""

    def __init__(self, model: Path) -> None:
        table = FolderSettings(inpaint_model=model)
        self.wanted = Wanted(Settings(inpaint_model=Path(MODEL.path), by_folder={"a": table}))
        self.now = 100.0
        (self.asked,) = self.wanted.of_a_new_one()
        self.refused = Refused(task="inpaint", path=str(model), why="it is no good")
        self.serve(HELLO.model_copy(update={"refused": (self.refused,)}))

    def serve(self, hello: Hello) -> None:
        nobody: Any = None
        worker = Worker("cpu", nobody, nobody, hello=hello)
        self.wanted.refused([worker])

    def look(self) -> bool:
        self.now += LOOK_EVERY_S
        return self.wanted.is_mended(self.now)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    (tmp_path / "model.pt").write_bytes(b"bad")
    (tmp_path / "model.pt").chmod(0o666)
    return tmp_path / "model.pt"


def test_a_file_that_stays_as_it_was_is_not_tried_again(model: Path) -> None:
    looks = Looks(model)
    assert [looks.look() for _ in range(5)] == [False] * 5


@pytest.mark.parametrize(
    "mend",
    [
        lambda path: path.chmod(0o644),
        lambda path: path.write_bytes(b"good"),
        lambda path: path.with_name("new").replace(path),
    ],
    ids=["its rights", "its bytes", "another file"],
)
def test_one_that_is_another_is_tried_once(model: Path, mend: Callable[[Path], object]) -> None:
    model.with_name("new").write_bytes(b"bad")
    looks = Looks(model)
    mend(model)
    assert [looks.look() for _ in range(5)] == [False, True, False, False, False]


def test_one_that_was_missing_is_tried_when_it_is_there_and_no_more_is_written_to_it(
    model: Path,
) -> None:
    model.unlink()
    looks = Looks(model)
    for size in (1, 2, 3):
        model.write_bytes(b"x" * size)
        assert not looks.look()
    assert looks.look()


def test_one_that_is_gone_is_not_tried(model: Path) -> None:
    looks = Looks(model)
    model.unlink()
    assert [looks.look() for _ in range(3)] == [False] * 3


def test_one_that_can_be_used_is_replaced_by_a_reload_and_not_by_itself(model: Path) -> None:
    looks = Looks(model)
    own = MODEL.model_copy(update={"path": looks.refused.path})
    looks.serve(HELLO.model_copy(update={"folder_models": {"inpaint": (own,)}}))
    model.write_bytes(b"other")
    assert [looks.look() for _ in range(3)] == [False] * 3


def test_between_two_looks_nothing_is_looked_at(model: Path) -> None:
    looks = Looks(model)
    assert not looks.look()
    model.write_bytes(b"good")
    assert not looks.wanted.is_mended(looks.now + LOOK_EVERY_S - 0.1)
    assert not looks.look()
    assert looks.look()


def test_a_file_that_stays_as_it_is_is_tried_again_ever_less_often(model: Path) -> None:
    """What was in its way, such as want of memory, need not be in the file."""
    looks = Looks(model)
    tried: list[float] = []
    began = looks.now
    while len(tried) < 9:
        if looks.look():
            tried.append(looks.now - began)
    pauses = [later - before for before, later in zip([0.0, *tried], tried, strict=False)]
    expected = [min(FIRST_RETRY_S * 2**n, LONGEST_RETRY_S) for n in range(9)]
    assert pauses == pytest.approx(expected, abs=2 * LOOK_EVERY_S)


def test_a_file_that_is_not_there_is_not_tried_again(tmp_path: Path) -> None:
    looks = Looks(tmp_path / "gone.pt")
    assert not any(looks.look() for _ in range(1000))
