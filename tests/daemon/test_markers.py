"""Where a setting asks for it, a pair is taken only when its uploader has marked it as complete."""

import os
import re
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from clocks import Clock
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs
from test_pairing import PAGE, PATHS, paired

from daemon.folders import FolderRules, Rules
from daemon.intake import grouping
from daemon.intake.grouping import Groups
from daemon.intake.markers import require_markers
from daemon.intake.names import is_junk_file, kind_of
from daemon.intake.pairing import Pair, Pairing
from daemon.intake.scan import Entry, Identity, Survey
from daemon.reasons import Report
from daemon.settings import load_settings
from daemon.supervisor import watch as module
from daemon.supervisor.inbox import Inbox


def is_marker(path: str) -> bool:
    return kind_of(path.rpartition("/")[2], with_markers=True) == "marker"


def entries(*paths: str) -> list[Entry]:
    return [Entry(path, Identity(1, at, 10, 0)) for at, path in enumerate(paths)]


def marked(*paths: str) -> Pairing:
    """What pairs up where markers are asked for; their names tell which of the files are some."""
    files = entries(*paths)
    markers = [entry for entry in files if is_marker(entry.path)]
    pictures = [entry for entry in files if entry not in markers]
    return require_markers(paired(*(entry.path for entry in pictures)), pictures, markers)


def taken(*paths: str) -> dict[str, str]:
    """The marker of each pair that may go, by its picture."""
    return {pair.picture.path: pair.marker.path for pair in marked(*paths).pairs if pair.marker}


def reasons(*paths: str) -> dict[str, str]:
    return {waiting.path: waiting.report.key for waiting in marked(*paths).waiting}


# Which marker belongs to which picture.


@pytest.mark.parametrize(
    "name", ["cat.jpg.done", "cat.done", "CAT.JPG.DONE", "Cat.Done", "cat.JPG.done"]
)
def test_a_marker_of_the_pictures_name_marks_the_pair(name: str) -> None:
    assert taken("cat.jpg", "cat_mask.png", name) == {"cat.jpg": name}


def test_a_marker_may_be_in_the_other_unicode_form() -> None:
    picture, mask = (unicodedata.normalize("NFD", f"Crème{end}") for end in (".jpg", "_mask.png"))
    for name in ("crème.done", "CRÈME.jpg.done"):
        name = unicodedata.normalize("NFC", name)
        assert taken(picture, mask, name) == {picture: name}


def test_a_pair_without_a_marker_waits_and_says_which_to_put() -> None:
    (waiting,) = marked("day/cat.jpg", "day/cat_mask.png").waiting
    assert (waiting.path, waiting.report.key) == ("day/cat.jpg", "marker_missing")
    said = waiting.report.trouble()
    assert "cat.jpg.done beside the picture" in said.advice
    # In some folders a picture is complete without a mask.
    assert "with it its mask or trimap where it needs one" in said.advice


def test_of_two_pictures_of_a_stem_each_needs_a_marker_of_its_whole_name() -> None:
    twins = ("cat.jpg", "cat.jpg.mask.png", "cat.png", "cat.png.mask.png")
    assert reasons(*twins, "cat.done") == {
        "cat.jpg": "marker_missing",
        "cat.png": "marker_missing",
        "cat.done": "ambiguous",
    }
    assert taken(*twins, "cat.png.done") == {"cat.png": "cat.png.done"}
    assert taken(*twins, "cat.png.done", "cat.JPG.done") == {
        "cat.png": "cat.png.done",
        "cat.jpg": "cat.JPG.done",
    }


def test_a_picture_that_waits_is_one_for_which_a_short_name_may_be_meant() -> None:
    assert taken("cat.jpg", "cat.jpg.mask.png", "cat.png", "cat.done") == {}


def test_an_ambiguous_marker_says_between_which_pictures_it_is() -> None:
    found = marked("cat.jpg", "cat.jpg.mask.png", "cat.png", "cat.png.mask.png", "cat.done")
    (said,) = (w.report.trouble().sentence for w in found.waiting if w.path == "cat.done")
    assert all(name in said for name in ("cat.done", "cat.jpg", "cat.png"))


