"""What became of a file that lies in the inbox no more: it is worked, it failed, or it is done.

Told from the jobs' records, the notes in `failed/` and the book; who may not read the book is told
from the logs in the outbox.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice, takewhile
from typing import Final

from daemon.people.questions.answers import Step, in_words, no, note, yes
from daemon.people.questions.scene import Scene
from daemon.places import Place
from daemon.reasons import REASONS, one_line
from daemon.spool import files
from daemon.spool.book import Book, Ended
from daemon.spool.found_notes import FoundNote, note_of, notes_in
from daemon.spool.record import Record, State, load

RETRY: Final = "Set right what is wrong, then move it back into the inbox: retouchd retry {path}"
_ROLES: Final = ("picture", "mask", "trimap")
_MOST_BYTES: Final = 1 << 16
_MOST_ENDS: Final = 5


def was_taken(scene: Scene, path: str) -> bool:
    """Whether anything is known of a file that lay at this path of the inbox."""
    return next(became_of(scene, path), None) is not None


def became_of(scene: Scene, path: str) -> Iterator[Step]:
    """All that is known of a file that lay at this path of the inbox and lies there no more."""
    yield from _jobs_of(scene, path)
    ended = _ended(scene, path)
    was_done_since = bool(ended) and ended[0].outcome == "done"
    for step in _failures_of(scene, path):
        yield note(step.subject, step.says) if was_done_since else step
    if ended:
        for each in ended:
            yield from _end(each)
    else:
        yield from _successes_of(scene, path)


def in_work(scene: Scene, path: str) -> Iterator[Step]:
    """Of a path in the work folder: whose job that is."""
    job = path.split("/")[0]
    record = _record(scene, job) if job and not job.startswith(".") else None
    if record is None:
        yield note("place", "it lies in the work folder, which is retouchd's own.")
    else:
        yield from _job(scene, record)


def in_failed(scene: Scene, path: str) -> Iterator[Step]:
    """Of a file in `failed/`: what its note says of it."""
    place = Place(scene.spool.failed, path)
    if not place.is_there():
        yield no("place", "no such file lies in failed/.", "Look how it is spelt.")
    elif place.is_folder():
        yield note("place", "it is a folder in failed/; ask for a file in it.")
    elif place.name.endswith(".reason.txt"):
        yield note("place", "it is a note that says why the files beside it lie in failed/.")
    else:
        yield from _failure(place)


def in_outbox(scene: Scene, path: str) -> Iterator[Step]:
    """Of a file in the outbox: how it came about, by its log."""
    place = Place(scene.spool.outbox, path)
    if not place.is_there():
        yield no("place", "no such file lies in the outbox.", "Look how it is spelt.")
        return
    yield yes("place", "it lies in the outbox, so the work on it is done.")
    facts = next(_logs(place), None)
    if facts is not None:
        yield from _told(facts)


def in_archive(scene: Scene, path: str) -> Iterator[Step]:
    """Of a file in the archive: that its result is in the outbox."""
    place = Place(scene.spool.archive, path)
    if not place.is_there():
        yield no("place", "no such file lies in the archive.", "Look how it is spelt.")
        return
    yield yes("place", "it lies in the archive: its result is in the outbox, and the work is done.")
    yield from _facts_of(scene, path)


def _ended(scene: Scene, path: str) -> list[Ended]:
    """The last jobs in the book whose picture, mask or trimap lay there, the last one first."""
    found = (e for e in Book(scene.spool.books).newest(path) if path in (e.picture, e.companion))
    try:
        return list(islice(found, _MOST_ENDS))
    except OSError:
        return []


def _end(ended: Ended) -> Iterator[Step]:
    when = _utc(ended.ended_at)
    if ended.outcome == "failed":
        sentence = ended.report.trouble(attempts=ended.attempts).sentence if ended.report else ""
        yield note("before", f"it failed on {when}: {sentence} (job {ended.job})")
        return
    yield yes("done", f"done on {when}: {one_line(', '.join(ended.outputs))} (job {ended.job})")
    if ended.facts is not None:
        facts = ended.facts
        size = f"{facts.width} x {facts.height} pixels"
        yield note("done", f"{size}, {facts.model}, on {facts.device}, attempt {ended.attempts}")
        yield from (note("done", one_line(said)) for said in facts.notes)


def _jobs_of(scene: Scene, path: str) -> Iterator[Step]:
    for record in _records(scene):
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
    yield yes("work", f"its pair {words}{at} (job {record.job}, taken {_utc(record.claimed_at)}).")
    yield from (note("work", f"earlier: {line}") for line in map(one_line, record.story))
    if record.report is not None:
        yield in_words("failed", record.report.trouble(attempts=record.attempts))


def _records(scene: Scene) -> Iterator[Record]:
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
        if said.files and said.files[0] != one_line(path) and said.is_on(place.name):
            yield from _noted(place.beside(said.files[0].rpartition("/")[2]), said)


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


def _successes_of(scene: Scene, path: str) -> Iterator[Step]:
    facts = list(_facts_of(scene, path))
    archived = Place(scene.spool.archive, path)
    if archived.is_there():
        yield yes("done", f"it lies in the archive ({one_line(path)}), as its result is there.")
    elif facts:
        yield yes("done", "its result is in the outbox.")
    yield from facts


def _facts_of(scene: Scene, path: str) -> Iterator[Step]:
    """What the logs in the outbox say of jobs whose picture, mask or trimap lay at this path."""
    for facts in _logs(Place(scene.spool.outbox, path)):
        told = one_line(path)
        if any(facts.get(role, "").startswith(f"{told}  ") for role in _ROLES):
            yield from _told(facts)


def _logs(place: Place) -> Iterator[dict[str, str]]:
    """The logs that may tell of a file of this name: all whose names begin as its own does."""
    try:
        names = [name for name, _ in place.parent.listing() if name.endswith(".log")]
    except OSError:
        return
    stem = place.name.split(".")[0]
    # A log's name is its result's, which the picture's begins: `cat.2.log` is of `cat.jpg`.
    alike = [name for name in names if stem.startswith(name.split(".")[0])]
    alike.sort(key=lambda name: (-_common(name, place.name), len(name), name))
    for name in alike:
        facts = _read_log(place.beside(name))
        if facts:
            yield facts


def _common(one: str, other: str) -> int:
    """How many letters two names have in common from their beginnings on."""
    same = takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))
    return sum(1 for _ in same)


def _read_log(place: Place) -> dict[str, str]:
    try:
        with files.reading(place) as file:
            text = file.read(_MOST_BYTES).decode("utf-8", "replace")
    except OSError:
        return {}
    lines = [line.split(":", 1) for line in text.split("\n") if ":" in line]
    return {name: one_line(value.strip()) for name, value in lines}


def _told(facts: dict[str, str]) -> Iterator[Step]:
    for name in ("task", "model", "device", "finished", "attempt", "note", "job"):
        if name in facts:
            yield note("log", f"{name}: {facts[name]}")


def _utc(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
