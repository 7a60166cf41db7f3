"""Folders on a disk that does not tell upper from lower case: NTFS, as on drives and shares."""

import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from driver import Site, hole, inverted, load, photo, save
from mounts import Mounts
from test_jobs import MASK, PICTURE, claim, produce, tree

from daemon.intake.pairing import pair_up
from daemon.intake.scan import scan
from daemon.reasons import Trouble
from daemon.settings import Settings
from daemon.spool import jobs
from daemon.spool.layout import Spool, open_spool

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to mount"),
    pytest.mark.skipif(not shutil.which("lowntfs-3g"), reason="ntfs-3g is not installed"),
]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    mounts = Mounts()
    point = mounts.ntfs(tmp_path / "disk", tmp_path / "image")
    (point / "Case").touch()
    assert (point / "cASE").is_file()  # else nothing here would show anything
    yield point
    mounts.end()


def test_pairs_in_any_case_are_done_where_all_of_the_spool_is_such_a_disk(
    disk: Path, inpaint_model: Path
) -> None:
    site = Site(disk / "spool", {"RETOUCHD_INPAINT_MODEL": str(inpaint_model)})
    pairs = {
        "cat.PNG": "CAT_mask.png",
        "Ärger.png": "ÄRGER_Mask.png",
        "shoot/images/dog.png": "Shoot/MASKS/Dog.bmp",
    }
    for number, (picture, mask) in enumerate(pairs.items()):
        save(photo(number), site.inbox / picture)
        save(hole(), site.inbox / mask)
        (site.inbox / picture).with_suffix(".Done").touch()
    done = site.once("--done-marker")
    assert "3 done, 0 failed, 0 waiting" in done.stdout, done.stderr
    assert site.files("inbox") == site.files("failed") == site.jobs() == []
    assert len(site.files("outbox")) == len(site.files("archive")) == 6
    for number, picture in enumerate(pairs):
        result = site.outbox / Path(picture).with_suffix(".png")
        assert (load(result) == inverted(photo(number), hole())).all()
        assert result.stat().st_mode & 0o777 == 0o664


def test_a_result_whose_name_differs_in_case_alone_replaces_no_other(
    disk: Path, tmp_path: Path
) -> None:
    spool = spool_with(tmp_path, outbox=disk / "outbox", archive=disk / "archive")
    for name in ("cat", "CAT", "Cat"):
        record = claim(spool, name)
        jobs.publish_result(spool, record, produce(spool, record, name.encode()), "log")
    # This disk may show names as it likes.
    results = {name.lower(): content for name, content in tree(spool.outbox).items()}
    assert results["cat.png"] == b"cat"
    assert results["cat.2.png"] == b"CAT"
    assert results["cat.3.png"] == b"Cat"
    assert len(results) == 6
    assert len(pair_up(scan(spool.archive).pictures).pairs) == 3


def test_a_pair_that_is_given_back_replaces_no_newer_one_in_another_case(disk: Path) -> None:
    spool = open_spool(Settings(spool=disk / "spool"))
    record = claim(spool)
    (spool.inbox / "CAT.JPG").write_bytes(b"newer")
    jobs.give_back(spool, record)
    assert set(tree(spool.inbox).values()) == {b"newer", MASK}
    assert PICTURE in tree(spool.failed).values()
    assert tree(spool.work) == {}


def test_pairs_that_fail_under_names_of_another_case_are_all_kept(
    disk: Path, tmp_path: Path
) -> None:
    spool = spool_with(tmp_path, failed=disk / "failed")
    for name in ("cat", "CAT"):
        record = claim(spool, name)
        jobs.fail(spool, record, Trouble("mask_covers_everything"))
    kept = tree(spool.failed)
    assert list(kept.values()).count(PICTURE) == list(kept.values()).count(MASK) == 2
    assert len(pair_up(scan(spool.failed).pictures).pairs) == 2
    assert sum(name.endswith(".reason.txt") for name in kept) == 2


def spool_with(tmp_path: Path, **folders: Path) -> Spool:
    """A spool of which these folders lie elsewhere."""
    for folder in folders.values():
        folder.mkdir()
    spool = open_spool(Settings(spool=tmp_path / "spool"))
    return replace(spool, **folders)  # type: ignore[arg-type]
