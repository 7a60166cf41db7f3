"""What a training run is told, from one TOML file.

Promises: every key is known, of its type and within its bounds, or a `SettingsError` that names it.
The file that a run was started with lies in its folder, so that a resumed run can't become another
one unseen.
"""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NamedTuple, TypeVar, get_args, get_type_hints

Settings = TypeVar("Settings", bound="RunSettings")


class SettingsError(Exception):
    """The settings can't be used. The text names the file, the key and what to do."""


class Within(NamedTuple):
    """The bounds of a number, or of each in a pair; both are allowed themselves.

    Wide enough for any training, narrow enough that a slip of the pen is seen at the start.
    """

    least: float
    most: float

    def holds(self, value: Any) -> bool:
        numbers = value if isinstance(value, tuple) else (value,)
        return all(self.least <= number <= self.most for number in numbers)  # nan never is


Count = Annotated[int, Within(1, 1_000_000_000)]
Share = Annotated[float, Within(0, 1)]
Weight = Annotated[float, Within(0, 1_000_000)]  # of a loss; 0 leaves it out
Channels = Annotated[int, Within(1, 1024)]
Decay = Annotated[float, Within(0, 0.999_999)]
Band = Annotated[int, Within(0, 256)]


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """What every run has. Sizes in pixels; a step is one batch on every device."""

    seed: Annotated[int, Within(0, 2**32 - 1)] = 1
    steps: Count = 20_000
    batch: Annotated[int, Within(1, 4096)] = 8  # pictures a step on each device
    size: Annotated[int, Within(16, 4096)] = 256  # side of the square crops
    learning_rate: Annotated[float, Within(0, 1)] = 1e-4
    warmup_steps: Annotated[int, Within(0, 1_000_000_000)] = 100  # the rate rises from 0 over these
    final_rate: Share = 1.0  # ... and falls along a cosine to this share of itself
    betas: Annotated[tuple[float, float], Within(0, 0.999_999)] = (0.9, 0.999)  # Adam's
    average: Decay = 0.0  # decay of the weights' moving average; 0 keeps none
    clip: Weight = 0.0  # largest norm of a network's gradient; 0 clips none
    precision: str = "auto"  # "fp32", "bf16", or bf16 where the device is quick at it
    compile: bool = False  # a minute or two at the start, then half as fast again on a CPU
    loaders: Annotated[
        int, Within(-1, 256)
    ] = -1  # that make samples; -1: cores less one, 0 on a CPU
    log_every: Count = 50  # steps
    measure_every: Count = 1000  # steps between measurements on the validation split
    measure_pictures: Annotated[int, Within(1, 100_000)] = 32
    save_every_s: Annotated[float, Within(0, 1_000_000)] = 120.0

    def faults(self) -> list[str]:
        """What can't be though each is within its bounds, each in a few words."""
        if self.precision not in ("auto", "fp32", "bf16"):
            return ['precision has to be "auto", "fp32" or "bf16"']
        return []


@dataclass(frozen=True, kw_only=True)
class EdgeConnectSettings(RunSettings):
    """EdgeConnect's three stages. Weights as published unless a comment says otherwise."""

    width: Channels = 64
    blocks: Annotated[int, Within(0, 64)] = 8
    judge_width: Channels = 64  # of the discriminator
    fill: str = "white"  # the hole before the network sees it: "white" as published, or "smooth"
    judge_rate: Annotated[float, Within(0, 100)] = 0.1  # discriminator's rate by the generator's
    adversarial: Weight = 0.1  # 1.0 for the edge stage in the paper
    matching: Weight = 0.0  # feature matching; 10 for the edge stage
    reconstruction: Weight = 1.0  # L1 by the hole's share
    squares: Weight = 0.0  # L2 by the hole's share; not in the paper
    decibels: Weight = 0.0  # negative PSNR in the hole; not in the paper
    style: Weight = 0.0  # 250 with VGG's features; ours are the discriminator's
    content: Weight = 0.0  # 0.1, likewise
    edges: Weight = 0.0  # cross entropy of the drawn edges; not in the paper
    scratches: Share = 0.2  # share of masks that are thin scratches and dust
    least_hole: Annotated[float, Within(0.001, 0.95)] = 0.05
    most_hole: Annotated[float, Within(0.001, 0.95)] = 0.45
    smallest_scale: Annotated[float, Within(0.01, 1)] = 0.35  # of the photos, before the crop

    def faults(self) -> list[str]:
        faults = super().faults()
        if self.size % 4:
            faults.append("size has to be a multiple of 4")
        if self.fill not in ("white", "smooth"):
            faults.append('fill has to be "white" or "smooth"')
        if self.least_hole > self.most_hole:
            faults.append("least_hole has to be most_hole at most")
        return faults


