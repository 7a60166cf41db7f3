"""The board where a terminal is there and rich is not."""

import sys
from pathlib import Path

import pytest

from models.training.board import Board


def test_without_rich_a_terminal_gets_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "rich.progress", None)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with Board(tmp_path) as board:
        board.progress(3, 10, 2.5, 0.5, {"alpha": 0.25})
    assert capsys.readouterr().err == "step 3/10  2.5 pictures/s, 50% of peak  alpha 0.2500\n"
