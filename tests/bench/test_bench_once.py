"""Figure b measures what it says."""

from pathlib import Path
from typing import Any

import b_once
import pytest
from b_once import Side
from findings import CannotMeasureError
from standins import failing_bench, tiny_bench


def line(event: str, second: float) -> dict[str, Any]:
    return {"event": event, "timestamp": f"2026-01-01T00:00:{second:09.6f}Z"}


def test_steady_part_is_from_the_first_start_to_the_last_end() -> None:
    lines = [line("started", 0), line("job_started", 2.5), line("job_started", 3)]
    lines += [line("job_finished", 4), line("job_finished", 9.25), line("stopped", 20)]
    assert b_once.steady_seconds(lines) == 6.75


def test_pairs_fill_the_time_of_one_side_but_are_never_too_few() -> None:
    assert b_once.pairs_for(b_once.BUDGET_S / 30) == 30
    assert b_once.pairs_for(1000) == 8
    assert b_once.pairs_for(1e-9) == 2000


def test_ratios_are_of_once_over_forwards_and_only_a_gpu_has_a_rate() -> None:
    on_cpu = b_once.rows_of(Side(30, 22, 44), Side(20, 20, 40), 10, 1, is_gpu=False)
    assert [row.value for row in on_cpu] == [1.5, 1.1, 1.1, None]
    assert [row.verdict for row in on_cpu] == ["missed", "missed", "", "-"]
    on_gpu = b_once.rows_of(Side(30, 25, 1), Side(20, 20, 1), 2000, 16, is_gpu=True)
    assert on_gpu[-1].value == 0.8
    assert on_gpu[-1].verdict == "met"


def test_both_programs_work_every_pair_and_are_timed_whole(tmp_path: Path) -> None:
    finding = b_once.measure(tiny_bench(tmp_path), pairs=2)
    once, forwards = finding.details["once"], finding.details["forwards"]
    assert 0 < once["steady_s"] < once["whole_s"]
    assert 0 < forwards["steady_s"] < forwards["whole_s"]
    # CPU time of the worker, the supervisor's child, is in it: torch alone takes a second.
    assert once["cpu_s"] > 1
    assert forwards["cpu_s"] > 0.5
    assert finding.rows[0].value == pytest.approx(once["whole_s"] / forwards["whole_s"])
    results = sorted(path.name for path in (tmp_path / "once" / "outbox").glob("*.png"))
    assert results == ["photo 0000.png", "photo 0001.png"]


def test_pairs_that_fail_give_no_figure(tmp_path: Path) -> None:
    site = failing_bench(tmp_path).site("once", "inpaint")
    b_once.fill(site, 2)
    with pytest.raises(CannotMeasureError, match="finished 0 of 2 pairs"):
        b_once.run_once(site, 2)
