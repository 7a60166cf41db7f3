"""The work folder, for commands that people give beside a running daemon."""

import os
import pwd
from pathlib import Path

from daemon.settings import Settings


class OutOfReachError(Exception):
    """A command can't look into the work folder. The text says why and what to do."""


def reached_work(settings: Settings) -> Path:
    """The work folder that the settings name. Raises `OutOfReachError` where it can't be read."""
    work = settings.folders()["work"]
    try:
        about = work.stat()
    except (FileNotFoundError, NotADirectoryError):
        raise OutOfReachError(
            f"{work} is not there, so nothing has run with these settings yet. Give the settings "
            "that the daemon has: --settings FILE."
        ) from None
    except OSError as error:
        raise OutOfReachError(f"{work} can't be reached ({error.strerror}). {_ADVICE}") from None
    if not os.access(work, os.R_OK | os.W_OK | os.X_OK, effective_ids=True):
        owner = _name(about.st_uid)
        raise OutOfReachError(
            f"{work} may be read by the user {owner} alone, and you are {_name(os.geteuid())}. "
            f"Run this as {owner} or as root."
        )
    return work


_ADVICE = "Run this as the user that runs retouchd, or as root."


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
