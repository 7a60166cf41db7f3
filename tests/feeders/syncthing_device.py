"""A Syncthing that knows nobody but the devices it is told of, and talks on loopback alone."""

import contextlib
import http.client
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

from programs import PATIENCE_S, ProgramError, free_port, printed

_KEY: Final = "loopback"
_DEVICE: Final = """\
  <device id="{id}"><address>{address}</address></device>
"""
# `minDiskFree` is a share of the disk, and no test is about how full this one is.
_FOLDER: Final = """\
  <folder id="{id}" path="{path}" type="{type}" rescanIntervalS="3600"
          fsWatcherEnabled="{watches}" fsWatcherDelayS="1" ignorePerms="{ignore_perms}">
    {devices}
    <maxConflicts>{conflicts}</maxConflicts>
    <minDiskFree unit="%">0</minDiskFree>
  </folder>
"""
_CONFIGURATION: Final = """\
<configuration version="36">
{folders}{devices}
  <gui enabled="true" tls="false"><address>127.0.0.1:{gui}</address><apikey>{key}</apikey></gui>
  <options>
    <listenAddress>tcp://127.0.0.1:{port}</listenAddress>
    <globalAnnounceEnabled>false</globalAnnounceEnabled>
    <localAnnounceEnabled>false</localAnnounceEnabled>
    <relaysEnabled>false</relaysEnabled>
    <natEnabled>false</natEnabled>
    <stunKeepaliveStartS>0</stunKeepaliveStartS>
    <announceLANAddresses>false</announceLANAddresses>
    <reconnectionIntervalS>1</reconnectionIntervalS>
    <limitBandwidthInLan>true</limitBandwidthInLan>
    <startBrowser>false</startBrowser>
    <urAccepted>-1</urAccepted>
    <autoUpgradeIntervalH>0</autoUpgradeIntervalH>
    <crashReportingEnabled>false</crashReportingEnabled>
    <minHomeDiskFree unit="%">0</minHomeDiskFree>
  </options>
</configuration>
"""


@dataclass(frozen=True)
class Share:
    """A folder as one device has it. `conflicts` is Syncthing's `maxConflicts`: -1 keeps all."""

    id: str
    path: Path
    type: str
    watches: bool = True
    ignore_perms: bool = False
    conflicts: int = -1


class Device:
    """One Syncthing, with its REST interface."""

    def __init__(self, home: Path) -> None:
        """Give it an identity; it is not yet started."""
        self._home = home
        self._gui, self.port = free_port(), free_port()
        self._process: subprocess.Popen[bytes] | None = None
        generate = ("--no-default-folder", "--skip-port-probing", "--home", str(home))
        printed("syncthing", "generate", *generate)
        self.id = printed("syncthing", "--device-id", "--home", str(home)).strip()

    def share(self, shares: Iterable[Share], others: Mapping[str, str]) -> None:
        """Share folders with other devices, which are ids with addresses."""
        known = {**others, self.id: "dynamic"}
        devices = [_DEVICE.format(id=peer, address=address) for peer, address in known.items()]
        members = "".join(f'<device id="{peer}"/>' for peer in known)
        text = _CONFIGURATION.format(
            folders="".join(_folder(share, members) for share in shares),
            devices="".join(devices),
            gui=self._gui,
            port=self.port,
            key=_KEY,
        )
        (self._home / "config.xml").write_text(text)

    @property
    def is_running(self) -> bool:
        """Whether it was started and has not been ended."""
        return self._process is not None

    def start(self) -> None:
        """Return when it answers."""
        command = ["syncthing", "--home", str(self._home), "--no-browser", "--no-restart"]
        with (self._home / "log").open("ab") as output:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, "STNOUPGRADE": "1", "STMONITORED": "1"},
                start_new_session=True,
                umask=0o002,
            )
        deadline = time.monotonic() + PATIENCE_S
        while True:
            with contextlib.suppress(OSError, http.client.HTTPException):
                self.ask("system/ping")
                return
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise ProgramError(f"syncthing does not start: {(self._home / 'log').read_text()}")
            time.sleep(0.05)

    def kill(self) -> None:
        """SIGKILL; it can be started again."""
        if self._process:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(timeout=PATIENCE_S)
            self._process = None

    def ask(self, path: str, method: str = "GET", body: object = None, **query: object) -> Any:
        """What the REST interface answers."""
        connection = http.client.HTTPConnection("127.0.0.1", self._gui, timeout=PATIENCE_S)
        try:
            address = f"/rest/{path}?{urlencode(query)}"
            content = None if body is None else json.dumps(body)
            connection.request(method, address, content, {"X-API-Key": _KEY})
            answer = connection.getresponse()
            text = answer.read().decode()
        finally:
            connection.close()
        if answer.status != http.client.OK:
            raise ProgramError(f"syncthing answers {answer.status} to {path}: {text}")
        return json.loads(text) if text.startswith(("{", "[")) else text

    def rescan(self, folder: str, below: str = "") -> None:
        """Look for changes now; return when it has."""
        self.ask("db/scan", "POST", folder=folder, sub=below)

    def wait_for_peer(self) -> None:
        """Return when it is connected with another device."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            known = self.ask("system/connections")["connections"].values()
            if any(connection["connected"] for connection in known):
                return
            if time.monotonic() > deadline:
                raise ProgramError("the two Syncthings do not meet")
            time.sleep(0.05)


def _folder(share: Share, members: str) -> str:
    share.path.mkdir(parents=True, exist_ok=True)
    (share.path / ".stfolder").mkdir(exist_ok=True)  # without it, Syncthing believes it unmounted
    return _FOLDER.format(
        id=share.id,
        path=share.path,
        type=share.type,
        watches=str(share.watches).lower(),
        ignore_perms=str(share.ignore_perms).lower(),
        conflicts=share.conflicts,
        devices=members,
    )
