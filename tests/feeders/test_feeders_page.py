"""docs/feeders.md shows the suite as it is."""

import inspect

import pytest
import test_feeders
from feeding import BEHAVIOURS
from rows import ROWS, rows_that_can
from table import HEAD, PAGE, TableError, put_into, shown, table
from table import test_of as name_of


def outcomes(of: str = "passed") -> dict[str, dict[str, str]]:
    return {row.name: {"version": "1", **dict.fromkeys(BEHAVIOURS, of)} for row in ROWS}


def test_the_table_has_the_rows_and_columns_of_the_suite() -> None:
    names, columns = shown(PAGE.read_text())
    assert names == [row.name for row in ROWS]
    assert columns == list(HEAD)


def test_the_table_has_a_test_or_a_reason_in_every_cell() -> None:
    page = PAGE.read_text()
    for behaviour in BEHAVIOURS:
        for row in rows_that_can(behaviour):
            assert f'"{name_of(behaviour)}[{row.name}]")' in page
    for row in ROWS:
        assert all(why in page for why in row.cannot.values())


def test_each_column_is_explained_above_the_table() -> None:
    page = PAGE.read_text()
    assert all(f"\n| {behaviour} | " in page for behaviour in BEHAVIOURS)


def test_each_behaviour_is_a_test_of_the_suite_and_each_test_a_behaviour() -> None:
    functions = dict(inspect.getmembers(test_feeders, inspect.isfunction))
    tests = {name for name in functions if name.startswith("test_")}
    assert tests == {name_of(behaviour) for behaviour in BEHAVIOURS}


def test_a_row_that_was_not_tried_makes_no_table() -> None:
    tried = outcomes()
    del tried[ROWS[0].name]
    with pytest.raises(TableError, match=f"{ROWS[0].name} was not tried"):
        table(ROWS, tried)


def test_a_failed_test_makes_no_table() -> None:
    with pytest.raises(TableError, match="failed"):
        table(ROWS, outcomes("failed"))


def test_a_new_table_takes_the_place_of_the_old() -> None:
    page = put_into(PAGE.read_text(), table(ROWS[:1], outcomes()))
    assert shown(page)[0] == [ROWS[0].name]
    assert page.split("| feeder |")[0] == PAGE.read_text().split("| feeder |")[0]
    assert page.endswith(PAGE.read_text()[-200:])


def test_why_a_feeder_cannot_is_one_sentence() -> None:
    reasons = [why for row in ROWS for why in row.cannot.values()]
    assert reasons
    assert all(why.endswith(".") and why.count(". ") == 0 for why in reasons)


def test_names_of_feeders_are_unique() -> None:
    assert len({row.name for row in ROWS}) == len(ROWS)
