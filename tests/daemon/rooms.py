"""The rooms of a supervisor, put together by hand, without its loop and without workers."""

from dataclasses import dataclass, field, replace

from clocks import Clock
from test_jobs import drop

from daemon.settings import load_settings
from daemon.spool.layout import Spool
from daemon.spool.record import Record, load
from daemon.supervisor.attempts import Attempts
from daemon.supervisor.endings import Endings
from daemon.supervisor.inbox import Inbox
from daemon.supervisor.job_queue import JobQueue
from daemon.supervisor.leftovers import Leftovers
from daemon.supervisor.tally import Count
from daemon.supervisor.troubles import Troubles
from daemon.supervisor.workplace import Workplace


@dataclass
class Rooms:
    """What a job goes through in a supervisor, on a real spool."""

    spool: Spool
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        given = {
            "spool": str(self.spool.inbox.parent),
            "inpaint_model": "/models/tiny.pt",
            "quiet_period_s": 0,
            "events": False,
            "previews": False,
        }
        self.settings = load_settings(given)
        self.inbox = Inbox(self.settings, self.spool.inbox, self.clock)
        self.workplace = Workplace(self.settings, self.spool, 0, self.inbox.root)
        self.leftovers = Leftovers(self.settings, self.clock)
        self.attempts = Attempts(self.workplace)
        self.queue = JobQueue(self.settings, self.workplace, self.inbox, self.leftovers, self.clock)
        self.count = Count()
        self.troubles = Troubles(
            self.settings, self.workplace, self.inbox, self.queue, self.attempts, self.count
        )
        self.endings = Endings(
            self.settings, self.workplace, self.attempts, self.troubles, self.count
        )

    def drop(self, *names: str) -> None:
        """Put pairs into the inbox and see them."""
        for name in names:
            drop(self.spool, name)
        self.inbox.look()

    def claimed(self, name: str = "cat") -> Record:
        """A job whose turn it is."""
        self.drop(name)
        return self.turn()

    def turn(self) -> Record:
        """The job whose turn it is."""
        record = self.queue.next_record()
        assert record is not None
        return record

    def tried(self, record: Record) -> Record:
        """Begin an attempt and end it; returns the record as the attempt left it."""
        with self.attempts.begun(record, pid=1):
            pass
        return self.attempts.end(record.job)

    def on_disk(self, record: Record) -> Record:
        """What the disk knows of a job."""
        return load(self.spool, record.job)


def with_attempts(record: Record, attempts: int) -> Record:
    """A record that has been tried so often, all but the last told."""
    return replace(record, attempts=attempts, told=attempts - 1)
