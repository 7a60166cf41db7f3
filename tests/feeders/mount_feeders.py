"""An inbox that is a FUSE mount, written behind the mount's back, where inotify sees nothing."""

import os
import re
import shutil
from pathlib import Path
from typing import ClassVar

from feeding import Feeder
from fuse_mounts import FuseMount, SshServer
from programs import ClientUpload, do, printed


class Behind(Feeder):
    """A folder on the far side of a mount, in which coreutils write as a program there would."""

    temporary_names: ClassVar = "none"
    writes_in_place: ClassVar = True

    mount: FuseMount | None = None

    def start(self) -> None:
        self.far = self.room / "far"
        self.far.mkdir()
        self.far.chmod(0o2777)
        self.mount = FuseMount(self._command(), self.inbox, self.room / "log")

    def stop(self) -> None:
        if self.mount:
            self.mount.stop()

    def _command(self) -> list[str]:
        raise NotImplementedError

    def put(self, local: Path, to: str) -> None:
        do(["cp", str(local), str(self.far / to)])

    def put_slowly(self, local: Path, to: str) -> ClientUpload:
        # dd writes what it reads, at once; cat would wait for a buffer full.
        return ClientUpload(["dd", f"of={self.far / to}", "status=none"], slow_input=local)

    def put_tree(self, folder: Path, to: str) -> None:
        do(["cp", "--recursive", f"{folder}/.", str(self.far / to)])

    def arrived(self, folder: str) -> int:
        # On the far side: through the mount, sizes may be a second old.
        return sum(entry.stat().st_size for entry in os.scandir(self.far / folder))

    def rename(self, old: str, new: str) -> None:
        do(["mv", str(self.far / old), str(self.far / new)])


class Bindfs(Behind):
    """bindfs: a folder of this machine, at another place."""

    name: ClassVar = "bindfs-mount"
    needs: ClassVar = ("bindfs",)

    @classmethod
    def version(cls) -> str:
        return printed("bindfs", "--version").strip()

    def _command(self) -> list[str]:
        return bindfs(self.far, self.inbox)


class Sshfs(Behind):
    """sshfs: a folder behind an SSH server, and here without sshfs's own memory of listings."""

    name: ClassVar = "sshfs-mount"
    needs: ClassVar = ("sshfs", "sshd")

    _server: SshServer | None = None

    @classmethod
    def version(cls) -> str:
        found = re.search(r"SSHFS version (\S+)", printed("sshfs", "--version"))
        ssh = re.search(r"OpenSSH_(\S+?),? ", printed("ssh", "-V"))
        return f"sshfs {found[1] if found else '?'}, OpenSSH {ssh[1] if ssh else '?'}"

    def start(self) -> None:
        folder = self.room / "ssh"
        folder.mkdir()
        self._server = SshServer(folder)
        self._server.start()
        super().start()

    def stop(self) -> None:
        super().stop()
        if self._server:
            self._server.stop()

    def _command(self) -> list[str]:
        assert self._server is not None
        return self._server.sshfs(self.far, self.inbox)


def bindfs(far: Path, point: Path) -> list[str]:
    """The command that mounts a folder at a point."""
    program = shutil.which("bindfs") or "bindfs"
    return [program, "-f", str(far), str(point)]


ROWS = (Bindfs, Sshfs)
