"""The table, bench.json, bench.png, and the command that writes them."""

import io
import json
from pathlib import Path

import e_scan
import numpy as np
import pytest
import run
from chip import describe
from findings import Bound, CannotMeasureError, Finding, Row
from PIL import Image
from report import Measured, number, print_table, write_json, write_plot
from rich.console import Console
from workbench import Workbench

MACHINE = {"gpu": None, "processor": "a chip", "threads": 2, "torch": "2", "commit": None}
MACHINE |= {"date": "2026-01-01 00:00 UTC"}
BLANK = Row("needs a GPU", None, "%", Bound("at least", 35), "Only on a GPU.")


def figures() -> list[Measured]:
    ratio = Row("ratio", 1.24, "", Bound("at most", 1.05), "2 s to 1.6 s")
    plain = Row("memory", 1234.0, "MB")
    return [
        Measured("a", "forwards", Finding((ratio, plain), {"raw": [1, 2]}), 3.14),
        Measured("g", "peak", Finding((BLANK,)), 0.0),
    ]


def test_bounds_are_met_from_their_own_side() -> None:
    assert [Bound("at most", 2).verdict(value) for value in (1.9, 2, 2.1)] == [
        "met",
        "met",
        "missed",
    ]
    assert [Bound("at least", 2).verdict(v) for v in (1.9, 2, 2.1)] == ["missed", "met", "met"]
    assert Bound("at least", 2).verdict(None) == "-"


def test_table_has_every_row_with_its_bound_and_blanks_are_a_dash() -> None:
    out = io.StringIO()
    print_table(figures(), Console(file=out, width=150, highlight=False, markup=False))
    text = out.getvalue()
    assert "at most 1.05" in text
    assert "missed" in text
    blank = next(line for line in text.splitlines() if "needs a GPU" in line)
    assert " - " in blank
    assert "0" not in blank.replace("35", "")


def test_numbers_have_three_digits_that_count() -> None:
    assert [number(value) for value in (None, 0.01234, 1.049, 33.333, 12345.6)] == [
        "-", "0.0123", "1.05", "33.3", "12,346",
    ]  # fmt: skip


def test_json_holds_rows_details_and_null_for_what_was_not_measured(tmp_path: Path) -> None:
    found = json.loads(write_json(figures(), MACHINE, tmp_path).read_text())
    assert found["machine"]["threads"] == 2
    row = found["figures"]["a"]["rows"][0]
    assert row["value"] == 1.24
    assert row["bound"] == {"direction": "at most", "limit": 1.05}
    assert row["verdict"] == "missed"
    assert found["figures"]["a"]["details"] == {"raw": [1, 2]}
    assert found["figures"]["g"]["rows"][0]["value"] is None


def test_plot_is_drawn_though_figures_are_missing(tmp_path: Path) -> None:
    with Image.open(write_plot(figures(), MACHINE, tmp_path)) as plot:
        assert plot.width > 800
        assert len(np.unique(np.asarray(plot.convert("L")))) > 10


def test_machine_says_what_the_figures_were_measured_with() -> None:
    about = describe("cpu", 3)
    assert about["threads"] == 3
    assert about["gpu"] is None
    assert {
        "processor",
        "cores",
        "torch",
        "commit",
        "date",
        "packages",
        "memory_gb",
    } <= about.keys()
    json.dumps(about)


def test_a_figure_that_cannot_be_measured_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def measure(_: Workbench) -> Finding:
        raise CannotMeasureError("There is no room.")

    monkeypatch.setattr(e_scan, "measure", measure)
    found = run.measured("e", e_scan, Workbench(tmp_path, "cpu", 1))
    assert (found.finding.rows[0].value, found.finding.rows[0].note) == (None, "There is no room.")
    assert "There is no room." in capsys.readouterr().out


def test_command_measures_what_is_asked_and_writes_where_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(e_scan, "measure", lambda bench: QUICK(bench, (20, 200), 0.2))
    monkeypatch.setattr(run, "limit_threads", lambda _: None)  # it holds for the whole process
    assert run.main(["--only", "e", "--output", str(tmp_path / "out"), "--device", "cpu"]) == 0
    out = capsys.readouterr().out
    assert "a file of 200 / a file of 20" in out
    found = json.loads((tmp_path / "out" / "bench.json").read_text())
    assert found["figures"].keys() == {"e"}
    assert found["machine"]["seconds"] >= 0
    assert (tmp_path / "out" / "bench.png").stat().st_size > 5000


QUICK = e_scan.measure


def test_command_refuses_figures_that_it_does_not_know(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        run.main(["--only", "a,x"])
    assert stop.value.code == 2
    assert "a,b,c,d,e,f,g" in capsys.readouterr().err
