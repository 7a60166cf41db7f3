"""One worker of the crew: what it is doing, what it may say at this moment, how it ended.

Trusts: nothing that it says beyond the checked messages, each at its time. Promises: a worker that
has said anything else is killed and heard no more, and nobody waits long for one that is dying.
"""

import os
import select
import socket
import subprocess
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import IO, Final

from pydantic import ValidationError

from daemon.supervisor.dying import DYING_S, end_all, how_it_ended
from daemon.supervisor.starting import tell
from daemon.worker.protocol import Done, FolderModel, Hello, Job, Problem, from_worker

# A sound worker whose ear is closed is gone at once, or when the machine finds the time to take
# down what it has loaded. One that is not is held by something: stopped, or an intruder's.
LEAVING_S: Final = 10.0
# A worker that ends closes its pipe before it takes torch down; one that does not end is ended.
_LAST_WORDS_S: Final = 5.0
# A message is a page of text. A worker that sends more without a line end has gone wrong.
_MAX_LINE_BYTES: Final = 1 << 20


class NotItsTurnError(Exception):
    """A worker has said what a sound one would not say at this moment."""


class Stage(Enum):
    """Where a worker stands beside the others of its device.

    One that is coming replaces one that serves as soon as it is ready: a reload. A spare replaces
    one that serves when that one is gone: see `spares`.
    """

    COMING = "coming"
    SPARE = "spare"
    SERVING = "serving"
    LEAVING = "leaving"


@dataclass(frozen=True)
class Death:
    """A worker ended with a job in hand, or with none: how, and whether it was killed as late."""

    job: str | None
    detail: str
    was_late: bool


