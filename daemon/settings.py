"""The settings: a TOML file, the environment, the command line, in rising order.

Read once, at start. An unknown key or a bad value is an error that names it, and so is a
combination that would lose or mix up files.
"""

import difflib
import grp
import os
import pwd
import re
import shlex
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_args
from urllib.parse import urlsplit

from pydantic import (
    BeforeValidator,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from daemon.events import LogFormat
from daemon.folders import (
    Fate,
    FolderRules,
    FolderSettings,
    ModelTask,
    OwnModel,
    Rules,
    below,
    own_models,
    refuse_alpha_for_matting,
    refuse_masks_inside,
    tables_by_folder,
    tellable_path,
    told,
    usable_path,
)
from daemon.folders import OutputFormat as OutputFormat

PREFIX: Final = "RETOUCHD_"
FILE_VARIABLE: Final = "RETOUCHD_SETTINGS"

# What hooks are told in their environment (people/calls/facts.py). No settings, and no mistakes: a
# hook may run retouchd itself.
HOOK_VARIABLES: Final = tuple(
    f"{PREFIX}{name}"
    for name in (
        *("JOB", "OUTCOME", "TASK", "PICTURE", "RESULT", "OUTPUTS"),
        *("REASON", "SENTENCE", "ADVICE", "NOTE"),
    )
)

# Its tables, in the file alone: which folder a variable or an option is for could not be told.
_FOLDERS: Final = "folders"
_BY_FOLDER: Final = "by_folder"

_DEVICE: Final = re.compile(r"auto|cpu|cuda(:\d+)?(,cuda:\d+)*", re.ASCII)
# The kernel's ids are 32 bits, and the last one means "leave it".
_MOST_ID: Final = 2**32 - 2


class SettingsError(Exception):
    """The settings can't be used. The text names each key, its value and what it should be."""


def _octal(value: object) -> object:
    """`0664`, `0o664` or `"664"` as people write modes; TOML's own `0o664` is a number already."""
    if isinstance(value, str):
        try:
            return int(value, 8)
        except ValueError:
            raise ValueError("should be an octal mode such as 0664") from None
    return value


Mode = Annotated[int, BeforeValidator(_octal)]


def _folders_below(value: object) -> object:
    """`"portraits, shop/products"`, or a list of such paths, as paths without `./` and `//`."""
    if isinstance(value, str):
        value = [name.strip() for name in value.split(",")] if value.strip() else []
    if not isinstance(value, list | tuple):
        raise ValueError("should be folders, as in portraits, shop/products, or a list of them")
    return tuple(below(name) if isinstance(name, str) else name for name in value)


def _words_of_a_command(value: object) -> object:
    """`"notify --to 'the office'"` as a shell would split it, or a list of its words."""
    if isinstance(value, str):
        try:
            value = shlex.split(value)
        except ValueError as error:
            raise ValueError(f"can't be split into words ({error})") from None
    if not isinstance(value, list | tuple) or not all(isinstance(word, str) for word in value):
        raise ValueError("should be a command, as in /usr/local/bin/notify --loud, or its words")
    if any("\0" in word for word in value):
        raise ValueError("holds a zero byte, which no command can")
    if value and (not value[0] or ("/" in value[0] and not value[0].startswith("/"))):
        raise ValueError("should begin with the program's name, or with its path from / on")
    return tuple(value)


Command = Annotated[tuple[str, ...], BeforeValidator(_words_of_a_command)]

FoldersBelow = Annotated[tuple[str, ...], BeforeValidator(_folders_below)]


class _Environment(EnvSettingsSource):
    """The environment, where a list is written with commas and not as JSON."""

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:  # noqa: ARG002
        return value


def _is_number(field: FieldInfo) -> bool:
    kinds = get_args(field.annotation) or (field.annotation,)
    return int in kinds or float in kinds


class Settings(BaseSettings):
    """All settings. The descriptions are printed by --help and in docs/settings.md."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, extra="forbid", frozen=True
    )

    spool: Path = Field(default=Path("spool"), description="Folder that holds the folders below.")
    inbox: Path | None = Field(default=None, description="Where pictures are dropped. SPOOL/inbox.")
    work: Path | None = Field(
        default=None, description="Where jobs are worked; on the inbox's file system. SPOOL/work."
    )
    outbox: Path | None = Field(default=None, description="Where results appear. SPOOL/outbox.")
    failed: Path | None = Field(
        default=None, description="Where pairs go that can't be done. SPOOL/failed."
    )
    archive: Path | None = Field(
        default=None, description="Where originals go when done. SPOOL/archive."
    )
    originals: Fate = Field(
        default="archive", description="What becomes of the originals once the result is safe."
    )

    inpaint_model: Path | None = Field(
        default=None, description="Artifact that fills masked holes."
    )
    matting_model: Path | None = Field(
        default=None, description="Artifact that cuts out along a trimap."
    )
    matting_folders: FoldersBelow = Field(
        default=(),
        description="Folders in the inbox where a mask means cut out: its trimap is made from it.",
    )
    trimap_band_percent: float = Field(
        default=2,
        gt=0,
        le=25,
        description="Unknown band on either side of such a mask's edge, in percent of the "
        "picture's shorter side.",
    )
    device: str = Field(
        default="auto",
        description="auto (every GPU there is, else the CPU), cpu, cuda, or cuda:0,cuda:1.",
    )
    threads: int | None = Field(
        default=None, ge=1, le=1024, description="CPU threads for a network. All cores unless set."
    )

    quiet_period_s: float | None = Field(
        default=None,
        ge=0,
        le=86400,
        description="Seconds a file must stay unchanged. 5 on a local disk, 10 on a network mount, "
        "be that all of the inbox or a folder in it.",
    )
    incomplete_s: float = Field(
        default=3600,
        ge=0,
        description="Seconds after which an unchanged, cut off picture goes to failed.",
    )
    done_marker: bool = Field(
        default=False,
        description="Take a pair only when a marker lies beside its picture, named cat.jpg.done or "
        "cat.done; it may be empty.",
    )
    events: bool = Field(default=True, description="Let file system events hasten the scan.")
    scan_interval_s: float | None = Field(
        default=None,
        gt=0,
        le=3600,
        description="Seconds between scans of the inbox. 10 where events can be trusted, more "
        "where a scan takes over 0.1 s; 2 where not, as on a network mount in it.",
    )

    output_format: OutputFormat = Field(
        default="png",
        description="Format of retouched pictures; jpeg is not exact outside the mask.",
    )
    jpeg_quality: int = Field(default=95, ge=1, le=100, description="Quality of JPEG results.")
    png_compression: int = Field(
        default=3,
        ge=0,
        le=9,
        description="How hard PNG results are compressed, from 0 (not at all) to 9. Less is faster "
        "and makes larger files.",
    )
    previews: bool = Field(
        default=True,
        description="Make a small cat.preview.jpg beside each result: before, mask and after in "
        "one picture.",
    )
    pages: bool = Field(
        default=True,
        description="Keep pages in the outbox for people who have only the share: index.html, a "
        "gallery of the results, and status.html.",
    )
    max_pixels: int = Field(
        default=200_000_000, ge=1, description="Most pixels a picture may have to be opened at all."
    )
    max_file_mb: float = Field(
        default=2000,
        gt=0,
        description="Most megabytes a file may have to be read at all, in millions of bytes.",
    )

    file_mode: Mode = Field(default=0o664, description="Mode of every file in the outbox, octal.")
    folder_mode: Mode = Field(default=0o2775, description="Mode of every folder made, octal.")
    user: str | None = Field(
        default=None, description="Owner of results, name or id; needs the right to."
    )
    group: str | None = Field(default=None, description="Group of results, name or id.")

    job_timeout_s: float = Field(
        default=600,
        gt=0,
        description="Seconds one job may take, from when its worker has no older one in hand.",
    )
    jobs_at_once: int | None = Field(
        default=None,
        ge=1,
        le=64,
        description="Jobs that a worker has in hand at once: one read, one worked, one written. 3 "
        "on a CPU and 16 on a GPU unless set; 1 where max_attempts is 1.",
    )
    max_attempts: int = Field(
        default=3, ge=1, le=100, description="Tries before a job goes to failed."
    )
    stop_timeout_s: float = Field(
        default=60, ge=0, description="Seconds a running job gets at stop."
    )
    confine: Literal["auto", "require", "no"] = Field(
        default="auto",
        description="Whether the process that opens pictures is kept from everything else: as far "
        "as the kernel can (auto), wholly or not at work (require), or not (no).",
    )
    worker_memory_gb: float | None = Field(
        default=None,
        gt=0,
        description="Most memory that process may take on a CPU, in billions of bytes. Nine tenths "
        "of the machine's unless set.",
    )
    window_memory_gb: float | None = Field(
        default=None,
        gt=0,
        description="Most memory that a network may take for the parts of a photo that it works at "
        "once, in billions of bytes. 1.5 on a CPU and half of a GPU's unless set.",
    )

    metrics_file: Path | None = Field(
        default=None,
        description="File in which monitoring finds numbers, for node_exporter; ends in .prom.",
    )

    on_success: Command = Field(
        default=(),
        description="Program to run after each pair that is done, with its arguments; no shell.",
    )
    on_failure: Command = Field(
        default=(), description="Program to run after each pair that went to failed; no shell."
    )
    webhook_url: str | None = Field(
        default=None, description="Where to POST what became of each pair, as JSON; http or https."
    )
    hook_timeout_s: float = Field(
        default=30, gt=0, le=3600, description="Seconds that one such call may take."
    )
    hook_retry_hours: float = Field(
        default=24,
        ge=0,
        le=8760,
        description="Hours after which a call that fails again and again is given up.",
    )

    log_format: LogFormat = Field(
        default="auto", description="json, text (for people), or auto: text on a terminal."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least level that is logged."
    )

    by_folder: Annotated[Mapping[str, FolderSettings], BeforeValidator(tables_by_folder)] = Field(
        default={},
        description="Settings of folders in the inbox; in the file they are called folders.",
    )

    @classmethod
    def options(cls) -> dict[str, FieldInfo]:
        """The settings that can also stand in the environment and on the command line."""
        return {name: field for name, field in cls.model_fields.items() if name != _BY_FOLDER}

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        assert isinstance(init_settings, InitSettingsSource)  # noqa: S101 - pydantic's own promise
        values = dict(init_settings.init_kwargs)
        from_file = values.pop("_from_file", {})
        # The first source wins: command line, environment, file.
        return (
            InitSettingsSource(settings_cls, values),
            _Environment(settings_cls),
            InitSettingsSource(settings_cls, from_file),
        )

    @field_validator("*", mode="before")
    @classmethod
    def _number_is_no_boolean(cls, value: object, info: ValidationInfo) -> object:
        # Python's true is the number 1, which nobody means who writes it.
        if isinstance(value, bool) and _is_number(cls.model_fields[str(info.field_name)]):
            raise ValueError("should be a number")
        return value

    @field_validator(
        "spool",
        *("inbox", "work", "outbox", "failed", "archive", "inpaint_model", "matting_model"),
        "metrics_file",
        mode="before",
    )
    @classmethod
    def _path_is_usable(cls, value: object) -> object:
        return usable_path(value)

    @field_validator("inpaint_model", "matting_model")
    @classmethod
    def _path_can_be_told(cls, value: Path | None) -> Path | None:
        return tellable_path(value)

    @field_validator("metrics_file")
    @classmethod
    def _metrics_file_is_found(cls, value: Path | None) -> Path | None:
        if value is not None and value.suffix != ".prom":
            raise ValueError("should end in .prom, as node_exporter reads no other files")
        return value

    @field_validator("webhook_url")
    @classmethod
    def _webhook_is_usable(cls, value: str | None) -> str | None:
        if value is None:
            return None
        try:
            url = urlsplit(value)
            is_usable = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
        except ValueError:
            is_usable = False
        if not is_usable or not value.isascii() or not value.isprintable() or " " in value:
            raise ValueError("should be a URL such as https://example.org/retouchd")
        if url.username is not None or url.password is not None:
            raise ValueError(
                "should hold no user and password; a hook that runs curl can send them"
            )
        return value

    @field_validator("device")
    @classmethod
    def _device_is_one(cls, value: str) -> str:
        if not _DEVICE.fullmatch(value):
            raise ValueError("should be auto, cpu, cuda, or a list such as cuda:0,cuda:1")
        return value

    @field_validator("file_mode")
    @classmethod
    def _file_mode_is_sane(cls, value: int) -> int:
        # A TOML file's 664 without quotes or 0o is the mode 1230, and fails here.
        if not 0 <= value <= 0o777 or not value & 0o400:
            raise ValueError(
                f"is {oct(value)}, but should be at most 0777 and let the owner read; "
                'write it as 0664, in TOML as "0664" or 0o664'
            )
        return value

    @field_validator("folder_mode")
    @classmethod
    def _folder_mode_is_sane(cls, value: int) -> int:
        if not 0 <= value <= 0o7777 or value & 0o700 != 0o700:
            raise ValueError(
                f"is {oct(value)}, but should be at most 07777 and let the owner do all; "
                'write it as 2775, in TOML as "2775" or 0o2775'
            )
        return value

    @field_validator("user", "group", mode="before")
    @classmethod
    def _id_as_text(cls, value: object) -> object:
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        if isinstance(value, str) and value.isdigit() and int(value) > _MOST_ID:
            raise ValueError(f"is no id: they end at {_MOST_ID}")
        return value

    @field_validator("user")
    @classmethod
    def _user_exists(cls, value: str | None) -> str | None:
        if value is not None and not value.isdigit():
            try:
                pwd.getpwnam(value)
            except KeyError:
                raise ValueError("there is no such user on this machine") from None
        return value

    @field_validator("group")
    @classmethod
    def _group_exists(cls, value: str | None) -> str | None:
        if value is not None and not value.isdigit():
            try:
                grp.getgrnam(value)
            except KeyError:
                raise ValueError("there is no such group on this machine") from None
        return value

    @model_validator(mode="after")
    def _folders_do_not_overlap(self) -> "Settings":
        # A daemon that finds its own results in its inbox works for ever.
        folders = {name: Path(os.path.realpath(path)) for name, path in self.folders().items()}
        for name, path in folders.items():
            for other, inside in folders.items():
                if name != other and inside.is_relative_to(path):
                    raise ValueError(
                        f"{other} ({inside}) lies in {name} ({path}); "
                        "each of the folders must lie outside the others"
                    )
        return self

    @model_validator(mode="after")
    def _metrics_lie_outside(self) -> "Settings":
        if self.metrics_file is None:
            return self
        where = Path(os.path.realpath(self.metrics_file.parent))
        for name, path in self.folders().items():
            if where.is_relative_to(os.path.realpath(path)):
                raise ValueError(
                    f"metrics_file ({self.metrics_file}) lies in {name} ({path}); "
                    "give it a folder of its own, that nobody drops files into"
                )
        return self

    @model_validator(mode="after")
    def _folders_of_the_inbox_agree(self) -> "Settings":
        refuse_masks_inside(self.by_folder, self.folders())
        refuse_alpha_for_matting(self.rules(), self.by_folder, self.matting_folders)
        return self

    def rules(self) -> FolderRules:
        """What holds for the files of each folder in the inbox."""
        models = {task: str(path) for task, path in self.models().items()}
        everywhere = Rules(
            done_marker=self.done_marker,
            inpaint_model=models.get("inpaint"),
            matting_model=models.get("matting"),
        )
        return FolderRules(everywhere, self.by_folder)

    def folders(self) -> dict[str, Path]:
        """The five folders, absolute, each where its own setting or `spool` puts it."""
        names = ("inbox", "work", "outbox", "failed", "archive")
        return {name: (getattr(self, name) or self.spool / name).absolute() for name in names}

    def max_file_bytes(self) -> int:
        """Most bytes of a file that is read at all."""
        return int(self.max_file_mb * 1_000_000)

    def window_memory_bytes(self) -> int | None:
        """Most memory for what a network works at once; None leaves it to the device."""
        return None if self.window_memory_gb is None else int(self.window_memory_gb * 1e9)

    def most_jobs(self) -> int | None:
        """How many jobs a worker may have in hand; None leaves it to the device."""
        return 1 if self.max_attempts == 1 else self.jobs_at_once

    def models(self) -> dict[ModelTask, Path]:
        """The configured artifacts by task; of folders' own see `own_models`."""
        both: dict[ModelTask, Path | None] = {
            "inpaint": self.inpaint_model,
            "matting": self.matting_model,
        }
        return {task: path.absolute() for task, path in both.items() if path}

    def own_models(self) -> tuple[OwnModel, ...]:
        """The artifacts that folders have of their own, in the order of the file."""
        return tuple(own_models(self.by_folder, self.models()))

    def devices(self) -> list[str]:
        """The devices to use, by torch's names, or `auto` alone."""
        return ["cuda:0"] if self.device == "cuda" else self.device.split(",")

    def uid(self) -> int | None:
        """The owner of results as a number, or None to leave it."""
        if self.user is None or self.user.isdigit():
            return None if self.user is None else int(self.user)
        return pwd.getpwnam(self.user).pw_uid

    def gid(self) -> int | None:
        """The group of results as a number, or None to leave it."""
        if self.group is None or self.group.isdigit():
            return None if self.group is None else int(self.group)
        return grp.getgrnam(self.group).gr_gid


def load_settings(command_line: Mapping[str, object], file: Path | None = None) -> Settings:
    """Read and check the settings.

    `command_line` holds what was given there, by setting name; `file` is the TOML file, else the
    one that RETOUCHD_SETTINGS names, else none. Raises `SettingsError`.
    """
    if file is None and os.environ.get(FILE_VARIABLE):
        file = Path(os.environ[FILE_VARIABLE])
    _refuse_unknown_variables()
    from_file = _read_toml(file) if file else {}
    for key in from_file:
        if key not in (*Settings.options(), _FOLDERS):
            raise SettingsError(f"{file}: there is no setting {key!r}.{_did_you_mean(key)}")
    if _FOLDERS in from_file:
        from_file[_BY_FOLDER] = from_file.pop(_FOLDERS)
    try:
        given: dict[str, Any] = {"_from_file": from_file, **command_line}
        return Settings(**given)
    except ValidationError as error:
        sources = {**dict.fromkeys(from_file, f"in {file}"), **_variables_by_name()}
        sources |= {key: f"--{key.replace('_', '-')}" for key in command_line}
        faults = (_describe(dict(fault), sources) for fault in error.errors())
        raise SettingsError("; ".join(faults)) from None


def shown_default(name: str) -> str:
    """A setting's default as a person would write it; empty where there is none."""
    default = Settings.model_fields[name].default
    if name.endswith("_mode"):
        return f"{default:04o}"
    if isinstance(default, bool):
        return "true" if default else "false"
    return "" if default in (None, ()) else str(default)


def _read_toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise SettingsError(f"{file}: can't be read ({error.strerror}).") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{file}: is no valid TOML ({error}).") from None


def _variables_by_name() -> dict[str, str]:
    """The environment's variables by setting name. Their case does not matter, as to pydantic."""
    return {
        variable.upper().removeprefix(PREFIX).lower(): variable
        for variable, value in os.environ.items()
        if variable.upper().startswith(PREFIX) and value
    }


def _refuse_unknown_variables() -> None:
    for variable in os.environ:
        known = variable.upper() == FILE_VARIABLE or variable in HOOK_VARIABLES
        if variable.upper().startswith(PREFIX) and not known:
            name = variable.upper().removeprefix(PREFIX).lower()
            if name == _FOLDERS:
                raise SettingsError(
                    f"{variable} in the environment: settings of folders in the inbox can only "
                    "stand in the settings file."
                )
            if name not in Settings.options():
                raise SettingsError(
                    f"{variable} in the environment: there is no setting {name!r}."
                    f"{_did_you_mean(name)}"
                )


def _did_you_mean(key: str) -> str:
    close = difflib.get_close_matches(key, Settings.options(), n=1)
    return f" Did you mean {close[0]!r}?" if close else ""


def _describe(fault: dict[str, Any], sources: Mapping[str, str]) -> str:
    what: str = fault["msg"].removeprefix("Value error, ")
    if not fault["loc"]:
        return what
    first, *rest = (str(part) for part in fault["loc"])
    source = f" ({sources[first]})" if first in sources else ""
    if first == _BY_FOLDER:
        return _describe_folder(fault, rest, source, what)
    name = ".".join((first, *rest))
    return f"{name} = {fault['input']!r}{source}: {what}"


def _describe_folder(fault: dict[str, Any], where: list[str], source: str, what: str) -> str:
    if not where:
        return f"{_FOLDERS}{source}: {what}"
    name = ".".join((told(where[0]), *where[1:2]))
    if fault["type"] == "extra_forbidden":
        keys = ", ".join(FolderSettings.model_fields)
        what = f"there is no such setting of a folder; there are {keys}"
        if isinstance(fault["input"], dict):
            what = f"for a folder in it write [{told(f'{where[0]}/{where[1]}')}]"
        elif where[1] in Settings.options():
            what = f"this can't be set for a folder; what can is {keys}"
    if len(where) == 1:
        return f"{name}{source}: {what}"
    return f"{name} = {fault['input']!r}{source}: {what}"