def test_a_marker_of_a_whole_name_is_not_taken_for_a_short_one() -> None:
    files = ("cat.jpg", "cat_mask.png", "cat.jpg.png", "cat.jpg.png.mask.png")
    assert taken(*files, "cat.jpg.done") == {"cat.jpg": "cat.jpg.done"}


def test_two_markers_of_a_pair_are_not_guessed_between() -> None:
    files = ("cat.jpg", "cat_mask.png", "cat.done", "cat.jpg.done")
    assert reasons(*files) == {"cat.jpg": "ambiguous"}
    assert reasons("cat.jpg", "cat_mask.png", "cat.done", "CAT.done") == {"cat.jpg": "ambiguous"}


def test_a_marker_of_the_mask_does_not_count_and_is_told() -> None:
    for files in (
        ("cat.jpg", "cat_mask.png", "cat_mask.png.done"),
        ("images/cat.jpg", "masks/cat.png", "masks/cat.png.done"),
        ("images/cat.jpg", "masks/cat.png", "masks/cat.done"),
    ):
        assert reasons(*files) == {files[0]: "marker_missing", files[2]: "marker_alone"}


def test_a_marker_in_another_folder_does_not_count() -> None:
    assert taken("a/cat.jpg", "a/cat_mask.png", "b/cat.jpg.done", "cat.jpg.done") == {}


def test_a_marker_without_a_picture_is_told() -> None:
    assert reasons("cat.jpg.done") == {"cat.jpg.done": "marker_alone"}


def test_a_marker_of_a_picture_that_waits_for_something_else_is_not_told_of() -> None:
    assert reasons("cat.jpg", "cat.jpg.done") == {"cat.jpg": "companion_missing"}
    assert set(reasons("cat.jpg", "cat_mask.png", "cat-mask.png", "cat.done")) == {
        *("cat.jpg", "cat_mask.png", "cat-mask.png")
    }


@pytest.mark.parametrize("name", ["cat.jpg.done", "CAT.done", "Cat.Jpg.DONE"])
def test_the_markers_tail_is_what_follows_the_common_base(name: str) -> None:
    (pair,) = marked("cat.jpg", "cat_mask.png", name).pairs
    assert name == name[:3] + pair.marker_tail


@given(PATHS)
def test_with_a_marker_of_its_whole_name_each_pair_is_as_without_the_setting(
    paths: list[str],
) -> None:
    paths = [path for path in paths if not is_junk_file(path.rpartition("/")[2])]
    found = paired(*paths)
    names = {f"{pair.picture.path}.done" for pair in found.pairs}
    pairs = marked(*paths, *names).pairs
    # Two pictures whose names differ in their case alone have two markers in common.
    if len({unicodedata.normalize("NFC", name.casefold()) for name in names}) == len(names):
        assert {pair.picture for pair in pairs} == {pair.picture for pair in found.pairs}
        assert {pair.marker.path for pair in pairs if pair.marker} == names


MARKS = st.builds(
    "{}{}".format,
    PATHS.flatmap(lambda paths: st.sampled_from(paths or ["a"])),
    st.sampled_from([".done", ".DONE"]),
)


@given(PATHS, st.lists(MARKS, max_size=6, unique=True))
def test_no_marker_is_taken_twice_and_no_picture_without_one(
    paths: list[str], marks: list[str]
) -> None:
    found = marked(*paths, *marks)
    used = [pair.marker for pair in found.pairs]
    assert None not in used
    assert len(set(used)) == len(used)
    told = {waiting.path for waiting in found.waiting}
    pictures = {pair.picture.path for pair in paired(*paths).pairs}
    assert {pair.picture.path for pair in found.pairs} == pictures - told


EXAMPLE = re.compile(r"```text marked\n(.*?)```", re.DOTALL)


def examples() -> list[tuple[str, ...]]:
    """The page's examples, each a line: the files, then `taken` or `waits`."""
    return [
        tuple(re.split(r"  +\+ |  +-> ", line.strip()))
        for block in EXAMPLE.findall(PAGE.read_text("utf-8"))
        for line in block.splitlines()
    ]


