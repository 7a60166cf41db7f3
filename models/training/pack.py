"""A pack: the pictures of all splits in one zip file, for a machine without a network.

A pack is read with numpy and Pillow alone. Inside, stored without further compression:

    manifest.json                {"format": "retouchd-pack", "version": 1, "photos": [...],
                                 "cutouts": [...]}; each entry names its file, name, subject,
                                 split, source and licence, a cut-out's its kind too
    photos/SPLIT/NAME.jpg        RGB; the test split's with full chroma
    cutouts/SPLIT/NAME.webp      RGBA, straight alpha, lossless alpha

The same pictures give the same bytes: entries are sorted and carry no time of day.
"""

import io
import json
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal, TypeVar, get_args

import numpy as np
import numpy.typing as npt
from PIL import Image

from models.training.decoding import PictureError, decode_picture
from models.training.drafts import write_whole

Split = Literal["train", "validation", "test"]
Kind = Literal["soft", "hard"]
Pixels = npt.NDArray[np.uint8]

FORMAT = "retouchd-pack"
VERSION = 1
MANIFEST = "manifest.json"

# Quality and Pillow's number for the chroma: full for what is measured, halved for what is learnt.
_JPEG_OF_A_TEST = {"quality": 90, "subsampling": 0}
_JPEG = {"quality": 87, "subsampling": 2}
# The effort of the lossless search: 6 is the slowest, and half a percent smaller than 4.
_WEBP_METHOD = 4
# The earliest time that a zip can hold.
_NO_TIME = (1980, 1, 1, 0, 0, 0)


class PackError(Exception):
    """A pack or a folder can't be used. The text names it, what is wrong and what to do."""


@dataclass(frozen=True)
class Photo:
    """A photo: uint8 [H,W,3] RGB, what it shows, where it comes from, its licence."""

    name: str
    subject: str
    split: Split
    source: str
    licence: str
    pixels: Pixels


@dataclass(frozen=True)
class Cutout:
    """A cut-out: uint8 [H,W,4] RGBA with straight alpha; soft mattes and hard edges told apart."""

    name: str
    subject: str
    split: Split
    source: str
    licence: str
    kind: Kind
    pixels: Pixels


Picture = TypeVar("Picture", Photo, Cutout)


def read_photos(path: Path, split: Split) -> list[Photo]:
    """The photos of one split, decoded, sorted by name.

    `path` is a pack, or a folder as `models.training.folders` describes it. Raises `PackError`.
    """
    if path.is_dir():
        # Here, since that module makes the classes of this one.
        from models.training.folders import photos_of_folder

        return sorted(photos_of_folder(path, split), key=lambda photo: photo.name)
    with _open(path) as pack:
        photos = [
            Photo(**_labels(entry), pixels=_decode_entry(path, pack, entry, "RGB"))
            for entry in _entries(path, pack, "photos", split)
        ]
    return sorted(photos, key=lambda photo: photo.name)


def read_cutouts(path: Path, split: Split) -> list[Cutout]:
    """The cut-outs of one split, decoded, sorted by name.

    `path` is a pack, or a folder as `models.training.folders` describes it. Raises `PackError`.
    """
    if path.is_dir():
        from models.training.folders import cutouts_of_folder

        return sorted(cutouts_of_folder(path, split), key=lambda cutout: cutout.name)
    with _open(path) as pack:
        cutouts = [
            Cutout(**_labels(entry), pixels=_decode_entry(path, pack, entry, "RGBA"))
            for entry in _entries(path, pack, "cutouts", split)
        ]
    return sorted(cutouts, key=lambda cutout: cutout.name)


def write_pack(
    path: Path,
    photos: Iterable[Photo],
    cutouts: Iterable[Cutout],
    *,
    limit_bytes: int | None = None,
) -> None:
    """Write a pack. On return it is whole; on an error an older file of that name is unchanged.

    The pictures are taken one at a time, so an iterable may read each as it is wanted. Raises
    `PackError` for two pictures of one name in one split, more than `limit_bytes` or a file that
    is no pack in its place, OSError that names `path` where it can't be written.
    """
    refuse_to_replace(path)
    files: dict[str, bytes] = {}
    manifest: dict[str, Any] = {"format": FORMAT, "version": VERSION}
    manifest["photos"] = _encode_all(photos, files)
    manifest["cutouts"] = _encode_all(cutouts, files)
    text = json.dumps(manifest, indent=1, sort_keys=True, ensure_ascii=False)

    def fill(stream: BinaryIO) -> None:
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as pack:
            pack.writestr(_timeless(MANIFEST), text.encode())
            for name in sorted(files):
                pack.writestr(_timeless(name), files[name])
        size = stream.tell()
        if limit_bytes is not None and size > limit_bytes:
            raise PackError(
                f"{path}: would have {size} bytes, and at most {limit_bytes} are wanted. "
                "Nothing was written: use fewer pictures, or a higher limit."
            )

    write_whole(path, fill)


