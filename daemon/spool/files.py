"""The only code that renames, syncs, removes, or sets mode and owner of files.

Promises, each at its function: no user's file is ever overwritten, a name appears in a folder only
when the whole file behind it is on the disk, and what was moved is in exactly one place.
"""

import ctypes
import errno
import filecmp
import hashlib
import os
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

import structlog

from daemon.events import Event

log = structlog.get_logger()

_AT_FDCWD: Final = -100
_RENAME_NOREPLACE: Final = 1
# What a kernel or a file system answers that has no rename without replacing.
_NO_NOREPLACE: Final = {errno.ENOSYS, errno.EINVAL, errno.ENOTSUP}
_NO_HARD_LINKS: Final = {errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.ENOSYS}

# Linux's NAME_MAX on every file system a spool is likely to lie on, in bytes.
MAX_NAME_BYTES: Final = 255

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Ownership:
    """Modes and owners of what is published; None leaves the owner as it is."""

    file_mode: int = 0o664
    folder_mode: int = 0o2775
    uid: int | None = None
    gid: int | None = None


PRIVATE: Final = Ownership(file_mode=0o600, folder_mode=0o700)


def rename(source: Path, target: Path) -> None:
    """Rename in one step. Raises `FileExistsError`, with nothing changed, if the target exists."""
    done = _libc.renameat2(
        _AT_FDCWD, os.fsencode(source), _AT_FDCWD, os.fsencode(target), _RENAME_NOREPLACE
    )
    if done == 0:
        return
    code = ctypes.get_errno()
    if code not in _NO_NOREPLACE:
        raise OSError(code, os.strerror(code), str(source), None, str(target))
    try:
        # A link fails on an existing target. A crash after it leaves one file with two names,
        # which `move` recognises as the same file and mends.
        os.link(source, target)
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        if os.path.lexists(target):
            raise FileExistsError(
                errno.EEXIST, os.strerror(errno.EEXIST), str(source), None, str(target)
            ) from None
        os.rename(source, target)  # noqa: PTH104 - a file system that offers nothing better
    else:
        source.unlink()


def move(source: Path, target: Path) -> None:
    """Move a user's file to a free name, across file systems too; repeatable after any crash.

    A target with the same content is an earlier, interrupted move and completes it. Raises
    `FileExistsError`, with nothing changed, where the target is another file.
    """
    try:
        rename(source, target)
    except FileExistsError:
        if not is_same_content(source, target):
            raise
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        # Mode and times go along; the owner can't where we are not root.
        temporary = target.with_name(f".retouchd-{source.parent.parent.name}-{source.name}")
        remove_file(temporary)
        shutil.copy2(source, temporary)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        rename(temporary, target)
    else:
        return
    sync_folder(target.parent)  # the copy must be durable before the source goes
    source.unlink()


def write_durably(path: Path, content: bytes, ownership: Ownership = PRIVATE) -> None:
    """Write a file of our own, replacing an older one; whole and on the disk, or not at all."""
    # A name of fixed length: the target's may already be as long as a name can be.
    tag = hashlib.sha256(os.fsencode(path.name)).hexdigest()[:16]
    temporary = path.with_name(f".retouchd-{tag}")
    with _create(temporary) as file:
        file.write(content)
        _finish(file, ownership)
    os.replace(temporary, path)  # noqa: PTH105 - the os calls stand out in this file
    sync_folder(path.parent)


def publish(source: Path, target: Path, tag: str, ownership: Ownership, *, replace: bool) -> None:
    """Copy a finished output to its place: hidden until it is whole, synced and owned.

    `tag` makes the temporary's name unique to the job. With `replace`, an existing target (an
    earlier try's) is replaced; else `FileExistsError` is raised and it stays. The folder itself is
    synced by the caller, once for all outputs.
    """
    temporary = target.with_name(f".retouchd-{tag}")
    with source.open("rb") as original, _create(temporary) as file:
        shutil.copyfileobj(original, file, 1 << 20)
        _finish(file, ownership)
    if replace:
        os.replace(temporary, target)  # noqa: PTH105
        return
    try:
        rename(temporary, target)
    except FileExistsError:
        remove_file(temporary)
        raise


