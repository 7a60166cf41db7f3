"""The inbox as the supervisor sees it: what is ready, what is not yet, what waits and for what."""

import errno
import json
import os
import select
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from clocks import Clock
from driver import BECOME_NOBODY
from inotify_simple import INotify
from structlog.testing import capture_logs

from daemon.folders import FolderSettings
from daemon.intake.hints import Hints
from daemon.intake.pairing import Pair
from daemon.intake.scan import Survey
from daemon.reasons import Report
from daemon.settings import load_settings
from daemon.supervisor import watch as module
from daemon.supervisor.folder_models import Key
from daemon.supervisor.inbox import Inbox

pytestmark = pytest.mark.usefixtures("alone")


class Watched:
    """A folder with its `Inbox`, under a clock of our own and without events."""

    def __init__(self, folder: Path, **settings: object) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self.clock = Clock()
        given = {"inpaint_model": "/models/i.pt", "quiet_period_s": 5, "events": False, **settings}
        self.inbox = Inbox(
            load_settings({name: value for name, value in given.items() if value is not None}),
            folder,
            self.clock,
        )

    def put(self, *paths: str, content: bytes = b"pixels") -> None:
        for path in paths:
            (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / path).write_bytes(content)

    def look(self, after: float = 0.0) -> list[dict[str, Any]]:
        """Look when so many seconds have passed; returns what was logged."""
        self.clock.now += after
        with capture_logs() as logs:
            self.inbox.look()
        return [dict(line) for line in logs]

    def taken(self) -> list[str]:
        """The pictures of all pairs that are ready, in order."""
        paths = []
        while pair := self.inbox.take():
            paths.append(pair.picture.path)
        return paths

    def waiting(self) -> dict[str, str]:
        return {waiting.path: waiting.report.key for waiting in self.inbox.waiting()}

    def take(self) -> Pair:
        pair = self.inbox.take()
        assert pair is not None
        return pair


@pytest.fixture
def box(tmp_path: Path) -> Watched:
    return Watched(tmp_path / "inbox")


# Ready, not yet, waiting.


def test_a_pair_is_ready_when_both_files_have_been_quiet(box: Watched) -> None:
    box.put("cat.jpg", "cat_mask.png")
    box.look()
    assert box.taken() == []
    assert box.inbox.is_settling()
    box.look(after=4.9)
    assert box.taken() == []
    box.look(after=0.1)
    assert not box.inbox.is_settling()
    assert box.taken() == ["cat.jpg"]


def test_a_mask_in_a_matting_folder_is_a_pair_for_the_matting_model(tmp_path: Path) -> None:
    box = Watched(tmp_path / "inbox", matting_folders="shop", matting_model="/models/m.pt")
    box.put("shop/cat.jpg", "shop/cat_mask.png", "dog.jpg", "dog_mask.png")
    box.look()
    box.look(after=5)
    tasks = {pair.picture.path: (pair.role, pair.task) for pair in (box.take(), box.take())}
    assert tasks == {"shop/cat.jpg": ("mask", "matting"), "dog.jpg": ("mask", "inpaint")}


def test_a_mask_in_a_matting_folder_waits_for_a_matting_model(tmp_path: Path) -> None:
    box = Watched(tmp_path / "inbox", matting_folders="shop")
    box.put("shop/cat.jpg", "shop/cat_mask.png")
    box.look()
    box.look(after=5)
    assert box.taken() == []
    assert box.waiting() == {"shop/cat.jpg": "no_model"}


def test_pairs_wait_while_their_folders_model_can_not_be_used_and_no_others(tmp_path: Path) -> None:
    own = {name: FolderSettings(inpaint_model=Path(f"/models/{name}.pt")) for name in "ab"}
    box = Watched(tmp_path / "inbox", by_folder=own, inpaint_model=None)
    for folder in ("a", "b", "c"):
        box.put(f"{folder}/cat.jpg", f"{folder}/cat_mask.png")
    box.look()
    box.look(after=5)
    refused: dict[Key, str] = {("inpaint", "/models/a.pt"): "it is gone"}
    box.inbox.follow_models(refused)  # which a worker said after that look
    assert box.taken() == ["b/cat.jpg"]
    assert box.waiting() == {"a/cat.jpg": "folder_model_unusable", "c/cat.jpg": "no_model"}
    assert box.inbox.next_look <= box.clock.now + 5
    box.look(after=5)
    assert box.taken() == ["b/cat.jpg"]
    assert box.waiting() == {"a/cat.jpg": "folder_model_unusable", "c/cat.jpg": "no_model"}
    box.inbox.follow_models({})
    box.look(after=5)
    assert box.taken() == ["a/cat.jpg", "b/cat.jpg"]


