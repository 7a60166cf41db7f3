"""FUSE mounts, and the SSH server behind one of them, that can be cut off and come back.

Mounts are seen by the test's own process and by those that it starts, and by nobody else.
"""

import contextlib
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import psutil
from mounts import Mounts
from programs import PATIENCE_S, ProgramError, Server, do, free_port

SSHD: Final = """\
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/client_key.pub
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
PermitRootLogin prohibit-password
Subsystem sftp internal-sftp
"""

# What an inbox on sshfs is to be mounted with, and why: sshfs asks anew for each listing, where it
# would else believe its own for 20 s; a file keeps its number when it is renamed; it goes on by
# itself when the server is back; and a server that says nothing, on a connection or to a new one,
# is one that is gone. Without that, whoever looks into the mount is held up until it speaks again.
SSHFS_OPTIONS: Final = (
    "dir_cache=no",
    "disable_hardlink",
    "reconnect",
    "ServerAliveInterval=5",
    "ServerAliveCountMax=3",
    "ConnectTimeout=10",
)


class FuseMount:
    """A mounted FUSE program in the foreground."""

    def __init__(self, command: Sequence[str], point: Path, log: Path) -> None:
        """Mount; return when it is there."""
        Mounts()  # from here on, mounts are our own
        self._point = point
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
            )
        deadline = time.monotonic() + PATIENCE_S
        while not point.is_mount():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise ProgramError(f"{command[0]} does not mount: {log.read_text()}")
            time.sleep(0.02)

    def stop(self) -> None:
        """Unmount, though somebody has it open, and end the program."""
        unmount = ["umount", "--lazy", str(self._point)]
        subprocess.run(unmount, capture_output=True, timeout=PATIENCE_S, check=False)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=2)
        self._process.kill()
        self._process.wait(timeout=PATIENCE_S)


class _Sshd(Server):
    """sshd, whose processes for its clients are no part of its group: they outlive it."""

    def signal(self, number: signal.Signals) -> None:
        """To itself, and to all that serve a client."""
        listener = psutil.Process(self._process.pid)
        for process in (listener, *listener.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(number)

    def stop(self) -> None:
        """Be gone, and cut off who is connected."""
        with contextlib.suppress(psutil.NoSuchProcess):
            self.signal(signal.SIGKILL)
        super().stop()


class SshServer:
    """sshd with SFTP on a port of its own, which it keeps when it comes back."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = free_port()
        self._server: _Sshd | None = None
        for key in ("host_key", "client_key"):
            do(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / key)])

    def start(self) -> None:
        """Let clients in, for the first time or again."""
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # sshd's own, and it insists on it
        configuration = self._folder / "sshd_config"
        configuration.write_text(SSHD.format(port=self._port, folder=self._folder))
        command = ["/usr/sbin/sshd", "-D", "-e", "-f", str(configuration)]
        self._server = _Sshd(command, self._folder / "log", self._port)

    def stop(self) -> None:
        """Be gone, and cut off who is connected."""
        if self._server:
            self._server.stop()

    def signal(self, number: signal.Signals) -> None:
        """To sshd, and to all that serve a client."""
        assert self._server is not None
        self._server.signal(number)

    def sshfs(self, far: Path, point: Path, options: Sequence[str] = SSHFS_OPTIONS) -> list[str]:
        """The command that mounts a folder of this server at a point."""
        ssh = ("StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "BatchMode=yes")
        key = f"IdentityFile={self._folder / 'client_key'}"
        command = ["sshfs", "-f", "-F", "/dev/null", "-p", str(self._port)]
        for option in (*options, *ssh, key):
            command += ["-o", option]
        return [*command, f"root@127.0.0.1:{far}", str(point)]
