"""A job's life on the disk. Each test is a line of the state table in docs/spool.md."""

import errno
import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mounts import Mounts

from daemon.folders import FolderRules, Rules
from daemon.intake.grouping import Groups
from daemon.intake.matting import MattingFolders
from daemon.intake.pairing import Pair, pair_up
from daemon.intake.scan import Survey, scan
from daemon.places import Place
from daemon.reasons import Report, Trouble
from daemon.settings import Settings
from daemon.spool import files, jobs, recovery
from daemon.spool.book import FOLDER
from daemon.spool.layout import Spool, open_spool
from daemon.spool.record import RECORD, Output, Record, State, load, save

PICTURE, MASK, RESULT = b"the picture", b"the mask", b"the result"
MARKER = b"the marker"


def drop(spool: Spool, name: str = "cat") -> Pair:
    """Put a pair into the inbox and find it."""
    path = spool.inbox / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_name(path.name + ".jpg").write_bytes(PICTURE)
    path.with_name(path.name + "_mask.png").write_bytes(MASK)
    pairs = pair_up(scan(spool.inbox).pictures).pairs
    return next(pair for pair in pairs if pair.picture.path == f"{name}.jpg")


def drop_marked(spool: Spool, name: str = "cat", marker: str = "{}.jpg.done") -> Pair:
    """Put a pair and its marker into the inbox and find them."""
    drop(spool, name)
    (spool.inbox / marker.format(name)).write_bytes(MARKER)
    return found_marked(spool, name)


def found_marked(spool: Spool, name: str = "cat") -> Pair:
    """The pair of that name, found with its marker."""
    survey = Survey(spool.inbox, with_markers=True)
    survey.whole()
    pairs = Groups(rules=FolderRules(Rules(done_marker=True))).pair_up(survey.folders).pairs
    return next(pair for pair in pairs if pair.picture.path == f"{name}.jpg")


def recover(spool: Spool) -> list[Record]:
    """Settle everything; nothing may be stuck."""
    found = recovery.recover(spool)
    assert found.stuck is None
    return found.to_run


def claim(spool: Spool, name: str = "cat") -> Record:
    record = jobs.claim_pair(spool, drop(spool, name))
    assert record is not None
    return record


def produce(spool: Spool, record: Record, content: bytes = RESULT) -> list[tuple[str, str]]:
    """Do the worker's part."""
    (spool.work / record.job / "out" / "result").write_bytes(content)
    return [("result", ".png")]


