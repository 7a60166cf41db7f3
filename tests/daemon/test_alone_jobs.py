"""Jobs of pictures alone, on the disk: only what was dropped is moved, never a mask."""

import json
import os
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from rooms import Rooms
from test_crash import Crash, Fuse, fuse
from test_jobs import PICTURE, RESULT, produce, tree

from daemon.folders import FolderRules, FolderSettings, Rules
from daemon.intake.grouping import Groups
from daemon.intake.pairing import Pair
from daemon.intake.scan import Survey
from daemon.reasons import Report, Trouble
from daemon.settings import load_settings
from daemon.spool import jobs, recovery
from daemon.spool.layout import Spool
from daemon.spool.record import RECORD, Record, State, load
from daemon.supervisor.folder_masks import AGAIN_AFTER_S, blamed_on_mask

__all__ = ["fuse"]
DUST = b"the folder's mask"


@dataclass
class Alone:
    """A spool in whose folder `scans` a picture needs no companion."""

    spool: Spool
    mask: Path | None

    @property
    def rules(self) -> FolderRules:
        says = {"mask": str(self.mask)} if self.mask else {"alpha_as_mask": True}
        return FolderRules(Rules(), {"scans": FolderSettings.model_validate(says)})

    def drop(self) -> None:
        (self.spool.inbox / "scans").mkdir(exist_ok=True)
        (self.spool.inbox / "scans" / "cat.png").write_bytes(PICTURE)

    def found(self) -> Pair:
        survey = Survey(self.spool.inbox)
        survey.whole()
        (pair,) = Groups(rules=self.rules).pair_up(survey.folders).pairs
        return pair

    def claimed(self) -> Record:
        record = jobs.claim_pair(self.spool, self.found())
        assert record is not None
        return record


@pytest.fixture(params=["folder", "alpha"])
def alone(request: pytest.FixtureRequest, spool: Spool, tmp_path: Path) -> Alone:
    mask = tmp_path / "etc" / "dust.png" if request.param == "folder" else None
    if mask:
        mask.parent.mkdir()
        mask.write_bytes(DUST)
    made = Alone(spool, mask)
    made.drop()
    return made


def check_mask(alone: Alone) -> None:
    """A folder's mask lies where it lay, and nowhere else."""
    assert alone.mask is None or tree(alone.mask.parent) == {"dust.png": DUST}
    assert DUST not in tree(alone.spool.inbox.parent).values()


def test_a_job_holds_the_picture_alone_and_its_record_says_so(alone: Alone) -> None:
    record = alone.claimed()
    assert load(alone.spool, record.job) == record
    assert record.companion is None
    assert record.source == ("folder" if alone.mask else "alpha")
    assert record.told_by == (str(alone.mask) if alone.mask else "scans/cat.png")
    assert os.listdir(alone.spool.work / record.job / "in") == ["picture"]
    check_mask(alone)


def test_a_worker_gets_the_mask_open_as_it_is_now_and_cannot_write_it(alone: Alone) -> None:
    record = alone.claimed()
    if alone.mask:
        alone.mask.write_bytes(b"drawn anew")
    descriptors = jobs.open_for_work(alone.spool, record, ["result"])
    try:
        inputs = descriptors[:-1]
        wanted = [PICTURE, b"drawn anew"] if alone.mask else [PICTURE]
        assert [os.read(fd, 99) for fd in inputs] == wanted
        for fd in inputs:
            with pytest.raises(OSError, match="Bad file descriptor"):
                os.write(fd, b"x")
    finally:
        for fd in descriptors:
            os.close(fd)


@pytest.mark.parametrize("fate", ["archive", "delete"])
def test_when_it_is_done_only_the_picture_is_put_away(alone: Alone, fate: Any) -> None:
    record = alone.claimed()
    spool = replace(alone.spool, originals=fate)
    assert jobs.publish_result(spool, record, produce(spool, record), "").state is State.ARCHIVE
    assert tree(spool.archive) == ({"scans/cat.png": PICTURE} if fate == "archive" else {})
    assert tree(spool.outbox) == {"scans/cat.png": RESULT, "scans/cat.log": b""}
    assert tree(spool.work) == {}
    check_mask(alone)


def test_the_fate_of_a_folders_originals_is_the_folders(alone: Alone) -> None:
    says = FolderRules(Rules(), {"scans": FolderSettings(originals="delete")})
    spool = replace(alone.spool, rules=says)
    record = alone.claimed()
    jobs.publish_result(spool, record, produce(spool, record), "")
    assert tree(spool.archive) == {}
    assert spool.fate_of("other/cat.png") == "archive"


