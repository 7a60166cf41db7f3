"""What became of a file that lies in the inbox no more: it is worked, it failed, or it is done.

Told from the jobs' records, the notes in `failed/`, and the book or the logs.
"""

from collections.abc import Iterator
from typing import Final

from daemon.people.outline import clock
from daemon.people.pages.frame import MARK_WITHIN, is_own
from daemon.people.questions.answers import Step, in_words, no, note, yes
from daemon.people.questions.ends import end_steps, ends_at, ends_of_archived, ends_with
from daemon.people.questions.scene import Scene
from daemon.places import Place
from daemon.reasons import REASONS, one_line
from daemon.spool import files
from daemon.spool.entries import Ended
from daemon.spool.fallen import find_fallen
from daemon.spool.found_notes import NOTE_SUFFIX, FoundNote, find_note, note_of, notes_in
from daemon.spool.record import Record, State, load

RETRY: Final = "Set right what is wrong, then move it back into the inbox: retouchd retry {path}"
_MOST_TOLD: Final = 3


def was_taken(scene: Scene, path: str) -> bool:
    """Whether anything is known of a file that lay at this path of the inbox."""
    return next(became_of(scene, path), None) is not None


def became_of(scene: Scene, path: str) -> Iterator[Step]:
    """All that is known of a file that lay at this path of the inbox and lies there no more."""
    at_work = list(_jobs_of(scene, path))
    yield from at_work
    ends = ends_at(scene, path)
    was_done_since = bool(ends) and ends[0].outcome == "done"
    for step in _failures_of(scene, path):
        yield note(step.subject, step.says) if was_done_since else step
    archived = Place(scene.spool.archive, path)
    if not ends and archived.is_there() and not archived.is_folder():
        yield yes("done", f"it lies in the archive ({one_line(path)}), so the work on it is done.")
    for step in end_steps(ends):
        is_of_before = at_work and step.subject == "done"
        yield note("before", step.says) if is_of_before else step


def in_work(scene: Scene, path: str) -> Iterator[Step]:
    """Of a path in the work folder: whose job that is."""
    job = path.split("/")[0]
    record = _record(scene, job) if job and not job.startswith(".") else None
    if record is None:
        yield note("place", "it lies in the work folder, which is retouchd's own.")
    else:
        yield from _job(scene, record)


def in_failed(scene: Scene, path: str) -> Iterator[Step]:
    """Of a file in `failed/`, or of a note: what the note says; of a folder, what is in it."""
    place = Place(scene.spool.failed, path)
    if not place.is_there():
        yield no("place", "no such file lies in failed/.", "Look how it is spelt.")
    elif place.is_folder():
        yield from _failed_below(scene, path)
    elif place.name.endswith(NOTE_SUFFIX):
        yield from _noted_by(scene, place)
    else:
        yield from _failure(place)


def in_outbox(scene: Scene, path: str) -> Iterator[Step]:
    """Of a file in the outbox: which job put it there."""
    place = Place(scene.spool.outbox, path)
    if place.is_folder():
        yield note("place", "it is a folder of the outbox; ask for a file in it.")
    elif _is_own_page(place):
        yield note("place", "it is a page of retouchd's own, made for people to look at.")
    else:
        yield from _put_away(place, "the outbox", ends_with(scene, path))


def in_archive(scene: Scene, path: str) -> Iterator[Step]:
    """Of a file in the archive: which job it belonged to."""
    place = Place(scene.spool.archive, path)
    if place.is_folder():
        yield note("place", "it is a folder of the archive; ask for a file in it.")
    else:
        yield from _put_away(place, "the archive", ends_of_archived(scene, path))


def _put_away(place: Place, room: str, ends: list[Ended]) -> Iterator[Step]:
    if not place.is_there() and not ends:
        yield no("place", f"no such file lies in {room}.", "Look how it is spelt.")
        return
    if not place.is_there():
        yield note("place", f"it lies in {room} no more.")
    elif ends:
        yield yes("place", f"it lies in {room}, so the work on it is done.")
    else:
        yield note("place", f"it lies in {room}; no job is known that has put it there.")
    yield from end_steps(ends)


def _jobs_of(scene: Scene, path: str) -> Iterator[Step]:
    for record in records(scene):
        if any(original.path == path for original in record.originals):
            yield from _job(scene, record)


