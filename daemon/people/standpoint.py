"""Through whose eyes a command looks: those of the user that runs the daemon.

What that user may not read or move is what waits, whatever root may do. So root becomes him for the
length of the command; anybody else goes by the permission bits, as nobody can try another's rights.
"""

import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from daemon.places import Place
from daemon.supervisor.unclaimable import Allows, we_may

# Linux's CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH: who has one of them reads what he likes.
_READS_ALL: Final = 1 << 1 | 1 << 2


@dataclass(frozen=True)
class User:
    """Somebody by his numbers: his own, and those of his groups, the first one's his main one.

    `reads_all` says that permission bits don't keep him from reading.
    """

    uid: int
    gids: tuple[int, ...]
    reads_all: bool = False

    @property
    def name(self) -> str:
        """As the machine calls him; his number where it does not."""
        try:
            return pwd.getpwuid(self.uid).pw_name
        except KeyError:
            return str(self.uid)


def user_of(uid: int, pid: int | None = None) -> User:
    """A user with the groups of a process of his, or with those that he gets at a login."""
    running = _user_of_process(pid) if pid is not None else None
    if running is not None and running.uid == uid:
        return running
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        return User(uid, (uid,), reads_all=uid == 0)
    groups = dict.fromkeys((entry.pw_gid, *os.getgrouplist(entry.pw_name, entry.pw_gid)))
    return User(uid, tuple(groups), reads_all=uid == 0)


@contextmanager
def seen_as(user: User) -> Iterator[None]:
    """Be this user in here, where we are root; anybody else stays who he is.

    Who reads all by a right of the service's own is not to be had by changing the user, and root
    reads what he reads.
    """
    if os.geteuid() != 0 or user.uid == 0 or user.reads_all:
        yield
        return
    groups, gid = os.getgroups(), os.getegid()
    os.setgroups(user.gids)
    os.setegid(user.gids[0])
    os.seteuid(user.uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(gid)
        os.setgroups(groups)


def rights_of(user: User) -> Allows:
    """What says whether this user has rights at a place.

    The kernel does where we are him. Else the permission bits of the place and the folders on the
    way to it do: no access list, and no file system's own rule, is known of then.
    """
    if os.geteuid() in (user.uid, 0):
        return we_may

    def may(place: Place, rights: int) -> bool:
        above = place.parent
        while above.path:
            if not _bits_allow(user, above, os.X_OK):
                return False
            above = above.parent
        return _bits_allow(user, place, rights)

    return may


def _bits_allow(user: User, place: Place, rights: int) -> bool:
    """True where that can't be asked, as in `we_may`."""
    try:
        about = place.about()
    except OSError:
        return True
    if about is None or (user.reads_all and not rights & os.W_OK):
        return True
    if about.st_uid == user.uid:
        bits = about.st_mode >> 6
    else:
        bits = about.st_mode >> 3 if about.st_gid in user.gids else about.st_mode
    return bits & rights == rights


def _user_of_process(pid: int) -> User | None:
    try:
        text = Path(f"/proc/{pid}/status").read_text("ascii", "replace")
    except OSError:
        return None
    said = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    try:
        uid, gid = int(said["Uid"].split()[1]), int(said["Gid"].split()[1])
        groups = (gid, *map(int, said["Groups"].split()))
        rights = int(said["CapEff"], 16)
    except (KeyError, ValueError, IndexError):
        return None
    return User(uid, tuple(dict.fromkeys(groups)), reads_all=bool(rights & _READS_ALL))
