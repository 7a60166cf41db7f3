"""The only code that renames, syncs, removes, or sets mode and owner of files.

Promises, each at its function: no user's file is ever overwritten, a name appears in a folder only
when the whole file behind it is on the disk, what was moved is in exactly one place, and no link
leads any of it out of its root.
"""

import ctypes
import errno
import fcntl
import hashlib
import os
import pwd
import secrets
import shutil
import stat
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from io import BufferedRandom, BufferedReader
from itertools import count
from pathlib import Path
from typing import Final

import structlog

from daemon.events import Event
from daemon.intake.names import MAX_NAME_BYTES, fitted, split_suffix
from daemon.places import Place, naming
from daemon.spool.fuse import kept_open

log = structlog.get_logger()

_RENAME_NOREPLACE: Final = 1
_RENAME_EXCHANGE: Final = 2
# What a kernel or a file system answers that has no rename without replacing.
_NO_NOREPLACE: Final = {errno.ENOSYS, errno.EINVAL, errno.ENOTSUP}
# What a file system answers that has no locks.
_NO_LOCKS: Final = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EBADF}
_NO_HARD_LINKS: Final = {errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.ENOSYS}

# A folder that is still to be given its mode. After a crash in between it is found like this.
_UNFINISHED_MODE: Final = 0o700
_CHUNK_BYTES: Final = 1 << 20
# Temporaries begin so; the scan and the pages pass them over.
HIDDEN_PREFIX: Final = ".retouchd-"
# So much of a page is looked at to know whose it is.
_HEAD_BYTES: Final = 1 << 12

# On FUSE, what was removed may still be there under a hidden name until it is closed (see `fuse`).
_UNTIL_EMPTY_S: Final = (0.002, 0.02, 0.2)

_libc = ctypes.CDLL(None, use_errno=True)

# Where several jobs are published at once: nobody uses a new folder before it is on the disk, and
# no line is written into another.
_making = threading.Lock()
_appending = threading.Lock()


@dataclass(frozen=True)
class Ownership:
    """Modes and owners of what is published; None leaves the owner as it is."""

    file_mode: int = 0o664
    folder_mode: int = 0o2775
    uid: int | None = None
    gid: int | None = None


PRIVATE: Final = Ownership(file_mode=0o600, folder_mode=0o700)


def rename(source: Place, target: Place) -> None:
    """Rename in one step. Raises `FileExistsError`, with nothing changed, if the target exists."""
    with source.reached() as (old, name), target.reached() as (new, other), naming(source):
        done = _libc.renameat2(old, os.fsencode(name), new, os.fsencode(other), _RENAME_NOREPLACE)
        if done == 0:
            return
        code = ctypes.get_errno()
        if code not in _NO_NOREPLACE:
            raise OSError(code, os.strerror(code), str(source), None, str(target))
        try:
            # A link fails on an existing target. A crash after it leaves one file with two names,
            # which `move` recognises as the same file and mends.
            os.link(name, other, src_dir_fd=old, dst_dir_fd=new, follow_symlinks=False)
        except OSError as error:
            if error.errno not in _NO_HARD_LINKS:
                raise
            if target.is_there():
                code = errno.EEXIST
                raise FileExistsError(code, os.strerror(code), str(source)) from None
            # A file system that offers nothing better.
            os.rename(name, other, src_dir_fd=old, dst_dir_fd=new)
        else:
            _unlink(old, name)


def move(source: Place, target: Place) -> None:
    """Move a user's file to a free name, across file systems too; repeatable after any crash.

    A target with the same content is an earlier, interrupted move and completes it. Raises
    `FileExistsError`, with nothing changed, where the target is another file.
    """
    try:
        if not _rename_or_copy(source, target):
            return
    except FileExistsError:
        if not is_same_content(source, target):
            raise
    sync_folder(target.parent)  # the copy must be durable before the source goes
    remove_file(source)


