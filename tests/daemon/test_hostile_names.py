"""Names that nobody should give, through the real daemon: all are done, none can forge a line.

All pairs of a format of the log go through one run, for starting a worker takes seconds. The tests
look at what the run left.
"""

import json
import os
import re
import subprocess
import unicodedata
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from driver import PATIENCE_S, Pixels, Site, hole, inverted, photo
from PIL import Image

from daemon.events import Event
from daemon.intake.names import fitted
from daemon.places import Place
from daemon.spool import files
from daemon.spool.numbers import note_name

# What comes before `.png` in the picture's name, and before `_mask.png` in the mask's.
STEMS = [
    "two\nlines",
    "\nfirst",
    'x.png"}\n{"event":"job_failed","says":"forged',
    "x\n2026-11-22T00:00:00Z [error    ] job_failed",
    "over\rwritten",
    "tab\tand\vmore\f",
    "\x1b[2J\x1b[31mred",
    "\x1b]0;title\x07",
    "back\b\b\bspace",
    "delete\x7f",
    "\N{CONTROL SEQUENCE INTRODUCER}31m",
    "\u202egnp.exe",
    "\u2028line\u2029paragraph",
    "zero\u200bwidth\ufeff",
    "\U000e0041tag",
    os.fsdecode(b"\xff\xfe"),
    os.fsdecode(b"cut \xc3"),
    os.fsdecode(b"overlong \xc0\xaf"),
    os.fsdecode(b"surrogate \xed\xa0\x80"),
    "-rf",
    "--help",
    "-",
    "--",
    " leading",
    "trailing ",
    " ",
    "trailing.",
    "dots...",
    "a..b",
    "it's",
    'say "it"',
    "`id`",
    "$(touch pwned)",
    "${HOME}",
    "a;b|c&d>e<f",
    "*?[!a]",
    "[red]bold[/red]",
    ":cat:",
    "{0}{stem}{",
    "%s%n%",
    "back\\slash\\n",
    "=, event=job_failed",
    "#comment",
    "con",
    "aux.nul",
    "null",
    "mask",
    "_mask",
    "\N{CAT FACE}\N{VARIATION SELECTOR-16}\N{ZERO WIDTH JOINER}",
    unicodedata.normalize("NFD", "Ångström"),
    "Ⅷ ﬁ ß İ",
    "x" * 246,  # with which the mask's name has 255 bytes
    "é" * 123,
    os.fsdecode(b"\xff" * 246),
]
FOLDERS = [
    "two\nlines",
    "\x1b[2J",
    os.fsdecode(b"\xff"),
    "-rf",
    "--help",
    " ",
    "trailing ",
    "con",
    "$(touch pwned)",
    "x" * 255,
    "é" * 127,
    "cat.png",
]
# Each would be fitted to the same name for its note; the two differ at the end alone.
ALIKE = ["y" * 245 + end for end in "12"]
TREES = ["z" * 251, "ö" * 125]  # with which picture and mask have 255 bytes
NEVER_PICTURES = ["..jpg", "....png", ".png", "~x.png", "x.png~"]
DEEP = "d" * 250
DEPTH = 20  # a path of 5,000 bytes, where 4,096 are what a call takes


# Enough to show that both formats of the log, the notes and the summary stay whole.
FORGING = STEMS[:17]


def write(folder: int, name: str, pixels: Pixels) -> None:
    """Save a picture; a descriptor knows its folder where the path is too long."""
    fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644, dir_fd=folder)
    with os.fdopen(fd, "wb") as file:
        Image.fromarray(pixels).save(file, "PNG")


