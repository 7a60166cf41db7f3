"""The spool that is worked in follows the inbox to another folder, behind a lock."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from daemon.settings import Settings
from daemon.spool.layout import Spool, SpoolInUseError, locked, open_spool
from daemon.supervisor.workplace import Workplace

HERE, THERE = (1, 1), (2, 2)  # two inboxes, as device and inode


@dataclass
class Site:
    """A spool whose work folder can become another."""

    settings: Settings
    spool: Spool
    workplace: Workplace

    def move(self) -> Spool:
        """Put another work folder in the place of the one there is; returns it as a spool."""
        self.spool.work.rename(self.spool.work.with_name(f"before {os.urandom(4).hex()}"))
        return open_spool(self.settings)


@pytest.fixture
def site(spool: Spool) -> Iterator[Site]:
    settings = Settings(spool=spool.inbox.parent)
    with locked(spool) as lock:
        workplace = Workplace(settings, spool, lock, HERE)
        yield Site(settings, spool, workplace)
        workplace.leave()


def is_locked(spool: Spool) -> bool:
    try:
        with locked(spool):
            return False
    except SpoolInUseError:
        return True


def test_nothing_changes_while_the_inbox_is_the_same_folder(site: Site) -> None:
    before = site.workplace.spool, site.workplace.lock
    site.move()
    assert not site.workplace.follow(HERE)
    assert (site.workplace.spool, site.workplace.lock) == before


def test_another_inbox_with_the_same_work_folder_needs_no_other_lock(site: Site) -> None:
    before = site.workplace.lock
    assert site.workplace.follow(THERE)
    assert site.workplace.lock == before
    assert not site.workplace.follow(THERE)


def test_another_work_folder_is_locked_until_the_workplace_is_left(site: Site) -> None:
    other = site.move()
    before = site.workplace.lock
    assert site.workplace.follow(THERE)
    assert site.workplace.lock != before
    assert is_locked(other)
    site.workplace.leave()
    assert not is_locked(other)


def test_a_disk_that_is_worked_no_more_is_let_go(site: Site) -> None:
    second = site.move()
    assert site.workplace.follow(THERE)
    aside = second.work.rename(second.work.with_name("second"))
    third = open_spool(site.settings)
    assert site.workplace.follow((3, 3))
    assert is_locked(third)
    assert not is_locked(replace(second, work=aside))


def test_a_folder_of_before_is_worked_again_under_the_lock_that_it_has(site: Site) -> None:
    first, lock = site.spool.work, site.workplace.lock
    aside = first.rename(first.with_name("aside"))
    open_spool(site.settings)
    assert site.workplace.follow(THERE)
    first.rename(first.with_name("second"))
    aside.rename(first)
    assert site.workplace.follow(HERE)
    assert site.workplace.lock == lock


def test_nothing_changes_where_another_daemon_works_there(site: Site) -> None:
    other = site.move()
    before = site.workplace.spool, site.workplace.lock
    with locked(other), pytest.raises(SpoolInUseError):
        site.workplace.follow(THERE)
    assert (site.workplace.spool, site.workplace.lock) == before
    assert site.workplace.follow(THERE)


def test_nothing_changes_where_the_folders_cannot_be_opened(site: Site) -> None:
    before = site.workplace.spool, site.workplace.lock
    work = site.spool.work
    aside = work.rename(work.with_name("aside"))
    Path(work).touch()
    with pytest.raises(OSError, match="work"):
        site.workplace.follow(THERE)
    assert (site.workplace.spool, site.workplace.lock) == before
    work.unlink()
    aside.rename(work)
    assert site.workplace.follow(THERE)


def test_what_was_a_mount_at_the_start_must_be_one_for_ever(site: Site) -> None:
    mounts = frozenset({site.spool.outbox})
    object.__setattr__(site.workplace.spool, "mounts", mounts)
    assert site.workplace.follow(THERE)
    assert site.workplace.spool.mounts == mounts
