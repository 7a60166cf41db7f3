"""Why a file in the inbox is not picked up: each gate on its way, in the daemon's order.

What is said at a gate are the words of the list of reasons; how the file got there is told by the
very code that the daemon uses.
"""

import stat
from collections.abc import Iterator
from typing import Final

from daemon.intake.matting import MattingFolders
from daemon.intake.names import Junk, is_junk_folder, kind_of, kind_of_junk, split_suffix
from daemon.intake.pairing import Pair, rule_of
from daemon.people.questions.answers import Step, in_words, no, note, until_a_cross, yes
from daemon.people.questions.in_folder import folder_steps
from daemon.people.questions.known import nowhere_steps
from daemon.people.questions.near import near_misses
from daemon.people.questions.scene import Scene, Verdict
from daemon.places import Place
from daemon.reasons import one_line, world_trouble

_JUNK: Final[dict[Junk, str]] = {
    "hidden": "begins with a dot: such files are hidden, and passed over",
    "backup": "begins or ends with ~ as backup copies do, and is passed over",
    "temporary": "ends as the names of unfinished uploads do, and is passed over",
    "desktop": "is one that desktops keep for themselves, and is passed over",
}
_NO_FILE: Final = {
    stat.S_ISLNK: ("a link, and no link is followed", "Put the file itself there."),
    stat.S_ISFIFO: ("a pipe", "Put a file there."),
    stat.S_ISSOCK: ("a socket", "Put a file there."),
    stat.S_ISCHR: ("a device", "Put a file there."),
    stat.S_ISBLK: ("a device", "Put a file there."),
}
# The gates that a pair goes through, each with the reasons that it stops for, and what is said of
# what it lets through.
_GATES: Final = (
    (
        "companion",
        {"companion_missing", "picture_missing", "ambiguous", "cannot_be_transparent"},
    ),
    ("marker", {"marker_missing", "marker_alone"}),
    ("model", {"no_model", "folder_model_unusable"}),
    ("mask", {"folder_mask_unreadable", "folder_mask_unusable"}),
    ("size", {"empty"}),
    ("quiet", {"not_quiet"}),
    ("whole", {"incomplete", "io_error"}),
    ("rights", {"unreadable", "permission"}),
    ("claim", {"cannot_be_held", "other_filesystem"}),
)


def inbox_steps(scene: Scene, path: str) -> Iterator[Step]:
    """All that lies between a file in the inbox and its result, up to what is in its way.

    Of a folder, what the files in it wait for.
    """
    if not Place(scene.spool.inbox, path).is_folder():
        yield from until_a_cross(_steps(scene, path))
        return
    way = list(until_a_cross(_folders(scene, f"{path}/"))) if path else []
    yield from way
    if all(step.mark != "no" for step in way):
        yield from folder_steps(scene, path)


def _steps(scene: Scene, path: str) -> Iterator[Step]:
    yield from _folders(scene, path)
    yield from _file(scene, path)
    yield from _name(scene, path)
    try:
        verdict = scene.inbox.verdict(path)
    except OSError as error:
        yield in_words("inbox", world_trouble(error, scene.spool.inbox))
        return
    yield from _kind(scene, path, verdict)
    yield from _rules(scene, path, verdict)
    yield from _gates(scene, path, verdict)
    if verdict.waits is None and verdict.pair is None:
        yield no(
            "scan",
            "the last look at the inbox did not see it: it came or went just now.",
            "Ask again.",
        )
    elif verdict.pair is not None:
        yield _turn(scene, verdict.pair)


