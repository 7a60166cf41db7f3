"""One line of `retouchd check`."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """What was looked at, whether it is right, and what was seen."""

    subject: str
    is_ok: bool
    says: str
