"""`retouchd retry`: what lies in `failed/` goes back into the inbox, to be tried again."""

import errno
import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from daemon.people.naming import from_here, is_called, nearest
from daemon.people.standpoint import User, seen_as, user_of
from daemon.people.telling import console_of
from daemon.reasons import one_line, world_trouble
from daemon.settings import Settings
from daemon.spool.fallen import Fallen, find_fallen
from daemon.spool.layout import Spool
from daemon.spool.looking import find_spool, worker_of
from daemon.spool.returning import return_to_inbox

_NOT_ALLOWED: Final = {errno.EACCES, errno.EPERM}


class UnclearError(Exception):
    """A name is that of several pairs. The text lists them; nothing has been moved."""


@dataclass(frozen=True)
class Outcome:
    """What became of one pair, in a line."""

    is_back: bool
    says: str


def retry(settings: Settings, paths: Sequence[str], reason: str | None) -> bool:
    """Print a line for each pair, also where it is interrupted. False where not all that was asked
    for is back.

    Root does it as the user that runs the daemon, so that what is made on the way is his. Raises
    `UnclearError`.
    """
    spool, uid = find_spool(settings), worker_of(settings)
    user = user_of(os.geteuid() if uid is None else uid)
    outcomes: list[Outcome] = []
    try:
        # Told at the end, for who stops listening must not stop it.
        with seen_as(user):
            outcomes.extend(outcomes_of(spool, paths, reason, user))
    finally:
        for outcome in outcomes:
            console_of().print(outcome.says)
    return all(outcome.is_back for outcome in outcomes)


def outcomes_of(
    spool: Spool, asked: Sequence[str], reason: str | None, user: User
) -> Iterator[Outcome]:
    """Move back what is asked for, or all of it, or all that failed for a reason.

    Raises `UnclearError`, with nothing moved.
    """
    try:
        lying = find_fallen(spool)
    except OSError as error:
        yield Outcome(False, _why_not(error, user))
        return
    if reason is not None:
        lying = [each for each in lying if each.note and each.note.reason == reason]
    chosen: dict[Fallen, None] = {}
    for path in asked:
        meant = _meant(spool, lying, path)
        chosen.update(dict.fromkeys(meant))
        if not meant:
            which = f" that failed for the reason {reason}" if reason else ""
            says = f"{one_line(path)}: nothing of that name lies in failed/{which}."
            yield Outcome(False, says + _near(lying, path))
    if not asked:
        chosen = dict.fromkeys(lying)
        if not chosen:
            yield Outcome(
                True, "Nothing lies in failed/" + (" for this reason." if reason else ".")
            )
    for fallen in chosen:
        yield _returned(spool, fallen, user)


def _meant(spool: Spool, lying: Sequence[Fallen], asked: str) -> list[Fallen]:
    """What a path means: as from here; else, unless it leads up and out, as from `failed` or from
    the inbox; else the one that is called so. Raises `UnclearError`.

    What lies in `failed` comes first: `cat.jpg` there is not the `cat.2.jpg` that was called so.
    """
    here, below = from_here(asked), os.path.normpath(asked)
    found = _lying_at(lying, _below(spool.failed, here)) or _home_at(
        spool, lying, _below(spool.inbox, here), asked
    )
    if not found and not _leads_up(below):
        found = _lying_at(lying, {below}) or _home_at(spool, lying, {below}, asked)
    return found or _called(spool, lying, asked)


def _below(root: Path, path: str) -> set[str]:
    """A whole path as one below a root, which may be a link as well as the folders on the way; the
    empty one is all that lies there."""
    spellings, tops = {path, _real(path)}, {os.path.normpath(root), os.path.realpath(root)}
    below = {
        each.removeprefix(top).strip("/") for top in tops for each in spellings if _holds(top, each)
    }
    return below | {"" for top in tops for each in spellings if _holds(each, top)}


def _lying_at(lying: Sequence[Fallen], tops: Collection[str]) -> list[Fallen]:
    """What has one of these paths in `failed`, or lies below one: by a file, or by their note."""

    def lies(each: Fallen) -> bool:
        notes = [each.note.place.path] if each.note else []
        return any(_holds(top, path) for top in tops for path in (*each.files, *notes))

    return [each for each in lying if lies(each)]


