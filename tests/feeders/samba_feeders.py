"""Samba's server, with smbclient and with a writer that does as Windows' Explorer does."""

import importlib.metadata
import re
import threading
from pathlib import Path
from typing import ClassVar

from explorer import Share
from feeding import SLOW_S, Feeder
from programs import ClientUpload, Server, do, free_port, printed, slow_pieces
from slow_line import SlowLine

USER = "nobody"
PASSWORD = "drop"  # noqa: S105 - of a server that lives for a minute

# The share is what matters to whoever sets one up. Of what is global, only `smb2 max write` is
# unusual: it makes smbclient send the tests' small pictures in several pieces.
SMB_CONF = """\
[global]
server role = standalone server
smb ports = {port}
interfaces = lo
bind interfaces only = yes
disable netbios = yes
load printers = no
disable spoolss = yes
passdb backend = tdbsam:{room}/passdb.tdb
private dir = {room}
lock directory = {room}
state directory = {room}
cache directory = {room}
pid directory = {room}
ncalrpc dir = {room}/ncalrpc
log file = {room}/smbd.log
smb2 max write = 65536

[inbox]
path = {inbox}
read only = no
create mask = 0664
force create mode = 0664
directory mask = 2775
force directory mode = 2775
"""


class Samba(Feeder):
    """smbd, with one share and one user."""

    temporary_names: ClassVar = "none"
    writes_in_place: ClassVar = True

    _server: Server | None = None

    @classmethod
    def version(cls) -> str:
        found = re.search(r"Version ([\d.]+)", printed("smbclient", "--version"))
        return f"Samba {found[1] if found else '?'}, {cls._client_version()}"

    @classmethod
    def _client_version(cls) -> str:
        raise NotImplementedError

    def start(self) -> None:
        self._port = free_port()
        configuration = self.room / "smb.conf"
        text = SMB_CONF.format(port=self._port, room=self.room, inbox=self.inbox)
        configuration.write_text(text)
        password = ["smbpasswd", "-c", str(configuration), "-a", "-s", USER]
        do(password, f"{PASSWORD}\n{PASSWORD}\n")
        command = ["/usr/sbin/smbd", "--foreground", "--no-process-group", "--debug-stdout"]
        command += ["-s", str(configuration), "-l", str(self.room)]
        self._server = Server(command, self.room / "log", self._port)

    def stop(self) -> None:
        if self._server:
            self._server.stop()


class Smbclient(Samba):
    """smbclient, one process an upload."""

    name: ClassVar = "smbclient"
    needs: ClassVar = ("smbd", "smbclient", "smbpasswd")

    @classmethod
    def _client_version(cls) -> str:
        return "smbclient"

    def _smbclient(self, commands: str, port: int | None = None) -> list[str]:
        where = ["//127.0.0.1/inbox", "--port", str(port or self._port)]
        share = [*where, "--user", f"{USER}%{PASSWORD}"]
        return ["smbclient", *share, "-s", str(self.room / "smb.conf"), "-c", commands]

    def put(self, local: Path, to: str) -> None:
        do(self._smbclient(f'put "{local}" "{_backslashed(to)}"'))

    def put_slowly(self, local: Path, to: str) -> "SlowLineUpload":
        # smbclient can't be told to be slow, and reads far ahead where its input is.
        line = SlowLine(self._port, int(local.stat().st_size / SLOW_S))
        command = self._smbclient(f'put "{local}" "{_backslashed(to)}"', line.port)
        return SlowLineUpload(ClientUpload(command), line)

    def put_tree(self, folder: Path, to: str) -> None:
        start = f'lcd "{folder}"; cd "{_backslashed(to)}"'
        do(self._smbclient(f"{start}; recurse ON; prompt OFF; mput *"))

    def rename(self, old: str, new: str) -> None:
        do(self._smbclient(f'rename "{_backslashed(old)}" "{_backslashed(new)}" -f'))


class SlowLineUpload:
    """A client at the end of a slow line."""

    def __init__(self, client: ClientUpload, line: SlowLine) -> None:
        self._client = client
        self._line = line

    def wait(self) -> None:
        """Return when the client has ended; raise with what it said where it failed."""
        try:
            self._client.wait()
        finally:
            self._line.cut()

    def kill(self) -> None:
        """SIGKILL; what the line still held is lost with the client."""
        self._client.kill()
        self._line.cut()


class Explorer(Samba):
    """A writer that sets the final size first, then writes, sets the times and closes."""

    name: ClassVar = "smb-explorer"
    needs: ClassVar = ("smbd", "smbpasswd")

    @classmethod
    def _client_version(cls) -> str:
        return f"smbprotocol {importlib.metadata.version('smbprotocol')} writing as Explorer does"

    def _share(self) -> Share:
        return Share(self._port, "inbox", USER, PASSWORD)

    def put(self, local: Path, to: str) -> None:
        with self._share() as share:
            share.copy([local.read_bytes()], local.stat(), to)

    def put_slowly(self, local: Path, to: str) -> "ExplorerUpload":
        return ExplorerUpload(self._share(), local, to)

    def put_tree(self, folder: Path, to: str) -> None:
        with self._share() as share:
            for path in sorted(folder.rglob("*")):
                target = f"{to}/{path.relative_to(folder)}"
                if path.is_dir():
                    share.make_folder(target)
                else:
                    share.copy([path.read_bytes()], path.stat(), target)

    def rename(self, old: str, new: str) -> None:
        with self._share() as share:
            share.rename(old, new)


class ExplorerUpload:
    """A thread that copies. It is killed by cutting its connection, with requests on their way."""

    def __init__(self, share: Share, local: Path, to: str) -> None:
        self._share = share
        self._local = local
        self._to = to
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._copy)
        self._thread.start()

    def _copy(self) -> None:
        try:
            with self._share:
                pieces = slow_pieces(self._local.read_bytes())
                self._share.copy(pieces, self._local.stat(), self._to)
        except Exception as error:  # noqa: BLE001 - whatever it is, `wait` raises it
            self._error = error

    def wait(self) -> None:
        """Return when the file is closed; raise where that failed."""
        self._thread.join()
        if self._error:
            raise self._error

    def kill(self) -> None:
        """Cut the connection; the file is never closed by its client."""
        self._share.cut()
        self._thread.join()


def _backslashed(path: str) -> str:
    return path.replace("/", "\\")


ROWS = (Smbclient, Explorer)
