"""On which terms a mount is watched: whether its changes are heard, and what follows from that."""

from dataclasses import dataclass
from typing import Final

from daemon.intake.filesystems import hears_events
from daemon.settings import Settings

LOCAL_QUIET_S: Final = 5.0
NETWORK_QUIET_S: Final = 10.0
INTERVAL_WITH_EVENTS_S: Final = 10.0
INTERVAL_WITHOUT_EVENTS_S: Final = 2.0


@dataclass(frozen=True)
class Terms:
    """`events` says whether every change on the file system rings.

    `quiet_period_s` is how long a file there must stay unchanged, and `interval_s` how soon it is
    looked at again where nothing hints at an earlier look; both in seconds.
    """

    filesystem: str
    events: bool
    quiet_period_s: float
    interval_s: float


def terms_of(settings: Settings, filesystem: str, *, is_heard: bool) -> Terms:
    """The terms for a type of file system, unless the settings give others.

    `is_heard` says whether what the kernel tells of it comes to us.
    """
    is_local = hears_events(filesystem)
    quiet, interval = settings.quiet_period_s, settings.scan_interval_s
    if quiet is None:
        quiet = LOCAL_QUIET_S if is_local else NETWORK_QUIET_S
    events = is_local and is_heard
    if interval is None:
        interval = INTERVAL_WITH_EVENTS_S if events else INTERVAL_WITHOUT_EVENTS_S
    return Terms(filesystem, events, quiet, interval)