def make_folders(root: Path, folder: str, ownership: Ownership) -> Path:
    """Make `root/folder`, each new level with mode and owner. The root itself must exist."""
    path = root
    for part in Path(folder).parts:
        path /= part
        try:
            path.mkdir(mode=0o700)
        except FileExistsError:
            if not path.is_dir():  # a file, or a link to nowhere
                raise NotADirectoryError(
                    errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path)
                ) from None
            continue
        own_folder(path, ownership)
        sync_folder(path.parent)
    return path


def require_private(path: Path) -> None:
    """Raise `PermissionError` unless this is a folder of ours that nobody else can write to.

    What lies in it decides what is moved where, and in an open inbox anyone can make a folder.
    """
    about = path.lstat()
    if not stat.S_ISDIR(about.st_mode) or about.st_uid != os.geteuid():
        raise PermissionError(errno.EPERM, "it belongs to somebody else; remove it", str(path))
    if about.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise PermissionError(errno.EPERM, "others can write to it; run chmod 700", str(path))


def own_folder(path: Path, ownership: Ownership) -> None:
    """Set a folder's owner and mode through a descriptor, so that no link can divert it."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        _own(fd, path, ownership, ownership.folder_mode)
    finally:
        os.close(fd)


def sync_folder(path: Path) -> None:
    """Make the names in a folder durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def remove_file(path: Path) -> None:
    """Remove a file if it is there."""
    path.unlink(missing_ok=True)


def remove_folder(path: Path) -> None:
    """Remove a folder of our own and everything in it, if it is there."""
    try:
        shutil.rmtree(path)
    except FileNotFoundError:
        return


def probe_rename(source: Path, target: Path) -> None:
    """Raise the `OSError` that a claim by rename from one folder to the other would meet."""
    probe = source / f".retouchd-probe-{os.getpid()}"
    moved = target / f".retouchd-probed-{os.getpid()}"
    with _create(probe):
        pass
    try:
        rename(probe, moved)
    finally:
        remove_file(probe)
        remove_file(moved)


def is_same_content(one: Path, other: Path) -> bool:
    """True where both are regular files with the same bytes."""
    if one.is_symlink() or other.is_symlink() or not (one.is_file() and other.is_file()):
        return False
    return filecmp.cmp(one, other, shallow=False)


def sha256_of(path: Path) -> str | None:
    """The content's SHA-256 in hex; None where there is no regular file."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        if error.errno == errno.ELOOP:  # a symbolic link is none of our outputs
            return None
        raise
    with os.fdopen(fd, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _create(path: Path) -> BinaryIO:
    """Open a new file for writing that only we can read, whatever lay under the name before."""
    remove_file(path)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.fdopen(os.open(path, flags, 0o600), "wb")


def _finish(file: BinaryIO, ownership: Ownership) -> None:
    file.flush()
    _own(file.fileno(), file.name, ownership, ownership.file_mode)
    os.fsync(file.fileno())


def _own(fd: int, path: object, ownership: Ownership, mode: int) -> None:
    # Owner first: a change of owner clears set-group-id.
    if ownership.uid is not None or ownership.gid is not None:
        uid = -1 if ownership.uid is None else ownership.uid
        gid = -1 if ownership.gid is None else ownership.gid
        try:
            os.fchown(fd, uid, gid)
        except PermissionError as error:
            # A result with the wrong owner is better than none.
            log.warning(Event.OWNER_NOT_SET, path=str(path), why=error.strerror, uid=uid, gid=gid)
    try:
        os.fchmod(fd, mode)
    except PermissionError as error:  # a file system without modes
        log.warning(Event.OWNER_NOT_SET, path=str(path), why=error.strerror, mode=f"{mode:o}")
