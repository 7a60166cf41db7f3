"""Folders of one's own pictures: photos, cut-outs and masks, in the classes of a pack.

One folder may hold all of it, in subfolders `photos`, `cutouts` and `masks`; or each is named by
itself. Pictures may lie at any depth; hidden files are passed over. `models.training.splits` tells
which split each is in.

Cut-outs are RGBA pictures, or two trees whose folders begin with `clip` (photos) and `matting`
(RGBA), as public matting data comes: `clip_img/1/clip_0/a.jpg` belongs to
`matting/1/matting_0/a.png`. They are paired by name, never by position.

A file that can't be used is left out, and named to `report` with the reason.
"""

import logging
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np

from models.training.decoding import PictureError, Pixels, decode_picture
from models.training.listing import PICTURES, Report, pictures_under
from models.training.pack import Cutout, Kind, PackError, Photo, Split
from models.training.splits import sorted_into_splits

Labels = tuple[str, str, Split, str]

_PARTS = ("photos", "cutouts", "masks")

# Of what is visible in a soft matte, at least this share is partly so; a hard edge has 1 to 4 %.
_SOFT_SHARE = 0.05
# Nearer to 0 or 255 than this is rounding, not softness.
_SOFT_MARGIN = 5

_ROLE = re.compile(r"(clip|matting)([-_ ]|$)", re.IGNORECASE)

log = logging.getLogger(__name__)


def photos_of_folder(folder: Path, split: Split, report: Report = log.warning) -> Iterator[Photo]:
    """The photos of one split, each decoded as it is taken.

    From `folder/photos` where there is such a folder; of two trees, those of `clip`. A picture that
    is transparent anywhere is no photo. Raises `PackError` where the folder holds no picture at
    all.
    """
    root = _part(folder, "photos", report)
    pictures = pictures_under(root, report)
    roles = {path: _role(path.relative_to(root))[0] for path in pictures}
    if {"clip", "matting"} <= set(roles.values()):
        pictures = [path for path in pictures if roles[path] != "matting"]

    def is_usable(path: Path) -> bool:
        return _photo(path, _silently) is not None

    for path, labels in _labelled(root, pictures, split, report, is_usable):
        pixels = _photo(path, report)
        if pixels is not None:
            yield Photo(*labels, "not stated", pixels)


def cutouts_of_folder(folder: Path, split: Split, report: Report = log.warning) -> Iterator[Cutout]:
    """The cut-outs of one split, each decoded as it is taken.

    From `folder/cutouts` where there is such a folder. In two trees the colours are the photo's and
    the alpha is the matte's: in soft parts the colours then hold some of the old background. Soft
    or hard is measured. Raises `PackError` where the folder holds no picture at all.
    """
    root = _part(folder, "cutouts", report)
    pictures = pictures_under(root, report)
    photo_of = _partners(root, pictures, report)
    mattes = pictures if photo_of is None else [path for path in pictures if path in photo_of]

    def cutout(path: Path, report: Report) -> Pixels | None:
        return _cutout(path, photo_of[path] if photo_of else None, report)

    def is_usable(path: Path) -> bool:
        return cutout(path, _silently) is not None

    for path, labels in _labelled(root, mattes, split, report, is_usable):
        pixels = cutout(path, report)
        if pixels is not None:
            yield Cutout(*labels, "not stated", softness(pixels[..., 3]), pixels)


def read_masks(path: Path, report: Report = log.warning) -> list[Pixels]:
    """The irregular masks of a folder, uint8 [H,W], 0 or 255, sorted by name; 255 is the hole.

    From `path/masks` where there is such a folder. Greys are holes from 128 on. Masks without a
    hole are left out. Raises `PackError` where none is left.
    """
    root = _part(path, "masks", report)
    masks = []
    for file in pictures_under(root, report):
        grey = _decode(file, "L", report)
        if grey is None:
            continue
        mask = np.where(grey >= 128, 255, 0).astype(np.uint8)
        if mask.any():
            masks.append(mask)
        else:
            report(f"{file}: has no hole (nothing is white) and was left out.")
    if not masks:
        raise PackError(f"{root}: holds no mask that can be used. White is the hole.")
    return masks


