"""Publishing: a job's outputs into the outbox, each whole under its name, none over another's."""

from dataclasses import replace

from daemon.places import Place
from daemon.reasons import Trouble
from daemon.spool import files
from daemon.spool.layout import Spool
from daemon.spool.numbers import free_number, free_targets
from daemon.spool.putting_away import UNPLACEABLE, decide_to_fail, hidden_tag, remove_hidden
from daemon.spool.record import Output, Record, State, made, save


def publish(spool: Spool, record: Record) -> Record:
    """Publish what is not yet published. The record that comes back is in ARCHIVE, in OUTBOX where
    a name was taken and another was chosen, in WORK where an output was lost in a crash and must be
    made again, or in FAILED where the outbox can't hold its name."""
    spool.require_mounts()
    try:
        return _publish_outputs(spool, record)
    except OSError as error:
        if error.errno not in UNPLACEABLE or not spool.outbox.is_dir():
            raise
        detail = error.strerror
        trouble = Trouble("unplaceable", path=record.outputs[-1].target, detail=detail)
        return decide_to_fail(spool, record, trouble)


def _publish_outputs(spool: Spool, record: Record) -> Record:
    for at, output in enumerate(record.outputs):
        if output.replaces is not None:
            remove_hidden(spool, record, at)
    for at, output in enumerate(record.outputs):
        target, source = Place(spool.outbox, output.target), made(spool, record, output.held)
        files.make_folders(target.parent, spool.ownership)
        there = files.sha256_of(target) if target.is_there() else None
        if there == output.sha256:
            # Published before a crash, which may have left what it replaced.
            remove_hidden(spool, record, at)
            continue
        if files.sha256_of(source) != output.sha256:
            return save(spool, replace(record, state=State.WORK))
        try:
            files.publish(
                source,
                target,
                hidden_tag(record, at),
                spool.ownership,
                replaces=output.replaces,
            )
        except FileExistsError:
            # Somebody else's file has taken the name: ours gets the next.
            free = free_targets(spool, record, [output.suffix])[output.suffix]
            renamed = replace(output, target=free, replaces=None)
            outputs = (*record.outputs[:at], renamed, *record.outputs[at + 1 :])
            return save(spool, replace(record, outputs=outputs))
    for folder in {Place(spool.outbox, output.target).parent for output in record.outputs}:
        files.sync_folder(folder)
    is_archived = spool.fate_of(record.picture.path) == "archive"
    number = free_number(spool.archive, record) if is_archived else 1
    return save(spool, replace(record, state=State.ARCHIVE, number=number))  # S4


def published_before(spool: Spool, output: Output | None) -> str | None:
    """The SHA-256 of what an earlier try of the job left under an output's name, if it did."""
    if output is None:
        return None
    there = files.sha256_of(Place(spool.outbox, output.target))
    return there if there in (output.sha256, output.replaces) else None
