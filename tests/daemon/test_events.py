"""The log: every event is listed, every line is one line, whatever the names in it."""

import ast
import io
import json
import os
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from daemon.events import Event, LogFormat, configure

REPOSITORY = Path(__file__).parents[2]
PAGE = REPOSITORY / "docs" / "log.md"
LEVELS = {"debug", "info", "warning", "error", "critical"}


@dataclass
class Logged:
    """How the code logs one event."""

    levels: set[str] = field(default_factory=set)
    always: set[str] | None = None
    fields: set[str] = field(default_factory=set)

    def add(self, levels: set[str], fields: set[str]) -> None:
        self.levels |= levels
        self.fields |= fields
        self.always = fields if self.always is None else self.always & fields


def log_calls() -> Iterator[tuple[str, ast.Call]]:
    """Every call of a method of a name `log` or `logger` in the daemon, and where it stands."""
    for path in sorted((REPOSITORY / "daemon").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and isinstance(node.func.value, ast.Name)
                and node.func.value.id in ("log", "logger", "logging", "structlog")
                and node.func.attr in {*LEVELS, "log", "exception", "warn", "fatal", "msg"}
            ):
                yield f"{path.relative_to(REPOSITORY)}:{node.lineno}", node


def event_of(call: ast.Call) -> str | None:
    """The member of `Event` that a call logs."""
    assert isinstance(call.func, ast.Attribute)
    at = 1 if call.func.attr == "log" else 0
    name = call.args[at] if len(call.args) > at else None
    if isinstance(name, ast.Attribute) and isinstance(name.value, ast.Name):
        return name.attr if name.value.id == "Event" else None
    return None


def levels_of(call: ast.Call) -> set[str]:
    assert isinstance(call.func, ast.Attribute)
    if call.func.attr != "log":
        return {call.func.attr}
    level: ast.AST = call.args[0]
    if isinstance(level, ast.Call) and isinstance(level.func, ast.Name):
        level = functions()[level.func.id]
    named = {node.attr.lower() for node in ast.walk(level) if isinstance(node, ast.Attribute)}
    return named & LEVELS


@cache
def functions() -> dict[str, ast.FunctionDef]:
    """Every function of the daemon, by its name."""
    return {
        node.name: node
        for path in sorted((REPOSITORY / "daemon").rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef)
    }


@cache
def logged() -> dict[str, Logged]:
    found: defaultdict[str, Logged] = defaultdict(Logged)
    for _, call in log_calls():
        member = event_of(call)
        if member is not None and member in Event.__members__:
            fields = {keyword.arg for keyword in call.keywords if keyword.arg}
            found[Event[member].value].add(levels_of(call), fields)
    return found


def listed() -> dict[str, tuple[set[str], str, str]]:
    """The page's table: levels, meaning and fields by event."""
    rows = re.findall(
        r"^\| `(\w+)` \| ([\w, ]+) \| (.+) \| (.+) \|$", PAGE.read_text("utf-8"), re.M
    )
    return {name: (set(levels.split(", ")), means, fields) for name, levels, means, fields in rows}


def test_every_log_call_names_an_event_of_the_list() -> None:
    stray = [where for where, call in log_calls() if event_of(call) not in Event.__members__]
    assert stray == []
    assert len(list(log_calls())) > 20


def test_every_event_of_the_list_is_logged_somewhere() -> None:
    assert logged().keys() == {event.value for event in Event}


def test_the_page_lists_every_event_and_no_other() -> None:
    assert list(listed()) == [event.value for event in Event]


@pytest.mark.parametrize("event", list(Event))
def test_the_page_tells_an_events_levels_and_fields(event: Event) -> None:
    levels, means, fields = listed()[event]
    code = logged()[event]
    assert levels == code.levels
    assert means.endswith(".")
    sometimes = set(re.findall(r"\[`(\w+)`\]", fields))
    outside = re.sub(r"\(.*?\)", "", fields)  # brackets hold values, not fields
    assert set(re.findall(r"`(\w+)`", outside)) == code.fields
    assert sometimes == code.fields - (code.always or set())


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    yield
    structlog.reset_defaults()


def written(log_format: LogFormat, level: str = "info", **fields: object) -> str:
    """What one event writes."""
    before, sys.stderr = sys.stderr, io.StringIO()
    try:
        configure(log_format, level)
        structlog.get_logger().info(Event.NOTE, **fields)
        return sys.stderr.getvalue()
    finally:
        sys.stderr = before


def test_a_json_line_has_its_event_its_level_its_time_and_its_fields() -> None:
    line = json.loads(written("json", job="j1", seconds={"read": 0.5}))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", line.pop("timestamp"))
    assert line == {"event": "note", "level": "info", "job": "j1", "seconds": {"read": 0.5}}


def test_a_text_line_is_readable() -> None:
    line = written("text", picture="day 1/cat.jpg")
    assert "note" in line
    assert "day 1/cat.jpg" in line
    assert "\x1b" not in line


def test_auto_writes_json_where_there_is_no_terminal() -> None:
    assert json.loads(written("auto"))["event"] == "note"


def test_what_is_below_the_level_is_not_written() -> None:
    assert written("json", "warning") == ""


HOSTILE = [
    'x.jpg\n{"event":"job_finished"}',
    "a\r\nb",
    os.fsdecode(b"\xff\xfe"),
    "\ud800",
    "\x1b[2J",
    "\u2028line",
    "\u202egpj.exe",
    "\x00",
]


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("log_format", ["json", "text"])
def test_a_hostile_name_stays_in_one_printable_line(log_format: LogFormat, name: str) -> None:
    for value in (name, [name], {"k": name}, (name,)):
        line = written(log_format, picture=value)
        assert line.endswith("\n")
        assert line[:-1].isprintable()
        assert line.encode()


@given(st.text(st.characters(), max_size=30))
def test_any_name_makes_one_json_line_in_ascii(name: str) -> None:
    line = written("json", picture=name)
    assert line.isascii()
    assert line.count("\n") == 1
    assert json.loads(line)["event"] == "note"


def test_an_ordinary_name_is_logged_as_it_is() -> None:
    assert json.loads(written("json", picture="Äpfel 🍎.jpg"))["picture"] == "Äpfel 🍎.jpg"
