"""A marker goes the way of its pair, and is gone when the result is there."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from driver import Daemon, Site, hole, inverted, load, photo, save
from test_jobs import (
    MARKER,
    MASK,
    PICTURE,
    RESULT,
    drop_marked,
    found_marked,
    half_published,
    produce,
    record_file,
    recover,
    saved,
    tree,
)

from daemon.intake.scan import Identity
from daemon.places import Place
from daemon.reasons import Report, Trouble
from daemon.spool import files, jobs
from daemon.spool.layout import Spool
from daemon.spool.record import Original, Record, State
from daemon.spool.record import load as load_record

Start = Callable[..., Daemon]
WHOLE = {"cat.jpg": PICTURE, "cat_mask.png": MASK, "cat.jpg.done": MARKER}


def claim(spool: Spool, name: str = "cat", marker: str = "{}.jpg.done") -> Record:
    record = jobs.claim_pair(spool, drop_marked(spool, name, marker))
    assert record is not None
    assert record.marker is not None
    return record


def test_a_marker_is_claimed_with_its_pair(spool: Spool) -> None:
    record = claim(spool)
    assert tree(spool.inbox) == {}
    assert (spool.work / record.job / "in" / "marker").read_bytes() == MARKER
    assert load_record(spool, record.job) == record


def test_a_worker_is_given_no_marker(spool: Spool) -> None:
    opened = jobs.open_for_work(spool, claim(spool), [])
    read = [os.read(fd, 100) for fd in opened]
    for fd in opened:
        os.close(fd)
    assert read == [PICTURE, MASK]


@pytest.mark.parametrize("originals", ["archive", "delete"])
def test_a_marker_is_removed_when_the_result_is_there(spool: Spool, originals: str) -> None:
    spool = replace(spool, originals=originals)  # type: ignore[arg-type]
    record = claim(spool)
    jobs.publish_result(spool, record, produce(spool, record), "")
    assert set(tree(spool.outbox)) == {"cat.png", "cat.log"}
    assert tree(spool.inbox) == tree(spool.work) == tree(spool.failed) == {}
    kept = {"cat.jpg": PICTURE, "cat_mask.png": MASK}
    assert tree(spool.archive) == (kept if originals == "archive" else {})


def test_a_pair_that_is_given_back_has_its_marker_again(spool: Spool) -> None:
    jobs.give_back(spool, claim(spool))
    assert tree(spool.inbox) == WHOLE
    assert tree(spool.work) == {}
    assert found_marked(spool).marker is not None


@pytest.mark.parametrize("marker", ["{}.jpg.done", "{}.done", "{}.JPG.Done"])
def test_failed_pairs_of_one_name_keep_their_markers_and_can_be_tried_again(
    spool: Spool, marker: str
) -> None:
    for _ in range(3):
        jobs.fail(spool, claim(spool, marker=marker), Trouble("mask_covers_everything"))
    for path in spool.failed.iterdir():
        if path.name.endswith(".txt"):
            assert marker.format("").encode() in path.read_bytes()
        else:
            path.rename(spool.inbox / path.name)
    for name in ("cat", "cat.2", "cat.3"):
        record = jobs.claim_pair(spool, found_marked(spool, name))
        assert record is not None
    assert tree(spool.inbox) == {}


def test_a_marker_alone_in_failed_is_reason_enough_for_the_next_number(spool: Spool) -> None:
    (spool.failed / "cat.jpg.done").touch()
    jobs.fail(spool, claim(spool), Trouble("mask_covers_everything"))
    assert {"cat.2.jpg", "cat.2_mask.png", "cat.2.jpg.done"} < set(tree(spool.failed))


def test_an_empty_marker_does_as_well(spool: Spool) -> None:
    drop_marked(spool)
    (spool.inbox / "cat.jpg.done").write_bytes(b"")
    record = jobs.claim_pair(spool, found_marked(spool))
    assert record is not None
    jobs.give_back(spool, record)
    assert tree(spool.inbox) == {**WHOLE, "cat.jpg.done": b""}


# While others write in the inbox.


def test_a_marker_that_is_still_being_written_is_claimed_all_the_same(spool: Spool) -> None:
    pair = drop_marked(spool)
    with (spool.inbox / "cat.jpg.done").open("ab", buffering=0) as marker:
        marker.write(b", more of it")
        record = jobs.claim_pair(spool, pair)
        assert record is not None
        marker.write(b" and more")
    assert jobs.inputs_unchanged(spool, record)
    jobs.publish_result(spool, record, produce(spool, record), "")
    assert tree(spool.work) == {}


def test_a_pair_whose_marker_was_taken_away_is_left_in_the_inbox(spool: Spool) -> None:
    pair = drop_marked(spool)
    (spool.inbox / "cat.jpg.done").unlink()
    assert jobs.claim_pair(spool, pair) is None
    assert tree(spool.inbox) == {"cat.jpg": PICTURE, "cat_mask.png": MASK}
    assert tree(spool.work) == {}


@pytest.mark.parametrize("kind", ["folder", "link", "pipe", "another file"])
def test_what_took_a_markers_place_since_the_scan_is_not_claimed(spool: Spool, kind: str) -> None:
    pair = drop_marked(spool)
    marker = spool.inbox / "cat.jpg.done"
    marker.rename(marker.with_name("old"))
    match kind:
        case "folder":
            marker.mkdir()
            (marker / "dog.jpg").touch()
        case "link":
            marker.symlink_to("/etc/passwd")
        case "pipe":
            os.mkfifo(marker)
        case _:
            marker.write_bytes(MARKER)
    before = marker.lstat()
    assert jobs.claim_pair(spool, pair) is None
    assert (marker.lstat().st_ino, marker.lstat().st_mode) == (before.st_ino, before.st_mode)
    assert {"cat.jpg", "cat_mask.png"} < set(tree(spool.inbox))
    assert tree(spool.work) == {}


@pytest.mark.parametrize("newer", ["cat.jpg", "cat_mask.png"])
def test_a_marker_does_not_go_back_beside_a_newer_picture(spool: Spool, newer: str) -> None:
    record = claim(spool)
    (spool.inbox / newer).write_bytes(b"newer, and perhaps not yet whole")
    jobs.give_back(spool, record)
    assert "cat.jpg.done" not in tree(spool.inbox)
    assert tree(spool.failed)["cat.jpg.done"] == MARKER
    assert tree(spool.work) == {}


def test_a_newer_marker_serves_as_well(spool: Spool) -> None:
    record = claim(spool)
    (spool.inbox / "cat.jpg.done").write_bytes(b"newer")
    jobs.give_back(spool, record)
    assert tree(spool.inbox) == {**WHOLE, "cat.jpg.done": b"newer"}
    assert tree(spool.failed) == tree(spool.work) == {}


@pytest.mark.parametrize("replaced", ["cat.jpg", "cat_mask.png"])
def test_a_marker_is_not_put_beside_a_file_of_the_name_that_is_another(
    spool: Spool, replaced: str
) -> None:
    """As where a crash, or a mount that went, came between the pair and its marker."""
    record = claim(spool)
    for original in record.inputs:
        content = b"another" if original.path == replaced else WHOLE[original.path]
        (spool.inbox / original.path).write_bytes(content)
        os.utime(spool.inbox / original.path, ns=(0, original.identity.mtime_ns))
        (spool.work / record.job / "in" / original.held).unlink()
    jobs.give_back(spool, record)
    assert "cat.jpg.done" not in tree(spool.inbox)
    assert tree(spool.failed) == {"cat.jpg.done": MARKER}


def test_what_is_no_marker_any_more_is_not_claimed(spool: Spool) -> None:
    pair = drop_marked(spool)
    (spool.inbox / "cat.jpg.done").unlink()
    (spool.inbox / "cat.jpg.done").mkdir()
    (spool.inbox / "cat.jpg.done" / "notes.txt").write_bytes(b"somebody's")
    assert jobs.claim_pair(spool, pair) is None
    assert set(tree(spool.inbox)) == {"cat.jpg", "cat_mask.png", "cat.jpg.done/notes.txt"}
    assert tree(spool.work) == {}


def test_a_marker_that_gets_another_inode_by_being_moved_is_the_same(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """sshfs: a rename that replaces nothing is a copy of the name there, with a new number."""
    real = files.rename

    def rename(source: Place, target: Place) -> None:
        about = source.about()
        assert about is not None
        real(source, target)
        path = str(target)
        shutil.copyfile(path, f"{path}.new")
        os.utime(f"{path}.new", ns=(0, about.st_mtime_ns))
        Path(f"{path}.new").replace(path)

    pair = drop_marked(spool)
    monkeypatch.setattr(files, "rename", rename)
    record = jobs.claim_pair(spool, pair)
    assert record is not None
    assert record.state is State.WORK


# After a crash.


def test_recovery_gives_back_a_marker_that_had_been_moved_alone(spool: Spool) -> None:
    record = saved(spool, claim(spool), state=State.INBOX)
    held = spool.work / record.job / "in"
    (held / "picture").rename(spool.inbox / "cat.jpg")
    (held / "companion").rename(spool.inbox / "cat_mask.png")
    assert recover(spool) == []
    assert tree(spool.inbox) == WHOLE


def test_recovery_runs_a_job_again_with_its_marker(spool: Spool) -> None:
    record = jobs.begin_attempt(spool, claim(spool))
    assert recover(spool) == [record]
    jobs.give_back(spool, record)
    assert tree(spool.inbox) == WHOLE


def test_recovery_removes_the_marker_of_a_finished_job(spool: Spool) -> None:
    record = claim(spool)
    half_published(spool, record, [".log", ".png"])
    saved(spool, load_record(spool, record.job), state=State.ARCHIVE)
    assert recover(spool) == []
    assert tree(spool.archive) == {"cat.jpg": PICTURE, "cat_mask.png": MASK}
    assert tree(spool.outbox) == {"cat.png": RESULT, "cat.log": b"log"}
    assert tree(spool.work) == {}


def test_recovery_puts_a_marker_into_failed_beside_its_picture(spool: Spool) -> None:
    record = saved(spool, claim(spool), state=State.FAILED, report=Report("corrupt"), number=2)
    (spool.work / record.job / "in" / "picture").rename(spool.failed / "cat.2.jpg")
    assert recover(spool) == []
    assert {"cat.2.jpg", "cat.2_mask.png", "cat.2.jpg.done"} < set(tree(spool.failed))


# The record.


def change_record(spool: Spool, record: Record, marker: object) -> None:
    file = record_file(spool, record)
    file.write_text(json.dumps({**json.loads(file.read_text()), "marker": marker}))


def test_a_record_from_before_there_were_markers_is_read(spool: Spool) -> None:
    record = saved(spool, claim(spool), marker=None)
    data = json.loads(record_file(spool, record).read_text())
    del data["marker"]
    record_file(spool, record).write_text(json.dumps(data))
    assert load_record(spool, record.job) == record


GOOD = {"path": "cat.done", "tail": ".done", "held": "marker", "identity": [1, 2, 3, 4]}


@pytest.mark.parametrize(
    "marker",
    [
        {**GOOD, "path": "/etc/cron.d/evil"},
        {**GOOD, "path": "../../evil"},
        {**GOOD, "path": "a\0b"},
        {**GOOD, "path": ""},
        {**GOOD, "held": "picture"},
        {**GOOD, "held": "../../../inbox/dog.jpg"},
        {**GOOD, "identity": [1]},
        {**GOOD, "more": 1},
        {},
        [],
        False,
        "cat.done",
        7,
    ],
    ids=str,
)
def test_a_record_with_a_forged_marker_is_no_record(spool: Spool, marker: object) -> None:
    record = claim(spool)
    (spool.inbox / "dog.jpg").write_bytes(b"somebody's")
    change_record(spool, record, marker)
    with pytest.raises(ValueError):
        load_record(spool, record.job)
    assert recover(spool) == []
    # All three are set aside, as strays are.
    assert {PICTURE, MASK, MARKER} < set(tree(spool.failed).values())
    assert tree(spool.inbox) == {"dog.jpg": b"somebody's"}


def test_a_forged_record_of_the_right_form_is_read(spool: Spool) -> None:
    # Else the test above would show nothing.
    record = claim(spool)
    change_record(spool, record, GOOD)
    read = load_record(spool, record.job).marker
    assert read == Original("cat.done", ".done", "marker", Identity(1, 2, 3, 4))


# The whole daemon.


def test_the_daemon_takes_each_pair_when_its_marker_comes(site: Site, start: Start) -> None:
    site.environment["RETOUCHD_DONE_MARKER"] = "true"
    daemon = start(site, "--scan-interval-s", "3600")
    daemon.wait_for("worker_started")
    for name in ("cat", "dog"):
        save(photo(), site.inbox / f"{name}.png")
        save(hole(), site.inbox / f"{name}_mask.png")
    (site.inbox / "dog.png.done").touch()
    daemon.wait_for("job_finished", picture="dog.png")
    assert daemon.seen("pair_claimed", picture="cat.png") == []
    assert site.files("inbox") == ["cat.png", "cat_mask.png"]
    (site.inbox / "cat.done").touch()
    daemon.wait_for("job_finished", picture="cat.png")
    assert site.files("inbox") == site.files("failed") == site.jobs() == []
    assert site.files("archive") == ["cat.png", "cat_mask.png", "dog.png", "dog_mask.png"]
    for name in ("cat", "dog"):
        assert (load(site.outbox / f"{name}.png") == inverted(photo(), hole())).all()


def test_a_marked_pair_that_is_cut_off_waits_for_the_rest_of_it(site: Site) -> None:
    site.environment["RETOUCHD_DONE_MARKER"] = "true"
    source = save(photo(), site.root / "source.png")
    (site.inbox / "cat.png").write_bytes(source.read_bytes()[:3000])
    save(hole(), site.inbox / "cat_mask.png")
    (site.inbox / "cat.png.done").touch()
    assert "looks cut off" in site.once().stdout
    assert site.files("inbox") == ["cat.png", "cat.png.done", "cat_mask.png"]
    shutil.copyfile(source, site.inbox / "cat.png")
    assert site.once().returncode == 0
    assert "cat.png" in site.files("outbox")
    assert site.files("inbox") == []


def test_once_lists_what_waits_for_its_marker_and_calls_that_no_failure(site: Site) -> None:
    site.environment["RETOUCHD_DONE_MARKER"] = "true"
    save(photo(), site.inbox / "cat.png")
    save(hole(), site.inbox / "cat_mask.png")
    (site.inbox / "dog.done").touch()
    done = site.once()
    assert done.returncode == 0
    assert "waiting: cat.png: it waits for the marker" in done.stdout
    assert "waiting: dog.done: no picture beside this marker" in done.stdout
    assert site.files("inbox") == ["cat.png", "cat_mask.png", "dog.done"]


def test_check_says_that_markers_are_asked_for(site: Site) -> None:
    site.environment["RETOUCHD_INPAINT_MODEL"] = ""

    def said(*options: str) -> str:
        return subprocess.run(
            site.command("check", *options),
            env=site.variables(),
            capture_output=True,
            text=True,
            check=False,
        ).stdout

    assert "pairs wait for a file such as cat.jpg.done" in said("--done-marker")
    assert "done" not in said()
