"""The one list of everything that can go wrong, in the words that people read.

Each reason has a kind, and the kind decides what happens:

- `FILE`: the file's own fault. Another try would end the same way, so the pair goes to `failed/`.
- `WORLD`: the disk, a permission, a device. The queue holds and tries again; no job is blamed.
- `RETRY`: it may be the file's fault or not. The attempt counts; after the last one, `failed/`.
- `WAIT`: nothing is wrong yet. The file stays in the inbox, and the report says what it waits for.
"""

import errno
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from string import Formatter
from types import MappingProxyType
from typing import Any, Final

from daemon.spans import span, times


class Kind(Enum):
    """Whose fault it is, and so what to do."""

    FILE = "file"
    WORLD = "world"
    RETRY = "retry"
    WAIT = "wait"


@dataclass(frozen=True)
class Reason:
    """One thing that can go wrong: what it says and what it advises, as templates for facts."""

    key: str
    kind: Kind
    says: str
    advice: str

    def fields(self) -> frozenset[str]:
        """The names of the facts that its texts need."""
        text = self.says + self.advice
        return frozenset(name for _, name, _, _ in Formatter().parse(text) if name)


class Trouble(Exception):  # noqa: N818 - holding a queue is no error
    """Something on the list went wrong, with the facts that fill its words.

    Raises `KeyError` for a key that is not on the list: the list is complete, or the code is wrong.
    """

    def __init__(self, key: str, /, **facts: object) -> None:
        self.reason = REASONS[key]
        self.facts = {name: _plain(value) for name, value in facts.items()}
        super().__init__(self.sentence)

    @property
    def sentence(self) -> str:
        """What happened, for a person."""
        return _words.vformat(self.reason.says, (), self.facts)

    @property
    def advice(self) -> str:
        """What to do about it."""
        return _words.vformat(self.reason.advice, (), self.facts)


