"""FTP: vsftpd and pyftpdlib as servers, curl and lftp as clients."""

import importlib.metadata
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import ClassVar
from urllib.parse import quote

from feeding import SLOW_S, Feeder
from programs import PATIENCE_S, ClientUpload, Server, do, free_port, printed

USER = "daemon"  # vsftpd insists on a home folder that is there
PASSWORD = "drop"  # noqa: S105 - of a server that lives for a minute

# The first lines are what matters to whoever sets one up: who comes in is in the inbox and nowhere
# else, may write there, and leaves files that their group can change.
VSFTPD_CONF = """\
local_enable=YES
anonymous_enable=NO
write_enable=YES
local_root={inbox}
chroot_local_user=YES
allow_writeable_chroot=YES
local_umask=002
file_open_mode=0666
pam_service_name=vsftpd
listen=YES
listen_address=127.0.0.1
listen_port={port}
background=NO
secure_chroot_dir={room}/empty
connect_from_port_20=NO
xferlog_enable=NO
seccomp_sandbox=NO
"""
# Any password will do, and whoever comes needs no shell.
PAM = """\
auth required pam_permit.so
account required pam_permit.so
session required pam_permit.so
"""


class Ftp(Feeder):
    """A server of some kind; curl's and lftp's part is below."""

    temporary_names: ClassVar = "none"
    writes_in_place: ClassVar = True

    _server: Server | None = None

    def start(self) -> None:
        self._port = free_port()
        self._server = Server(self._serve(), self.room / "log", self._port)

    def stop(self) -> None:
        if self._server:
            self._server.stop()

    def _serve(self) -> list[str]:
        raise NotImplementedError


class Vsftpd(Ftp):
    """vsftpd, with a user of this machine."""

    more: ClassVar = ""

    @staticmethod
    def server_version() -> str:
        # It prints its version to its standard input.
        with tempfile.TemporaryFile("w+") as both:
            command = [_sbin("vsftpd"), "-v"]
            subprocess.run(command, stdin=both, stdout=both, timeout=PATIENCE_S, check=False)
            both.seek(0)
            found = re.search(r"version (\S+)", both.read())
        return f"vsftpd {found[1] if found else '?'}"

    def _serve(self) -> list[str]:
        (self.room / "empty").mkdir()
        configuration = self.room / "vsftpd.conf"
        text = VSFTPD_CONF.format(inbox=self.inbox, room=self.room, port=self._port)
        configuration.write_text(text + self.more)
        pam = self.room / "pam"
        pam.write_text(PAM)
        # PAM reads below /etc and nowhere else; what is put there is seen by this server alone.
        start = f"mount --bind {pam} /etc/pam.d/vsftpd && exec {_sbin('vsftpd')} {configuration}"
        return ["unshare", "--mount", "--propagation", "private", "sh", "-c", start]


class Pyftpdlib(Ftp):
    """pyftpdlib's own command line."""

    @staticmethod
    def server_version() -> str:
        return f"pyftpdlib {importlib.metadata.version('pyftpdlib')}"

    def _serve(self) -> list[str]:
        python = [sys.executable, "-W", "ignore", "-m", "pyftpdlib"]
        where = ["--interface", "127.0.0.1", "--port", str(self._port)]
        who = ["--username", USER, "--password", PASSWORD]
        return [*python, *where, *who, "--write", "--directory", str(self.inbox)]


class CurlClient(Ftp):
    """curl, one process an upload."""

    def _curl(self, *arguments: str) -> list[str]:
        return ["curl", "--silent", "--show-error", "--user", f"{USER}:{PASSWORD}", *arguments]

    def _url(self, to: str) -> str:
        return f"ftp://127.0.0.1:{self._port}/{quote(to)}"

    def put(self, local: Path, to: str) -> None:
        do(self._curl("--upload-file", str(local), self._url(to)))

    def put_slowly(self, local: Path, to: str) -> ClientUpload:
        limit = str(bytes_a_second(local))
        upload = ("--upload-file", str(local), self._url(to))
        return ClientUpload(self._curl("--limit-rate", limit, *upload))

    def put_tree(self, folder: Path, to: str) -> None:
        uploads: list[str] = []
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                uploads += ["--upload-file", str(path)]
                uploads += [self._url(f"{to}/{path.relative_to(folder)}")]
        do(self._curl("--ftp-create-dirs", *uploads))

    def rename(self, old: str, new: str) -> None:
        commands = ["--quote", f"RNFR {old}", "--quote", f"RNTO {new}"]
        do(self._curl(*commands, "--list-only", "--output", "/dev/null", self._url("")))


