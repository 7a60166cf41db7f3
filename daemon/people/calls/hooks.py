"""Hooks and the webhook: for each job that has ended, programs are told, beside the work.

A thread of its own follows the book, one call at a time, and no job waits for any of it. What each
kind of calls promises stands in `channel`, how a program is run in `process`, and what it
is told in `facts`.
"""

import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import structlog

from daemon.events import Event
from daemon.people.calls.channel import Channel
from daemon.people.calls.facts import as_json, as_variables, facts_of
from daemon.people.calls.ledger import Ledger
from daemon.people.calls.process import Called, call
from daemon.places import Place
from daemon.settings import Settings
from daemon.spool.book import Book
from daemon.spool.entries import Ended
from daemon.supervisor.snapshot import Snapshot

log = structlog.get_logger()

FOLDER: Final = ".hooks"
# It is run and not imported: nothing of what it needs is needed here.
_WEBHOOK: Final = Path(__file__).with_name("webhook.py")
URL_VARIABLE: Final = "RETOUCHD_WEBHOOK_URL"
# The daemon rings when something ends; this is for when what is kept could not be written.
_AGAIN_S: Final = 10.0
LAST_CALLS_S: Final = 3.0
# A call that is cut short is over by then.
_STOPPING_S: Final = 5.0


@dataclass(frozen=True)
class Kind:
    """A program that is told; of jobs of one outcome, or of all where that is empty.

    With `variables` it has these in its environment, and else the job's facts. `is_ours` where it
    is no hook: people know of no program then, and are told its words alone.
    """

    command: Sequence[str]
    outcome: str = ""
    variables: Mapping[str, str] | None = None
    is_ours: bool = False

    def wants(self, ended: Ended) -> bool:
        """Whether it is told of this job."""
        return not self.outcome or ended.outcome == self.outcome


@contextmanager
def called_hooks(settings: Settings, *, once: bool) -> Iterator[Callable[[Snapshot], None]]:
    """Make the calls beside the work; what is yielded is to be told when something has happened.

    A run that is over waits for the calls that are due, as long as one may take. A service that is
    stopped makes them when it starts again.
    """
    hooks = Hooks(settings)
    try:
        yield hooks.update
    finally:
        hooks.close(settings.hook_timeout_s if once else LAST_CALLS_S)


class Hooks:
    """Makes the calls that the settings ask for; where they ask for none, there is no thread."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stopping = threading.Event()
        self._is_last = False
        self._bell = threading.Event()
        self._trouble, self._is_well = "", True
        self._channels = list(self._wanted())
        for channel in self._channels:
            with suppress(OSError):  # tried again before its first call
                channel.open()
        self._thread = threading.Thread(target=self._run, name="hooks", daemon=True)
        if self._channels:
            self._thread.start()

    def update(self, _snapshot: Snapshot) -> None:
        """Something has happened: look into the book."""
        self._bell.set()

    def close(self, within_s: float) -> None:
        """Make the calls that are due, for so long at most; what is left comes after a restart."""
        self._is_last = True
        self._bell.set()
        if self._channels:
            self._thread.join(within_s)
            self._stopping.set()
            self._bell.set()
            self._thread.join(_STOPPING_S)

    def _wanted(self) -> Iterator[Channel]:
        settings, work = self._settings, self._settings.folders()["work"]
        for name, kind in self._kinds().items():
            ledger = Ledger(Place(work, FOLDER) / name)
            if not kind.command:
                with suppress(OSError):  # there is none, mostly
                    ledger.forget()
                continue
            told = partial(self._call, kind)
            retry_s = settings.hook_retry_hours * 3600
            yield Channel(name, kind.wants, told, Book(work), ledger, retry_s)

    def _kinds(self) -> dict[str, Kind]:
        settings, url = self._settings, self._settings.webhook_url
        # -I -S: the standard library is all that it needs.
        post = (sys.executable, "-I", "-S", str(_WEBHOOK)) if url else ()
        return {
            "on_success": Kind(settings.on_success, "done"),
            "on_failure": Kind(settings.on_failure, "failed"),
            "webhook": Kind(post, variables={URL_VARIABLE: url or ""}, is_ours=True),
        }

    def _call(self, kind: Kind, ended: Ended) -> Called:
        facts = facts_of(ended, self._settings.folders())
        variables = as_variables(facts) if kind.variables is None else kind.variables
        timeout_s = self._settings.hook_timeout_s
        called = call(kind.command, as_json(facts), variables, timeout_s, self._stopping)
        if not kind.is_ours or called.is_ok:
            return called
        server = urlsplit(self._settings.webhook_url or "").hostname
        return replace(called, how=called.said or f"the call to {server}: {called.how}")

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._bell.clear()
            if not self._step():
                if self._is_last:
                    break
                soonest = min(channel.due_s() for channel in self._channels)
                self._bell.wait(_AGAIN_S if self._trouble else min(soonest, threading.TIMEOUT_MAX))
        for channel in self._channels:
            with suppress(OSError):
                channel.save()

    def _step(self) -> bool:
        """Let each kind make a call; whether any did."""
        self._is_well = True
        has_called = [self._step_of(channel) for channel in self._channels]
        if self._is_well:
            self._trouble = ""
        return any(has_called)

    def _step_of(self, channel: Channel) -> bool:
        try:
            return channel.step()
        except Exception as error:  # noqa: BLE001 - no call is worth the thread
            why = str(error) or type(error).__name__
            if why != self._trouble:
                log.warning(Event.NOT_TOLD, what=channel.name, why=why)
            self._trouble, self._is_well = why, False
            return False