def test_as_many_files_are_counted_as_lacking_something_as_are_told_to_wait_for_it(
    tmp_path: Path,
) -> None:
    tables = {"scans": FolderSettings(mask=tmp_path / "gone.png")}
    box = Watched(tmp_path / "inbox", matting_folders="shop", by_folder=tables)
    box.put("lone.jpg", "anim.gif", "scans/a.jpg", "scans/b.jpg", "cat.jpg", "cat_mask.png")
    box.put("shop/cat.jpg", "shop/cat_mask.png", "cut.jpg", "cut_mask.png")
    box.put("void.jpg", "void_mask.png", content=b"")
    box.look()
    box.look(after=5)
    told = box.waiting()
    assert sorted(set(told.values())) == [
        *("companion_missing", "empty", "folder_mask_unreadable", "no_model", "unreadable_kind")
    ]
    assert box.inbox.lacking_count() == len(told) == 6
    _, cut = box.take(), box.take()
    assert box.inbox.remember_incomplete(cut, Report("incomplete"))
    box.put("new.jpg", "new_mask.png")
    box.look(after=1)
    told = box.waiting()
    assert told["cut.jpg"] == "incomplete"
    assert list(told.values()).count("not_quiet") == 1
    assert box.inbox.lacking_count() == len(told) - 1
    # And what is found out when its turn comes is counted too.
    (tmp_path / "gone.png").write_bytes(b"x")
    box.look(after=1)
    assert box.inbox.lacking_count() == len(box.waiting()) - 1
    box.inbox.refuse_mask(str(tmp_path / "gone.png"), Report("folder_mask_unreadable"))
    box.taken()
    assert box.inbox.lacking_count() == len(box.waiting()) - 1 == 7


def test_the_later_file_decides(box: Watched) -> None:
    box.put("cat.jpg")
    box.look()
    box.look(after=100)
    box.put("cat_mask.png")
    box.look(after=1)
    assert box.taken() == []
    assert box.waiting() == {"cat_mask.png": "not_quiet"}
    box.look(after=5)
    assert box.taken() == ["cat.jpg"]


def test_a_file_that_grows_starts_its_pairs_period_anew(box: Watched) -> None:
    box.put("cat.jpg", "cat_mask.png")
    box.look()
    for _ in range(5):
        box.put("cat.jpg", content=b"more" * int(box.clock.now))
        box.look(after=4)
        assert box.taken() == []
    box.look(after=5)
    assert box.taken() == ["cat.jpg"]


def test_a_change_that_only_sets_the_time_back_counts(box: Watched) -> None:
    box.put("cat.jpg", "cat_mask.png")
    box.look()
    os.utime(box.folder / "cat.jpg", ns=(0, 0))
    box.look(after=5)
    assert box.taken() == []


def test_a_lone_file_waits_and_says_for_what(box: Watched) -> None:
    box.put("cat.jpg", "dog_mask.png", "a.jpg", "a_mask.png", "a-mask.png", "film.gif")
    box.look()
    box.look(after=60)
    assert box.taken() == []
    assert box.inbox.ready_count() == 0
    assert box.waiting() == {
        "cat.jpg": "companion_missing",
        "dog_mask.png": "picture_missing",
        "a.jpg": "ambiguous",
        "a_mask.png": "ambiguous",
        "a-mask.png": "ambiguous",
        "film.gif": "unreadable_kind",
    }


def test_a_ready_pair_waits_for_nothing(box: Watched) -> None:
    box.put("cat.jpg", "cat_mask.png")
    box.look()
    box.look(after=5)
    assert box.waiting() == {}