def _rename_or_copy(source: Place, target: Place) -> bool:
    """Give a file's content a free name; True where it was copied, and so the source remains."""
    try:
        rename(source, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
    else:
        return False
    # Another file system is told before a name that is taken, so that has to be asked for.
    if target.is_there():
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
    temporary = target.beside(_name_while_copied(source))
    with _created_for_us_alone(temporary) as file:
        try:
            _copy(source, file, temporary)
            _require_same(temporary, file.fileno())
            rename(temporary, target)
        except OSError:
            if _is_same(temporary, file.fileno()):  # or it has become another process's
                remove_file(temporary)
            raise
    return True


def _name_while_copied(source: Place) -> str:
    """A hidden name, the same at each try, so that the next clears what a crash has left."""
    name = f"{HIDDEN_PREFIX}{source.parent.parent.name}-{source.name}"
    if len(os.fsencode(name)) <= MAX_NAME_BYTES:
        return name
    return f"{HIDDEN_PREFIX}{hashlib.sha256(os.fsencode(source.path)).hexdigest()[:16]}"


def write_durably(place: Place, content: bytes, ownership: Ownership = PRIVATE) -> None:
    """Write a file of our own, replacing an older one; whole and on the disk, or not at all."""
    # A name of fixed length: the target's may already be as long as a name can be.
    temporary = place.beside(f"{HIDDEN_PREFIX}{_tag(place)}")
    with _created(temporary) as file:
        file.write(content)
        _finish(file, temporary, ownership)
    _replace(temporary, place)
    sync_folder(place.parent)


def write_own_page(
    place: Place, content: bytes, ownership: Ownership, is_ours: Callable[[bytes], bool]
) -> None:
    """Write a page of our own where anybody may put files; whole and on the disk, or not at all.

    What is there is replaced only where `is_ours` says so of its first bytes. Raises
    `FileExistsError` for whatever else has the name, with that as it was.
    """
    is_it = partial(_is_page, is_ours=is_ours)
    end_page_exchange(place, is_ours)
    _require_ours(place, is_ours)  # before anything is written; and again when it is exchanged
    temporary = place.beside(f"{HIDDEN_PREFIX}{_tag(place)}")
    with _created(temporary) as file:
        file.write(content)
        _finish(file, temporary, ownership)
    try:
        rename(temporary, place)
    except FileExistsError:
        if not _replace_only(temporary, place, is_it):
            raise
    sync_folder(place.parent)


def end_page_exchange(place: Place, is_ours: Callable[[bytes], bool]) -> None:
    """End what a crash cut short of a page's writing, as `end_exchange` does, also where the page
    itself is as it should be."""
    end_exchange(place, _tag(place), partial(_is_page, is_ours=is_ours))


def _require_ours(place: Place, is_ours: Callable[[bytes], bool]) -> None:
    if place.is_there() and not _is_page(place, is_ours):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(place))


def _is_page(place: Place, is_ours: Callable[[bytes], bool]) -> bool:
    """Whether a regular file's first bytes are as `is_ours` wants them."""
    try:
        with reading(place) as file:
            return is_ours(file.read(_HEAD_BYTES))
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOENT, errno.ENOTDIR, errno.EACCES):
            return False
        raise


def write_whole(place: Place, content: bytes, ownership: Ownership = PRIVATE) -> None:
    """Write a file of our own, replacing an older one. Whoever reads it finds one of the two whole.

    It is not waited for: after a power cut it may be the older one, or be gone.
    """
    # Not what the name ends with: who looks for files of a kind must not find half of one.
    temporary = place.beside(f"{HIDDEN_PREFIX}{_tag(place)}")
    try:
        with _created(temporary) as file:
            file.write(content)
            _own(file.fileno(), temporary, ownership, ownership.file_mode)
        _replace(temporary, place)
    except OSError:
        with suppress(OSError):  # what it was that failed is told
            remove_file(temporary)
        raise


def overwrite(place: Place, content: bytes) -> bool:
    """Write over a file of our own within the room that it has, padded with blanks; that needs none
    of a full disk. False, with it as it was, where it is too small or is not there.

    Who reads it meanwhile may find a part of each.
    """
    flags = os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        with place.reached() as (folder, name):
            file = os.open(name, flags, dir_fd=folder)
    except FileNotFoundError:
        return False
    with os.fdopen(file, "wb", buffering=0) as room:
        size = os.fstat(file).st_size
        return len(content) <= size and room.write(content.ljust(size)) == size


def _tag(place: Place) -> str:
    return hashlib.sha256(os.fsencode(place.name)).hexdigest()[:16]


