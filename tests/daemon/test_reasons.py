"""The list of reasons: complete, in words, and no fact can forge a line."""

import ast
import errno
import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.reasons import REASONS, Kind, Reason, Report, Trouble, world_trouble

REPOSITORY = Path(__file__).parents[2]
PAGE = REPOSITORY / "docs" / "reasons.md"

# Facts that whoever handles a trouble adds, as the one who raises it can't know them.
ADDED_LATER = {
    "incomplete": {"seconds"},
    **{key: {"attempts"} for key, reason in REASONS.items() if reason.kind is Kind.RETRY},
}


def test_the_page_lists_no_other_reason() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", PAGE.read_text("utf-8"), re.MULTILINE)
    assert sorted(rows) == sorted(REASONS)


def literal_keys() -> list[tuple[str, ast.Call]]:
    """Every `Trouble("key", ...)` in the daemon."""
    return [
        (str(node.args[0].value), node)
        for path in (REPOSITORY / "daemon").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "Trouble"
        and node.args
        and isinstance(node.args[0], ast.Constant)
    ]


def test_every_trouble_in_the_code_is_on_the_list() -> None:
    assert {key for key, _ in literal_keys()} <= REASONS.keys()


def test_every_reason_on_the_list_is_used() -> None:
    code = "\n".join(path.read_text("utf-8") for path in (REPOSITORY / "daemon").rglob("*.py"))
    assert [key for key in REASONS if code.count(f'"{key}"') < 2] == []


def test_every_trouble_in_the_code_gives_the_facts_that_its_words_need() -> None:
    gaps = {
        key: missing
        for key, call in literal_keys()
        if all(keyword.arg for keyword in call.keywords)  # no **facts
        and (
            missing := REASONS[key].fields()
            - {str(keyword.arg) for keyword in call.keywords}
            - ADDED_LATER.get(key, set())
        )
    }
    assert gaps == {}


@pytest.mark.parametrize("reason", REASONS.values(), ids=lambda reason: reason.key)
def test_words_begin_small_and_end_as_a_sentence(reason: Reason) -> None:
    # They follow a file's name and a colon.
    assert reason.says[0] == reason.says[0].lower()
    assert reason.says.endswith((".", "{detail}"))
    assert reason.advice[0] == reason.advice[0].upper()
    assert "\n" not in reason.says + reason.advice


def test_a_reason_that_is_not_listed_is_a_fault_of_the_code() -> None:
    with pytest.raises(KeyError):
        Trouble("nonsense")


def test_a_trouble_says_its_facts() -> None:
    trouble = Trouble(
        "size_mismatch",
        role="mask",
        picture_width=640,
        picture_height=480,
        companion_width=320,
        companion_height=240,
    )
    assert trouble.sentence == "the picture is 640 x 480 pixels and the mask is 320 x 240."
    assert "Make the mask on the picture itself" in trouble.advice
    assert str(trouble) == trouble.sentence


@pytest.mark.parametrize("key", REASONS)
def test_missing_facts_read_as_question_marks(key: str) -> None:
    trouble = Trouble(key)
    assert ("?" in trouble.sentence + trouble.advice) == bool(trouble.reason.fields())


@pytest.mark.parametrize("odd", ["many", "", -1, 10**400, float("nan"), float("inf"), True])
@pytest.mark.parametrize("key", REASONS)
def test_facts_of_the_wrong_kind_are_told_as_they_are(key: str, odd: object) -> None:
    fields = REASONS[key].fields()
    trouble = Trouble(key, **dict.fromkeys(fields, odd))
    assert trouble.sentence
    assert trouble.advice


@given(st.sampled_from(sorted(REASONS)), st.text(st.characters(), max_size=30))
def test_no_fact_can_forge_a_line(key: str, fact: str) -> None:
    trouble = Trouble(key, **dict.fromkeys(REASONS[key].fields(), fact))
    assert trouble.sentence.isprintable()
    assert trouble.advice.isprintable()
    assert (trouble.sentence + trouble.advice).encode()
    assert all(isinstance(f, str) and f.isprintable() for f in trouble.facts.values())


@given(st.binary(max_size=30).map(os.fsdecode))
def test_a_name_that_is_no_utf8_is_told_by_its_bytes(name: str) -> None:
    said = Trouble("unreadable", path=name).sentence
    assert said.isprintable()
    assert said.encode()


def test_a_byte_that_is_no_utf8_reads_as_that_byte() -> None:
    assert r"caf\xe9.jpg" in Trouble("unreadable", path=os.fsdecode(b"caf\xe9.jpg")).sentence


def test_braces_in_a_fact_are_no_template() -> None:
    said = Trouble("unreadable", path="{path} {0} {path.__class__}.jpg").sentence
    assert "{path} {0} {path.__class__}.jpg may not be read" in said


def test_an_ordinary_name_is_told_as_it_is() -> None:
    assert "Äpfel 🍎.jpg" in Trouble("unreadable", path="Äpfel 🍎.jpg").sentence


@pytest.mark.parametrize(
    ("code", "key"),
    [
        (errno.ENOSPC, "disk_full"),
        (errno.EDQUOT, "quota"),
        (errno.EROFS, "read_only"),
        (errno.EACCES, "permission"),
        (errno.EPERM, "permission"),
        (errno.EXDEV, "other_filesystem"),
        (errno.ENOENT, "folder_missing"),
        (errno.EMFILE, "too_many_open_files"),
        (errno.EIO, "io_error"),
        (errno.ESTALE, "io_error"),
    ],
)
def test_an_error_of_the_system_is_the_worlds_fault(code: int, key: str) -> None:
    trouble = world_trouble(OSError(code, os.strerror(code), "/spool/inbox"))
    assert trouble.reason.key == key
    assert trouble.reason.kind is Kind.WORLD
    assert "/spool/inbox" in trouble.sentence


def test_what_stays_cut_off_is_told_in_plain_words_first_and_not_in_thousands_of_seconds() -> None:
    facts = {"role": "picture", "detail": "broken data stream when reading image file"}
    corrupt = Trouble("corrupt", **facts, seconds=3600)
    assert corrupt.sentence == (
        "the picture is damaged or cut off, and has not changed for 60 min "
        "(broken data stream when reading image file)."
    )
    incomplete = Trouble("incomplete", **facts, seconds=3600)
    assert "looks cut off, as if it were still being copied (broken" in incomplete.sentence
    assert "goes to failed/ after 60 min without a change." in incomplete.advice


def test_an_error_without_a_number_or_a_name_is_told_all_the_same() -> None:
    assert world_trouble(OSError()).sentence == "a file can't be read or written (OSError)."


def test_the_path_that_is_given_is_told_rather_than_the_errors_own() -> None:
    assert "/outbox" in world_trouble(OSError(errno.EIO, "?", "/tmp/x"), "/outbox").sentence  # noqa: S108


def test_a_report_brings_the_trouble_back_with_facts_added() -> None:
    report = Report.of(Trouble("worker_died", detail="signal SIGSEGV"))
    said = report.trouble(attempts=3).sentence
    assert said == "the worker process died on it 3 times (signal SIGSEGV)."
    assert "died on it once (" in report.trouble(attempts=1).sentence
    assert "?" in report.trouble().sentence