def test_a_pair_without_a_model_waits_for_one(box: Watched) -> None:
    box.put("cat.jpg", "cat_trimap.png")
    box.look()
    box.look(after=5)
    assert box.taken() == []
    assert box.inbox.ready_count() == 0
    assert box.waiting() == {"cat.jpg": "no_model"}
    (waiting,) = box.inbox.waiting()
    said = waiting.report.trouble()
    assert "no matting model" in said.sentence
    assert "matting_model" in said.advice


@pytest.mark.parametrize("empty", ["cat.jpg", "cat_mask.png"])
def test_an_empty_file_is_never_ready_and_is_named(box: Watched, empty: str) -> None:
    box.put("cat.jpg", "cat_mask.png")
    box.put(empty, content=b"")
    box.look()
    box.look(after=100)
    assert box.taken() == []
    assert not box.inbox.is_settling()  # `once` must not wait for what may never come
    assert box.waiting() == {empty: "empty"}
    box.put(empty)
    box.look(after=1)
    box.look(after=5)
    assert box.taken() == ["cat.jpg"]


def test_the_pair_that_has_been_ready_for_longest_is_taken_first(box: Watched) -> None:
    box.look()
    for name in ("c", "a", "b"):
        box.put(f"{name}.jpg", f"{name}_mask.png")
        box.look(after=1)
    box.look(after=10)
    assert box.inbox.ready_since() == 1006.0
    assert box.taken() == ["c.jpg", "a.jpg", "b.jpg"]
    assert box.inbox.ready_since() is None


def test_a_pair_is_taken_once_a_look(box: Watched) -> None:
    box.put("cat.jpg", "cat_mask.png")
    box.look()
    box.look(after=5)
    assert box.inbox.ready_count() == 1
    assert box.taken() == ["cat.jpg"]
    assert box.taken() == []
    assert box.inbox.ready_count() == 0


def test_a_file_that_has_gone_is_forgotten(box: Watched) -> None:
    box.put("cat.jpg", "cat_mask.png")
    box.look()
    (box.folder / "cat.jpg").unlink()
    box.look(after=5)
    assert box.taken() == []
    assert box.waiting() == {"cat_mask.png": "picture_missing"}


def test_without_a_quiet_period_a_pair_is_ready_at_the_first_look(tmp_path: Path) -> None:
    box = Watched(tmp_path / "inbox", quiet_period_s=0)
    box.put("cat.jpg", "cat_mask.png")
    box.look()
    assert box.taken() == ["cat.jpg"]


@pytest.mark.parametrize(("kind", "period"), [("ext4", 5.0), ("cifs", 10.0), ("fuse.sshfs", 10.0)])
def test_the_quiet_period_suits_the_file_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, period: float
) -> None:
    monkeypatch.setattr(module, "filesystem_of", lambda _path: kind)
    assert Watched(tmp_path / "inbox", quiet_period_s=None).inbox.quiet_period_s == period


# Cut off pairs.

CUT_OFF = Report("incomplete", {"role": "picture", "detail": "its end is missing", "seconds": 3600})


def cut_off(box: Watched) -> None:
    """Have a pair taken, and found cut off."""
    box.put("cat.jpg", "cat_mask.png")
    box.look()
    box.look(after=5)
    assert box.inbox.remember_incomplete(box.take(), CUT_OFF)


def test_a_cut_off_pair_is_not_tried_again_while_it_is_unchanged(box: Watched) -> None:
    cut_off(box)
    for _ in range(3):
        box.look(after=100)
        assert box.taken() == []
    assert box.inbox.ready_count() == 0
    (waiting,) = box.inbox.waiting()
    assert waiting.report == CUT_OFF  # in the words in which it was found so


@pytest.mark.parametrize("changed", ["cat.jpg", "cat_mask.png"])
def test_a_cut_off_pair_is_tried_again_when_it_changed_and_is_quiet(
    box: Watched, changed: str
) -> None:
    cut_off(box)
    box.put(changed, content=b"the whole of it")
    box.look(after=1)
    assert box.taken() == []
    box.look(after=5)
    assert box.taken() == ["cat.jpg"]


def test_a_cut_off_pair_gets_a_last_try_and_is_then_given_up(box: Watched) -> None:
    cut_off(box)
    box.look(after=3600)
    pair = box.take()
    assert not box.inbox.remember_incomplete(pair, CUT_OFF)


