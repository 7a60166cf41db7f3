"""What a figure found: its rows, the bound beside each, and a sentence where a row is blank."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Direction = Literal["at most", "at least"]


class CannotMeasureError(Exception):
    """A figure can't be measured here. The text is a sentence that says why."""


@dataclass(frozen=True)
class Bound:
    """What a value should keep to. Nothing fails where it does not: speed is told, not asserted."""

    direction: Direction
    limit: float

    def verdict(self, value: float | None) -> str:
        """`met`, `missed`, or `-` where there is no value."""
        if value is None:
            return "-"
        kept = value <= self.limit if self.direction == "at most" else value >= self.limit
        return "met" if kept else "missed"

    def __str__(self) -> str:
        return f"{self.direction} {self.limit:g}"


@dataclass(frozen=True)
class Row:
    """One line of the table. `value` None is blank; `note` says why, or how it was measured."""

    what: str
    value: float | None
    unit: str = ""
    bound: Bound | None = None
    note: str = ""

    @property
    def verdict(self) -> str:
        return self.bound.verdict(self.value) if self.bound else ""


@dataclass(frozen=True)
class Finding:
    """A figure's rows, and in `details` what they were made of, as JSON has it."""

    rows: tuple[Row, ...]
    details: Mapping[str, Any] = field(default_factory=dict)
