"""What `retouchd check` found."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One line of the check: what was looked at, whether it is right, and what was seen."""

    subject: str
    is_ok: bool
    says: str
