"""What `retouchd check` says of what monitoring and hooks need. It calls none of them."""

import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from daemon.people.checks.finding import Finding
from daemon.settings import Settings


def check_calls(settings: Settings) -> Iterator[Finding]:
    """A finding for each that is set."""
    if settings.metrics_file is not None:
        yield _check_metrics(settings.metrics_file.absolute())
    for name in ("on_success", "on_failure"):
        if command := getattr(settings, name):
            yield _check_command(name, command)
    if settings.webhook_url is not None:
        # The rest of the URL may be a secret.
        host = urlsplit(settings.webhook_url).hostname
        yield Finding("webhook_url", True, f"{host} will be told of each pair; not tried")


def _check_metrics(file: Path) -> Finding:
    folder = file.parent
    if not os.path.isdir(folder):  # noqa: PTH112 - what may not be looked at is not there
        advice = "Make it, and give it to the user that runs retouchd."
        return Finding("metrics_file", False, f"{folder} is not there. {advice}")
    if not os.access(folder, os.W_OK | os.X_OK, effective_ids=True):
        advice = "Give it to the user that runs retouchd."
        return Finding("metrics_file", False, f"{folder} can't be written to. {advice}")
    if os.path.isdir(file):  # noqa: PTH112 - as above
        advice = "Move it away, or name another file in metrics_file."
        return Finding("metrics_file", False, f"{file} is a folder. {advice}")
    return Finding("metrics_file", True, f"{file} will be written")


def _check_command(name: str, command: Sequence[str]) -> Finding:
    program = shutil.which(command[0])
    if program is None:
        says = f"{command[0]} is no program that the user who runs retouchd can start."
        return Finding(name, False, f"{says} Correct {name}, or make the file executable.")
    return Finding(name, True, f"{program} will be run; not tried")
