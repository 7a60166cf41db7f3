"""Settings of folders in the inbox: each holds for its folder and all below it.

They stand in the settings file alone, in a table for each folder, and the nearest folder that says
something decides, key by key. Where the hole comes from is one question: a nearer `mask` puts an
outer `alpha_as_mask` out of force, and the other way round.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, StrictBool, field_validator, model_validator

from daemon.spelling import folded

OutputFormat = Literal["png", "tiff", "webp", "jpeg", "same"]
Fate = Literal["archive", "delete"]
ModelTask = Literal["inpaint", "matting"]

WHOLE_INBOX: Final = "."
_MOST_KNOWN: Final = 1 << 14


def below(name: str) -> str:
    """A folder's path as seen from the inbox, without `./` and `//`. Raises `ValueError`."""
    parts = name.split("/")
    if not name:
        raise ValueError("holds an empty name; for the whole inbox write . (a dot)")
    if name.startswith("/") or parts[0] == "~":
        raise ValueError(f"{name!r} should be a path as seen from the inbox, such as portraits")
    if ".." in parts:
        raise ValueError(f"{name!r} leads out of the inbox by its ..; leave that out")
    if "\0" in name:
        raise ValueError("holds a zero byte, which no path can")
    return "/".join(part for part in parts if part not in ("", ".")) or WHOLE_INBOX


def usable_path(value: object) -> object:
    """A path of a setting, with `~` resolved. Raises `ValueError` for one that can't be."""
    if not isinstance(value, str | Path):
        return value
    if value == "":  # it would mean the folder that we happen to run in
        raise ValueError("is empty")
    if "\0" in str(value):
        raise ValueError("holds a zero byte, which no path can")
    try:
        return Path(value).expanduser()
    except RuntimeError:
        raise ValueError("there is no such user, so no home folder") from None


def tellable_path(value: Path | None) -> Path | None:
    """A path that can go to the worker, and into logs, as text. Raises `ValueError` for another."""
    if value is not None and not str(value).isascii():
        try:
            str(value).encode()
        except UnicodeEncodeError:
            raise ValueError("holds bytes that are no UTF-8; rename the file") from None
    return value


class FolderSettings(BaseModel):
    """What the table of one folder says; None where it says nothing."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mask: Path | Literal[False] | None = Field(
        default=None,
        description="Mask of every picture that has none of its own: a file outside the spool, in "
        "the pictures' size. false ends what an outer folder says.",
    )
    alpha_as_mask: StrictBool | None = Field(
        default=None,
        description="Where a picture without a mask of its own is wholly transparent (alpha 0) is "
        "its hole.",
    )
    output_format: OutputFormat | None = Field(
        default=None, description="Format of retouched pictures."
    )
    originals: Fate | None = Field(
        default=None, description="What becomes of the originals once the result is safe."
    )
    done_marker: StrictBool | None = Field(
        default=None, description="Take a pair only when a marker lies beside its picture."
    )

    inpaint_model: Path | None = Field(
        default=None, description="Artifact that fills the masked holes of its pictures."
    )
    matting_model: Path | None = Field(
        default=None, description="Artifact that cuts its pictures out along a trimap."
    )

    @field_validator("inpaint_model", "matting_model", mode="before")
    @classmethod
    def _model_is_usable(cls, value: object) -> object:
        return usable_path(value)

    @field_validator("inpaint_model", "matting_model")
    @classmethod
    def _model_can_be_told(cls, value: Path | None) -> Path | None:
        return tellable_path(value)

    @field_validator("mask", mode="before")
    @classmethod
    def _mask_is_usable(cls, value: object) -> object:
        if value is None or value is False:
            return value
        if not isinstance(value, str | Path):
            raise ValueError("should be the path of a picture file, or false")
        return usable_path(value)

    @model_validator(mode="after")
    def _hole_has_one_source(self) -> "FolderSettings":
        if self.mask and self.alpha_as_mask:
            raise ValueError(
                "has a mask and alpha_as_mask; which of them says where the hole is can't be told, "
                "so leave one out"
            )
        return self


def tables_by_folder(value: object) -> object:
    """The tables of the settings file by the folders' paths. Raises `ValueError`."""
    if not isinstance(value, Mapping):
        raise ValueError('should be a table for each folder, as in [folders."scans/slides"]')
    named: dict[str, Any] = {}
    spelt: dict[str, str] = {}
    for name, table in value.items():
        path = below(name)
        if not isinstance(table, Mapping | FolderSettings):
            raise ValueError(f'{name!r} should be a table, as in [folders."{path}"]')
        if folded(path) in spelt:
            raise ValueError(f"{spelt[folded(path)]!r} and {name!r} are the same folder")
        spelt[folded(path)] = name
        named[path] = table
    return named


