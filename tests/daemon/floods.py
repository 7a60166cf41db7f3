"""More events than a kernel keeps for somebody who does not listen."""

import os
from pathlib import Path


def flood(one: Path, other: Path) -> None:
    """Touch two files in turn, for two events alike in a row would be one, until some are lost."""
    most = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    for number in range(most + 2):
        os.utime((one, other)[number % 2])
