"""`retouchd-train prepare`: the pictures of the catalogue, or of own folders, in one pack.

Prints nothing; what happens is told to `progress`, one sentence at a time. The same packages give
the same bytes.
"""

import errno
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import get_args

from models.training.catalogue import CATALOGUE, CatalogueError, Entry, Sort, read_catalogue
from models.training.decoding import PictureError, decode_picture
from models.training.folders import cutouts_of_folder, photos_of_folder
from models.training.pack import (
    Cutout,
    PackError,
    Photo,
    refuse_to_replace,
    write_pack,
)
from models.training.packages import (
    Members,
    PackageError,
    fetch_package,
    remove_leftovers,
    unpacked,
    version_of,
)
from models.training.scaling import fit_cutout, fit_photo
from models.training.splits import SPLITS

Progress = Callable[[str], None]


class PrepareError(PackError):
    """No pack could be made. The text says why and what to do."""


@dataclass
class Summary:
    """What a pack holds: its size, pictures by split and kind, and what was left out and why.

    A kind is "photo", or "soft" or "hard" for a cut-out.
    """

    path: Path
    size_bytes: int = 0
    counts: Mapping[tuple[str, str], int] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        """A line on the pack, one for each split, on each that is empty, on each picture left out.

        Bytes of a file's name that are no text are written as `\\xe9`.
        """
        lines = [f"{self.path}: {self.size_bytes / 1e6:.1f} MB"]
        for split in SPLITS:
            photos, soft, hard = (self.counts.get((split, kind), 0) for kind in get_args(Sort))
            lines.append(f"{split}: {photos} photos, {soft} soft and {hard} hard cut-outs")
        lines += self._empty_splits()
        text = "\n".join([*lines, *(f"left out: {why}" for why in self.skipped)])
        return text.encode(errors="surrogateescape").decode(errors="backslashreplace")

    def _empty_splits(self) -> Iterator[str]:
        for group, kinds in (("photos", ("photo",)), ("cut-outs", ("soft", "hard"))):
            held = {split for split, kind in self.counts if kind in kinds}
            empty = [split for split in SPLITS if split not in held]
            if held and empty:
                yield (
                    f"no {group} for {' and '.join(empty)}: sort the {group} into subfolders "
                    f"{', '.join(SPLITS)} to settle it."
                )

    def skip(self, why: str) -> None:
        """Note once that a picture was left out."""
        if why not in self.skipped:
            self.skipped.append(why)


def prepare(
    output: Path,
    *,
    cache: Path,
    limit_bytes: int = 32_000_000,
    catalogue: Path = CATALOGUE,
    progress: Progress = lambda _: None,
) -> Summary:
    """Make the starter pack from Debian packages. On return `output` is whole.

    The packages (440 MB) are downloaded into `cache` and stay there, so a second call goes on where
    the first was stopped. A picture that can't be read is left out, and named in the summary.
    What a killed call left in `cache` is removed. Raises `PrepareError`: no apt-get or dpkg, a
    package that can't be had, a full disk, a pack larger than `limit_bytes`, an `output` that is
    there and no pack.
    """
    summary = Summary(output)
    pictures: list[Photo | Cutout] = []
    try:
        refuse_to_replace(output)
        remove_leftovers(cache)
        for package, entries in groupby(sorted(read_catalogue(catalogue), key=_place), _package):
            pictures += _pictures_of(package, list(entries), cache, summary, progress)
        _write(summary, pictures, limit_bytes)
    except (CatalogueError, PackageError, PackError) as error:
        raise PrepareError(str(error)) from None
    except OSError as error:
        raise PrepareError(_of_the_disk(error)) from None
    return summary


def pack_folders(
    output: Path,
    *,
    photos: Path | None = None,
    cutouts: Path | None = None,
    limit_bytes: int | None = None,
    progress: Progress = lambda _: None,
) -> Summary:
    """Pack folders of one's own, scaled like the starter pack, for a machine without them.

    Files that can't be read are left out and named in the summary. Raises `PrepareError`.
    """
    summary = Summary(output)
    pictures: list[Photo | Cutout] = []
    try:
        refuse_to_replace(output)
        for split in SPLITS:
            progress(f"Reading the {split} pictures.")
            if photos is not None:
                found = photos_of_folder(photos, split, summary.skip)
                pictures += (replace(p, pixels=fit_photo(p.pixels)) for p in found)
            if cutouts is not None:
                cut = cutouts_of_folder(cutouts, split, summary.skip)
                pictures += (replace(c, pixels=fit_cutout(c.pixels)) for c in cut)
        _write(summary, pictures, limit_bytes)
    except PackError as error:
        raise PrepareError(str(error)) from None
    except OSError as error:
        raise PrepareError(_of_the_disk(error)) from None
    return summary


def _place(entry: Entry) -> tuple[str, str]:
    return entry.package, entry.member


def _package(entry: Entry) -> str:
    return entry.package


def _pictures_of(
    package: str, entries: list[Entry], cache: Path, summary: Summary, progress: Progress
) -> Iterator[Photo | Cutout]:
    progress(f"Fetching {package}.")
    deb = fetch_package(package, cache)
    progress(f"Reading {len(entries)} pictures of {deb.name}.")
    with unpacked(deb) as folder:
        members = Members(folder)
        for entry in entries:
            try:
                yield _picture(entry, members, version_of(deb))
            except (PackageError, PictureError) as error:
                summary.skip(f"{package}: {error}")


def _picture(entry: Entry, members: Members, version: str) -> Photo | Cutout:
    data = members.read(entry.member)
    source = f"{entry.package} {version}, {entry.member}"
    labels = (entry.name, entry.subject, entry.split, source, entry.licence)
    if entry.kind == "photo":
        return Photo(*labels, fit_photo(decode_picture(data, entry.member, "RGB")))
    return Cutout(*labels, entry.kind, fit_cutout(decode_picture(data, entry.member, "RGBA")))


def _write(summary: Summary, pictures: list[Photo | Cutout], limit_bytes: int | None) -> None:
    """Write the pack and count what is in it; nothing is left behind where it is too large."""
    if not pictures:
        raise PrepareError(f"No picture could be used. {' '.join(summary.skipped[:3])}".strip())
    summary.path.parent.mkdir(parents=True, exist_ok=True)
    photos = [picture for picture in pictures if isinstance(picture, Photo)]
    cutouts = [picture for picture in pictures if isinstance(picture, Cutout)]
    write_pack(summary.path, photos, cutouts, limit_bytes=limit_bytes)
    kinds = [(photo.split, "photo") for photo in photos]
    summary.counts = Counter([*kinds, *((cutout.split, cutout.kind) for cutout in cutouts)])
    summary.size_bytes = summary.path.stat().st_size


def _of_the_disk(error: OSError) -> str:
    name = error.filename or "the disk"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"{name}: the disk is full. Make room, or name an output and a cache on another one."
    if error.errno == errno.EFBIG:
        return (
            f"{name}: grows larger than its disk or a limit of this user allows. "
            "Name an output on another disk, or raise the limit (`ulimit -f`)."
        )
    return f"{name}: {error.strerror or error}."
