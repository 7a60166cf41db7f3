"""OpenSSH's server with its clients sftp and scp."""

import re
import shlex
from pathlib import Path
from typing import ClassVar

from feeding import SLOW_S, Feeder
from programs import ClientUpload, Server, do, free_port, printed

CONFIGURATION = """\
Port {port}
ListenAddress 127.0.0.1
HostKey {room}/host_key
AuthorizedKeysFile {room}/client_key.pub
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
PermitRootLogin prohibit-password
Subsystem sftp internal-sftp -u 0002
"""
# Who feeds has no shell, and begins in the inbox. Files can be changed by their group.
SFTP_ONLY = "ForceCommand internal-sftp -u 0002 -d {inbox}\n"


class OpenSSH(Feeder):
    """sshd, which lets a client in by its key."""

    temporary_names: ClassVar = "none"
    writes_in_place: ClassVar = True
    user: ClassVar = "nobody"
    forced: ClassVar = SFTP_ONLY
    client: ClassVar[str]

    @classmethod
    def version(cls) -> str:
        found = re.search(r"OpenSSH_(\S+?),? ", printed("ssh", "-V"))
        return f"OpenSSH {found[1] if found else '?'}, {cls.client}"

    def start(self) -> None:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # sshd's own, and it insists on it
        for key in ("host_key", "client_key"):
            do(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.room / key)])
        self._port = free_port()
        configuration = self.room / "sshd_config"
        text = CONFIGURATION + self.forced
        configuration.write_text(text.format(port=self._port, room=self.room, inbox=self.inbox))
        command = ["/usr/sbin/sshd", "-D", "-e", "-f", str(configuration)]
        self._server: Server | None = None
        self._server = Server(command, self.room / "log", self._port)

    def stop(self) -> None:
        if self._server:
            self._server.stop()

    def _client(self, program: str, *options: str) -> list[str]:
        ours = ["-F", "none", "-i", str(self.room / "client_key"), "-P", str(self._port), "-q"]
        for option in ("BatchMode=yes", "StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null"):
            ours += ["-o", option]
        return [program, *ours, *options]


class Sftp(OpenSSH):
    """sftp, with a batch of commands for each upload."""

    name: ClassVar = "sftp"
    needs: ClassVar = ("sshd", "sftp")
    client: ClassVar = "sftp"

    def _batch(self, *commands: str, limit: int = 0) -> list[str]:
        self._batches = getattr(self, "_batches", 0) + 1
        batch = self.room / f"batch-{self._batches}"
        batch.write_text("".join(f"{command}\n" for command in commands))
        slowly = ["-l", str(limit)] if limit else []
        return self._client("sftp", "-b", str(batch), *slowly, f"{self.user}@127.0.0.1")

    def put(self, local: Path, to: str) -> None:
        do(self._batch(f'put "{local}" "{to}"'))

    def put_slowly(self, local: Path, to: str) -> ClientUpload:
        return ClientUpload(self._batch(f'put "{local}" "{to}"', limit=kilobits_a_second(local)))

    def put_tree(self, folder: Path, to: str) -> None:
        do(self._batch(f'put -r "{folder}/." "{to}"'))

    def rename(self, old: str, new: str) -> None:
        do(self._batch(f'rename "{old}" "{new}"'))


class Scp(OpenSSH):
    """scp, which speaks SFTP since OpenSSH 9."""

    name: ClassVar = "scp"
    needs: ClassVar = ("sshd", "scp")
    client: ClassVar = "scp"
    cannot: ClassVar = {"renamed": "scp copies, and renames nothing."}
    options: ClassVar[tuple[str, ...]] = ()

    def _copy(self, *arguments: str, to: str) -> list[str]:
        target = f"{self.user}@127.0.0.1:{self._remote(to)}"
        return self._client("scp", *self.options, *arguments, target)

    def _remote(self, to: str) -> str:
        return to

    def put(self, local: Path, to: str) -> None:
        do(self._copy(str(local), to=to))

    def put_slowly(self, local: Path, to: str) -> ClientUpload:
        limit = str(kilobits_a_second(local))
        return ClientUpload(self._copy("-l", limit, str(local), to=to))

    def put_tree(self, folder: Path, to: str) -> None:
        do(self._copy("-r", *sorted(map(str, folder.iterdir())), to=to))


class OldScp(Scp):
    """scp with its protocol of before OpenSSH 9, which many devices still speak.

    It needs a shell on the server's side, which `nobody` has not.
    """

    name: ClassVar = "scp-old-protocol"
    client: ClassVar = "scp -O"
    user: ClassVar = "root"
    forced: ClassVar = ""
    options: ClassVar = ("-O",)

    def _remote(self, to: str) -> str:
        return shlex.quote(str(self.inbox / to))


def kilobits_a_second(local: Path) -> int:
    """The limit at which a file takes `SLOW_S`, as sftp and scp want it."""
    return int(local.stat().st_size * 8 / 1000 / SLOW_S)


ROWS = (Sftp, Scp, OldScp)
