"""A client of a share that copies as Windows' Explorer does.

It makes the file, sets its final size, writes the content piece by piece, gives it the times of
the original and closes it, all through one handle. So the file has its name and its size from the
first moment, and at the end a time that lies in the past.
"""

import os
import uuid
from collections.abc import Iterable
from types import TracebackType
from typing import Any

from smbprotocol.connection import Connection
from smbprotocol.file_info import (
    FileAttributes,
    FileBasicInformation,
    FileEndOfFileInformation,
    FileRenameInformation,
)
from smbprotocol.open import (
    CreateDisposition,
    CreateOptions,
    FilePipePrinterAccessMask,
    ImpersonationLevel,
    Open,
    ShareAccess,
    SMB2SetInfoRequest,
)
from smbprotocol.session import Session
from smbprotocol.tree import TreeConnect

CONNECT_S = 30
# 1970 in Windows' count of 100 ns since 1601, [MS-DTYP] 2.3.3.
_WINDOWS_EPOCH = 116_444_736_000_000_000
_WRITE = FilePipePrinterAccessMask.GENERIC_WRITE | FilePipePrinterAccessMask.GENERIC_READ


class Share:
    """A connection of its own to a share; paths have `/`."""

    def __init__(self, port: int, share: str, user: str, password: str) -> None:
        self._connection = Connection(uuid.uuid4(), "127.0.0.1", port, require_signing=True)
        self._connection.connect(timeout=CONNECT_S)
        session = Session(self._connection, user, password, require_encryption=False)
        session.connect()
        self._tree = TreeConnect(session, rf"\\127.0.0.1\{share}")
        self._tree.connect()

    def __enter__(self) -> "Share":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._connection.disconnect()

    def cut(self) -> None:
        """Close the socket, and tell the server nothing."""
        self._connection.transport.close()

    def copy(self, pieces: Iterable[bytes], of: os.stat_result, to: str) -> None:
        """Write a file, over what is there, whose size and time are as `of` has them."""
        file = self._open(to, CreateDisposition.FILE_OVERWRITE_IF)
        end = FileEndOfFileInformation()
        end["end_of_file"] = of.st_size
        self._set(file, end)
        offset = 0
        for piece in pieces:
            for at in range(0, len(piece), self._connection.max_write_size):
                offset += file.write(piece[at : at + self._connection.max_write_size], offset)
        times = FileBasicInformation()
        times["last_write_time"] = _WINDOWS_EPOCH + of.st_mtime_ns // 100
        self._set(file, times)
        file.close()

    def make_folder(self, path: str) -> None:
        """Make a folder whose parent is there; one that is there too is fine."""
        options = CreateOptions.FILE_DIRECTORY_FILE
        self._open(path, CreateDisposition.FILE_OPEN_IF, options).close()

    def rename(self, old: str, new: str) -> None:
        """Rename a file, over what is there."""
        file = self._open(old, CreateDisposition.FILE_OPEN, access=FilePipePrinterAccessMask.DELETE)
        name = FileRenameInformation()
        name["replace_if_exists"] = True
        name["file_name"] = new.replace("/", "\\")
        self._set(file, name)
        file.close()

    def _open(
        self,
        path: str,
        disposition: int,
        options: int = CreateOptions.FILE_NON_DIRECTORY_FILE,
        access: int = _WRITE,
    ) -> Any:
        file = Open(self._tree, path.replace("/", "\\"))
        file.create(
            ImpersonationLevel.Impersonation,
            access,
            FileAttributes.FILE_ATTRIBUTE_NORMAL,
            ShareAccess.FILE_SHARE_READ,
            disposition,
            options,
        )
        return file

    def _set(self, file: Any, information: Any) -> None:
        request = SMB2SetInfoRequest()
        request["info_type"] = information.INFO_TYPE
        request["file_info_class"] = information.INFO_CLASS
        request["file_id"] = file.file_id
        request["buffer"] = information
        tree = self._tree
        sent = self._connection.send(request, tree.session.session_id, tree.tree_connect_id)
        self._connection.receive(sent)
