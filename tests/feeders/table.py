"""The table in docs/feeders.md, made of what a run of the suite came to.

FEEDERS_OUTCOMES=FILE pytest tests/feeders; python tests/feeders/table.py FILE
"""

import json
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import pytest
from feeding import BEHAVIOURS, Behaviour, Feeder

PAGE: Final = Path(__file__).parents[2] / "docs" / "feeders.md"
TESTS: Final = "../tests/feeders/test_feeders.py"
HEAD: Final = ("feeder", "programs and versions", "name while incomplete", *BEHAVIOURS)

Cells = Mapping[str, str]

_TABLE = re.compile(r"^\| feeder \|.*?(?=^(?!\|)|\Z)", re.MULTILINE | re.DOTALL)


class TableError(Exception):
    """The outcomes make no table; the text says why."""


class Outcomes:
    """What became of each cell: `passed`, or what it did else, and the row's version."""

    def __init__(self) -> None:
        self._cells: dict[str, dict[str, str]] = {}

    def note(self, report: pytest.TestReport) -> None:
        """Take down one report; of setup, call and end of a test the worst counts."""
        told = {str(key): str(value) for key, value in report.user_properties}
        if "row" not in told:
            return
        row = self._cells.setdefault(told["row"], {"version": told["version"]})
        if row.get(told["column"], "passed") == "passed":
            row[told["column"]] = report.outcome

    def write(self, file: Path) -> None:
        """Write all as JSON."""
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(self._cells, indent=1, ensure_ascii=False))


def test_of(behaviour: Behaviour) -> str:
    """The name of the test of a behaviour: `test_whole_tree`."""
    return "test_" + re.sub(r"\W+", "_", behaviour)


def behaviour_of(test: str) -> Behaviour:
    """The behaviour that a test is of."""
    return {test_of(behaviour): behaviour for behaviour in BEHAVIOURS}[test]


def table(rows: Iterable[type[Feeder]], outcomes: Mapping[str, Cells]) -> str:
    """The table, in Markdown. Raises `TableError` unless all tests of all rows passed."""
    lines = [_line(HEAD), _line(["---"] * len(HEAD))]
    for row in rows:
        told = outcomes.get(row.name)
        if told is None:
            raise TableError(f"{row.name} was not tried")
        name = "its own" if row.temporary_names == "none" else row.temporary_names
        cells = [_cell(row, behaviour, told) for behaviour in BEHAVIOURS]
        lines.append(_line([f"`{row.name}`", told["version"], name, *cells]))
    return "\n".join(lines) + "\n"


def _cell(row: type[Feeder], behaviour: Behaviour, told: Cells) -> str:
    if behaviour in row.cannot:
        return row.cannot[behaviour]
    if told.get(behaviour) != "passed":
        raise TableError(f"{row.name}, {behaviour}: {told.get(behaviour, 'was not tried')}")
    return f'[✓]({TESTS} "{test_of(behaviour)}[{row.name}]")'


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def put_into(page: str, new: str) -> str:
    """The page with another table."""
    if len(_TABLE.findall(page)) != 1:
        raise TableError("the page should have one table that begins with `| feeder |`")
    return _TABLE.sub(lambda _: new, page)


def shown(page: str) -> tuple[list[str], list[str]]:
    """The rows' names and the columns' heads of a page's table."""
    head, _, *lines = _TABLE.findall(page)[0].splitlines()
    columns = [cell.strip() for cell in head.strip("|").split("|")]
    return [line.split("`")[1] for line in lines], columns


def main(file: str) -> None:
    """Put the outcomes that a file holds into the page."""
    from rows import ROWS

    outcomes = json.loads(Path(file).read_text())
    PAGE.write_text(put_into(PAGE.read_text(), table(ROWS, outcomes)))


if __name__ == "__main__":
    main(*sys.argv[1:])