def append_line(where: Callable[[], Place], line: bytes) -> None:
    """Add a line to a file of our own, made where there is none; on return it is on the disk.

    `where` tells the file when no other line is being added. On `OSError` a part of it may be
    there, all of it too, and the next line keeps apart from that. Lines of several threads wait for
    the disk together.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
    with ExitStack() as held:
        with _appending:
            place = where()
            about = place.about()
            if about is not None and not stat.S_ISREG(about.st_mode):
                what = "it is no regular file; move it away"
                raise OSError(errno.ELOOP, what, str(place))
            folder, name = held.enter_context(place.reached())
            # A file that is open already is not emptied by this mode.
            file = held.enter_context(os.fdopen(os.open(name, flags, 0o600, dir_fd=folder), "w+b"))
            end = file.seek(0, os.SEEK_END)
            if end == 0:
                sync_folder(place.parent)
            elif os.pread(file.fileno(), 1, end - 1) != b"\n":
                line = b"\n" + line
            file.write(line)
            file.flush()
        os.fsync(file.fileno())


def publish(
    source: Place, target: Place, tag: str, ownership: Ownership, *, replaces: str | None = None
) -> None:
    """Copy a finished output to its place: hidden until it is whole, synced and owned.

    `tag` makes the temporary's name unique to the job. A file that is there stays, and
    `FileExistsError` is raised, but for one whose content has the SHA-256 `replaces`: an earlier
    try's output is replaced, and what a crash left of that `end_exchange` ends before. The folder
    itself is synced by the caller, once for all outputs.
    """
    temporary = target.beside(f"{HIDDEN_PREFIX}{tag}")
    with reading(source) as original, _created(temporary) as file:
        shutil.copyfileobj(original, file, _CHUNK_BYTES)
        _finish(file, temporary, ownership)
    try:
        rename(temporary, target)
    except FileExistsError:
        if replaces is None:
            remove_file(temporary)
            raise
        ours = (replaces, sha256_of(source))
        if not _replace_only(temporary, target, lambda place: has_content(place, ours)):
            raise


def make_folders(folder: Place, ownership: Ownership) -> Place:
    """Make a folder and those above it, each new one with mode and owner. Its root must exist.

    Raises `NotADirectoryError` where a file, or a link, has a folder's name.
    """
    with _making:
        return _made_folders(folder, ownership)


def _made_folders(folder: Place, ownership: Ownership) -> Place:
    above = Place(folder.root)
    for part in filter(None, folder.path.split("/")):
        place = above / part
        try:
            with place.reached() as (fd, name):
                os.mkdir(name, _UNFINISHED_MODE, dir_fd=fd)
        except FileExistsError:
            if _looks_unfinished(place, ownership):
                _own_new_folder(place, ownership)
        else:
            _own_new_folder(place, ownership)
            sync_folder(above)
        above = place
    return folder


def _looks_unfinished(place: Place, ownership: Ownership) -> bool:
    """Whether a crash came between the making of a folder and the setting of its mode.

    Raises `NotADirectoryError` where it is none.
    """
    about = place.about()
    if about is None:  # it was empty, and has just been removed: that is tried again
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(place))
    if not stat.S_ISDIR(about.st_mode):
        code = errno.ENOTDIR
        raise NotADirectoryError(code, os.strerror(code), str(place))
    # A new folder inherits set-group-ID from the one above it.
    mode = stat.S_IMODE(about.st_mode) & ~stat.S_ISGID
    return mode == _UNFINISHED_MODE != ownership.folder_mode


def _own_new_folder(place: Place, ownership: Ownership) -> None:
    """Set owner and mode of a folder that is ours and empty; another that took its place stays."""
    with place.listable() as fd, naming(place):
        if os.fstat(fd).st_uid == os.geteuid() and not os.listdir(fd):
            _own(fd, place, ownership, ownership.folder_mode)


def make_root(path: Path, ownership: Ownership) -> None:
    """Make a folder of a spool, with mode and owner from the moment on that it has its name."""
    root = Place(path.parent, path.name)
    hidden = root.beside(f"{HIDDEN_PREFIX}{path.name}")
    with hidden.reached() as (fd, name), suppress(FileExistsError):  # a crash left it
        os.mkdir(name, _UNFINISHED_MODE, dir_fd=fd)
    own_folder(hidden, ownership)
    rename(hidden, root)
    sync_folder(root.parent)


def _user_name(uid: int) -> str:
    """The name of a user, or the number where it has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def require_private(place: Place, fd: int | None = None) -> None:
    """Raise `PermissionError` unless this is a folder of ours that nobody else can write to.

    What lies in it decides what is moved where, and in an open inbox anyone can make a folder. It
    is asked of the descriptor, where it is open.
    """
    about = os.lstat(str(place)) if fd is None else os.fstat(fd)
    if not stat.S_ISDIR(about.st_mode):
        raise PermissionError(errno.EPERM, "it is no folder; move it away", str(place))
    if about.st_uid != os.geteuid():
        # What lies in it may be the only copy of somebody's pictures, so: never "remove it".
        us, owner = _user_name(os.geteuid()), _user_name(about.st_uid)
        what = f"it belongs to {owner} and not to {us}; run retouchd as {owner}, or move it away"
        raise PermissionError(errno.EPERM, what, str(place))
    if about.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise PermissionError(errno.EPERM, "others can write to it; run chmod 700", str(place))


