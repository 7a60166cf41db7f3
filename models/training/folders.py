"""Folders of one's own pictures: photos, cut-outs and masks, in the classes of a pack.

One folder may hold all of it, in subfolders `photos`, `cutouts` and `masks`; or each is named by
itself. Pictures may lie at any depth; hidden files are passed over. Where there are subfolders
`train`, `validation` and `test`, they are the splits; otherwise a hash of each picture's name
decides, so a picture keeps its split whatever comes and goes beside it.

Cut-outs are RGBA pictures, or two trees whose folders begin with `clip` (photos) and `matting`
(RGBA), as public matting data comes: `clip_img/1/clip_0/a.jpg` belongs to
`matting/1/matting_0/a.png`. They are paired by name, never by position.

A file that can't be used is left out, and named to `report` with the reason.
"""

import hashlib
import logging
import os
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import get_args

import numpy as np

from models.training.pack import Cutout, Kind, PackError, Photo, Pixels, Split, decode_picture

Report = Callable[[str], None]

PICTURES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"}
SPLITS: tuple[Split, ...] = get_args(Split)

_PARTS = ("photos", "cutouts", "masks")

# Of a hundred pictures of a folder without splits, this many are for training and validation.
_TRAIN, _VALIDATION = 90, 5

# Of what is visible in a soft matte, at least this share is partly so; a hard edge has 1 to 4 %.
_SOFT_SHARE = 0.05
# Nearer to 0 or 255 than this is rounding, not softness.
_SOFT_MARGIN = 5

_ROLE = re.compile(r"(clip|matting)([-_ ]|$)", re.IGNORECASE)

log = logging.getLogger(__name__)


def photos_of_folder(folder: Path, split: Split, report: Report = log.warning) -> Iterator[Photo]:
    """The photos of one split, each decoded as it is taken.

    From `folder/photos` where there is such a folder; of two trees, those of `clip`. Raises
    `PackError` where the folder holds no picture at all.
    """
    root = _part(folder, "photos")
    pictures = _all_pictures(root)
    roles = {path: _role(path.relative_to(root))[0] for path in pictures}
    if {"clip", "matting"} <= set(roles.values()):
        pictures = [path for path in pictures if roles[path] != "matting"]
    for path, labels in _labelled(root, pictures, split):
        pixels = _decode(path, "RGB", report)
        if pixels is not None:
            yield Photo(*labels, "not stated", pixels)


def cutouts_of_folder(folder: Path, split: Split, report: Report = log.warning) -> Iterator[Cutout]:
    """The cut-outs of one split, each decoded as it is taken.

    From `folder/cutouts` where there is such a folder. In two trees the colours are the photo's and
    the alpha is the matte's: in soft parts the colours then hold some of the old background. Soft
    or hard is measured. Raises `PackError` where the folder holds no picture at all.
    """
    root = _part(folder, "cutouts")
    pictures = _all_pictures(root)
    photo_of = _partners(root, pictures, report)
    mattes = pictures if photo_of is None else [path for path in pictures if path in photo_of]
    for path, labels in _labelled(root, mattes, split):
        pixels = _cutout(path, photo_of[path] if photo_of else None, report)
        if pixels is not None:
            yield Cutout(*labels, "not stated", softness(pixels[..., 3]), pixels)


def read_masks(path: Path, report: Report = log.warning) -> list[Pixels]:
    """The irregular masks of a folder, uint8 [H,W], 0 or 255, sorted by name; 255 is the hole.

    From `path/masks` where there is such a folder. Greys are holes from 128 on. Masks without a
    hole are left out. Raises `PackError` where none is left.
    """
    root = _part(path, "masks")
    masks = []
    for file in _all_pictures(root):
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


def split_of_name(name: str) -> Split:
    """The split of a picture by its name: 90, 5 and 5 of a hundred, the same on every machine."""
    percent = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") % 100
    if percent < _TRAIN:
        return "train"
    return "validation" if percent < _TRAIN + _VALIDATION else "test"


def _part(folder: Path, part: str) -> Path:
    """The subfolder of that name, or the folder itself where it isn't divided into parts."""
    if (folder / part).is_dir():
        return folder / part
    others = [name for name in _PARTS if (folder / name).is_dir()]
    if others:
        raise PackError(
            f"{folder}: holds {' and '.join(others)} but no folder {part}. "
            "Add it, or name the folder of its pictures."
        )
    return folder


def _all_pictures(root: Path) -> list[Path]:
    """The pictures under a folder, sorted. Raises `PackError` where there is none."""
    if not root.is_dir():
        raise PackError(f"{root}: there is no such folder.")
    found = []
    for parent, folders, files in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(parent, name) for name in files if not name.startswith(".")]
    pictures = sorted(path for path in found if path.suffix.lower() in PICTURES)
    if not pictures:
        endings = ", ".join(sorted(PICTURES))
        raise PackError(f"{root}: holds no pictures ({endings}).")
    return pictures


def _labelled(
    root: Path, pictures: Iterable[Path], split: Split
) -> Iterator[tuple[Path, tuple[str, str, Split, str]]]:
    """The pictures of a split with name, subject, split and source."""
    by_folder = any((root / name).is_dir() for name in SPLITS)
    for path in pictures:
        relative = path.relative_to(root)
        if by_folder:
            parts = relative.parts[1:] if relative.parts[0] == split else ()
        else:
            parts = relative.parts
        if not parts:
            continue
        # The ending stays: cat.jpg and cat.png are two pictures.
        name = "__".join(parts)
        if by_folder or split_of_name(_stem(parts)) == split:
            yield path, (name, name, split, relative.as_posix())


def _stem(parts: Iterable[str]) -> str:
    return Path(*parts).with_suffix("").as_posix()


def _decode(path: Path, mode: str, report: Report) -> Pixels | None:
    try:
        return decode_picture(path, str(path), mode)
    except PackError as error:
        report(f"{error} It was left out.")
        return None


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
