"""Files that are whole or not there, on a disk that takes no more (a limit stands for it)."""

import errno
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from models.training.board import Board
from models.training.drafts import write_whole


@contextmanager
def files_of_at_most(size_bytes: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_file_is_there_whole_and_no_draft_beside_it(tmp_path: Path) -> None:
    write_whole(tmp_path / "a", lambda out: out.write(b"old"))
    write_whole(tmp_path / "a", lambda out: out.write(b"new"))
    assert (tmp_path / "a").read_bytes() == b"new"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("by_torch", [False, True])
def test_on_a_full_disk_the_file_is_named_and_stays_as_it_was(
    tmp_path: Path, by_torch: bool
) -> None:
    path = tmp_path / "last.pt"
    write_whole(path, lambda out: out.write(b"old"))
    much = torch.zeros(100_000)
    with pytest.raises(OSError, match="large") as raised, files_of_at_most(20_000):
        write_whole(
            path, lambda out: torch.save(much, out) if by_torch else out.write(bytes(100_000))
        )
    assert (raised.value.errno, raised.value.filename) == (errno.EFBIG, str(path))
    assert path.read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 1, "a draft was left"


def test_an_error_that_is_not_the_disks_stays_what_it_is(tmp_path: Path) -> None:
    def fail(_: object) -> None:
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        write_whole(tmp_path / "a", fail)
    assert not list(tmp_path.iterdir())


def test_scalars_that_the_disk_does_not_take_name_their_file(tmp_path: Path) -> None:
    (tmp_path / "scalars.jsonl").write_bytes(bytes(5000))
    with (
        Board(tmp_path) as board,
        pytest.raises(OSError, match="large") as raised,
        files_of_at_most(5000),
    ):
        board.scalars(1, {"alpha": 0.5})
    assert raised.value.filename == str(tmp_path / "scalars.jsonl")


def test_a_link_is_replaced_and_what_it_leads_to_stays(tmp_path: Path) -> None:
    (tmp_path / "photo.png").write_bytes(b"photo")
    (tmp_path / "sheet.png").symlink_to("photo.png")
    write_whole(tmp_path / "sheet.png", lambda out: out.write(b"sheet"))
    assert (tmp_path / "photo.png").read_bytes() == b"photo"
    assert not (tmp_path / "sheet.png").is_symlink()
    assert (tmp_path / "sheet.png").read_bytes() == b"sheet"
