"""Looking at a spool at work never fails for a folder that goes meanwhile."""

import os
from pathlib import Path

import pytest
from listings import files_below


def test_files_are_listed_by_their_paths_and_hidden_ones_too(tmp_path: Path) -> None:
    (tmp_path / "a" / ".b").mkdir(parents=True)
    (tmp_path / "a" / ".b" / "c").touch()
    (tmp_path / ".d").touch()
    assert files_below(tmp_path) == [".d", "a/.b/c"]
    assert files_below(tmp_path / "none") == []


def test_a_folder_that_goes_meanwhile_is_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "going").mkdir()
    (tmp_path / "stays").touch()
    listed = os.scandir

    def scandir(path: str) -> object:
        if os.fspath(path).endswith("going"):
            Path(path).rmdir()
        return listed(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert files_below(tmp_path) == ["stays"]
    assert not (tmp_path / "going").exists()
