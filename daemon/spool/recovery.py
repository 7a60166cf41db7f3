"""What a restart does with the jobs it finds: it settles each from the state its record names."""

from dataclasses import replace
from typing import Final, NamedTuple

import structlog

from daemon.events import Event
from daemon.places import Place
from daemon.reasons import Trouble, one_line
from daemon.settings import Settings
from daemon.spool import files
from daemon.spool.holding import JobWaits, follow_rooms
from daemon.spool.jobs import give_back, settle
from daemon.spool.layout import HIDDEN_WORK, Spool, SpoolInUseError, locked
from daemon.spool.numbers import note_name
from daemon.spool.publishing import publish
from daemon.spool.record import IN, Record, State, load

log = structlog.get_logger()

_STRAYS: Final = "stray"


class Recovered(NamedTuple):
    """What became of the jobs in work/.

    Those `to_run`, oldest first; how many were `finished`, whose results only had to be published;
    those that had `failed`, whose files only had to be put away; what kept a job from being
    settled, if anything did; and what one job alone `waits` for, such as its mount, if one does.
    """

    to_run: list[Record]
    finished: int
    failed: list[Record]
    stuck: OSError | Trouble | None
    waits: JobWaits | None = None


def recover(spool: Spool, except_for: frozenset[str] = frozenset()) -> Recovered:
    """Settle every job in work/ but the named ones.

    A job folder without a record is either empty of originals, and goes, or was tampered with:
    then what it holds is set aside in failed/stray, never deleted.

    Where a job can't be settled the others are all the same, and calling again goes on from there.
    """
    spool.require_ours()
    to_run: list[Record] = []
    failed: list[Record] = []
    finished = 0
    stuck: OSError | Trouble | None = None
    waits: JobWaits | None = None
    for job in sorted(name for name, _ in spool.jobs.listing()):
        if job in except_for or job.startswith("."):
            continue
        try:
            record = _recover_job(spool, job) if spool.job(job).is_folder() else None
        except JobWaits as trouble:
            waits = waits or trouble
            continue
        except (OSError, Trouble) as error:
            stuck = stuck or error
            continue
        if record and record.state is State.ARCHIVE:
            finished += 1
        elif record:
            (failed if record.state is State.FAILED else to_run).append(record)
    return Recovered(to_run, finished, failed, stuck, waits)


def recover_elsewhere(spool: Spool, settings: Settings) -> OSError | Trouble | None:
    """Settle the jobs of work folders that served before: under other settings, or other mounts.

    What was still to be run goes back to the inbox. Returns what kept a job from it, if anything
    did; a folder that another daemon works in is left alone.
    """
    stuck: OSError | Trouble | None = None
    before = {settings.folders()["work"], (settings.spool / "work").absolute()}
    for work in sorted((before | {spool.inbox / HIDDEN_WORK}) - {spool.work}):
        other = replace(spool, work=work)
        try:
            if not _is_ours(other):
                continue
            with locked(other):
                found = recover(other)
                stuck = stuck or found.stuck or found.waits
                for record in found.to_run:
                    give_back(other, record)
        except SpoolInUseError:
            continue
        except (OSError, Trouble) as error:
            stuck = stuck or error
    return stuck


def _is_ours(spool: Spool) -> bool:
    """Whether there is a work folder, and nobody else's: what others made holds no job of ours."""
    try:
        spool.require_ours()
    except PermissionError:
        return False
    return spool.jobs.is_folder()


def _recover_job(spool: Spool, job: str) -> Record | None:
    """Settle a job; returns it where it is to be run, was finished, or has failed."""
    try:
        record = load(spool, job)
    except (FileNotFoundError, ValueError):
        _clear_away(spool, spool.job(job))
        return None
    record = follow_rooms(spool, record)
    log.info(Event.JOB_RECOVERED, job=job, state=record.state, picture=record.picture.path)
    while record.state is State.OUTBOX:
        record = publish(spool, record)
    unfinished = settle(spool, record)
    if record.state is State.FAILED:
        return record
    if record.state is not State.ARCHIVE:
        return unfinished
    log.info(
        Event.JOB_FINISHED,
        job=job,
        picture=record.picture.path,
        outputs=[output.target for output in record.outputs],
    )
    return record


def _clear_away(spool: Spool, folder: Place) -> None:
    held = folder / IN
    names = sorted(name for name, _ in held.listing()) if held.is_folder() else []
    for name in names:
        aside = Place(spool.failed, _STRAYS) / folder.name
        files.make_folders(aside, spool.ownership)
        files.move(held / name, aside / name)
        files.sync_folder(aside)
        trouble = Trouble("stray")
        text = f"{one_line(name)}: {trouble.sentence}\n\nWhat to do: {trouble.advice}\n"
        files.write_durably(
            aside / note_name(name),
            text.encode("utf-8", "backslashreplace"),
            spool.ownership,
        )
        log.warning(
            Event.STRAY_SET_ASIDE,
            path=str(aside / name),
            reason=trouble.reason.key,
            says=trouble.sentence,
            advice=trouble.advice,
        )
    files.remove_folder(folder)