def _folders(scene: Scene, path: str) -> Iterator[Step]:
    """The folders on the way, each one opened in the one before it, as the scan does."""
    parts = path.split("/")[:-1]
    for at, name in enumerate(parts):
        here = "/".join(parts[: at + 1])
        place, told = Place(scene.spool.inbox, here), one_line(here)
        about = place.about()
        if about is not None and stat.S_ISLNK(about.st_mode):
            says = f"the folder {told} is a link, and no link is followed."
            yield no("folder", says, "Put the files into a folder of the inbox itself.")
        elif is_junk_folder(name):
            says = f"the folder {told} is one that NAS boxes and desktops keep for themselves"
            does = "Move the file into a folder with another name."
            yield no("folder", f"{says}, or hidden: it is passed over.", does)
        elif error := _error_of(scene, here):
            if "deep" in (error.strerror or ""):
                yield no("folder", f"{told}: {error.strerror}.", "Move it up.")
            else:
                yield in_words("folder", world_trouble(error, place))
    if parts and Place(scene.spool.inbox, "/".join(parts)).is_folder():
        yield yes("folder", f"the folder {one_line('/'.join(parts))} is looked into.")


def _error_of(scene: Scene, folder: str) -> OSError | None:
    try:
        return scene.inbox.errors.get(str(Place(scene.spool.inbox, folder)))
    except OSError:
        return None


def _file(scene: Scene, path: str) -> Iterator[Step]:
    about = Place(scene.spool.inbox, path).about()
    if about is None:
        yield from nowhere_steps(scene, path)
        return
    for is_it, (says, does) in _NO_FILE.items():
        if is_it(about.st_mode):
            yield no("file", f"it is {says}.", does)
            return
    yield yes("file", f"it is there, a file of {about.st_size} bytes.")


def _name(scene: Scene, path: str) -> Iterator[Step]:
    name = path.rpartition("/")[2]
    junk = kind_of_junk(name)
    if junk is not None:
        does = "Rename it, if it is whole and meant to be worked."
        if junk == "temporary":
            does = "Nothing to do while it is uploaded; if the upload broke off, copy it again."
        yield no("name", f"its name {_JUNK[junk]}.", does)
        return
    if kind_of(name, with_markers=scene.asks_for_marker(path)) is not None:
        yield yes("name", "its name is one of a picture or of what goes with one.")
        return
    if kind_of(name, with_markers=True) == "marker":
        does = "Nothing: pairs are taken without it. If they are to wait for it, set done_marker."
        yield no("name", "it is a marker, and no marker is asked for here.", does)
        return
    suffix = one_line(split_suffix(name)[1]) or "none"
    yield no(
        "name",
        f"its suffix ({suffix}) is none of a picture's, so it is passed over.",
        "If it is a picture, save it as PNG, TIFF, JPEG, WebP or BMP, with that suffix.",
    )


def _kind(scene: Scene, path: str, verdict: Verdict) -> Iterator[Step]:
    if verdict.waits and verdict.waits.report.key == "unreadable_kind":
        yield in_words("kind", verdict.waits.report.trouble())
    elif kind_of(path.rpartition("/")[2], with_markers=scene.asks_for_marker(path)) == "picture":
        yield yes("kind", "pictures of its kind are read here.")


def _rules(scene: Scene, path: str, verdict: Verdict) -> Iterator[Step]:
    """What the settings say of the folder."""
    folders = MattingFolders(scene.settings.matting_folders)
    if folders.hold(path):
        yield note("rules", "it lies in a matting folder: here a mask means cut out.")
    if scene.asks_for_marker(path):
        yield note("rules", "pairs are taken only with a marker (done_marker).")
    if verdict.pair is not None:
        task = "retouched" if verdict.pair.task == "inpaint" else "cut out"
        yield note("rules", f"it is to be {task}, {_told_by(verdict.pair)}.")
        yield from _of_its_folder(scene, verdict.pair)


def _told_by(pair: Pair) -> str:
    match pair.source:
        case "own":
            return f"as it goes with a {pair.role}"
        case "folder":
            return f"by the mask of its folder, {one_line(str(pair.mask_file))}"
        case "alpha":
            return "where it is wholly transparent (alpha_as_mask)"