def tree(root: Path) -> dict[str, bytes]:
    """Every file below a folder and its content; the lock and the book are no one's."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.name != "lock" and path.parent.name != FOLDER
    }


def saved(spool: Spool, record: Record, **changes: object) -> Record:
    """Write a record as a crash would have left it."""
    changed = replace(record, **changes)  # type: ignore[arg-type]
    return save(spool, changed)


def test_a_claimed_pair_is_in_work_and_no_longer_in_the_inbox(spool: Spool) -> None:
    record = claim(spool)
    assert tree(spool.inbox) == {}
    folder = spool.work / record.job
    assert (folder / "in" / "picture").read_bytes() == PICTURE
    assert (folder / "in" / "companion").read_bytes() == MASK
    assert load(spool, record.job) == record


def claim_in_matting_folder(spool: Spool, percent: float | None) -> Record:
    drop(spool, "shop/cat")
    (pair,) = pair_up(scan(spool.inbox).pictures, MattingFolders(["shop"])).pairs
    record = jobs.claim_pair(spool, pair, percent)
    assert record is not None
    return record


def test_the_record_says_how_its_trimap_is_to_be_made(spool: Spool) -> None:
    record = claim_in_matting_folder(spool, 1.5)
    loaded = load(spool, record.job)
    assert (loaded.task, loaded.role) == ("matting", "mask")
    assert loaded.trimap_band_percent == 1.5


def test_a_pair_that_needs_no_made_trimap_has_no_band(spool: Spool) -> None:
    record = jobs.claim_pair(spool, drop(spool), 1.5)
    assert record is not None
    assert load(spool, record.job).trimap_band_percent is None


def test_a_claim_without_a_band_for_a_trimap_leaves_the_inbox_as_it_was(spool: Spool) -> None:
    with pytest.raises(ValueError, match="how its trimap is made"):
        claim_in_matting_folder(spool, None)
    assert set(tree(spool.inbox)) == {"shop/cat.jpg", "shop/cat_mask.png"}
    assert tree(spool.work) == {}


def record_file(spool: Spool, record: Record) -> Path:
    return spool.work / record.job / RECORD


def test_a_record_from_before_trimaps_were_made_is_read(spool: Spool) -> None:
    record = claim(spool)
    data = json.loads(record_file(spool, record).read_text())
    del data["trimap_band_percent"]
    record_file(spool, record).write_text(json.dumps(data))
    assert load(spool, record.job) == record


@pytest.mark.parametrize(
    ("task", "role", "percent"), [("matting", "mask", None), ("inpaint", "mask", 2)]
)
def test_a_record_that_contradicts_itself_is_no_record(
    spool: Spool, task: str, role: str, percent: float | None
) -> None:
    record = claim(spool)
    data = json.loads(record_file(spool, record).read_text())
    data |= {"task": task, "role": role, "trimap_band_percent": percent}
    record_file(spool, record).write_text(json.dumps(data))
    with pytest.raises(ValueError, match="how its trimap is made"):
        load(spool, record.job)


def test_a_pair_that_changed_since_the_scan_is_left_in_the_inbox(spool: Spool) -> None:
    pair = drop(spool)
    (spool.inbox / "cat.jpg").write_bytes(PICTURE + b" and more")
    assert jobs.claim_pair(spool, pair) is None
    assert set(tree(spool.inbox)) == {"cat.jpg", "cat_mask.png"}
    assert tree(spool.work) == {}


def test_a_pair_of_which_one_file_vanished_is_given_back(spool: Spool) -> None:
    pair = drop(spool)
    (spool.inbox / "cat_mask.png").unlink()
    assert jobs.claim_pair(spool, pair) is None
    assert tree(spool.inbox) == {"cat.jpg": PICTURE}
    assert tree(spool.work) == {}


def test_publishing_archives_the_originals_and_forgets_the_job(spool: Spool) -> None:
    record = claim(spool, "day 1/cat")
    ended = jobs.publish_result(spool, record, produce(spool, record), "what ran\n")
    assert ended.state is State.ARCHIVE
    assert tree(spool.outbox) == {"day 1/cat.png": RESULT, "day 1/cat.log": b"what ran\n"}
    assert tree(spool.archive) == {"day 1/cat.jpg": PICTURE, "day 1/cat_mask.png": MASK}
    assert tree(spool.work) == {}


def test_originals_are_deleted_only_where_that_is_set(spool: Spool) -> None:
    spool = replace(spool, originals="delete")
    record = claim(spool)
    jobs.publish_result(spool, record, produce(spool, record), "")
    assert set(tree(spool.outbox)) == {"cat.png", "cat.log"}
    assert tree(spool.archive) == tree(spool.work) == {}


def test_a_result_never_overwrites_one_of_the_same_name(spool: Spool) -> None:
    (spool.outbox / "cat.png").write_bytes(b"somebody else's")
    for _ in range(2):
        record = claim(spool)
        jobs.publish_result(spool, record, produce(spool, record), "")
    assert tree(spool.outbox) == {
        "cat.png": b"somebody else's",
        "cat.2.png": RESULT,
        "cat.2.log": b"",
        "cat.3.png": RESULT,
        "cat.3.log": b"",
    }


def test_archived_pairs_of_one_name_stay_pairs(spool: Spool) -> None:
    for _ in range(2):
        record = claim(spool)
        jobs.publish_result(spool, record, produce(spool, record), "")
    names = {"cat.jpg", "cat_mask.png", "cat.2.jpg", "cat.2_mask.png"}
    assert set(tree(spool.archive)) == names
    found = pair_up(scan(spool.archive).pictures)
    assert len(found.pairs) == 2


def test_a_failed_pair_lies_in_failed_with_its_reason(spool: Spool) -> None:
    record = claim(spool)
    jobs.fail(spool, record, Trouble("mask_covers_everything"))
    found = tree(spool.failed)
    assert found["cat.jpg"] == PICTURE
    assert found["cat_mask.png"] == MASK
    reason = found["cat.jpg.reason.txt"].decode()
    assert "whole picture" in reason
    assert "invert it" in reason
    assert tree(spool.work) == tree(spool.inbox) == {}


def test_a_failed_pair_moved_back_is_a_pair_again(spool: Spool) -> None:
    for _ in range(2):
        jobs.fail(spool, claim(spool), Trouble("mask_covers_everything"))
    for path in spool.failed.iterdir():
        if not path.name.endswith(".txt"):
            path.rename(spool.inbox / path.name)
    assert len(pair_up(scan(spool.inbox).pictures).pairs) == 2


def test_giving_back_puts_both_files_where_they_were(spool: Spool) -> None:
    record = claim(spool, "a/b/cat")
    (spool.inbox / "a" / "b").rmdir()
    jobs.give_back(spool, record)
    assert tree(spool.inbox) == {"a/b/cat.jpg": PICTURE, "a/b/cat_mask.png": MASK}
    assert tree(spool.work) == {}


def test_giving_back_never_overwrites_a_newer_upload(spool: Spool) -> None:
    record = claim(spool)
    (spool.inbox / "cat.jpg").write_bytes(b"newer")
    jobs.give_back(spool, record)
    assert tree(spool.inbox) == {"cat.jpg": b"newer", "cat_mask.png": MASK}
    assert tree(spool.failed)["cat.jpg"] == PICTURE
    assert tree(spool.work) == {}


def test_recovery_gives_back_a_claim_that_was_cut_short(spool: Spool) -> None:
    record = claim(spool)
    saved(spool, record, state=State.INBOX)
    held = spool.work / record.job / "in" / "companion"
    held.rename(spool.inbox / "cat_mask.png")  # it had not been moved yet
    assert recover(spool) == []
    assert tree(spool.inbox) == {"cat.jpg": PICTURE, "cat_mask.png": MASK}
    assert tree(spool.work) == {}


def test_recovery_runs_a_claimed_job_again_and_remembers_its_attempts(spool: Spool) -> None:
    record = jobs.begin_attempt(spool, claim(spool))
    assert recover(spool) == [record]
    assert record.attempts == 1


@pytest.mark.parametrize("published", [[], [".log"], [".log", ".png"]])
def test_recovery_publishes_what_is_missing_and_makes_no_twin(
    spool: Spool, published: list[str]
) -> None:
    record = claim(spool)
    outputs = half_published(spool, record, published)
    assert recover(spool) == []
    assert tree(spool.outbox) == {"cat.png": RESULT, "cat.log": b"log"}
    assert tree(spool.archive) == {"cat.jpg": PICTURE, "cat_mask.png": MASK}
    assert tree(spool.work) == {}
    assert len(outputs) == 2


def half_published(spool: Spool, record: Record, published: list[str]) -> list[Output]:
    """Leave a job as a crash in the midst of publishing does."""
    out = spool.work / record.job / "out"
    produce(spool, record)
    (out / "log").write_bytes(b"log")
    outputs = []
    for held, suffix in (("log", ".log"), ("result", ".png")):
        sha256 = files.sha256_of(Place(out, held))
        assert sha256
        outputs.append(Output(held, suffix, sha256, f"cat{suffix}"))
        if suffix in published:
            (spool.outbox / f"cat{suffix}").write_bytes((out / held).read_bytes())
    saved(spool, record, state=State.OUTBOX, outputs=tuple(outputs))
    return outputs


def test_recovery_makes_an_output_again_that_a_crash_destroyed(spool: Spool) -> None:
    record = claim(spool)
    half_published(spool, record, [".log"])
    (spool.work / record.job / "out" / "result").write_bytes(b"")  # never reached the disk
    (again,) = recover(spool)
    assert again.state is State.WORK
    other = b"the result, made again"
    jobs.publish_result(spool, again, produce(spool, again, other), "another log")
    assert tree(spool.outbox) == {"cat.png": other, "cat.log": b"another log"}


def test_recovery_finishes_archiving(spool: Spool) -> None:
    record = claim(spool)
    half_published(spool, record, [".log", ".png"])
    saved(spool, record, state=State.ARCHIVE)
    (spool.archive / "cat.jpg").write_bytes(PICTURE)  # copied across file systems, not yet removed
    found = recovery.recover(spool)
    assert found == recovery.Recovered([], finished=1, failed=[], stuck=None)
    assert tree(spool.archive) == {"cat.jpg": PICTURE, "cat_mask.png": MASK}
    assert tree(spool.work) == {}


def test_recovery_finishes_failing_under_the_number_it_began_with(spool: Spool) -> None:
    record = claim(spool)
    failing = saved(spool, record, state=State.FAILED, report=Report("corrupt"))
    held = spool.work / failing.job / "in" / "picture"
    held.rename(spool.failed / "cat.jpg")
    assert recover(spool) == []
    assert set(tree(spool.failed)) == {"cat.jpg", "cat_mask.png", "cat.jpg.reason.txt"}


def test_a_job_that_can_not_be_looked_at_keeps_no_other_from_being_settled(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, good = sorted((claim(spool, "one"), claim(spool, "two")), key=lambda record: record.job)
    is_folder = Place.is_folder

    def failing(place: Place) -> bool:
        if place == spool.job(bad.job):
            raise OSError(errno.EIO, "Input/output error")
        return is_folder(place)

    monkeypatch.setattr(Place, "is_folder", failing)
    found = recovery.recover(spool)
    assert isinstance(found.stuck, OSError)
    assert found.to_run == [good]


def test_recovery_removes_a_job_folder_that_never_got_its_record(spool: Spool) -> None:
    (spool.work / "20260101T000000-00000000" / "in").mkdir(parents=True)
    assert recover(spool) == []
    assert tree(spool.work) == {}
    assert not list(spool.work.glob("2026*"))


@pytest.mark.parametrize("record", [None, b"", b"{}", b"[1]", b"not json"])
def test_recovery_sets_aside_what_no_record_explains(spool: Spool, record: bytes | None) -> None:
    folder = spool.work / "20260101T000000-00000000"
    (folder / "in").mkdir(parents=True)
    (folder / "in" / "picture").write_bytes(PICTURE)
    if record is not None:
        (folder / "record.json").write_bytes(record)
    assert recover(spool) == []
    assert PICTURE in tree(spool.failed).values()
    assert tree(spool.work) == {}


@pytest.mark.parametrize(
    "name",
    [
        "cat with spaces",
        "\N{CAT FACE} emoji",
        "Cafe\N{COMBINING ACUTE ACCENT}",
        "line\nbreak",
        os.fsdecode(b"\xff\xfe raw bytes"),
        "-dash",
        "x" * 240,
    ],
)
def test_any_name_goes_all_the_way(spool: Spool, name: str) -> None:
    record = claim(spool, name)
    assert load(spool, record.job) == record
    jobs.publish_result(spool, record, produce(spool, record), "")
    assert len(tree(spool.outbox)) == 2
    assert len(tree(spool.archive)) == 2


@pytest.mark.parametrize("length", [244, 250])
def test_a_name_too_long_for_its_suffixes_is_shortened_not_stuck(spool: Spool, length: int) -> None:
    name = "ü" * (length // 2)
    (spool.inbox / f"{name}.jpg").write_bytes(PICTURE)
    (spool.inbox / "masks").mkdir()
    (spool.inbox / "images").mkdir()
    (spool.inbox / f"{name}.jpg").rename(spool.inbox / "images" / f"{name}.jpg")
    (spool.inbox / "masks" / f"{name}.png").write_bytes(MASK)
    (pair,) = pair_up(scan(spool.inbox).pictures).pairs
    for _ in range(2):
        record = jobs.claim_pair(spool, pair)
        assert record is not None
        outputs = [*produce(spool, record), ("result", ".cutout.png")]
        jobs.publish_result(spool, record, outputs, "")
        (spool.inbox / "images" / f"{name}.jpg").write_bytes(PICTURE)
        (spool.inbox / "masks" / f"{name}.png").write_bytes(MASK)
        (pair,) = pair_up(scan(spool.inbox).pictures).pairs
    record = jobs.claim_pair(spool, pair)
    assert record is not None
    jobs.fail(spool, record, Trouble("mask_covers_everything"))
    assert len(tree(spool.outbox)) == 6
    assert len(tree(spool.archive)) == 4
    assert len(tree(spool.failed)) == 3


def test_a_result_whose_place_is_taken_by_a_file_fails_and_holds_nothing(spool: Spool) -> None:
    record = claim(spool, "cat.png/dog")  # a folder of that name
    for root in (spool.outbox, spool.failed):
        (root / "cat.png").write_bytes(b"a file of that name")
    ended = jobs.publish_result(spool, record, produce(spool, record), "")
    assert ended.state is State.FAILED
    failed = tree(spool.failed)
    folder = f"unplaced/{record.job}"
    assert failed[f"{folder}/picture"] == PICTURE
    assert failed[f"{folder}/companion"] == MASK
    assert (
        b"can't hold a file of the name cat.png/dog.png" in failed[f"{folder}/picture.reason.txt"]
    )
    assert tree(spool.work) == {}


def test_originals_whose_place_in_the_archive_is_taken_are_still_archived(spool: Spool) -> None:
    record = claim(spool, "cat.png/dog")
    (spool.archive / "cat.png").write_bytes(b"a file of that name")
    ended = jobs.publish_result(spool, record, produce(spool, record), "")
    assert ended.state is State.ARCHIVE
    assert tree(spool.archive)[f"unplaced/{record.job}/picture"] == PICTURE
    assert tree(spool.work) == {}


def test_nothing_is_written_into_an_empty_mount_point(spool: Spool) -> None:
    record = claim(spool)
    absent = replace(spool, mounts=frozenset({spool.outbox}))
    with pytest.raises(Trouble, match="not there"):
        jobs.publish_result(absent, record, produce(spool, record), "")
    assert tree(spool.outbox) == {}
    recover(spool)  # the disk is back
    assert set(tree(spool.outbox)) == {"cat.png", "cat.log"}


def test_one_job_that_is_stuck_keeps_no_other_from_being_settled(spool: Spool) -> None:
    for name in ("one", "two"):
        saved(spool, claim(spool, name), state=State.FAILED, report=Report("vanished"))
    first = sorted(p.name for p in spool.work.iterdir() if p.is_dir())[0]
    (spool.work / first / "record.json").rename(spool.work / first / "kept")
    (spool.work / first / "record.json").mkdir()  # reading it fails, as on a bad disk
    assert isinstance(recovery.recover(spool).stuck, OSError)
    assert len(tree(spool.failed)) == 3
    (spool.work / first / "record.json").rmdir()
    (spool.work / first / "kept").rename(spool.work / first / "record.json")
    assert recover(spool) == []
    assert len(tree(spool.failed)) == 6


@pytest.mark.parametrize(
    "path", ["/etc/cron.d/evil", "../../evil", "a/../../evil"], ids=["absolute", "up", "inside up"]
)
def test_a_record_that_names_a_place_outside_the_spool_is_no_record(
    spool: Spool, path: str
) -> None:
    record = claim(spool)
    saved(spool, record, picture=replace(record.picture, path=path), state=State.ARCHIVE)
    with pytest.raises(ValueError, match="not its own"):
        load(spool, record.job)
    assert recover(spool) == []
    assert PICTURE in tree(spool.failed).values()  # set aside, as any stray


def test_a_reason_whose_place_is_taken_by_a_folder_is_put_elsewhere(spool: Spool) -> None:
    (spool.failed / "cat.jpg.reason.txt").mkdir()
    record = claim(spool)
    jobs.fail(spool, record, Trouble("mask_covers_everything"))
    assert f"unplaced/{record.job}/picture.reason.txt" in tree(spool.failed)
    assert tree(spool.work) == {}


def test_a_pair_whose_folder_became_a_file_is_not_stuck(spool: Spool) -> None:
    record = claim(spool, "d/cat")
    (spool.inbox / "d").rmdir()
    (spool.inbox / "d").write_bytes(b"")
    jobs.give_back(spool, record)
    assert tree(spool.failed)["d/cat.jpg"] == PICTURE
    assert tree(spool.work) == {}


def test_a_link_to_nowhere_in_the_outbox_is_not_stuck(spool: Spool) -> None:
    (spool.outbox / "d").symlink_to("/nowhere")
    record = claim(spool, "d/cat")
    ended = jobs.publish_result(spool, record, produce(spool, record), "")
    assert ended.state is State.FAILED
    assert tree(spool.work) == {}


def test_a_give_back_cut_short_between_link_and_unlink_is_completed(spool: Spool) -> None:
    record = saved(spool, claim(spool), state=State.INBOX)
    os.link(spool.work / record.job / "in" / "picture", spool.inbox / "cat.jpg")
    assert recover(spool) == []
    assert tree(spool.inbox) == {"cat.jpg": PICTURE, "cat_mask.png": MASK}
    assert tree(spool.failed) == {}


@pytest.mark.parametrize("spoil", ["link", "mode"])
def test_a_work_folder_that_others_made_or_can_write_is_refused(tmp_path: Path, spoil: str) -> None:
    root = tmp_path / "open"
    root.mkdir()
    if spoil == "link":
        (tmp_path / "elsewhere").mkdir()
        (root / "work").symlink_to(tmp_path / "elsewhere")
    else:
        (root / "work").mkdir()
        (root / "work").chmod(0o777)
    with pytest.raises(PermissionError):
        open_spool(Settings(spool=root))


def test_a_job_whose_result_has_no_place_leaves_nothing_in_the_outbox(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = claim(spool)
    publish = files.publish

    def refuse(source: Place, target: Place, *more: Any, **options: Any) -> None:
        # Played: which names a file system refuses differs, and the log's is always taken here.
        if target.name.endswith(".png"):
            raise OSError(errno.EILSEQ, os.strerror(errno.EILSEQ), str(target))
        publish(source, target, *more, **options)

    monkeypatch.setattr(files, "publish", refuse)
    record = jobs.publish_result(spool, record, produce(spool, record), "log")
    assert record.state is State.FAILED
    assert tree(spool.outbox) == {}
    assert set(tree(spool.failed)) == {"cat.jpg", "cat_mask.png", "cat.jpg.reason.txt"}


def test_an_outbox_that_has_become_a_file_is_the_worlds_fault(spool: Spool) -> None:
    record = claim(spool)
    spool.outbox.rmdir()
    spool.outbox.write_text("a file")
    with pytest.raises(NotADirectoryError):
        jobs.publish_result(spool, record, produce(spool, record), "log")
    spool.outbox.unlink()
    spool.outbox.mkdir()
    assert recover(spool) == []
    assert set(tree(spool.outbox)) == {"cat.png", "cat.log"}


@pytest.mark.parametrize(
    "damage",
    [
        {"attempts": "3"},
        {"attempts": -1},
        {"number": "/etc/x"},
        {"task": "paint"},
        {"role": "hat"},
        {"report": {"key": "no such", "facts": {}}},
        {"story": [1]},
        {"told": None},
        {"picture": 7},
    ],
    ids=str,
)
def test_a_damaged_record_is_no_record_and_ends_no_daemon(
    spool: Spool, damage: dict[str, object]
) -> None:
    record = claim(spool)
    path = record_file(spool, record)
    path.write_text(json.dumps({**json.loads(path.read_text()), **damage}))
    with pytest.raises(ValueError):
        load(spool, record.job)
    assert recover(spool) == []
    assert PICTURE in tree(spool.failed).values()


@pytest.mark.parametrize("path", ["a\0b", "", 7, "\ud800"])
def test_a_record_with_a_path_that_no_file_has_is_no_record(spool: Spool, path: object) -> None:
    record = claim(spool)
    file = record_file(spool, record)
    data = json.loads(file.read_text())
    data["picture"]["path"] = path
    file.write_text(json.dumps(data))
    with pytest.raises(ValueError):
        load(spool, record.job)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give a folder away")
def test_a_work_folder_that_became_somebody_elses_is_not_believed(spool: Spool) -> None:
    claim(spool)
    os.chown(spool.work, 12345, 12345)
    with pytest.raises(PermissionError):
        recovery.recover(spool)
    with pytest.raises(PermissionError):
        jobs.claim_pair(spool, drop(spool, "dog"))


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to mount")
def test_a_folder_of_the_same_disk_that_is_mounted_on_the_outbox_is_missed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    outbox = tmp_path / "spool" / "outbox"
    outbox.mkdir(parents=True)
    subprocess.run(["mount", "--bind", str(tmp_path / "real"), str(outbox)], check=True)
    try:
        spool = open_spool(Settings(spool=tmp_path / "spool"))
        spool.require_mounts()
    finally:
        subprocess.run(["umount", str(outbox)], check=True)
    with pytest.raises(Trouble, match="is not there"):
        spool.require_mounts()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to mount")
@pytest.mark.parametrize("is_linked", [False, True])
def test_the_nearest_mount_above_a_folder_is_missed(
    mounts: Mounts, tmp_path: Path, is_linked: bool
) -> None:
    root, outbox = mounts.tmpfs(tmp_path / "disk") / "a" / "spool", tmp_path / "outbox"
    if is_linked:  # by another way than that of its name
        mounts.tmpfs(tmp_path / "other")
        outbox.symlink_to(tmp_path / "other")
        settings = Settings(spool=tmp_path / "spool", outbox=outbox / "below")
    else:
        settings = Settings(spool=root)
    spool = open_spool(settings)
    spool.require_mounts()
    mounts.take_away(tmp_path / ("other" if is_linked else "disk"))
    root.mkdir(parents=True)
    with pytest.raises(Trouble, match="is not there"):
        spool.require_mounts()
