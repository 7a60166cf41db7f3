"""Of a folder of the inbox: how much in it waits, and for what; a few named, all counted."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Final

from daemon.people.questions.answers import Step, in_words, note, yes
from daemon.people.questions.scene import Scene, Verdict
from daemon.places import Place
from daemon.reasons import one_line, world_trouble
from daemon.spool.fallen import find_fallen

_MOST_NAMED: Final = 3


def folder_steps(scene: Scene, folder: str) -> Iterator[Step]:
    """What the files in a folder and below wait for, each reason once. The folder is there."""
    try:
        verdicts = scene.inbox.below(folder)
    except OSError as error:
        yield in_words("inbox", world_trouble(error, scene.spool.inbox))
        return
    yield _counted(verdicts)
    for path, why in islice(_unlisted(scene, folder), _MOST_NAMED):
        yield in_words("folder", world_trouble(why, Path(path)))
    for key in _reasons(verdicts):
        yield from _waiting(key, [v for v in verdicts if v.waits and v.waits.report.key == key])
    ready = [v.pair.picture.path for v in verdicts if v.pair and not v.waits]
    if ready:
        yield yes("turn", f"nothing keeps {_some(ready)}.")
    passed = sorted(_passed_over(scene, folder))
    if passed:
        says = f"passed over by their names: {_some(passed)}. Ask for one to know by which rule."
        yield note("name", says)
    yield from _fallen(scene, folder)


def _counted(verdicts: list[Verdict]) -> Step:
    if not verdicts:
        return note("file", "it is a folder, and nothing to be worked lies in it or below.")
    count = "one pair or file" if len(verdicts) == 1 else f"{len(verdicts)} pairs and files"
    waiting = sum(1 for verdict in verdicts if verdict.waits)
    return note("file", f"it is a folder, with {count} in it and below; waiting: {waiting}.")


def _reasons(verdicts: list[Verdict]) -> list[str]:
    """The reasons for which anything waits; those that go away by themselves come last."""
    keys = dict.fromkeys(v.waits.report.key for v in verdicts if v.waits)
    return sorted(keys, key=lambda key: key == "not_quiet")


def _waiting(key: str, verdicts: list[Verdict]) -> Iterator[Step]:
    first, *others = (v.waits for v in verdicts if v.waits)
    step = in_words("waits", first.report.trouble(), is_patient=key == "not_quiet")
    yield Step(**{**vars(step), "says": f"{one_line(first.path)}: {step.says}"})
    if others:
        yield note("waits", f"for the same: {_some([each.path for each in others])}.")


def _unlisted(scene: Scene, folder: str) -> Iterator[tuple[str, OSError]]:
    here = str(Place(scene.spool.inbox, folder)).rstrip("/")
    for path, error in sorted(scene.inbox.errors.items(), key=lambda item: item[0]):
        if f"{path}/".startswith(f"{here}/"):
            yield path, error


def _passed_over(scene: Scene, folder: str) -> Iterator[str]:
    for where, held in scene.inbox.folders.items():
        if not folder or f"{where}/".startswith(f"{folder}/"):
            yield from (f"{where}/{name}" if where else name for name in held.others)


def _fallen(scene: Scene, folder: str) -> Iterator[Step]:
    """That files of the folder lie in `failed/` keeps none of those that are here."""
    top = f"{folder}/" if folder else ""
    try:
        count = sum(each.homes[0].startswith(top) for each in find_fallen(scene.spool))
    except OSError:
        return
    if count:
        where = one_line(str(Place(scene.spool.failed, folder)))
        yield note("failed", f"of what was in it {count} failed: retouchd why {where}")


def _some(paths: list[str]) -> str:
    """The first few of some paths, and how many more there are."""
    named = ", ".join(one_line(path) for path in paths[:_MOST_NAMED])
    more = len(paths) - _MOST_NAMED
    return f"{named} and {more} more" if more > 0 else named
