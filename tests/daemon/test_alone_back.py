"""Pictures alone that failed, or whose disk lies elsewhere: they go back without a companion."""

import os
from dataclasses import replace
from pathlib import Path

import pytest
from mounts import Mounts
from test_jobs import MARKER, PICTURE, tree
from test_retry import ask

from daemon.folders import FolderRules, FolderSettings, Rules
from daemon.intake.grouping import Groups
from daemon.intake.scan import Survey
from daemon.reasons import Trouble
from daemon.settings import Settings
from daemon.spool import holding, jobs
from daemon.spool.layout import Spool
from daemon.spool.looking import find_spool
from daemon.spool.record import Record, load

TABLES = {"cut": FolderSettings(alpha_as_mask=True, done_marker=True)}
RULES = FolderRules(Rules(), TABLES)


def claimed(spool: Spool, folder: str) -> Record:
    (spool.inbox / folder).mkdir(parents=True, exist_ok=True)
    (spool.inbox / folder / "dog.png").write_bytes(PICTURE)
    (spool.inbox / folder / "dog.done").write_bytes(MARKER)
    survey = Survey(spool.inbox, with_markers=True)
    survey.whole()
    (pair,) = Groups(rules=RULES).pair_up(survey.folders).pairs
    record = jobs.claim_pair(spool, pair)
    assert record is not None
    return record


@pytest.mark.parametrize("has_note", [True, False])
def test_a_marked_picture_that_failed_alone_goes_back_with_its_marker(
    spool: Spool, has_note: bool
) -> None:
    jobs.fail(spool, claimed(spool, "cut"), Trouble("nothing_transparent"))
    if not has_note:
        (spool.failed / "cut" / "dog.png.reason.txt").unlink()
    looked_at = find_spool(Settings(spool=spool.inbox.parent, by_folder=TABLES))
    is_back, said = ask(replace(spool, rules=looked_at.rules), "cut/dog.png")
    assert (is_back, len(said)) == (True, 1), said
    assert tree(spool.inbox) == {"cut/dog.png": PICTURE, "cut/dog.done": MARKER}
    assert tree(spool.failed) == {}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")
def test_a_picture_alone_goes_with_its_disk_whose_folder_is_renamed(
    spool: Spool, mounts: Mounts, tmp_path: Path
) -> None:
    disk = mounts.tmpfs(tmp_path / "disk")
    mounts.bind(disk, spool.inbox / "cut" / "here")
    record = claimed(spool, "cut/here")
    assert record.picture.mount == "cut/here"
    mounts.take_away(spool.inbox / "cut" / "here")
    mounts.bind(disk, spool.inbox / "cut" / "there")
    followed = holding.follow_rooms(spool, record)
    assert followed.picture.mount == "cut/there"
    assert followed.marker is not None
    assert followed.marker.mount == "cut/there"
    assert followed.companion is None
    assert load(spool, record.job) == followed
