"""rsync to a daemon of its own on the inbox, in the four ways in which it writes its files."""

import re
from pathlib import Path
from typing import ClassVar

from feeding import SLOW_S, Feeder
from programs import ClientUpload, Server, do, free_port, printed

CONFIGURATION = """\
address = 127.0.0.1
port = {port}
use chroot = no
pid file = {room}/pid
[inbox]
path = {inbox}
read only = no
uid = 65534
gid = 65534
"""


class Rsync(Feeder):
    """rsync as it is without options: a hidden name, renamed when all of the file is there."""

    name: ClassVar = "rsync"
    needs: ClassVar = ("rsync",)
    temporary_names: ClassVar = "`.NAME.XXXXXX`"
    writes_in_place: ClassVar = False
    cannot: ClassVar = {
        "renamed": "rsync renames nothing: what has a new name at home is uploaded once more."
    }
    options: ClassVar[tuple[str, ...]] = ()

    _server: Server | None = None

    @classmethod
    def version(cls) -> str:
        found = re.search(r"version (\S+)", printed("rsync", "--version"))
        return " ".join(("rsync", found[1] if found else "?", *cls.options))

    def start(self) -> None:
        self._port = free_port()
        configuration = self.room / "rsyncd.conf"
        configuration.write_text(
            CONFIGURATION.format(port=self._port, room=self.room, inbox=self.inbox)
        )
        command = ["rsync", "--daemon", "--no-detach", "--config", str(configuration)]
        self._server = Server(command, self.room / "log", self._port)

    def stop(self) -> None:
        if self._server:
            self._server.stop()

    def _copy(self, source: str, to: str, *options: str) -> list[str]:
        # A file of the same size and second would be passed over, as rsync takes it for the same.
        # Times of folders can only be set by whoever owns them.
        always = ("--recursive", "--times", "--omit-dir-times", "--ignore-times")
        target = f"rsync://127.0.0.1:{self._port}/inbox/{to}"
        return ["rsync", *always, *self.options, *options, source, target]

    def put(self, local: Path, to: str) -> None:
        do(self._copy(str(local), to))

    def put_slowly(self, local: Path, to: str) -> ClientUpload:
        limit = f"--bwlimit={local.stat().st_size / SLOW_S / 1024:.1f}"
        return ClientUpload(self._copy(str(local), to, limit))

    def put_tree(self, folder: Path, to: str) -> None:
        do(self._copy(f"{folder}/", f"{to}/"))


class RsyncPartial(Rsync):
    """What was cut off is kept under the final name, with a time of 1970, and gone on with."""

    name: ClassVar = "rsync-partial"
    temporary_names: ClassVar = "`.NAME.XXXXXX`; cut off, the final name"
    renames_halves: ClassVar = True
    options: ClassVar = ("--partial",)


class RsyncInplace(Rsync):
    """Written under the final name from the first byte on."""

    name: ClassVar = "rsync-inplace"
    temporary_names: ClassVar = "none"
    writes_in_place: ClassVar = True
    options: ClassVar = ("--inplace",)


class RsyncDelayed(Rsync):
    """All files lie in a hidden folder until the last has come, and are renamed then."""

    name: ClassVar = "rsync-delay-updates"
    temporary_names: ClassVar = "`.~tmp~/NAME`"
    options: ClassVar = ("--delay-updates",)


ROWS = (Rsync, RsyncPartial, RsyncInplace, RsyncDelayed)