def own_folder(folder: Place, ownership: Ownership) -> None:
    """Set a folder's owner and mode through a descriptor, so that no link can divert it."""
    with folder.listable() as fd, naming(folder):
        _own(fd, folder, ownership, ownership.folder_mode)


def sync_folder(folder: Place) -> None:
    """Make the names in a folder durable."""
    with folder.listable() as fd, naming(folder):
        os.fsync(fd)


def remove_file(place: Place) -> None:
    """Remove a file if it is there."""
    with suppress(FileNotFoundError), place.reached() as (fd, name):
        _unlink(fd, name)


def _unlink(folder: int, name: str) -> None:
    with kept_open(folder, name):
        os.unlink(name, dir_fd=folder)


def remove_own_page(place: Place, is_ours: Callable[[bytes], bool]) -> None:
    """Remove a page of our own, where `is_ours` says so of its first bytes; what else has its name
    stays, also where it has come this moment."""
    if not _is_page(place, is_ours):
        return
    end_page_exchange(place, is_ours)
    # Nobody has this name, so what is looked at is what is removed; and should we end just now, the
    # next exchange shows what was somebody's.
    aside = _ready(place.beside(f"{HIDDEN_PREFIX}{_tag(place)}"))
    try:
        rename(place, aside)
    except FileNotFoundError:
        return
    _end_exchange(aside, place, partial(_is_page, is_ours=is_ours))


def remove_if_empty(folder: Place) -> None:
    """Remove a folder if it is there and nothing is in it."""
    try:
        with folder.reached() as (fd, name):
            os.rmdir(name, dir_fd=fd)
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ENOTEMPTY, errno.EEXIST):
            raise


def remove_folder(folder: Place) -> None:
    """Remove a folder of our own and everything in it, if it is there."""
    for pause_s in (*_UNTIL_EMPTY_S, None):
        try:
            with suppress(FileNotFoundError), folder.reached() as (fd, name):
                shutil.rmtree(name, dir_fd=fd)
        except OSError as error:
            if error.errno != errno.ENOTEMPTY or pause_s is None:
                raise
            time.sleep(pause_s)
        else:
            return


def probe_rename(source: Place, target: Place) -> None:
    """Raise the `OSError` that a claim by rename from one folder to the other would meet.

    What a crash leaves of it, the next probe takes away: its names are always the same.
    """
    probe, moved = source / ".retouchd-probe", target / ".retouchd-probed"
    if probe.is_folder() or moved.is_folder():  # somebody else made it; no crash of ours did
        tag = secrets.token_hex(8)
        probe, moved = probe.beside(f"{probe.name}-{tag}"), moved.beside(f"{moved.name}-{tag}")
    remove_file(moved)
    with _created(probe):
        pass
    try:
        rename(probe, moved)
    except (FileExistsError, FileNotFoundError):
        return  # another probe at this moment, and it got there
    finally:
        remove_file(probe)
        remove_file(moved)


@contextmanager
def reading(place: Place) -> Iterator[BufferedReader]:
    """Open a regular file for reading. Raises `OSError`, `ELOOP` for a link, for all others."""
    with os.fdopen(open_regular(place), "rb") as file, naming(place):
        yield file


