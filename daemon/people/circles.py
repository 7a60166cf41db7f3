"""What waits, in circles: files of which the same is to be said are told of at once."""

from collections.abc import Iterable

from daemon.intake.pairing import Waiting


def in_circles(waiting: Iterable[Waiting]) -> list[list[Waiting]]:
    """Each file by itself, but together all that are entangled with each other, and all that settle
    for as long: of these there are many for a moment, and nobody need do anything."""
    circles: dict[object, list[Waiting]] = {}
    for each in waiting:
        key, facts = each.report.key, each.report.facts
        circle: object = each.path
        if key == "not_quiet":
            circle = facts.get("seconds")
        elif files := facts.get("files"):
            circle = frozenset(str(files).split(", "))
        circles.setdefault((key, circle), []).append(each)
    return list(circles.values())