def refuse_to_replace(path: Path) -> None:
    """Raise `PackError` where anything but a pack is at `path`: nothing else is ever replaced."""
    if path.is_dir():
        raise PackError(f"{path}: is a folder. Name a file in it, such as {path / 'pack.zip'}.")
    if path.exists() and not _is_pack(path):
        raise PackError(
            f"{path}: is there already and is no pack, so it is not replaced. "
            "Remove it, or name another file."
        )


def _is_pack(path: Path) -> bool:
    if not path.is_file():
        return False
    try:
        with zipfile.ZipFile(path) as pack:
            return bool(json.loads(pack.read(MANIFEST))["format"] == FORMAT)
    except (OSError, zipfile.BadZipFile, KeyError, ValueError, TypeError):
        return False


def _encode_all(pictures: Iterable[Picture], files: dict[str, bytes]) -> list[dict[str, str]]:
    entries = []
    for picture in pictures:
        file, data, labels = _encode(picture)
        if file in files:
            raise PackError(f"Two pictures are called {picture.name}. Rename one of them.")
        files[file] = data
        entries.append({"file": file, **labels})
    return sorted(entries, key=lambda entry: entry["file"])


def _encode(picture: Photo | Cutout) -> tuple[str, bytes, dict[str, str]]:
    """File name in the pack, encoded bytes, labels."""
    labels = {
        key: str(getattr(picture, key))
        for key in ("name", "subject", "split", "source", "licence", "kind")
        if hasattr(picture, key)
    }
    encoded = io.BytesIO()
    image = Image.fromarray(picture.pixels)
    if isinstance(picture, Photo):
        options = _JPEG_OF_A_TEST if picture.split == "test" else _JPEG
        image.save(encoded, "JPEG", **options)
        return f"photos/{picture.split}/{picture.name}.jpg", encoded.getvalue(), labels
    image.save(encoded, "WEBP", lossless=True, method=_WEBP_METHOD, exact=True)
    return f"cutouts/{picture.split}/{picture.name}.webp", encoded.getvalue(), labels


def _timeless(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, date_time=_NO_TIME)
    info.create_system = 3  # Unix on every system, so that the bytes are the same
    info.external_attr = 0o644 << 16
    return info


def _open(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except FileNotFoundError:
        raise PackError(
            f"{path}: there is no such pack. Make one with `retouchd-train prepare`, "
            "or name a folder of pictures."
        ) from None
    except zipfile.BadZipFile:
        raise PackError(f"{path}: is no pack, or cut short. Copy or make it again.") from None
    except OSError as error:
        raise PackError(f"{path}: can't be read ({error.strerror}).") from None


def _entries(
    path: Path, pack: zipfile.ZipFile, group: Literal["photos", "cutouts"], split: Split
) -> list[dict[str, str]]:
    try:
        manifest = json.loads(pack.read(MANIFEST))
        known = (manifest["format"], manifest["version"])
        entries = [_checked(entry, group) for entry in manifest[group]]
    except (KeyError, ValueError, TypeError, zipfile.BadZipFile):
        raise PackError(
            f"{path}: has no manifest of a pack. Make one with `retouchd-train prepare`."
        ) from None
    if known != (FORMAT, VERSION):
        raise PackError(f"{path}: is a pack of version {known[1]}, and {VERSION} is known.")
    return [entry for entry in entries if entry["split"] == split]


def _checked(entry: Mapping[str, Any], group: str) -> dict[str, str]:
    """An entry whose every label is there. Raises KeyError or ValueError where one is not."""
    kinds = ("kind",) if group == "cutouts" else ()
    keys = ("file", "name", "subject", "split", "source", "licence", *kinds)
    checked = {key: str(entry[key]) for key in keys}
    if checked["split"] not in get_args(Split) or checked.get("kind", "soft") not in get_args(Kind):
        raise ValueError
    return checked


def _labels(entry: Mapping[str, str]) -> dict[str, Any]:
    return {key: value for key, value in entry.items() if key != "file"}


def _decode_entry(path: Path, pack: zipfile.ZipFile, entry: Mapping[str, str], mode: str) -> Pixels:
    name = f"{path}: {entry['file']}"
    try:
        data = pack.read(entry["file"])
    except (KeyError, zipfile.BadZipFile):
        raise PackError(f"{name} is missing or damaged. Copy or make the pack again.") from None
    try:
        return decode_picture(data, name, mode)
    except PictureError as error:
        raise PackError(str(error)) from None