@pytest.mark.parametrize("example", examples(), ids=" ".join)
def test_what_the_page_on_naming_says_of_markers_is_right(example: tuple[str, ...]) -> None:
    *names, result = example
    assert taken(*names) == ({names[0]: names[2]} if result == "taken" else {})


def test_the_page_on_naming_has_markers_of_both_ends() -> None:
    assert {example[-1] for example in examples()} == {"taken", "waits"}


# What is a marker.


@pytest.mark.parametrize("name", [".done", ".cat.jpg.done", "~cat.done", "cat.jpg.done.part"])
def test_hidden_and_temporary_files_are_no_markers(name: str) -> None:
    assert kind_of(name, with_markers=True) is None


def test_the_word_marks_nothing_where_it_is_not_asked_for() -> None:
    assert kind_of("cat.jpg.done") is None
    assert not is_junk_file("cat.jpg.done")


def test_only_a_regular_file_is_a_marker(tmp_path: Path) -> None:
    (tmp_path / "folder.jpg.done").mkdir()
    os.mkfifo(tmp_path / "pipe.jpg.done")
    (tmp_path / "link.jpg.done").symlink_to("file.jpg.done")
    (tmp_path / "file.jpg.done").touch()
    survey = Survey(tmp_path, with_markers=True)
    survey.whole()
    assert list(survey.folders[""].markers) == ["file.jpg.done"]


def test_without_the_setting_markers_are_not_even_asked_what_they_are(tmp_path: Path) -> None:
    (tmp_path / "cat.jpg.done").touch()
    survey = Survey(tmp_path)
    survey.whole()
    assert survey.folders[""].markers == {}
    assert survey.folders[""].others == {"cat.jpg.done"}


# What it costs.


def test_markers_are_looked_for_only_where_a_file_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for day in range(20):
        (tmp_path / str(day)).mkdir()
        for name in ("cat.jpg", "cat_mask.png", "cat.done"):
            (tmp_path / str(day) / name).touch()
    survey = Survey(tmp_path, with_markers=True)
    groups = Groups(rules=FolderRules(Rules(done_marker=True)))
    survey.whole()
    first = groups.pair_up(survey.folders)
    assert len(first.pairs) == 20
    asked: list[int] = []

    def counted(
        pairing: Pairing, pictures: list[Entry], markers: list[Entry], *how: Any
    ) -> Pairing:
        asked.append(len(markers))
        return require_markers(pairing, pictures, markers, *how)

    monkeypatch.setattr(grouping, "require_markers", counted)
    survey.whole()
    assert groups.pair_up(survey.folders) is first
    assert asked == []
    (tmp_path / "7" / "cat.done").unlink()
    survey.whole()
    assert len(groups.pair_up(survey.folders).pairs) == 19
    assert asked == [0]


# In the inbox.


class Box:
    """An inbox under a clock of our own, where markers are asked for."""

    def __init__(self, folder: Path, **more: object) -> None:
        self.folder = folder
        self.clock = Clock()
        given = {"inpaint_model": "/m.pt", "quiet_period_s": 5, "events": False}
        self.inbox = Inbox(
            load_settings({**given, "done_marker": True, **more}), folder, self.clock
        )

    def put(self, *names: str, content: bytes = b"pixels") -> None:
        for name in names:
            (self.folder / name).parent.mkdir(exist_ok=True)
            (self.folder / name).write_bytes(content)

    def look(self, after: float = 0.0) -> list[Pair]:
        """Look when so many seconds have passed; the pairs that may be taken."""
        self.clock.now += after
        self.inbox.look()
        pairs = []
        while pair := self.inbox.take():
            pairs.append(pair)
        return pairs

    def waiting(self) -> dict[str, str]:
        return {waiting.path: waiting.report.key for waiting in self.inbox.waiting()}


@pytest.fixture
def box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Box:
    for variable in list(os.environ):
        if variable.upper().startswith("RETOUCHD_"):
            monkeypatch.delenv(variable)
    # What /tmp lies on here must not matter.
    monkeypatch.setattr(module, "filesystem_of", lambda _path: "ext4")
    return Box(tmp_path)