def test_when_it_is_given_up_only_the_picture_goes_to_failed(alone: Alone) -> None:
    jobs.fail(alone.spool, alone.claimed(), Trouble("nothing_transparent"))
    failed = tree(alone.spool.failed)
    assert failed.keys() == {"scans/cat.png", "scans/cat.png.reason.txt"}
    assert tree(alone.spool.work) == {}
    check_mask(alone)


def test_when_it_is_given_back_it_can_be_claimed_again(alone: Alone) -> None:
    jobs.give_back(alone.spool, alone.claimed())
    assert tree(alone.spool.inbox) == {"scans/cat.png": PICTURE}
    assert alone.claimed().picture.path == "scans/cat.png"
    check_mask(alone)


@pytest.mark.parametrize(
    "change",
    [
        {"mask_file": "etc/dust.png"},
        {"mask_file": ""},
        {"mask_file": "/etc/\0"},
        {"mask_file": 3},
        {"companion": 3},
        {"role": "trimap", "mask_file": None},
        {"task": "matting", "trimap_band_percent": 2, "mask_file": None},
    ],
)
def test_a_record_that_can_not_be_is_none(spool: Spool, change: dict[str, Any]) -> None:
    alone = Alone(spool, Path("/etc/dust.png"))
    alone.drop()
    place = spool.work / alone.claimed().job / RECORD
    place.write_text(json.dumps({**json.loads(place.read_text()), **change}))
    with pytest.raises(ValueError, match=r"mask|task|picture|record|no job"):
        load(spool, place.parent.name)


def test_a_record_of_before_has_its_companion(spool: Spool) -> None:
    rooms = Rooms(spool)
    record = rooms.claimed()
    place = spool.work / record.job / RECORD
    data = json.loads(place.read_text())
    del data["mask_file"]
    place.write_text(json.dumps(data))
    assert load(spool, record.job) == record
    assert record.source == "own"


# Crashes.


@pytest.mark.parametrize("fails", [False, True])
def test_a_crash_before_any_call_keeps_a_picture_alone_in_one_place(
    alone: Alone, fuse: Fuse, fails: bool
) -> None:
    def live() -> None:
        record = jobs.begin_attempt(alone.spool, alone.claimed())
        if fails:
            jobs.fail(alone.spool, record, Trouble("nothing_transparent"))
        else:
            jobs.publish_result(alone.spool, record, produce(alone.spool, record), "log")

    ends: Counter[str] = Counter()
    for at in range(10**6):
        for path in alone.spool.inbox.parent.rglob("*"):
            if path.is_file() and path.name != "lock":
                path.unlink()
        alone.drop()
        fuse.left = at
        try:
            live()
        except Crash:
            pass
        else:
            break
        finally:
            fuse.left = 10**9
        assert where(alone.spool) in (["inbox"], ["work"], ["archive"], ["failed"]), at
        for record in recovery.recover(alone.spool).to_run:
            jobs.publish_result(alone.spool, record, produce(alone.spool, record), "log")
        (end,) = where(alone.spool)
        ends[end] += 1
        outbox = {"scans/cat.png": RESULT, "scans/cat.log": b"log"} if end == "archive" else {}
        assert tree(alone.spool.outbox) == outbox
        assert end != "work"
        check_mask(alone)
    assert at > 20
    assert ends.keys() == {"inbox", "archive"} | ({"failed"} if fails else set())


def where(spool: Spool) -> list[str]:
    """In which of the spool's folders the picture is."""
    roots = {"inbox": spool.inbox, "work": spool.work}
    roots |= {"archive": spool.archive, "failed": spool.failed}
    return [name for name, root in roots.items() for c in tree(root).values() if c == PICTURE]


# What is wrong with a mask is no fault of a picture.


@pytest.fixture
def scanned(spool: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Rooms, Path]:
    """The rooms of a supervisor with a folder `scans`, and that one's mask."""
    mask = tmp_path / "dust.png"
    mask.write_bytes(DUST)
    settings = tmp_path / "retouchd.toml"
    settings.write_text(f'[folders.scans]\nmask = "{mask}"\n')
    monkeypatch.setattr("rooms.load_settings", lambda given: load_settings(given, settings))
    rooms = Rooms(spool)
    Alone(spool, mask).drop()
    rooms.inbox.look()
    return rooms, mask


def waiting(rooms: Rooms, after: float = 0.0) -> dict[str, str]:
    """What each waiting file waits for, at another look."""
    rooms.clock.now += after
    rooms.inbox.look()
    return {each.path: each.report.key for each in rooms.inbox.waiting()}


