"""`retouchd pause` and `retouchd resume`: what they do, in a sentence for whoever asked."""

from daemon.people.outline import clock
from daemon.people.reach import reached_work
from daemon.people.standing import look
from daemon.settings import Settings
from daemon.spool.pausing import pause, paused_since, resume


def say_pause(settings: Settings) -> str:
    """Ask for a pause; returns what is said of it. Raises `OutOfReachError`, or `OSError`."""
    is_new = pause(reached_work(settings))
    standing = look(settings)
    says = "paused: what is in hand is finished, and nothing else begun until retouchd resume."
    if not is_new and standing.paused_since is not None:
        says = f"it is paused already, since {clock(standing.paused_since)}."
    return says if standing.is_running else f"{says} No daemon runs just now."


def say_resume(settings: Settings) -> str:
    """End the pause; returns what is said of it. Raises `OutOfReachError`, or `OSError`."""
    was_paused = resume(reached_work(settings))
    says = "resumed: work goes on." if was_paused else "it was not paused."
    return says if look(settings).is_running else f"{says} No daemon runs just now."


def why_not_once(settings: Settings) -> str | None:
    """Why `retouchd once` begins nothing, or nothing more; None where there is no pause."""
    since = paused_since(settings.folders()["work"])
    if since is None:
        return None
    return f"paused since {clock(since)}, so nothing is begun. Run retouchd resume first."