@dataclass(frozen=True, kw_only=True)
class MattingSettings(RunSettings):
    """Deep Image Matting. `layout`: "skips", of the networks in docs/networks.md."""

    size: Annotated[int, Within(32, 4096)] = 256
    width: Channels = 64
    prefill: bool = False  # give the network smooth colours of both sides and a first alpha
    alpha: Weight = 1.0
    composition: Weight = 0.0  # 1.0 in the paper's overall loss, optional in the public code
    squares: Weight = 0.0  # of alpha's errors; not in the paper
    gradients: Weight = 0.0  # likewise
    hair: Share = 0.3  # shares of the foregrounds that are procedural; the rest are cut-outs
    lace: Share = 0.1
    smoke: Share = 0.1
    balance: bool = False  # soft cut-outs are shown as often as hard ones, however few they are
    least_band: Band = 2  # pixels that the trimap takes from either side
    most_band: Band = 25

    def faults(self) -> list[str]:
        faults = super().faults()
        if self.hair + self.lace + self.smoke > 1:
            faults.append("hair, lace and smoke have to make 1 together at most")
        if self.least_band > self.most_band:
            faults.append("least_band has to be most_band at most")
        return faults


def bounds_of(kind: type[RunSettings]) -> dict[str, Within]:
    """The bounds of each number of a kind of settings, by name."""
    hints = get_type_hints(kind, include_extras=True)
    extras = {name: get_args(hint)[1:] for name, hint in hints.items()}
    return {name: e[0] for name, e in extras.items() if e and isinstance(e[0], Within)}


def read_settings(path: Path, kind: type[Settings]) -> Settings:
    """The settings in a TOML file. Raises `SettingsError`."""
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SettingsError(f"{path}: there is no such file.") from None
    except (OSError, ValueError) as error:  # ValueError: not text, not TOML, or endless digits
        raise SettingsError(f"{path}: can't be read as TOML ({error}).") from None
    return make_settings(values, kind, str(path))


def make_settings(values: dict[str, Any], kind: type[Settings], source: str) -> Settings:
    """The settings of `kind` from plain values; `source` is named in errors."""
    hints = get_type_hints(kind)
    foreign = sorted(values.keys() - hints.keys())
    if foreign:
        raise SettingsError(
            f"{source}: {', '.join(foreign)}: unknown. Known are {', '.join(sorted(hints))}."
        )
    bounds = bounds_of(kind)
    known = {key: _as(hints[key], value, key, source) for key, value in values.items()}
    for key, value in known.items():
        if key in bounds and not bounds[key].holds(value):
            least, most = bounds[key]
            raise SettingsError(
                f"{source}: {key} = {_short(values[key])}: "
                f"has to lie between {least:,} and {most:,}."
            )
    settings = kind(**known)
    faults = settings.faults()
    if faults:
        raise SettingsError(f"{source}: {'; '.join(faults)}.")
    return settings


def _as(kind: Any, value: Any, key: str, source: str) -> Any:
    if kind == tuple[float, float] and isinstance(value, list | tuple) and len(value) == 2:
        return tuple(_as(float, number, key, source) for number in value)
    if kind is float and type(value) is int:
        return float(value) if abs(value) < 10**300 else value  # out of any bounds as it is
    if isinstance(kind, type) and type(value) is kind:
        return value
    name = getattr(kind, "__name__", str(kind))
    raise SettingsError(f"{source}: {key} = {_short(value)}: has to be of the kind {name}.")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:36]} ..."