def test_the_next_look_is_not_later_than_the_last_try_of_a_cut_off_pair(tmp_path: Path) -> None:
    box = Watched(tmp_path / "inbox", scan_interval_s=3600, incomplete_s=300)
    cut_off(box)
    box.look(after=1)
    assert box.inbox.next_look == pytest.approx(1005 + 300)


def test_what_is_known_of_a_cut_off_pair_outlives_its_time_as_a_job(box: Watched) -> None:
    cut_off(box)
    for name in ("cat.jpg", "cat_mask.png"):
        (box.folder / name).rename(box.folder.parent / name)
    box.clock.now += 1000
    box.inbox.look(held=["cat.jpg"])
    for name in ("cat.jpg", "cat_mask.png"):
        (box.folder.parent / name).rename(box.folder / name)
    box.look(after=1000)
    box.look(after=5)
    assert box.waiting() == {"cat.jpg": "incomplete"}


# Files that may not be read.


def refuse(monkeypatch: pytest.MonkeyPatch, names: set[str]) -> None:
    """Root may read anything, so the refusal is played; a test below has a real one."""
    allowed = os.access

    def access(name: str, mode: int, **how: Any) -> bool:
        return name not in names and allowed(name, mode, **how)

    monkeypatch.setattr(os, "access", access)


