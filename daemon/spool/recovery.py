"""What a restart does with the jobs it finds: it settles each from the state its record names."""

import os
from pathlib import Path
from typing import Final

import structlog

from daemon.events import Event
from daemon.reasons import Trouble
from daemon.spool import files
from daemon.spool.jobs import IN, RECORD, Record, load, settle
from daemon.spool.layout import Spool

log = structlog.get_logger()

_STRAYS: Final = "stray"


def recover(
    spool: Spool, except_for: frozenset[str] = frozenset()
) -> tuple[list[Record], OSError | Trouble | None]:
    """Settle every job in work/ but the named ones; returns those that are to be run, oldest first.

    A job folder without a record is either empty of originals, and goes, or was tampered with:
    then what it holds is set aside in failed/stray, never deleted.

    Also returns what kept a job from being settled, if anything did: the others are settled all the
    same, and calling again goes on from there.
    """
    to_run: list[Record] = []
    stuck: OSError | Trouble | None = None
    for job in sorted(os.listdir(spool.work)):
        folder = spool.folder(job)
        if job in except_for or job.startswith(".") or not folder.is_dir() or folder.is_symlink():
            continue
        try:
            unfinished = _recover_job(spool, job)
        except (OSError, Trouble) as error:
            stuck = stuck or error
        else:
            to_run += [unfinished] if unfinished else []
    return to_run, stuck


def _recover_job(spool: Spool, job: str) -> Record | None:
    if not (spool.folder(job) / RECORD).exists():
        _clear_away(spool, spool.folder(job))
        return None
    try:
        record = load(spool, job)
    except ValueError:
        _clear_away(spool, spool.folder(job))
        return None
    log.info(Event.JOB_RECOVERED, job=job, state=record.state, picture=record.picture.path)
    return settle(spool, record)


def _clear_away(spool: Spool, folder: Path) -> None:
    held = sorted((folder / IN).iterdir()) if (folder / IN).is_dir() else []
    for path in held:
        parent = files.make_folders(spool.failed, f"{_STRAYS}/{folder.name}", spool.ownership)
        files.move(path, parent / path.name)
        files.sync_folder(parent)
        trouble = Trouble("stray")
        files.write_durably(
            parent / f"{path.name}.reason.txt",
            f"{path.name}: {trouble.sentence}\n\nWhat to do: {trouble.advice}\n".encode(),
            spool.ownership,
        )
        log.warning(Event.STRAY_SET_ASIDE, path=str(parent / path.name))
    files.remove_folder(folder)