def softness(alpha: Pixels) -> Kind:
    """ "soft" where at least 5 % of what is visible is partly transparent, else "hard"."""
    visible = alpha > _SOFT_MARGIN
    partly = visible & (alpha < 255 - _SOFT_MARGIN)
    return "soft" if partly.sum() >= _SOFT_SHARE * max(int(visible.sum()), 1) else "hard"


def _part(folder: Path, part: str, report: Report) -> Path:
    """The subfolder of that name, or the folder itself where it isn't divided into parts."""
    if (folder / part).is_dir():
        for path in sorted(folder.glob("[!.]*.*")):
            if path.suffix.lower() in PICTURES:
                report(f"{path}: lies beside the folder {part}, not in it, and was left out.")
        return folder / part
    others = [name for name in _PARTS if (folder / name).is_dir()]
    if others:
        raise PackError(
            f"{folder}: holds {' and '.join(others)} but no folder {part}. "
            "Add it, or name the folder of its pictures."
        )
    return folder


def _labelled(
    root: Path,
    pictures: Iterable[Path],
    split: Split,
    report: Report,
    is_usable: Callable[[Path], bool],
) -> Iterator[tuple[Path, Labels]]:
    """The pictures of a split with name, subject, split and source."""
    for path, parts, its_split in sorted_into_splits(root, pictures, report, is_usable):
        if its_split == split:
            # The ending stays: cat.jpg and cat.png are two pictures.
            name = "__".join(parts)
            yield path, (name, name, split, path.relative_to(root).as_posix())


def _decode(path: Path, mode: str, report: Report) -> Pixels | None:
    try:
        return decode_picture(path, str(path), mode)
    except PictureError as error:
        report(f"{error} It was left out.")
        return None


def _silently(_: str) -> None:
    """The report of a first look, before each picture is taken."""


def _photo(path: Path, report: Report) -> Pixels | None:
    """uint8 [H,W,3], or None with a report."""
    pixels = _decode(path, "RGBA", report)
    if pixels is None:
        return None
    if pixels[..., 3].min() < 255:
        report(
            f"{path}: is transparent in parts, so it is a cut-out and no photo, and was left out."
        )
        return None
    return np.ascontiguousarray(pixels[..., :3])


def _cutout(path: Path, photo: Path | None, report: Report) -> Pixels | None:
    """uint8 [H,W,4], or None with a report."""
    matte = _decode(path, "RGBA", report)
    if matte is None:
        return None
    alpha = matte[..., 3]
    if not alpha.any() or alpha.all():
        what = "nothing but transparency" if not alpha.any() else "nothing transparent"
        report(f"{path}: has {what} and was left out: a cut-out needs an alpha channel.")
        return None
    if photo is None:
        return matte
    colours = _decode(photo, "RGB", report)
    if colours is None:
        return None
    if colours.shape[:2] != alpha.shape:
        report(f"{path}: is not as large as {photo}; both were left out.")
        return None
    return np.dstack([colours, alpha])


def _partners(root: Path, pictures: Iterable[Path], report: Report) -> dict[Path, Path] | None:
    """The photo of each matte by name, with a report of those without; None without two trees."""
    trees: dict[str, dict[str, Path]] = {"clip": {}, "matting": {}}
    for path in pictures:
        role, key = _role(path.relative_to(root))
        if role:
            trees[role][key] = path
    if not all(trees.values()):
        return None
    for key in sorted(trees["clip"].keys() ^ trees["matting"].keys()):
        for tree in trees.values():
            if key in tree:
                report(f"{tree[key]}: has no partner of the same name and was left out.")
    return {matte: trees["clip"][k] for k, matte in trees["matting"].items() if k in trees["clip"]}


def _role(relative: Path) -> tuple[str | None, str]:
    """The tree that a picture lies in, and the name that it shares with its partner."""
    role = None
    shared = []
    for part in relative.parts[:-1]:
        match = _ROLE.match(part)
        if match and role is None:
            role = match[1].lower()  # the tree itself, whatever follows in its name
        else:
            shared.append(part[match.end() :] if match else part)
    stem = Path(relative.name).stem
    match = _ROLE.match(stem)
    return role, "/".join([*shared, stem[match.end() :] if match else stem])
