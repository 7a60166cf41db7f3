"""An answer to a person: step by step what was looked at, what was found, and what to do."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from daemon.reasons import Trouble

# A tick, a cross or a dot: it is right, it is in the way, or it is only to be known.
Mark = Literal["yes", "no", "note"]


@dataclass(frozen=True)
class Step:
    """One thing that was looked at. `does` is what a person is to do where it is in the way.

    `reason` is its name in the list of reasons, where it is one of them. `is_patient` says that
    what is in the way goes away by itself.
    """

    mark: Mark
    subject: str
    says: str
    does: str = ""
    reason: str | None = None
    is_patient: bool = False


@dataclass(frozen=True)
class Answer:
    """What is to be said of one path; `meant` is the file that it was taken for."""

    asked: str
    meant: str
    steps: tuple[Step, ...]

    @property
    def in_the_way(self) -> Step | None:
        """The first cross, which says what to do; what needs nobody comes after what does."""
        crosses = [step for step in self.steps if step.mark == "no"]
        return min(crosses, key=lambda step: step.is_patient, default=None)

    @property
    def needs_somebody(self) -> bool:
        """Whether a person must do something, or it will never be done."""
        step = self.in_the_way
        return step is not None and not step.is_patient


def yes(subject: str, says: str) -> Step:
    """A tick."""
    return Step("yes", subject, says)


def note(subject: str, says: str) -> Step:
    """A dot."""
    return Step("note", subject, says)


def no(subject: str, says: str, does: str) -> Step:
    """A cross."""
    return Step("no", subject, says, does)


def in_words(subject: str, trouble: Trouble, *, is_patient: bool = False) -> Step:
    """A cross in the very words of the list of reasons."""
    key = trouble.reason.key
    return Step("no", subject, trouble.sentence, trouble.advice, key, is_patient)


def until_a_cross(steps: Iterable[Step]) -> Iterable[Step]:
    """The steps up to the first cross: what comes after it can't be told."""
    for step in steps:
        yield step
        if step.mark == "no":
            return