def test_a_file_that_may_not_be_read_waits_and_is_named(
    box: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = {"cat_mask.png"}
    refuse(monkeypatch, names)
    box.put("cat.jpg", "cat_mask.png", "dog.jpg", "dog_mask.png")
    box.look()
    box.look(after=5)
    assert box.taken() == ["dog.jpg"]
    assert box.waiting() == {"cat_mask.png": "unreadable"}
    box.look(after=5)
    assert box.inbox.ready_count() == 1  # the dog's, which nobody claimed
    names.clear()
    box.look(after=5)
    assert box.taken() == ["cat.jpg", "dog.jpg"]


def test_a_file_that_may_not_be_read_is_logged_after_a_while(
    box: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse(monkeypatch, {"cat.jpg"})
    box.put("cat.jpg", "cat_mask.png")
    logs = []
    for _ in range(20):
        logs += box.look(after=5)
        assert box.taken() == []
    waits = [line for line in logs if line["event"] == "file_waits"]
    assert [(line["path"], line["reason"]) for line in waits] == [("cat.jpg", "unreadable")]


def test_a_file_that_has_gone_since_the_look_is_left_to_the_claim(box: Watched) -> None:
    box.put("cat.jpg", "cat_mask.png")
    box.look()
    box.look(after=5)
    (box.folder / "cat.jpg").unlink()
    assert box.taken() == ["cat.jpg"]


ANOTHER_USER = f"""
import json, sys
from pathlib import Path
from daemon.intake.scan import Scan, scan
from daemon.reasons import Report
from daemon.settings import load_settings
from daemon.supervisor.folder_models import Key
from daemon.supervisor.inbox import Inbox
{BECOME_NOBODY}
now = [0.0]
given = dict(inpaint_model="/m.pt", events=False, quiet_period_s=5)
inbox = Inbox(load_settings(given), Path(sys.argv[1]), lambda: now[0])
inbox.look()
now[0] = 5.0
inbox.look()
taken = []
while pair := inbox.take():
    taken.append(pair.picture.path)
waiting = dict((w.path, w.report.key) for w in inbox.waiting())
for now[0] in (10.0, 70.0):
    inbox.look()
print(json.dumps([taken, waiting]))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_users_private_file_or_folder_waits_for_the_rights_to_it(tmp_path: Path) -> None:
    inbox = tmp_path / "inbox"
    (inbox / "locked").mkdir(parents=True)
    (inbox / "theirs").mkdir()
    for name in ("cat.jpg", "dog.jpg", "locked/x.jpg", "theirs/owl.jpg"):
        (inbox / name).write_bytes(b"pixels")
        (inbox / name).with_name(f"{Path(name).stem}_mask.png").write_bytes(b"pixels")
    inbox.chmod(0o777)
    (inbox / "theirs").chmod(0o755)  # nobody else may move a file out of it
    (inbox / "cat.jpg").chmod(0o600)
    (inbox / "locked").chmod(0o700)
    # pytest's folders are private, so the inbox is handed over as the working folder.
    run = subprocess.run(
        [sys.executable, "-c", ANOTHER_USER, "."],
        cwd=inbox,
        env={"PYTHONPATH": str(Path(__file__).parents[2]), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=True,
    )
    *logs, said = run.stdout.splitlines()
    assert json.loads(said) == [
        ["dog.jpg"],
        {"cat.jpg": "unreadable", "theirs/owl.jpg": "permission"},
    ]
    assert sum("folder_skipped" in line for line in logs) == 1
    told = [line for line in logs if "file_waits" in line and "reason=unreadable" in line]
    assert ["path=cat.jpg" in line for line in told] == [True]


# What is logged.


def test_a_waiting_file_is_logged_once_and_only_after_a_while(box: Watched) -> None:
    box.put("cat.jpg")
    assert [line["event"] for line in box.look()] == ["watching"]
    assert box.look(after=59) == []
    (line,) = box.look(after=1)
    assert line["event"] == "file_waits"
    assert (line["path"], line["reason"]) == ("cat.jpg", "companion_missing")
    assert "cat_mask.png" in line["advice"]
    assert box.look(after=3600) == []


def test_a_file_that_waits_for_something_else_is_logged_again(box: Watched) -> None:
    box.put("cat.jpg")
    box.look()
    box.look(after=60)
    box.put("cat_mask.png", "cat-mask.png")
    box.look(after=1)
    logs = box.look(after=60)
    assert {line["reason"] for line in logs} == {"ambiguous"}
    assert len(logs) == 3


def test_an_empty_file_is_logged_after_a_while(box: Watched) -> None:
    box.put("cat.jpg")
    box.put("cat_mask.png", content=b"")
    box.look()
    box.look(after=5)
    (line,) = box.look(after=60)
    assert (line["path"], line["reason"]) == ("cat_mask.png", "empty")


def test_a_pair_that_only_settles_is_not_logged(box: Watched) -> None:
    box.put("cat_mask.png")
    box.look()
    logs = []
    for size in range(30):
        box.put("cat.jpg", content=b"x" * (size + 1))
        logs += box.look(after=4)
    assert logs == []


def test_a_folder_that_cannot_be_listed_is_logged_once_for_as_long_as_it_lasts(
    box: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    locked = True
    listing = os.scandir

    def scandir(fd: int) -> Any:
        if locked and Path(f"/proc/self/fd/{fd}").readlink().name == "locked":
            raise PermissionError(errno.EACCES, "Permission denied")
        return listing(fd)

    monkeypatch.setattr(os, "scandir", scandir)
    box.put("locked/cat.jpg")

    def skipped() -> int:
        return sum(line["event"] == "folder_skipped" for line in box.look(after=1))

    assert [skipped(), skipped()] == [1, 0]
    locked = False
    assert skipped() == 0
    locked = True
    assert skipped() == 1


# When to look next.


@pytest.mark.parametrize(("settings", "interval"), [({}, 2.0), ({"scan_interval_s": 30}, 30.0)])
def test_the_next_look_comes_after_the_interval(
    tmp_path: Path, settings: dict[str, object], interval: float
) -> None:
    box = Watched(tmp_path / "inbox", **settings)
    box.look()
    assert box.inbox.next_look == box.clock.now + interval


def test_the_next_look_comes_when_a_pair_will_be_quiet(tmp_path: Path) -> None:
    box = Watched(tmp_path / "inbox", scan_interval_s=60)
    box.put("cat.jpg", "cat_mask.png")
    box.look()
    assert box.inbox.next_look == 1005.0


def test_a_hint_makes_the_next_look_sooner_but_never_later(box: Watched) -> None:
    box.look()
    box.inbox.hasten()
    soon = box.inbox.next_look
    assert box.clock.now < soon <= box.clock.now + 0.1
    box.clock.now += 1
    box.inbox.hasten()
    assert box.inbox.next_look == soon


def test_looks_take_no_more_than_a_tenth_of_the_time_whatever_the_hints(
    box: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(survey: Survey) -> None:
        box.clock.now += 3.0

    monkeypatch.setattr(Survey, "whole", slow)
    box.look()
    box.inbox.hasten()
    assert box.inbox.next_look >= box.clock.now + 9 * 3.0


def test_a_look_makes_the_inbox_fresh_and_a_change_stale(box: Watched) -> None:
    assert box.inbox.is_stale
    box.look()
    assert not box.inbox.is_stale
    box.inbox.mark_stale()
    assert box.inbox.is_stale


# The root, and events.


def test_an_inbox_that_was_replaced_is_told_and_starts_anew(box: Watched) -> None:
    box.put("cat.jpg", "cat_mask.png")
    box.look()
    box.folder.rename(box.folder.parent / "old")
    box.folder.mkdir()
    logs = box.look(after=5)
    assert [line["event"] for line in logs] == ["inbox_changed", "watching"]
    assert box.taken() == []
    assert box.waiting() == {}
    box.put("dog.jpg", "dog_mask.png")
    box.look(after=1)
    assert box.look(after=5) == []
    assert box.taken() == ["dog.jpg"]


def test_an_inbox_that_has_gone_is_an_error_and_its_return_is_not(box: Watched) -> None:
    box.put("cat.jpg", "cat_mask.png")
    box.look()
    away = box.folder.rename(box.folder.parent / "away")
    with pytest.raises(FileNotFoundError):
        box.look(after=5)
    away.rename(box.folder)
    assert box.look(after=1) == []  # the same folder as before
    assert box.taken() == ["cat.jpg"]


def hinted(tmp_path: Path) -> Watched:
    return Watched(tmp_path / "inbox", events=True)


def test_with_events_the_interval_is_longer_and_it_is_said(tmp_path: Path) -> None:
    box = hinted(tmp_path)
    (line,) = box.look()
    box.inbox.close()
    assert (line["event"], line["events"], line["interval_s"]) == ("watching", True, 10.0)


@pytest.mark.parametrize("kind", ["nfs4", "fuse.sshfs"])
def test_where_events_cannot_be_trusted_there_are_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(module, "filesystem_of", lambda _path: kind)
    box = hinted(tmp_path)
    (line,) = box.look()
    box.inbox.close()
    assert (line["events"], line["interval_s"], line["filesystem"]) == (False, 2.0, kind)


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        (errno.ENOSPC, "max_user_watches"),
        (errno.EMFILE, "max_user_instances"),
        (errno.EACCES, "the scan finds all the same"),
    ],
)
def test_where_the_kernel_gives_no_events_the_scan_does_and_the_advice_fits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, advice: str
) -> None:
    def fail() -> Hints:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(module, "Hints", fail)
    box = hinted(tmp_path)
    assert box.inbox.bell is None
    box.put("cat.jpg", "cat_mask.png")
    unavailable, watching = box.look()
    assert unavailable["event"] == "events_unavailable"
    assert advice in unavailable["advice"]
    assert watching["events"] is False
    assert watching["interval_s"] == 2.0
    assert box.look(after=5) == []
    assert box.taken() == ["cat.jpg"]


def test_folders_that_cannot_be_watched_are_told_once_and_so_is_that_they_can_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    box = hinted(tmp_path)
    (first,) = box.look()
    assert first["events"]
    with monkeypatch.context() as context:
        context.setattr(INotify, "add_watch", no_watch_left)
        box.put("day/cat.jpg")
        unavailable, watching = box.look(after=1)
        assert "max_user_watches" in unavailable["advice"]
        assert (watching["events"], watching["interval_s"]) == (False, 2.0)
        assert box.look(after=1) == []
    (again,) = box.look(after=1)
    assert (again["event"], again["events"], again["interval_s"]) == ("watching", True, 10.0)
    box.inbox.close()


def no_watch_left(_self: INotify, _path: str, _mask: int) -> int:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_an_inbox_that_was_replaced_is_heard_at_once(tmp_path: Path) -> None:
    box = hinted(tmp_path)
    box.look()
    box.folder.rename(tmp_path / "old")
    box.folder.mkdir()
    box.look(after=1)
    box.look(after=1)  # that a folder is watched no more rings once, too
    bell = box.inbox.bell
    assert bell is not None
    (tmp_path / "old" / "cat.jpg").touch()
    assert not select.select([bell], [], [], 0)[0]
    box.put("cat.jpg")
    assert select.select([bell], [], [], 0)[0]
    box.inbox.close()