@contextmanager
def folder_below(root: Path, path: str) -> Iterator[int]:
    """Make folders below each other; a descriptor of the last."""
    fd = os.open(root, os.O_RDONLY)
    for part in filter(None, path.split("/")):
        with suppress(FileExistsError):
            os.mkdir(part, dir_fd=fd)
        deeper = os.open(part, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = deeper
    yield fd
    os.close(fd)


def drop(site: Site, path: str, pixels: Pixels) -> None:
    folder, _, name = path.rpartition("/")
    with folder_below(site.inbox, folder) as fd:
        write(fd, name, pixels)


def names_below(root: Path) -> list[str]:
    """All files, however long their paths are."""
    start = os.open(root, os.O_RDONLY)
    found = [
        f"{folder}/{name}".removeprefix("./")
        for folder, _, names, _ in os.fwalk(".", dir_fd=start)
        for name in names
    ]
    os.close(start)
    return sorted(found)


@dataclass
class Run:
    """What was dropped for one run of `once`, and what the run said."""

    site: Site
    results: dict[str, Pixels] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    log: str = ""
    summary: str = ""

    def add_pair(self, base: str, picture: str = "{}.png", mask: str = "{}_mask.png") -> None:
        pixels = photo(len(self.results))
        drop(self.site, picture.format(base), pixels)
        drop(self.site, mask.format(base), hole())
        self.results[picture.format(base)] = inverted(pixels, hole())

    def add_refused(self, base: str) -> None:
        drop(self.site, f"{base}.png", photo())
        drop(self.site, f"{base}_mask.png", hole(50, 41))
        self.refused.append(f"{base}.png")

    def add_lone(self, name: str, *, is_ignored: bool = False) -> None:
        drop(self.site, name, photo())
        (self.ignored if is_ignored else self.waiting).append(name)

    def go(self, log_format: str) -> None:
        done = subprocess.run(
            self.site.command("once"),
            env={**self.site.variables(), "RETOUCHD_LOG_FORMAT": log_format},
            capture_output=True,
            timeout=PATIENCE_S,
            check=False,
        )
        self.log, self.summary = done.stderr.decode("utf-8"), done.stdout.decode("utf-8")


def lines(text: str) -> list[str]:
    """The lines that a terminal or a reader of logs would see, each shown as it is."""
    assert text.endswith("\n")
    found = text[:-1].split("\n")
    assert [line for line in found if not line.isprintable()] == []
    return found


def made(tmp_path_factory: pytest.TempPathFactory, model: Path) -> Run:
    root = tmp_path_factory.mktemp("names") / "spool"
    run = Run(Site(root, {"RETOUCHD_INPAINT_MODEL": str(model)}))
    run.add_pair("plain")
    for stem in FORGING:
        run.add_pair(stem)
        run.add_refused(f"{stem} refused")
        run.add_lone(f"{stem} alone.png")
    return run


@pytest.fixture(scope="module")
def all_names(tmp_path_factory: pytest.TempPathFactory, inpaint_model: Path) -> Run:
    """All the names, logged as JSON."""
    run = made(tmp_path_factory, inpaint_model)
    for stem in STEMS[len(FORGING) :]:
        run.add_pair(stem)
    for folder in FOLDERS:
        run.add_pair(f"{folder}/cat")
    for stem in TREES:
        run.add_pair(stem, "images/{}.png", "masks/{}.png")
    run.add_pair("/".join([DEEP] * DEPTH) + "/cat")
    for stem in ALIKE:
        run.add_refused(stem)
    for name in NEVER_PICTURES:
        run.add_lone(name, is_ignored=True)
    run.go("json")
    return run


@pytest.fixture(scope="module")
def as_text(tmp_path_factory: pytest.TempPathFactory, inpaint_model: Path) -> Run:
    """The names that might forge something, logged for people."""
    run = made(tmp_path_factory, inpaint_model)
    run.go("text")
    return run


def test_each_pair_becomes_its_own_result_under_its_own_name(all_names: Run) -> None:
    outbox = all_names.site.outbox
    logs = [f"{name.removesuffix('.png')}.log" for name in all_names.results]
    assert names_below(outbox) == sorted([*all_names.results, *logs])
    for name, pixels in all_names.results.items():
        with files.reading(Place(outbox, name)) as file, Image.open(file) as image:
            assert (np.asarray(image) == pixels).all(), name


def test_what_may_be_no_picture_stays_where_it_is_and_is_not_spoken_of(all_names: Run) -> None:
    left = names_below(all_names.site.inbox)
    assert left == sorted(all_names.waiting + all_names.ignored)
    told = [line.partition(": ")[2] for line in lines(all_names.summary)]
    assert not any(line.startswith(f"{name}:") for line in told for name in all_names.ignored)


def test_originals_lie_in_the_archive_under_their_own_names(all_names: Run) -> None:
    archived = names_below(all_names.site.archive)
    assert len(archived) == 2 * len(all_names.results)
    assert set(all_names.results) <= set(archived)


def test_no_name_makes_a_line_of_the_json_log(all_names: Run) -> None:
    events = [json.loads(line) for line in lines(all_names.log)]
    assert_told_once(all_names, Counter(event["event"] for event in events))
    finished = [event["picture"] for event in events if event["event"] == "job_finished"]
    assert finished.count("plain.png") == 1
    assert all(event["level"] != "critical" and "timestamp" in event for event in events)


TEXT_LINE = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z \[(?:info|warning|error) *\] (\w+)\b")


def test_no_name_makes_a_line_of_the_log_for_people(as_text: Run) -> None:
    found = [(TEXT_LINE.match(line), line) for line in lines(as_text.log)]
    assert [line for match, line in found if match is None] == []
    assert_told_once(as_text, Counter(match[1] for match, _ in found if match))


def assert_told_once(run: Run, events: Counter[str]) -> None:
    assert events["job_finished"] == len(run.results)
    assert events["job_failed"] == len(run.refused)
    assert events["pair_claimed"] == len(run.results) + len(run.refused)
    assert set(events) <= {event.value for event in Event}


@pytest.mark.parametrize("which", ["all_names", "as_text"])
def test_no_name_makes_a_line_of_the_summary(which: str, request: pytest.FixtureRequest) -> None:
    run: Run = request.getfixturevalue(which)
    first, *rest = lines(run.summary)
    counts = (len(run.results), len(run.refused), len(run.waiting))
    assert first == "{} done, {} failed, {} waiting".format(*counts)
    assert [line.split(":")[0] for line in rest] == ["failed"] * counts[1] + ["waiting"] * counts[2]


def test_no_name_makes_a_line_of_a_jobs_log(all_names: Run) -> None:
    def facts(name: str) -> list[str]:
        place = Place(all_names.site.outbox, name.removesuffix(".png") + ".log")
        with files.reading(place) as file:
            return [line[:22] for line in lines(file.read().decode("utf-8"))]

    plain = facts("plain.png")
    assert len(plain) > 10
    for name in all_names.results:
        assert facts(name) == plain, name


def test_no_name_makes_a_line_of_a_note(all_names: Run) -> None:
    notes = [name for name in names_below(all_names.site.failed) if name.endswith(".reason.txt")]
    assert len(notes) == len(all_names.refused)
    for name in notes:
        text = (all_names.site.failed / name).read_text("utf-8")
        first, *_, last = lines(text)
        assert first.endswith("and the mask is 50 x 41.")
        assert last.startswith("(reason: size_mismatch, job: ")
        assert text.count("\n") == 10, text


def test_long_names_that_differ_at_the_end_alone_have_notes_of_their_own(all_names: Run) -> None:
    failed = all_names.site.failed
    for stem in ALIKE:
        told = [path for path in failed.glob("y*.reason.txt") if stem in path.read_text("utf-8")]
        assert len(told) == 1
        assert (failed / f"{stem}.png").is_file()
        assert (failed / f"{stem}_mask.png").is_file()


def test_nothing_of_a_name_was_run(all_names: Run) -> None:
    below = names_below(all_names.site.root)
    assert not any(name.endswith("/pwned") for name in below)
    assert not Path("pwned").exists()


@pytest.mark.parametrize(
    ("base", "fits"),
    [
        (os.fsdecode(b"\xff" * 300), os.fsdecode(b"\xff" * 245) + ".2.preview"),
        ("é" * 200, "é" * 122 + ".2.preview"),
        (os.fsdecode(b"a" * 244 + b"\xc3\xa9"), "a" * 244 + ".2.preview"),
        ("short", "short.2.preview"),
    ],
    ids=["bytes", "characters of two bytes", "a character on the edge", "short"],
)
def test_a_long_name_is_cut_between_characters_and_keeps_what_is_no_utf_8(
    base: str, fits: str
) -> None:
    assert fitted(base, ".2.preview") == fits


def test_the_note_of_a_short_name_bears_that_name() -> None:
    assert note_name("cat.jpg") == "cat.jpg.reason.txt"
    assert len(os.fsencode(note_name("e" * 255))) == 255