def _home_at(
    spool: Spool, lying: Sequence[Fallen], tops: Collection[str], asked: str
) -> list[Fallen]:
    """What lay at one of these paths in the inbox, or below one. Raises `UnclearError` where
    several did at the same."""
    same = [each for each in lying if any(path in tops for path in each.homes)]
    if len(same) > 1:
        raise _unclear(spool, same, asked)
    return [each for each in lying if any(_holds(top, path) for top in tops for path in each.homes)]


def _leads_up(path: str) -> bool:
    """Whether a path is the current folder, or leads out of it: of `failed` it would mean all."""
    return path in (".", "..") or path.startswith("../")


def _called(spool: Spool, lying: Sequence[Fallen], asked: str) -> list[Fallen]:
    """The pair that is called so, or shown so. Raises `UnclearError` where there are several."""
    found = [each for each in lying if any(_is_name(spool, asked, path) for path in _paths(each))]
    if len(found) > 1:
        raise _unclear(spool, found, asked)
    return found


def _unclear(spool: Spool, found: Sequence[Fallen], asked: str) -> UnclearError:
    listed = "".join(f"\n  {one_line(str(spool.failed / each.picture))}" for each in found)
    return UnclearError(
        f"{one_line(asked)} is the name of {len(found)} pairs in failed/, so nothing was moved. "
        f"Name the one that is meant:{listed}"
    )


def _is_name(spool: Spool, asked: str, path: str) -> bool:
    if asked.startswith("/"):
        return asked in (one_line(str(root / path)) for root in (spool.failed, spool.inbox))
    return is_called(path, os.path.normpath(asked))


def _paths(fallen: Fallen) -> list[str]:
    """Whatever it is called, in `failed` or in the inbox."""
    return [*fallen.files, *fallen.homes, *([fallen.note.place.path] if fallen.note else [])]


def _near(lying: Sequence[Fallen], asked: str) -> str:
    near = nearest(asked, (path for each in lying for path in each.homes))
    return f" Is {' or '.join(map(one_line, near))} meant?" if near else ""


def _holds(top: str, path: str) -> bool:
    return top in ("", path) or path.startswith(f"{top}/")


def _real(path: str) -> str:
    folder, name = os.path.split(path)
    return str(Path(os.path.realpath(folder), name))


def _returned(spool: Spool, fallen: Fallen, user: User) -> Outcome:
    names = one_line(" and ".join(sorted(fallen.homes)))
    if set(fallen.files) != set(fallen.homes):
        names += f" ({one_line(' and '.join(sorted(fallen.files)))} in failed/)"
    if not fallen.is_placed:
        where = one_line(fallen.files[0].rpartition("/")[0])
        return Outcome(
            False,
            f"left: what lies in failed/{where} has no path to go back to. Its note says what it "
            "is: give it its name again and drop it into the inbox.",
        )
    try:
        is_moved = return_to_inbox(spool, fallen)
    except FileExistsError as error:
        there = one_line(os.path.relpath(str(error.filename), spool.inbox))
        return Outcome(
            False,
            f"left: {names}: another {there} lies in the inbox now. It is never replaced: wait "
            "until it is done, or rename one of them.",
        )
    except BlockingIOError as error:
        return Outcome(False, f"left: {names}: {error.strerror}.")
    except OSError as error:
        return Outcome(False, f"left: {names}: {_why_not(error, user)}")
    if fallen.is_numbered:
        return Outcome(
            True, f"back: {names} (under the names they had in failed/: no note tells others)"
        )
    if not is_moved:
        return Outcome(True, f"back: {names}: the same files lay there already; these are gone")
    return Outcome(True, f"back: {names}")


def _why_not(error: OSError, user: User) -> str:
    if error.errno in _NOT_ALLOWED:
        return (
            f"this user may not move {one_line(str(error.filename))}. Run it as root, or as "
            f"{user.name}, who runs retouchd: sudo -u {user.name} retouchd retry"
        )
    trouble = world_trouble(error)
    return f"{trouble.sentence} {trouble.advice}"