def open_regular(place: Place) -> int:
    """A descriptor of a regular file, for reading only. Raises `OSError` for whatever else."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    with place.reached() as (fd, name):
        # Looked at before too: opening a device may set something off, and a socket can't be.
        _require_regular(os.stat(name, dir_fd=fd, follow_symlinks=False))
        file = os.open(name, flags, dir_fd=fd)
        try:
            _require_regular(os.fstat(file))
        except OSError:
            os.close(file)
            raise
        return file


def _require_regular(about: os.stat_result) -> None:
    if not stat.S_ISREG(about.st_mode):
        raise OSError(errno.ELOOP, "it is no regular file")


def open_new(place: Place) -> int:
    """A descriptor of a new, empty file that only we can open; what had its name goes."""
    remove_file(place)
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with place.reached() as (fd, name):
        return os.open(name, flags, 0o600, dir_fd=fd)


def is_same_content(one: Place, other: Place) -> bool:
    """True where both are regular files with the same bytes."""
    content = sha256_of(one)
    return content is not None and content == sha256_of(other)


def has_content(place: Place, hashes: Iterable[str | None]) -> bool:
    """True for a regular file whose content has one of these SHA-256."""
    content = sha256_of(place)
    return content is not None and content in hashes


def sha256_of(place: Place) -> str | None:
    """The content's SHA-256 in hex; None where there is no regular file."""
    try:
        with reading(place) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        if error.errno == errno.ELOOP:  # a symbolic link is none of our outputs
            return None
        raise


@contextmanager
def _created(place: Place) -> Iterator[BufferedRandom]:
    with naming(place), os.fdopen(open_new(place), "w+b") as file:  # closing writes, and may fail
        yield file


@contextmanager
def _created_for_us_alone(place: Place) -> Iterator[BufferedRandom]:
    """A new, empty file; what a crash left under its name goes, and none that another process has
    open like this. Raises `BlockingIOError` where one has.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with place.reached() as (fd, name):
        _remove_left(fd, name)
        try:
            new = os.open(name, flags, 0o600, dir_fd=fd)
        except FileExistsError:
            raise _busy() from None
    with naming(place), os.fdopen(new, "w+b") as file:
        _lock(new)
        _require_same(place, new)  # until it was locked it may have been taken for a crash's
        yield file


def _require_same(place: Place, file: int) -> None:
    """Raise `BlockingIOError` where a name is no longer that of an open file."""
    if not _is_same(place, file):
        raise _busy()


def _is_same(place: Place, file: int) -> bool:
    about = place.about()
    return about is not None and os.path.samestat(about, os.fstat(file))


def _remove_left(folder: int, name: str) -> None:
    """Remove a file, if it is there and nobody has it locked."""
    with suppress(FileNotFoundError):
        if stat.S_ISREG(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
            _remove_unlocked(folder, name)
        else:
            os.unlink(name, dir_fd=folder)


def _remove_unlocked(folder: int, name: str) -> None:
    """Remove a file while it is locked by us: nobody can take it for his own meanwhile.

    Raises `BlockingIOError` where a process has it locked, or has just made it anew.
    """
    for mode in (os.O_RDWR, os.O_RDONLY):  # NFS locks what is open for writing
        flags = mode | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        with (
            suppress(PermissionError),
            os.fdopen(os.open(name, flags, dir_fd=folder), "rb") as left,
        ):
            _lock(left.fileno())
            there = os.stat(name, dir_fd=folder, follow_symlinks=False)
            if not os.path.samestat(there, os.fstat(left.fileno())):
                raise _busy()
            os.unlink(name, dir_fd=folder)
            return
    os.unlink(name, dir_fd=folder)  # what we may not open, nobody of ours has made just now


def _lock(fd: int) -> None:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise _busy() from None
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise


def _busy() -> BlockingIOError:
    return BlockingIOError(errno.EAGAIN, "another process is moving this file just now")


def _replace(source: Place, target: Place) -> None:
    with target.reached() as (fd, name), kept_open(fd, name):  # both lie in one folder
        os.replace(source.name, name, src_dir_fd=fd, dst_dir_fd=fd)


def _replace_only(source: Place, target: Place, is_ours: Callable[[Place], bool]) -> bool:
    """Replace a file by another in its folder, if `is_ours` says so. Where it does not the other
    stays, and False is returned: it may have become a user's since it was looked at."""
    ready = _ready(source)
    rename(source, ready)
    if not _exchange(ready, target):  # a file system that offers nothing better
        is_replaced = is_ours(target)
        if is_replaced:
            _replace(ready, target)
        remove_file(ready)
        return is_replaced
    try:
        return _end_exchange(ready, target, is_ours)
    except OSError:
        with suppress(OSError):
            _exchange(ready, target)
        raise


