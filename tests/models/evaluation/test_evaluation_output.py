"""The evaluation's folder: nobody else's file is overwritten, and no link is written through."""

import json
from pathlib import Path

import pytest

from models.evaluation.methods import EvaluationError
from models.evaluation.output import RESULTS, SHEET, TABLES, refuse_foreign

OURS = dict.fromkeys(("task", "data", "machine", "methods", "cases", "scores", "means"), "x")


@pytest.mark.parametrize("name", [RESULTS, TABLES, SHEET])
def test_file_from_elsewhere_is_refused_by_its_name(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("{}")
    with pytest.raises(EvaluationError, match=f"holds {name} from elsewhere"):
        refuse_foreign(tmp_path)
    assert (tmp_path / name).read_text() == "{}"


@pytest.mark.parametrize("content", ["", "[]", '{"task": "inpaint"}', "[" * 100_000])
def test_results_that_are_not_ours_vouch_for_nothing(tmp_path: Path, content: str) -> None:
    (tmp_path / RESULTS).write_text(content)
    (tmp_path / TABLES).write_text("a table")
    with pytest.raises(EvaluationError, match=r"holds results\.json and table\.md from elsewhere"):
        refuse_foreign(tmp_path)


def test_link_that_leads_nowhere_is_somebodys_too(tmp_path: Path) -> None:
    (tmp_path / SHEET).symlink_to("gone.png")
    with pytest.raises(EvaluationError, match=f"holds {SHEET} from elsewhere"):
        refuse_foreign(tmp_path)


def test_our_own_results_vouch_for_the_table_and_the_sheet(tmp_path: Path) -> None:
    refuse_foreign(tmp_path / "not there yet")
    (tmp_path / "notes.txt").touch()
    refuse_foreign(tmp_path)
    (tmp_path / RESULTS).write_text(json.dumps(OURS))
    for name in (TABLES, SHEET):
        (tmp_path / name).touch()
    refuse_foreign(tmp_path)