class LftpClient(Ftp):
    """lftp, one process an upload."""

    settings: ClassVar = "set ftp:passive-mode on; set xfer:use-temp-file no;"

    def _lftp(self, commands: str) -> list[str]:
        site = f"open ftp://{USER}:{PASSWORD}@127.0.0.1:{self._port}"
        return [
            "lftp",
            "--norc",
            "-c",
            f"set cmd:fail-exit yes; {self.settings} {site}; {commands}",
        ]

    def put(self, local: Path, to: str) -> None:
        do(self._lftp(f'put "{local}" -o "{to}"'))

    def put_slowly(self, local: Path, to: str) -> ClientUpload:
        rate = bytes_a_second(local)
        limit = f"set net:limit-rate 0:{rate}; set net:limit-max {rate // 10};"
        return ClientUpload(self._lftp(f'{limit} put "{local}" -o "{to}"'))

    def put_tree(self, folder: Path, to: str) -> None:
        do(self._lftp(f'mirror --reverse --no-perms "{folder}/" "{to}/"'))

    def rename(self, old: str, new: str) -> None:
        do(self._lftp(f'mv "{old}" "{new}"'))


class VsftpdCurl(CurlClient, Vsftpd):
    """vsftpd, curl."""

    name: ClassVar = "vsftpd-curl"
    needs: ClassVar = ("vsftpd", "unshare", "curl")

    @classmethod
    def version(cls) -> str:
        return f"{cls.server_version()}, {curl_version()}"


class VsftpdLftp(LftpClient, Vsftpd):
    """vsftpd, lftp."""

    name: ClassVar = "vsftpd-lftp"
    needs: ClassVar = ("vsftpd", "unshare", "lftp")

    @classmethod
    def version(cls) -> str:
        return f"{cls.server_version()}, {lftp_version()}"


class VsftpdLftpTemporary(VsftpdLftp):
    """vsftpd, lftp with temporary names."""

    name: ClassVar = "vsftpd-lftp-temp"
    temporary_names: ClassVar = "`.in.NAME`, then a rename"
    writes_in_place: ClassVar = False
    settings: ClassVar = "set ftp:passive-mode on; set xfer:use-temp-file yes;"
    more: ClassVar = "delete_failed_uploads=YES\n"

    @classmethod
    def version(cls) -> str:
        return f"{super().version()} (xfer:use-temp-file yes)"


class PyftpdlibCurl(CurlClient, Pyftpdlib):
    """pyftpdlib, curl."""

    name: ClassVar = "pyftpdlib-curl"
    needs: ClassVar = ("curl",)

    @classmethod
    def version(cls) -> str:
        return f"{cls.server_version()}, {curl_version()}"


def curl_version() -> str:
    """As in `curl 7.88.1`."""
    return " ".join(printed("curl", "--version").split()[:2])


def lftp_version() -> str:
    """As in `lftp 4.9.2`."""
    found = re.search(r"Version (\S+)", printed("lftp", "--version"))
    return f"lftp {found[1] if found else '?'}"


def bytes_a_second(local: Path) -> int:
    """The rate at which a file takes `SLOW_S`."""
    return int(local.stat().st_size / SLOW_S)


def _sbin(program: str) -> str:
    return shutil.which(program, path="/usr/sbin:/usr/local/sbin") or program


ROWS = (VsftpdCurl, VsftpdLftp, VsftpdLftpTemporary, PyftpdlibCurl)