@dataclass(frozen=True)
class Rules:
    """What holds for the files of one folder; None leaves it to the setting for all.

    `mask` is an absolute path. Not both it and `alpha_as_mask` are set. The models are the absolute
    paths of those that are used, be they the folder's or for all; None where there is none.
    """

    mask: str | None = None
    alpha_as_mask: bool = False
    output_format: OutputFormat | None = None
    originals: Fate | None = None
    done_marker: bool = False
    inpaint_model: str | None = None
    matting_model: str | None = None

    def model(self, task: ModelTask) -> str | None:
        """What works a job of this task."""
        return self.inpaint_model if task == "inpaint" else self.matting_model


class FolderRules:
    """The rules of all folders in an inbox, however their paths are spelt.

    `everywhere` holds where no folder says otherwise.
    """

    def __init__(
        self,
        everywhere: Rules | None = None,
        tables: Mapping[str, FolderSettings] = MappingProxyType({}),
    ) -> None:
        self._everywhere = everywhere or Rules()
        named = sorted(tables.items(), key=lambda item: (item[0] != WHOLE_INBOX, _depth(item[0])))
        self._tables = [(folded(name), table) for name, table in named]
        self.give_holes = any(table.mask or table.alpha_as_mask for _, table in self._tables)
        self.ask_for_markers = self._everywhere.done_marker or any(
            table.done_marker for _, table in self._tables
        )
        self._in_folder = lru_cache(_MOST_KNOWN)(self._found)

    def of(self, path: str) -> Rules:
        """Those for a file, by its path below the inbox."""
        return self._in_folder(path.rpartition("/")[0]) if self._tables else self._everywhere

    def of_folder(self, folder: str) -> Rules:
        """Those for the files in a folder; `.` is the inbox itself."""
        return self.of(f"{folder}/" if folder != WHOLE_INBOX else "")

    def _found(self, folder: str) -> Rules:
        rules, place = self._everywhere, f"{folded(folder)}/"
        for name, table in self._tables:  # the nearest last
            if name == WHOLE_INBOX or place.startswith(f"{name}/"):
                rules = _under(rules, table)
        return rules


def _depth(name: str) -> int:
    return name.count("/")


def _under(rules: Rules, table: FolderSettings) -> Rules:
    """The rules where this table holds too."""
    mask, by_alpha = rules.mask, rules.alpha_as_mask
    if table.mask is not None:
        mask = str(table.mask.absolute()) if table.mask else None
        by_alpha = by_alpha and not mask
    if table.alpha_as_mask is not None:
        by_alpha = table.alpha_as_mask
        mask = None if by_alpha else mask
    return replace(
        rules,
        mask=mask,
        alpha_as_mask=by_alpha,
        output_format=table.output_format or rules.output_format,
        originals=table.originals or rules.originals,
        done_marker=rules.done_marker if table.done_marker is None else table.done_marker,
        inpaint_model=_absolute(table.inpaint_model) or rules.inpaint_model,
        matting_model=_absolute(table.matting_model) or rules.matting_model,
    )


def _absolute(path: Path | None) -> str | None:
    return None if path is None else str(path.absolute())


class OwnModel(NamedTuple):
    """A model that the table of a folder names: the folder, the task, and its absolute path."""

    folder: str
    task: ModelTask
    path: str

    @property
    def setting(self) -> str:
        """Where it is named, as the settings file has it."""
        return f"{told(self.folder)}.{self.task}_model"


def own_models(
    tables: Mapping[str, FolderSettings], for_all: Mapping[ModelTask, Path]
) -> Iterator[OwnModel]:
    """What the tables name, in their order; not where it is the model of the task anyway."""
    for name, table in tables.items():
        both: dict[ModelTask, Path | None] = {
            "inpaint": table.inpaint_model,
            "matting": table.matting_model,
        }
        for task, path in both.items():
            if path is not None and path.absolute() != for_all.get(task):
                yield OwnModel(name, task, str(path.absolute()))


def refuse_masks_inside(tables: Mapping[str, FolderSettings], folders: Mapping[str, Path]) -> None:
    """Raise `ValueError` for a folder's mask that lies where pictures are moved about."""
    for name, table in tables.items():
        for role, folder in folders.items() if table.mask else ():
            if Path(os.path.realpath(str(table.mask))).is_relative_to(os.path.realpath(folder)):
                raise ValueError(
                    f"{told(name)}.mask ({table.mask}) lies in {role} ({folder}), where it would "
                    "be taken for a user's file; put it elsewhere"
                )


def refuse_alpha_for_matting(
    rules: FolderRules, names: Iterable[str], mattings: Iterable[str]
) -> None:
    """Raise `ValueError` where transparency would be a mask in a matting folder."""
    for matting in mattings:
        for name in (matting, *(each for each in names if is_inside(each, matting))):
            if rules.of_folder(name).alpha_as_mask:
                raise ValueError(
                    f"alpha_as_mask holds in {name!r}, where masks mean cut out "
                    f"(matting_folders); set {told(name)}.alpha_as_mask = false, or take that out "
                    "of matting_folders"
                )


def is_inside(name: str, other: str) -> bool:
    """Whether a folder is another one or lies below it."""
    return other == WHOLE_INBOX or f"{folded(name)}/".startswith(f"{folded(other)}/")


def told(name: str) -> str:
    """A folder's table, as the settings file names it."""
    return f'folders."{name}"'
