"""Figure e measures what it says."""

import time
from pathlib import Path

import e_scan
import pytest
from findings import CannotMeasureError
from workbench import Workbench


def test_files_are_as_many_as_it_says_and_all_paired(tmp_path: Path) -> None:
    inbox = e_scan.fill(tmp_path / "inbox", 40)
    assert len(list(inbox.iterdir())) == 40
    e_scan.look(inbox, 40)


def test_a_look_that_misses_files_gives_no_figure(tmp_path: Path) -> None:
    inbox = e_scan.fill(tmp_path / "inbox", 40)
    with pytest.raises(CannotMeasureError, match="Of 25 pairs, 20"):
        e_scan.look(inbox, 50)


def test_work_that_goes_with_the_square_is_not_flat() -> None:
    def square(_inbox: Path, count: int) -> None:
        time.sleep(count**2 * 1e-6)

    cost = e_scan.costs({20: Path(), 200: Path()}, square, 1)
    row = e_scan.flatness(cost)
    assert row.value is not None
    assert row.value > 4
    assert row.verdict == "missed"


def test_work_that_goes_with_the_files_is_flat() -> None:
    assert e_scan.flatness({1000: 8.0, 10_000: 11.0, 100_000: 8.4}).value == pytest.approx(1.05)
    assert e_scan.flatness({1000: 8.0, 100_000: 8.4}).verdict == "met"


def test_cost_is_told_for_each_size_and_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(e_scan, "SHARED_MEMORY", tmp_path)
    bench = Workbench(tmp_path, "cpu", 1)
    finding = e_scan.measure(bench, counts=(20, 200), budget_s=0.5)
    assert [row.what for row in finding.rows] == [
        "20 files",
        "200 files",
        "a file of 200 / a file of 20",
    ]
    assert all(row.value and row.value > 0 for row in finding.rows)
    assert finding.details["where"] == "tmpfs"
    assert not list(tmp_path.iterdir())