@dataclass
class Worker:
    """One worker process and what it is doing.

    `jobs` are those that it has in hand, oldest first, each with the outputs that are asked of it:
    at most `most_jobs`, or one that is to be done alone. `deadline` is when the oldest must be
    done, whose time runs from when none was before it; `is_guarded` says whether a spare has been
    started for it. `asked` are the models of folders that it is to load. `began` and `deadline` are
    moments by the crew's clock.
    """

    device: str
    process: subprocess.Popen[bytes]
    ear: socket.socket
    hello: Hello | None = None
    jobs: dict[str, tuple[str, ...]] = field(default_factory=dict)
    most_jobs: int = 1
    is_alone: bool = False
    began: float = 0.0
    deadline: float = float("inf")
    is_late: bool = False
    is_killed: bool = False
    is_believed: bool = True
    is_guarded: bool = False
    is_heard_out: bool = False
    refusal: str | None = None
    stage: Stage = Stage.SERVING
    asked: tuple[FolderModel, ...] = ()
    buffer: bytearray = field(default_factory=bytearray)

    @property
    def is_idle(self) -> bool:
        """Ready for a job, with none in hand."""
        return self.has_room and not self.jobs

    @property
    def has_room(self) -> bool:
        """Ready for a job, beside those that it has in hand."""
        has_room = len(self.jobs) < self.most_jobs and not (self.jobs and self.is_alone)
        is_ready = self.hello is not None and self.stage is Stage.SERVING and not self.is_killed
        return is_ready and has_room

    @property
    def is_sound(self) -> bool:
        """Whether it is ready or may get so: neither killed, nor unable to start as it says."""
        return not self.is_killed and self.refusal is None

    @property
    def out(self) -> IO[bytes]:
        """The pipe it reports on."""
        assert self.process.stdout is not None  # noqa: S101 - Popen was given a pipe
        return self.process.stdout

    @property
    def limit(self) -> float:
        """The moment at which `overstep` is due."""
        if not self.is_late:
            return self.deadline
        return self.deadline + DYING_S if self.stage is Stage.SERVING else float("inf")

    def gets_a_hearing(self) -> bool:
        """Whether it has said something that nobody has read yet: its time may be over only here.

        Once for each job: who never comes to an end of a sentence gets no more time by it.
        """
        if self.is_heard_out:
            return False
        self.is_heard_out = True
        unread = select.poll()
        unread.register(self.out, select.POLLIN)
        return bool(unread.poll(0))

    def overstep(self) -> None:
        """Its time is over: it is killed. Where it does not die of that, its place is free."""
        if self.is_late:
            self.stage = Stage.LEAVING
        self.is_late = True
        self.kill()

    def give(self, job: Job, descriptors: Sequence[int], deadline: float, *, alone: bool) -> None:
        """Hand it a job and its files, due then if it is the only one; `alone` keeps it so.

        One that is just dying takes the job along: see `Death`. Raises `OSError` where it could not
        be told; it knows nothing of the job then.
        """
        tell(self.ear, job, descriptors)
        if not self.jobs:
            self.deadline, self.is_guarded, self.is_heard_out = deadline, False, False
        self.jobs[job.job] = job.outputs
        self.is_alone = alone

    def take_back(self, job: str, deadline: float) -> None:
        """It has done that job; if that was its oldest, the next one is due then."""
        was_oldest = job == next(iter(self.jobs))
        del self.jobs[job]
        if was_oldest:
            self.is_guarded = self.is_heard_out = False
        if was_oldest and not self.is_killed:  # one that is to die has only so long: see `limit`
            self.deadline = deadline if self.jobs else float("inf")

    def retire(self, now: float) -> None:
        """Have it end itself, as soon as it holds no job. One that does not is killed: see `limit`.

        Call it again when a job it held has ended.
        """
        self.stage = Stage.LEAVING
        if not self.jobs:
            self.ear.close()  # at which a sound one ends
            self.deadline = min(self.deadline, now + LEAVING_S)

    def send_away(self) -> None:
        """End it at once: what it has loaded is not wanted any more."""
        self.stage = Stage.LEAVING
        self.kill()

    def kill(self) -> None:
        """End it; it gets no other job."""
        self.is_killed = True
        self.process.kill()

    def read(self) -> list[bytes] | None:
        """Complete lines that have come over its pipe, which is readable; None at its end."""
        chunk = os.read(self.out.fileno(), 1 << 16)
        if not chunk:
            return None
        *lines, rest = (self.buffer + chunk).split(b"\n")
        self.buffer = rest
        if len(rest) > _MAX_LINE_BYTES:
            self._disbelieve()
        return [bytes(line) for line in lines]

    def believed(
        self, lines: Sequence[bytes], tasks: Collection[str]
    ) -> Iterator[Hello | Done | Problem]:
        """Its messages, up to one that is none, or comes when no sound worker would send it.

        Whoever takes one has noted it before the next is judged. `tasks` are those that it was
        given models for.
        """
        for line in lines:
            if not self.is_believed:
                return
            try:
                message = self._checked(line, tasks)
            except (ValidationError, NotItsTurnError):
                self._disbelieve()
                return
            yield message

    def _checked(self, line: bytes, tasks: Collection[str]) -> Hello | Done | Problem:
        message = from_worker.validate_json(line)
        if not self._is_its_turn(message, tasks):
            raise NotItsTurnError
        return message

    def _is_its_turn(self, message: Hello | Done | Problem, tasks: Collection[str]) -> bool:
        """Whether a sound worker could say this now. One that an intruder holds says anything."""
        match message:
            case Hello(models=models):
                is_first = self.hello is None
                return is_first and models.keys() == set(tasks) and self._answers(message)
            case Problem(job=None):
                return self.hello is None
            case Done(job=job):
                return job in self.jobs and self._is_complete(message)
            case _:
                return message.job in self.jobs

    def _answers(self, hello: Hello) -> bool:
        """Whether it says of each folder's model that it loaded it, or why not."""
        told = [(task, m.path) for task, loaded in hello.folder_models.items() for m in loaded]
        told += [(each.task, each.path) for each in hello.refused]
        return sorted(told) == sorted((each.task, each.path) for each in self.asked)

    def _is_complete(self, done: Done) -> bool:
        """Whether it has made what its job asks for, each once."""
        suffixes = {output.suffix for output in done.outputs}
        names = sorted(output.held for output in done.outputs)
        return names == sorted(self.jobs[done.job]) and len(suffixes) == len(names)

    def _disbelieve(self) -> None:
        self.is_believed = False  # whatever it is now, it is no worker of ours
        self.kill()

    def end(self, grace_s: float = _LAST_WORDS_S) -> str:
        """Wait so long for it to end by itself, then end it. Returns how it ended."""
        # It may have closed its pipe and live on.
        end_all([self.process], 0.0 if self.is_killed else grace_s)
        self.close()
        return how_it_ended(self.process.returncode)

    def close(self) -> None:
        """Close the supervisor's ends of its pipe and its socket."""
        self.out.close()
        self.ear.close()