def _ready(temporary: Place) -> Place:
    """The name of what is whole, and of what it has changed places with. Another than the one it
    is written under: what a crash leaves there is a part of ours, what it leaves here a user's."""
    return temporary.beside(f"{temporary.name}-whole")


def end_exchange(target: Place, tag: str, is_ours: Callable[[Place], bool]) -> None:
    """End what a crash or a trouble cut short of a replacing: a file of somebody else's that was
    in its way gets its name back, or where that is taken one beside it."""
    _end_exchange(_ready(target.beside(f"{HIDDEN_PREFIX}{tag}")), target, is_ours)


def _end_exchange(ready: Place, target: Place, is_ours: Callable[[Place], bool]) -> bool:
    """False where it was not ours that `ready` held."""
    if not ready.is_there():
        return True
    if is_ours(ready):
        remove_file(ready)
        return True
    with suppress(FileNotFoundError):  # ours has been taken away: what was there goes back too
        if is_ours(target) and _exchange(ready, target) and is_ours(ready):
            remove_file(ready)
            return False
    _show(ready, target)
    return False


def _show(hidden: Place, wanted: Place) -> None:
    """Give a hidden file the name that is wanted, or where that is taken the next with a number."""
    stem, suffix = split_suffix(wanted.name)
    for number in count(2):
        try:
            rename(hidden, wanted)
        except FileExistsError:
            wanted = wanted.beside(fitted(stem, f".{number}{suffix}"))
        else:
            sync_folder(wanted.parent)
            return


def _exchange(one: Place, other: Place) -> bool:
    """Let two files of one folder swap names in one step; False where that can't be had."""
    first, second = os.fsencode(one.name), os.fsencode(other.name)
    with one.reached() as (fd, _):
        if _libc.renameat2(fd, first, fd, second, _RENAME_EXCHANGE) == 0:
            return True
        code = ctypes.get_errno()
        if code in _NO_NOREPLACE:
            return False
        raise OSError(code, os.strerror(code), str(one), None, str(other))


def _copy(source: Place, file: BufferedRandom, target: Place) -> None:
    """Copy a file with its mode, times and attributes. The owner can't go along without root."""
    with reading(source) as original, naming(target):
        shutil.copyfileobj(original, file, _CHUNK_BYTES)
        file.flush()
        about = os.fstat(original.fileno())
        with suppress(OSError):  # sshfs knows of none
            for name in os.listxattr(original.fileno()):
                with suppress(OSError):  # not every file system takes every attribute
                    os.setxattr(file.fileno(), name, os.getxattr(original.fileno(), name))
        os.fchmod(file.fileno(), stat.S_IMODE(about.st_mode))
        os.utime(file.fileno(), ns=(about.st_atime_ns, about.st_mtime_ns))
        os.fsync(file.fileno())


def _finish(file: BufferedRandom, place: Place, ownership: Ownership) -> None:
    file.flush()
    _own(file.fileno(), place, ownership, ownership.file_mode)
    os.fsync(file.fileno())


def _own(fd: int, place: Place, ownership: Ownership, mode: int) -> None:
    # Owner first: a change of owner clears set-group-id.
    if ownership.uid is not None or ownership.gid is not None:
        uid = -1 if ownership.uid is None else ownership.uid
        gid = -1 if ownership.gid is None else ownership.gid
        try:
            os.fchown(fd, uid, gid)
        except PermissionError as error:
            # A result with the wrong owner is better than none.
            log.warning(Event.OWNER_NOT_SET, path=str(place), why=error.strerror, uid=uid, gid=gid)
    try:
        os.fchmod(fd, mode)
    except PermissionError as error:  # a file system without modes
        log.warning(Event.OWNER_NOT_SET, path=str(place), why=error.strerror, mode=f"{mode:o}")
