"""Returning from `failed/`, cut short at every step, on one disk and from one disk to another."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from test_jobs import MASK, PICTURE, tree
from test_retry import ask, failed, names

from daemon.places import Place
from daemon.settings import Settings
from daemon.spool import files
from daemon.spool.fallen import find_fallen
from daemon.spool.layout import Spool, open_spool
from daemon.spool.returning import return_to_inbox

MEMORY = Path("/dev/shm")  # noqa: S108 - a disk of its own on every Linux


class Crash(BaseException):
    """As a power cut: nothing catches it."""


@pytest.fixture(params=["same file system", "another file system"])
def far(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Spool]:
    """A spool whose failed/ may lie on a disk of its own."""
    away = MEMORY / f"retouchd-{os.getpid()}"
    if request.param == "same file system":
        yield open_spool(Settings(spool=tmp_path / "s"))
        return
    away.mkdir()
    assert away.stat().st_dev != tmp_path.stat().st_dev
    try:
        yield open_spool(Settings(spool=tmp_path / "s", failed=away / "failed"))
    finally:
        shutil.rmtree(away)


@pytest.mark.parametrize("far", ["another file system"], indirect=True)
@pytest.mark.parametrize("is_killed", [False, True])
def test_of_two_that_return_the_same_files_at_once_the_second_leaves_them_to_the_first(
    far: Spool, monkeypatch: pytest.MonkeyPatch, is_killed: bool
) -> None:
    """The first has a copy that is whole and not yet named when the second comes, and is killed."""
    failed(far, "cat")
    (fallen,) = find_fallen(far)
    real_rename, real_copy = files.rename, files._copy
    refused: list[str] = []

    def crash(*_: object) -> None:
        raise Crash

    def rename(source: Place, target: Place) -> None:
        if source.parent == target.parent and not refused:
            with monkeypatch.context() as context:
                context.setattr(files, "_copy", crash if is_killed else real_copy)
                with suppress(Crash):
                    refused.extend(ask(far)[1])
        real_rename(source, target)

    monkeypatch.setattr(files, "rename", rename)
    return_to_inbox(far, fallen)
    assert refused == [
        "left: cat.jpg and cat_mask.png: another process is moving this file just now."
    ]
    assert tree(far.inbox) == {"cat.jpg": PICTURE, "cat_mask.png": MASK}
    assert names(far.failed) == []


@pytest.mark.parametrize("far", ["another file system"], indirect=True)
@pytest.mark.parametrize("left", ["a file", "a link"])
def test_what_a_crash_left_of_a_copy_is_cleared_by_the_next_try(far: Spool, left: str) -> None:
    failed(far, "cat")
    (fallen,) = find_fallen(far)
    hidden = far.inbox / files._name_while_copied(Place(far.failed, "cat.jpg"))
    if left == "a link":
        hidden.symlink_to(far.failed / "cat_mask.png")
    else:
        hidden.write_bytes(b"half")
    return_to_inbox(far, fallen)
    assert tree(far.inbox) == {"cat.jpg": PICTURE, "cat_mask.png": MASK}


def test_a_crash_at_any_step_leaves_each_file_in_one_place_and_the_next_try_ends_it(
    far: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = ("rename", "make_folders", "sync_folder", "remove_file", "_copy")
    for crash_at in count(1):
        failed(far, "day/cat", "day/cat")
        (far.inbox / "day").rmdir()
        fallen = next(each for each in find_fallen(far) if "day/cat.2.jpg" in each.files)
        made = count(1)

        def crashing(step: Callable[..., Any], made: Iterator[int], at: int) -> Callable[..., Any]:
            def crashed(*given: Any) -> Any:
                if next(made) == at:
                    raise Crash
                return step(*given)

            return crashed

        with monkeypatch.context() as context:
            for step in steps:
                context.setattr(files, step, crashing(getattr(files, step), made, crash_at))
            try:
                return_to_inbox(far, fallen)
                is_over = True
            except Crash:
                is_over = False
        found = {
            source: [p for p in (far.failed / source, far.inbox / home) if p.exists()]
            for source, home in zip(fallen.files, fallen.homes, strict=True)
        }
        for source, places in found.items():
            # Two only between the copy to another disk and the end of the move.
            most = 1 if far.failed.parent == far.inbox.parent else 2
            assert 1 <= len(places) <= most, source
            contents = {place.read_bytes() for place in places}
            assert contents == {MASK if "mask" in source else PICTURE}
        again = [each for each in find_fallen(far) if "day/cat.jpg" not in each.files]
        for each in again:
            return_to_inbox(far, each)
        assert names(far.inbox) == ["day/cat.jpg", "day/cat_mask.png"]
        assert not [name for name in names(far.failed) if "cat.2" in name and "reason" not in name]
        if is_over:
            assert crash_at > 8
            return
        for path in (*far.failed.iterdir(), *far.inbox.iterdir()):
            shutil.rmtree(path)