def _of_its_folder(scene: Scene, pair: Pair) -> Iterator[Step]:
    """What its folder has of its own for its result and its originals."""
    rules = scene.settings.rules().of(pair.picture.path)
    if (model := rules.model(pair.task)) not in (None, _model_for_all(scene, pair)):
        says = f"its folder has a model of its own, {one_line(str(model))} ({pair.task}_model)."
        yield note("rules", says)
    if rules.output_format is not None and pair.task == "inpaint":
        yield note("rules", f"results here are written as {rules.output_format} (output_format).")
    if rules.originals is not None:
        does = "archived" if rules.originals == "archive" else "deleted"
        yield note("rules", f"originals here are {does} when the result is safe (originals).")


def _model_for_all(scene: Scene, pair: Pair) -> str | None:
    path = scene.settings.models().get(pair.task)
    return None if path is None else str(path)


def _gates(scene: Scene, path: str, verdict: Verdict) -> Iterator[Step]:
    key = verdict.waits.report.key if verdict.waits else None
    for gate, reasons in _GATES:
        if key in reasons:
            yield from _stopped(scene, gate, path, verdict)
            return
        if verdict.pair is not None:
            yield from _passed(scene, gate, verdict.pair)
    yield from _stopped(scene, "waits", path, verdict)


def _stopped(scene: Scene, gate: str, path: str, verdict: Verdict) -> Iterator[Step]:
    waits = verdict.waits
    if waits is None:
        return
    if waits.path != path:
        yield note(gate, f"it is about {one_line(waits.path)}, the other one of the pair:")
    if verdict.is_told:
        yield note(gate, "so the daemon found when it tried:")
    if waits.report.key == "no_model" and verdict.pair and _is_set(scene, verdict.pair):
        yield note(gate, "the settings have one now, which the daemon that runs has not loaded:")
    key = waits.report.key
    yield from near_misses(scene, path, key)
    yield in_words(gate, waits.report.trouble(), is_patient=key == "not_quiet")


def _passed(scene: Scene, gate: str, pair: Pair) -> Iterator[Step]:
    is_alone = pair.companion is None
    match gate:
        case "companion":
            yield yes(gate, _complete(pair))
        case "marker" if pair.marker is not None:
            yield yes(gate, f"its marker is there: {one_line(pair.marker.path)}.")
        case "mask" if pair.mask_file is not None:
            yield yes(gate, "the mask of its folder is there and can be opened.")
        case "model":
            yield yes(gate, _which_model(scene, pair))
        case "size":
            hold = "it holds" if is_alone else "both files hold"
            yield yes(gate, f"{hold} something.")
        case "quiet":
            have = "it has" if is_alone else "both files have"
            yield yes(gate, f"{have} been unchanged for long enough.")
        case "rights":
            them = "it" if is_alone else "both"
            yield yes(gate, f"{scene.user.name}, who runs retouchd, may read and move {them}.")


def _is_set(scene: Scene, pair: Pair) -> bool:
    return scene.settings.rules().of(pair.picture.path).model(pair.task) is not None


def _which_model(scene: Scene, pair: Pair) -> str:
    path = scene.settings.rules().of(pair.picture.path).model(pair.task)
    if path is not None:
        return f"there is a model for it: {one_line(path)}."
    return "there is a model for it: the daemon that runs has one; this command was told of none."


def _complete(pair: Pair) -> str:
    """Which rule makes of them what can be worked."""
    names = " and ".join(one_line(entry.path) for entry in pair.inputs)
    match rule_of(pair):
        case "beside":
            return f"{names} are a pair."
        case "trees":
            return f"{names} are a pair, by the folders they lie in."
        case "folder":
            return f"{names} needs no mask of its own: its folder has one."
        case "alpha":
            return f"{names} needs no mask of its own: here transparency is one."


def _turn(scene: Scene, pair: Pair) -> Step:
    live, path = scene.live, pair.picture.path
    if live is None:
        return yes("turn", "nothing keeps it: it is taken as soon as retouchd looks.")
    if path in live.ready:
        before = live.ready.index(path)
        return yes("turn", f"it waits only for its turn: {before} before it.")
    return yes("turn", "nothing keeps it: it is taken at one of the next looks.")
