"""docs/spool.md names the states and the tests that are really there."""

import re

from driver import REPOSITORY

from daemon.spool.record import State

PAGE = (REPOSITORY / "docs" / "spool.md").read_text()


def test_the_table_has_a_line_for_every_state() -> None:
    assert re.findall(r"^\| S\d \| `(\w+)`", PAGE, re.MULTILINE) == [*State]


def test_every_test_that_the_page_names_exists() -> None:
    folder = REPOSITORY / "tests" / "daemon"
    tests = "".join(path.read_text() for path in folder.glob("test_*.py"))
    named = re.findall(r"`(test_\w+)`", PAGE)
    assert len(named) >= len(State)
    for name in named:
        assert f"def {name}(" in tests