def test_a_mask_that_goes_between_claim_and_work_gives_the_picture_back(
    scanned: tuple[Rooms, Path],
) -> None:
    rooms, mask = scanned
    (rooms.spool.inbox / "scans" / "dog.png").write_bytes(b"another picture")
    rooms.inbox.look()
    record = rooms.turn()
    mask.unlink()
    with pytest.raises(Trouble) as met, rooms.attempts.begun(record, pid=1):
        pass
    assert met.value.reason.key == "folder_mask_unreadable"
    rooms.troubles.refuse(record, met.value)
    assert rooms.queue.next_record() is None  # the dog is not even claimed
    assert [each.path for each in rooms.inbox.waiting()] == ["scans/dog.png"]
    assert tree(rooms.spool.inbox).keys() == {"scans/cat.png", "scans/dog.png"}
    assert waiting(rooms) == dict.fromkeys(tree(rooms.spool.inbox), "folder_mask_unreadable")
    assert rooms.queue.next_record() is None
    mask.write_bytes(DUST)
    assert waiting(rooms) == {}
    assert rooms.turn().picture.path == "scans/cat.png"


@pytest.mark.parametrize("kind", ["folder", "pipe", "loop", "gone"])
def test_whatever_is_no_file_where_the_mask_should_be_is_waited_for(
    scanned: tuple[Rooms, Path], kind: str
) -> None:
    rooms, mask = scanned
    mask.unlink()
    if kind == "folder":
        mask.mkdir()
    elif kind == "pipe":
        os.mkfifo(mask)
    elif kind == "loop":
        mask.symlink_to(mask)
    assert waiting(rooms) == {"scans/cat.png": "folder_mask_unreadable"}


def test_a_link_to_a_mask_is_as_good(scanned: tuple[Rooms, Path], tmp_path: Path) -> None:
    rooms, mask = scanned
    mask.symlink_to(mask.rename(tmp_path / "real.png"))
    assert waiting(rooms) == {}


def test_a_mask_that_can_not_be_used_is_tried_again_when_it_changes_or_after_a_while(
    scanned: tuple[Rooms, Path],
) -> None:
    rooms, mask = scanned
    broken = Report("incomplete", {"role": "mask", "detail": "its end is missing"})

    def try_it() -> None:
        record = rooms.tried(rooms.turn())
        rooms.troubles.handle(record, broken)

    try_it()
    assert waiting(rooms) == {"scans/cat.png": "folder_mask_unusable"}
    assert waiting(rooms, AGAIN_AFTER_S - 1) == {"scans/cat.png": "folder_mask_unusable"}
    mask.write_bytes(b"another")
    assert waiting(rooms) == {}
    try_it()
    assert waiting(rooms, AGAIN_AFTER_S - 1) == {"scans/cat.png": "folder_mask_unusable"}
    assert waiting(rooms, 1) == {}
    assert tree(rooms.spool.failed) == {}
    assert rooms.count.failed == 0


@pytest.mark.parametrize(
    ("key", "facts"),
    [
        ("not_a_picture", {"role": "mask", "looks_like": "text"}),
        ("several_pages", {"role": "mask", "pages": 2}),
        ("too_many_bytes", {"role": "mask", "bytes": 2, "max_bytes": 1}),
        ("mask_covers_everything", {}),
        ("mask_without_edge", {"shade": "white"}),
    ],
)
def test_what_a_worker_says_of_a_folders_mask_is_not_said_of_the_picture(
    scanned: tuple[Rooms, Path], key: str, facts: dict[str, Any]
) -> None:
    rooms, mask = scanned
    record = rooms.turn()
    said = blamed_on_mask(record, Report(key, facts))
    assert said.key == "folder_mask_unusable"
    assert str(mask) in said.trouble().sentence
    own = replace(record, mask_file=None)
    assert blamed_on_mask(own, Report(key, facts)).key == key


def test_what_is_wrong_with_the_picture_is_said_of_the_picture(
    scanned: tuple[Rooms, Path],
) -> None:
    rooms, _ = scanned
    report = Report("not_a_picture", {"role": "picture", "looks_like": "text"})
    assert blamed_on_mask(rooms.turn(), report) == report


def test_a_folder_of_the_settings_that_is_not_there_is_told_at_the_start(
    scanned: tuple[Rooms, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    rooms, _ = scanned
    (rooms.spool.inbox / "scans").rename(rooms.spool.inbox / "scan")
    rooms.inbox.warn_of_missing()
    said = capsys.readouterr().out
    assert "settings_folder_missing" in said
    assert "write scan in the settings if that is meant" in said
