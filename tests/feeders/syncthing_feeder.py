"""Syncthing on both sides: what is put into the sender's folder arrives in the inbox."""

import os
import re
import shutil
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar, Final

from feeding import SLOW_S, Feeder
from programs import PATIENCE_S, ProgramError, printed
from syncthing_device import Device, Share

FOLDER: Final = "photos"
# What a limit lets through at once before it limits (lib/connections/limiter.go, burst size).
BURST_BYTES: Final = 512 << 10


class Syncthing(Feeder):
    """A sender that takes nothing and a receiver that gives nothing.

    So what is taken out of the inbox is neither deleted at the sender nor fetched again.
    """

    name: ClassVar = "syncthing"
    needs: ClassVar = ("syncthing",)
    temporary_names: ClassVar = "`.syncthing.NAME.tmp`"
    writes_in_place: ClassVar = False
    leaves: ClassVar = (".stfolder/*",)

    _sender: Device | None = None
    _receiver: Device | None = None

    @classmethod
    def version(cls) -> str:
        found = re.search(r"v([\d.]+)", printed("syncthing", "--version"))
        return f"Syncthing {found[1] if found else '?'}"

    def start(self) -> None:
        self._home = self.room / "home"
        self._sender = Device(self.room / "sender")
        self._receiver = Device(self.room / "receiver")
        receiver, sender = self._receiver, self._sender
        sent = Share(FOLDER, self._home, "sendonly", watches=False)
        sender.share([sent], {receiver.id: f"tcp://127.0.0.1:{receiver.port}"})
        received = Share(FOLDER, self.inbox, "receiveonly", ignore_perms=True)
        receiver.share([received], {sender.id: "dynamic"})
        receiver.start()
        self._arrivals = Arrivals(receiver)
        self._slow_bytes: dict[str, int] = {}
        self._send()

    def stop(self) -> None:
        for device in (self._sender, self._receiver):
            if device:
                device.kill()

    def put(self, local: Path, to: str) -> None:
        self._put([(local, to)])

    def put_slowly(self, local: Path, to: str) -> "Sync":
        self._limit({**self._slow_bytes, to: local.stat().st_size})
        before = self._arrivals.count(to)
        self._bring(local, to)
        self._send().rescan(FOLDER, to)
        return Sync(self, to, before)

    def put_tree(self, folder: Path, to: str) -> None:
        files = [path for path in folder.rglob("*") if path.is_file()]
        self._put([(path, f"{to}/{path.relative_to(folder)}") for path in files], to)

    def rename(self, old: str, new: str) -> None:
        before = {name: self._arrivals.count(name) for name in (old, new)}
        (self._home / old).rename(self._home / new)
        self._send().rescan(FOLDER)
        self.wait_for(before)

    def wait_for(self, before: dict[str, int]) -> None:
        """Return when each of these files has arrived, or gone, once more than so many times."""
        deadline = time.monotonic() + PATIENCE_S
        while not all(self._arrivals.count(name) > times for name, times in before.items()):
            if time.monotonic() > deadline:
                raise ProgramError(f"not all of {', '.join(before)} arrive")
            time.sleep(0.05)

    def finish(self, to: str) -> None:
        """A slow upload is over: what is still under way may go faster."""
        self._limit({name: size for name, size in self._slow_bytes.items() if name != to})

    def cut(self) -> None:
        """The sender is gone, and all that it was about to send with it."""
        assert self._sender is not None
        self._sender.kill()
        self._slow_bytes = {}

    def _put(self, files: Iterable[tuple[Path, str]], below: str | None = None) -> None:
        before = {}
        for local, to in files:
            before[to] = self._arrivals.count(to)
            self._bring(local, to)
        sender = self._send()
        sender.rescan(FOLDER, next(iter(before)) if below is None else below)
        self.wait_for(before)

    def _bring(self, local: Path, to: str) -> None:
        """Put a file into the sender's folder, whole at once."""
        target = self._home / to
        target.parent.mkdir(parents=True, exist_ok=True)
        hidden = self.room / "next"
        shutil.copyfile(local, hidden)
        hidden.replace(target)

    def _send(self) -> Device:
        """The sender, started again where it was killed."""
        assert self._sender is not None
        if not self._sender.is_running:
            self._sender.start()
            self._sender.wait_for_peer()
            self._limit(self._slow_bytes)
        return self._sender

    def _limit(self, slow_bytes: dict[str, int]) -> None:
        """Send no faster than so much in `SLOW_S`; as fast as can be where there is nothing."""
        self._slow_bytes = slow_bytes
        size = max(0, sum(slow_bytes.values()) - BURST_BYTES)
        if self._sender and self._sender.is_running:
            limit = {"maxSendKbps": int(size / 1024 / SLOW_S)}
            self._sender.ask("config/options", "PATCH", limit)


class Sync:
    """A file on its way from one Syncthing to the other."""

    def __init__(self, feeder: Syncthing, to: str, before: int) -> None:
        self._feeder = feeder
        self._to = to
        self._before = before

    def wait(self) -> None:
        """Return when the receiver has it under its name."""
        try:
            self._feeder.wait_for({self._to: self._before})
        finally:
            self._feeder.finish(self._to)

    def kill(self) -> None:
        """SIGKILL to the sender."""
        self._feeder.cut()


class Arrivals:
    """What the receiver says that it has brought to its end, file by file."""

    def __init__(self, receiver: Device) -> None:
        self._receiver = receiver
        self._last = 0
        self._counts: dict[str, int] = {}
        self._lock = threading.Lock()
        self.count("")  # events are kept from the first question on

    def count(self, name: str) -> int:
        """How often a file has arrived, or gone."""
        with self._lock:
            ask, last = self._receiver.ask, self._last
            for event in ask("events", events="ItemFinished", since=last, timeout=0):
                self._last = event["id"]
                if event["data"]["error"] is None:
                    item = os.fspath(event["data"]["item"])
                    self._counts[item] = self._counts.get(item, 0) + 1
            return self._counts.get(name, 0)


ROWS = (Syncthing,)