class _Words(Formatter):
    """A missing fact reads as `?`, an odd one as it is: a report with a gap is better than none.

    Beside Python's own, a field may ask for one of `_SPOKEN`: `{attempts:times}`, `{seconds:span}`.
    """

    def get_value(self, key: int | str, _args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        return kwargs.get(str(key), "?")

    def format_field(self, value: Any, format_spec: str) -> str:
        try:
            if format_spec in _SPOKEN:
                return _SPOKEN[format_spec](value) if isinstance(value, int | float) else str(value)
            return format(value, format_spec)
        except (ValueError, OverflowError):
            return str(value)


_SPOKEN: Final = MappingProxyType({"span": span, "times": times})


_words: Final = _Words()


def _plain(value: object) -> str | int | float:
    """A value that fits in one line: a name with a newline can't forge a second one."""
    return value if isinstance(value, int | float) else one_line(str(value))


def one_line(text: str) -> str:
    """Text of others, such as a file's name, made harmless: it can't forge a line of a log."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else _escaped(c) for c in text)


def _escaped(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte of a name that is no UTF-8
        return f"\\x{code - 0xDC00:02x}"
    return character.encode("unicode_escape").decode("ascii")


def _listed(*reasons: Reason) -> MappingProxyType[str, Reason]:
    return MappingProxyType({reason.key: reason for reason in reasons})


REASONS: Final = _listed(
    # Nothing is wrong yet.
    Reason(
        "companion_missing",
        Kind.WAIT,
        "the picture waits for its mask or trimap.",
        "Put {stem}_mask.png (to {purpose}) or {stem}_trimap.png (to cut out) beside it.",
    ),
    Reason(
        "picture_missing",
        Kind.WAIT,
        "the {role} waits for its picture.",
        "Put the picture {stem}.jpg (or .png, .tif, .webp, .bmp) {where}.",
    ),
    Reason(
        "ambiguous",
        Kind.WAIT,
        "which of these belong together can't be told: {files}.",
        "Leave one picture and one mask or trimap for a name, and one marker where they are asked "
        "for. Two pictures of one name get masks (and markers) that carry the whole name, as in "
        "cat.jpg.mask.png and cat.png.mask.png.",
    ),
    Reason(
        "marker_missing",
        Kind.WAIT,
        "it waits for the marker that says it is complete.",
        "When the picture is there, and with it its mask or trimap where it needs one, put a file "
        "{name}.done beside the picture; it may be empty.",
    ),
    Reason(
        "marker_alone",
        Kind.WAIT,
        "no picture beside this marker has its name.",
        "Put it beside the picture and name it after that, as in cat.jpg.done for cat.jpg. If it "
        "is left over from an earlier upload, remove it: it would count for the next.",
    ),
    Reason(
        "cannot_be_transparent",
        Kind.WAIT,
        "a {suffix} file can't be transparent, and no mask or trimap lies beside it.",
        "Put {stem}_mask.png beside it. Or save the picture as PNG, TIFF or WebP with its hole "
        "transparent, as alpha_as_mask asks for in this folder.",
    ),
    Reason(
        "folder_mask_unreadable",
        Kind.WAIT,
        "the mask of its folder, {mask}, can't be read ({detail}).",
        "Put a picture file there that the user that runs retouchd may read, or correct the "
        "folder's mask in the settings. It is looked for again all the time.",
    ),
    Reason(
        "folder_mask_unusable",
        Kind.WAIT,
        "the mask of its folder, {mask}, can't be used: {detail}",
        "Put another file in its place. It is tried again when that file changes, and every five "
        "minutes.",
    ),
    Reason(
        "not_quiet",
        Kind.WAIT,
        "it has changed or arrived less than {seconds:g} s ago.",
        "Nothing to do: it is taken when it has been still for that long.",
    ),
    Reason(
        "empty",
        Kind.WAIT,
        "it is empty (0 bytes), as if it were still to be written.",
        "If the copy broke off, copy it again. Nothing else to do: it is looked at again when it "
        "changes.",
    ),
    Reason(
        "no_model",
        Kind.WAIT,
        "no {task} model is configured.",
        "Export one with retouchd-export and set {setting} to its path.",
    ),
    Reason(
        "folder_model_unusable",
        Kind.WAIT,
        "the model of its folder can't be used: {detail}",
        "Put a good file in its place, which is taken up by itself, or correct the folder's model "
        "in the settings and restart. Run retouchd check to try it.",
    ),
    Reason(
        "unreadable_kind",
        Kind.WAIT,
        "{suffix} pictures are not read here.",
        "Save it as PNG, TIFF, JPEG, WebP or BMP. It stays where it is.",
    ),
    Reason(
        "unreadable",
        Kind.WAIT,
        "{path} may not be read by the user that runs retouchd.",
        "Give it the right to read the file, as with: chmod a+r",
    ),
    Reason(
        "cannot_be_held",
        Kind.WAIT,
        "its files can't be held in {path} while they are worked ({detail}).",
        "What is mounted inside the inbox needs a hidden folder of its own, {name}, that the user "
        "that runs retouchd owns and nobody else may write to. Give that user the right to make "
        "it there, or keep that file system out of the inbox. It is tried again every five "
        "minutes.",
    ),
    Reason(
        "incomplete",
        Kind.WAIT,
        "the {role} looks cut off, as if it were still being copied ({detail}).",
        "If the copy broke off, copy it again. It is tried again when it changes, and goes to "
        "failed/ after {seconds:span} without a change.",
    ),
    # The file's fault.
    Reason(
        "corrupt",
        Kind.FILE,
        "the {role} is damaged or cut off, and has not changed for {seconds:span} ({detail}).",
        "Copy it again from its source, or open and save it in an image editor; then drop it anew.",
    ),
    Reason(
        "not_a_picture",
        Kind.FILE,
        "the {role} is no picture that is read here; it looks like {looks_like}.",
        "Save it as PNG, TIFF, JPEG, WebP or BMP and drop it again.",
    ),
    Reason(
        "several_pages",
        Kind.FILE,
        "the {role} holds {pages} pages or frames, and which one is meant can't be told.",
        "Save the page as a file of its own and drop it again.",
    ),
    Reason(
        "deep_colour",
        Kind.FILE,
        "the picture has its colours in a form that is not read here ({mode}).",
        "Save it as PNG, or as TIFF without compression or with LZW or deflate, with 8 or 16 bits "
        "a channel in grey or RGB, and drop it again.",
    ),
    Reason(
        "colour_space",
        Kind.FILE,
        "the {role} is in the colour space {mode}, which is not read here.",
        "Convert it to RGB or grey and drop it again.",
    ),
    Reason(
        "size_mismatch",
        Kind.FILE,
        "the picture is {picture_width} x {picture_height} pixels and the {role} is "
        "{companion_width} x {companion_height}.",
        "Make the {role} on the picture itself, in the same size, and drop both again.",
    ),
    Reason(
        "folder_mask_size",
        Kind.FILE,
        "the picture is {picture_width} x {picture_height} pixels and the mask of its folder, "
        "{mask}, is {companion_width} x {companion_height}.",
        "Give the picture a mask of its own, in its own size, or bring it to the size of the "
        "folder's mask, and drop it again.",
    ),
    Reason(
        "nothing_transparent",
        Kind.FILE,
        "nothing in the picture is wholly transparent (alpha 0), so it has no hole, and it has no "
        "mask of its own.",
        "Make the hole transparent and save the picture as PNG, TIFF or WebP, or give it a mask; "
        "then drop it again.",
    ),
    Reason(
        "all_transparent",
        Kind.FILE,
        "the whole picture is transparent, so nothing is left to fill its hole from.",
        "Make only what is to be replaced transparent, and drop it again.",
    ),
    Reason(
        "too_many_pixels",
        Kind.FILE,
        "the {role} has {width} x {height} pixels; the limit is {max_pixels} pixels.",
        "Make it smaller, or raise max_pixels in the settings, and drop it again.",
    ),
    Reason(
        "too_many_bytes",
        Kind.FILE,
        "the {role} is a file of {bytes} bytes; the limit is {max_bytes} bytes.",
        "Look whether it is a picture at all. If so, raise max_file_mb in the settings and drop it "
        "again.",
    ),
    Reason(
        "out_of_proportion",
        Kind.FILE,
        "the {role} has far more in it than a picture of its size needs ({detail}), and would take "
        "that much more time or memory.",
        "If it is a picture of yours, open and save it anew in an image editor, and drop it again.",
    ),
    Reason(
        "too_large_for_memory",
        Kind.FILE,
        "{width} x {height} pixels have to be worked at once and would need about {need_gb:.1f} GB "
        "of {device} memory; {have_gb:.1f} GB are free.",
        "About {fits} pixels fit: free some memory, or run this on a machine with more, and drop "
        "it again.",
    ),
    Reason(
        "too_small",
        Kind.FILE,
        "the picture has {width} x {height} pixels; the model needs {smallest} x {smallest}.",
        "Make it larger and drop it again.",
    ),
    Reason(
        "mask_covers_everything",
        Kind.FILE,
        "the mask marks the whole picture as a hole, so nothing is left to fill it from.",
        "White marks what is to be replaced. If the mask is inverted, invert it and drop both "
        "again.",
    ),
    Reason(
        "mask_without_edge",
        Kind.FILE,
        "the mask is nowhere {shade}, so it has no edge along which a trimap could be made.",
        "In this folder white marks the subject and black what is around it. Paint both, and drop "
        "picture and mask again.",
    ),
    Reason(
        "cannot_encode",
        Kind.FILE,
        "the result can't be written as {form} ({detail}).",
        "Set output_format to png, which holds any picture, and drop it again.",
    ),
    Reason(
        "unplaceable",
        Kind.FILE,
        "the outbox can't hold a file of the name {path} ({detail}).",
        "Rename the picture or its folder (a file may have that folder's name already, or the "
        "outbox's file system may not allow it), and drop it again.",
    ),
    Reason(
        "superseded",
        Kind.FILE,
        "it was given back to the inbox, but a newer file of the same name had taken its place.",
        "The newer file is used. If this one is still wanted, rename it and drop it again.",
    ),
    Reason(
        "vanished",
        Kind.FILE,
        "a file of the pair was gone when it was to be worked.",
        "Drop the pair again.",
    ),
    Reason(
        "stray",
        Kind.FILE,
        "it lay in the work folder without a job that knows it.",
        "If it is a picture of yours, drop it into the inbox again.",
    ),
    # May be the file's fault or not: the attempt counts.
    Reason(
        "worker_died",
        Kind.RETRY,
        "the worker process died on it {attempts:times} ({detail}).",
        "The picture or the model may be malformed. Save the picture anew in an image editor and "
        "drop it again; if that does not help, look into the log of the service.",
    ),
    Reason(
        "timed_out",
        Kind.RETRY,
        "it took longer than {seconds:span}, {attempts:times}.",
        "Make the picture smaller, or raise job_timeout_s in the settings, and drop it again.",
    ),
    Reason(
        "model_raised",
        Kind.RETRY,
        "the model stopped with an error, {attempts:times}: {detail}",
        "Look whether the model is the right one for this task; retouchd check tests it.",
    ),
    Reason(
        "out_of_memory",
        Kind.RETRY,
        "there was not enough memory for it, {attempts:times} ({detail}).",
        "Make the picture smaller and drop it again.",
    ),
    # The world's fault.
    Reason(
        "disk_full",
        Kind.WORLD,
        "no space is left for {path}.",
        "Free some space; work goes on by itself.",
    ),
    Reason(
        "quota",
        Kind.WORLD,
        "the disk quota for {path} is used up.",
        "Free some space or raise the quota; work goes on by itself.",
    ),
    Reason(
        "read_only",
        Kind.WORLD,
        "the file system of {path} is read-only.",
        "Mount it writable; work goes on by itself.",
    ),
    Reason(
        "permission",
        Kind.WORLD,
        "no permission for {path} ({detail}).",
        "Give the user that runs retouchd the right to read and write there; work goes on by "
        "itself.",
    ),
    Reason(
        "other_filesystem",
        Kind.WORLD,
        "{path} lies on another file system than the work folder, so it can't be moved there in "
        "one step.",
        "Set work to a folder on the same file system as the inbox. Inside the inbox a mount is no "
        "hindrance, but a btrfs subvolume or a project quota is: use a plain folder, or mount it.",
    ),
    Reason(
        "folder_missing",
        Kind.WORLD,
        "{path} is not there.",
        "Mount or create it; work goes on by itself.",
    ),
    Reason(
        "mount_away",
        Kind.WORLD,
        "{path} is not mounted, is another disk, or can't be reached ({detail}), and files of a "
        "job are held there.",
        "Mount it again; the job goes on by itself, and other pairs are not kept waiting.",
    ),
    Reason(
        "folder_closed",
        Kind.WORLD,
        "{path} can't be written to ({detail}), and files of a job are to go back there or to "
        "leave it.",
        "Make it writable; the job goes on by itself, and other pairs are not kept waiting.",
    ),
    Reason(
        "too_many_open_files",
        Kind.WORLD,
        "the limit of open files is reached ({path}).",
        "Raise the limit for the service; work goes on by itself.",
    ),
    Reason(
        "io_error",
        Kind.WORLD,
        "{path} can't be read or written ({detail}).",
        "Look after the disk, the share or its connection; work goes on by itself.",
    ),
    Reason(
        "worker_will_not_start",
        Kind.WORLD,
        "the worker process does not start ({detail}).",
        "Run retouchd check.",
    ),
)

_BY_ERRNO: Final = {
    errno.ENOSPC: "disk_full",
    errno.EDQUOT: "quota",
    errno.EROFS: "read_only",
    errno.EACCES: "permission",
    errno.EPERM: "permission",
    errno.EXDEV: "other_filesystem",
    errno.ENOENT: "folder_missing",
    errno.ENOTDIR: "folder_missing",
    errno.EMFILE: "too_many_open_files",
    errno.ENFILE: "too_many_open_files",
}


def world_trouble(error: OSError, path: object = None) -> Trouble:
    """An error of the operating system as a `WORLD` trouble; what is not known is `io_error`."""
    where = path if path is not None else error.filename or "a file"
    key = _BY_ERRNO.get(error.errno or 0, "io_error")
    return Trouble(key, path=where, detail=error.strerror or type(error).__name__)


@dataclass(frozen=True)
class Report:
    """A trouble as it travels between processes and into books: its key and its facts."""

    key: str
    facts: dict[str, str | int | float] = field(default_factory=dict)

    @classmethod
    def of(cls, trouble: Trouble) -> "Report":
        return cls(trouble.reason.key, trouble.facts)

    def trouble(self, **more: object) -> Trouble:
        """The trouble again, with facts that only the reader knows added."""
        return Trouble(self.key, **{**self.facts, **more})