def test_a_quiet_pair_is_taken_at_once_when_its_marker_comes(box: Box) -> None:
    box.put("cat.jpg", "cat_mask.png")
    assert box.look() == box.look(after=100) == []
    assert box.waiting() == {"cat.jpg": "marker_missing"}
    assert not box.inbox.is_settling()  # `once` does not wait for what may never come
    box.put("cat.jpg.done", content=b"")
    (pair,) = box.look(after=0.1)
    assert pair.marker is not None
    assert pair.marker.path == "cat.jpg.done"
    assert box.waiting() == {}


def test_a_marker_that_comes_first_does_not_shorten_the_quiet_period(box: Box) -> None:
    box.put("cat.done")
    box.look()
    assert box.waiting() == {"cat.done": "marker_alone"}
    box.put("cat.jpg", "cat_mask.png")
    assert box.look(after=100) == box.look(after=4) == []
    assert set(box.waiting().values()) == {"not_quiet"}
    assert [pair.picture.path for pair in box.look(after=1)] == ["cat.jpg"]


def test_without_a_quiet_period_a_pair_is_taken_when_its_marker_is_there(
    box: Box, tmp_path: Path
) -> None:
    box = Box(tmp_path, quiet_period_s=0)
    box.put("cat.jpg", "cat_mask.png")
    assert box.look() == []
    box.put("cat.done")
    assert len(box.look(after=0.1)) == 1


def test_a_marker_that_goes_before_its_pair_is_taken_is_missed(box: Box) -> None:
    box.put("cat.jpg", "cat_mask.png", "cat.done")
    box.look()
    (box.folder / "cat.done").unlink()
    assert box.look(after=5) == []
    assert box.waiting() == {"cat.jpg": "marker_missing"}


def test_a_cut_off_pair_is_tried_again_when_it_is_marked_anew(box: Box) -> None:
    box.put("cat.jpg", "cat_mask.png", "cat.done")
    box.look()
    (pair,) = box.look(after=5)
    assert box.inbox.remember_incomplete(pair, Report("incomplete"))
    assert box.look(after=5) == []
    assert box.waiting() == {"cat.jpg": "incomplete"}
    (box.folder / "cat.done").unlink()
    box.put("cat.done", content=b"now it is")
    assert len(box.look(after=1)) == 1


def test_in_trees_a_marker_hastens_a_pair_of_which_one_folder_has_long_been_quiet(
    tmp_path: Path, box: Box
) -> None:
    box = Box(tmp_path, events=True, scan_interval_s=3600)
    box.put("images/cat.jpg", "masks/cat.png")
    assert box.look() == box.look(after=6) == []
    box.clock.now += 60
    box.put("images/cat.done")
    bell = box.inbox.bell
    assert bell is not None
    box.inbox.answer_bell()
    looks = 0
    while not (found := box.look(after=0.1)) and looks < 3:
        looks += 1
        assert box.inbox.next_look < box.clock.now + 0.1
    box.inbox.close()
    assert [pair.picture.path for pair in found] == ["images/cat.jpg"]


def test_what_waits_for_a_marker_and_a_marker_alone_are_logged_after_a_while(box: Box) -> None:
    box.put("cat.jpg", "cat_mask.png", "dog.done")
    with capture_logs() as logs:
        for after in (0, 59, 1, 60):
            assert box.look(after=after) == []
    waits = [(line["path"], line["reason"]) for line in logs if line["event"] == "file_waits"]
    assert sorted(waits) == [("cat.jpg", "marker_missing"), ("dog.done", "marker_alone")]


def test_without_the_setting_a_marker_is_neither_waited_for_nor_told_of(
    box: Box, tmp_path: Path
) -> None:
    box = Box(tmp_path, done_marker=False)
    box.put("cat.jpg", "cat_mask.png", "dog.jpg.done", "cat.done")
    box.look()
    (pair,) = box.look(after=5)
    assert pair.marker is None
    assert box.waiting() == {}