def _job(scene: Scene, record: Record) -> Iterator[Step]:
    words = {
        State.INBOX: "is on its way into work, or back into the inbox",
        State.WORK: "is being worked",
        State.OUTBOX: "is done and is being published",
        State.ARCHIVE: "is published; its originals are being put away",
        State.FAILED: "has failed; its files are being put away",
    }[record.state]
    state = scene.live
    running = next((job for job in state.running if job.job == record.job), None) if state else None
    if record.state is State.WORK and running is None:
        words = "has been taken into work and waits for its turn"
    at = f", attempt {record.attempts}" if record.attempts else ""
    yield yes("work", f"its pair {words}{at} (job {record.job}, taken {clock(record.claimed_at)}).")
    yield from (note("work", f"earlier: {line}") for line in map(one_line, record.story))
    if record.report is not None:
        yield in_words("failed", record.report.trouble(attempts=record.attempts))


def records(scene: Scene) -> Iterator[Record]:
    """The jobs that are in work now, as far as their records may be read."""
    try:
        jobs = sorted(name for name, _ in scene.spool.jobs.listing() if not name.startswith("."))
    except OSError:
        return
    yield from filter(None, (_record(scene, job) for job in jobs))


def _record(scene: Scene, job: str) -> Record | None:
    try:
        return load(scene.spool, job)
    except (OSError, ValueError):
        return None


def _failures_of(scene: Scene, path: str) -> Iterator[Step]:
    """Where it failed more than once, each of its files has a number, and a note of its own."""
    place = Place(scene.spool.failed, path)
    if place.is_there() and not place.is_folder():
        yield from _failure(place)
    for said in notes_in(place.parent):
        name = said.files[0].rpartition("/")[2] if said.files else ""
        if name in ("", ".", ".."):  # no file is called so: the note is forged
            continue
        if said.files[0] != one_line(path) and said.is_on(place.name):
            yield from _noted(place.beside(name), said)


def _is_own_page(place: Place) -> bool:
    try:
        with files.reading(place) as file:
            return is_own(file.read(MARK_WITHIN))
    except OSError:
        return False


def _failed_below(scene: Scene, path: str) -> Iterator[Step]:
    """Of a folder in `failed/`: the first few of what lies in it, and how many more there are."""
    top = f"{path}/" if path else ""
    lying = [each for each in find_fallen(scene.spool) if each.files[0].startswith(top)]
    if not lying:
        yield note("place", "it is a folder in failed/, with nothing in it to be tried again.")
        return
    where = one_line(str(Place(scene.spool.failed, path)))
    count = "one pair or picture" if len(lying) == 1 else f"{len(lying)} pairs or pictures"
    yield no(
        "failed",
        f"it is a folder in failed/, with {count} in it that failed.",
        f"Ask for one of them to know more, or have all tried again: retouchd retry {where}",
    )
    for fallen in lying[:_MOST_TOLD]:
        says = fallen.note.sentence if fallen.note else "it has no note."
        yield note("failed", f"{one_line(fallen.picture)}: {says}")
    if len(lying) > _MOST_TOLD:
        yield note("failed", f"and {len(lying) - _MOST_TOLD} more.")


def _noted_by(scene: Scene, place: Place) -> Iterator[Step]:
    """Of a note: what it says of the files that lie there still."""
    said = find_note(place)
    about = [
        each
        for each in find_fallen(scene.spool)
        if (each.note and each.note.place == place)
        # A job that had no place to go back to has a folder of its own.
        or (not each.is_placed and each.files[0].rpartition("/")[0] == place.parent.path)
    ]
    if said is None:
        yield note("place", "it has the name of a note, but is none that can be read.")
    elif not about:
        yield note("place", "it is a note on files that lie in failed/ no more; it may be deleted.")
    else:
        yield note("place", "it is the note on a pair or picture that failed.")
        yield from _noted(Place(scene.spool.failed, about[0].picture), said)


def _failure(place: Place) -> Iterator[Step]:
    said = note_of(place)
    if said is None:
        does = RETRY.format(path=one_line(str(place)))
        yield no("failed", f"it lies in failed/ ({one_line(place.path)}), without a note.", does)
    else:
        yield from _noted(place, said)


def _noted(place: Place, said: FoundNote) -> Iterator[Step]:
    name = one_line(place.path)
    yield note(
        "failed", f"it lies in failed/ ({name}), where {one_line(said.place.path)} says why:"
    )
    yield Step("no", "failed", said.sentence, said.advice, _known(said.reason))
    yield note("failed", f"retouchd retry {one_line(str(place))} moves it back into the inbox.")
    yield from (note("failed", line) for line in said.story)


def _known(reason: str | None) -> str | None:
    return reason if reason in REASONS else None
