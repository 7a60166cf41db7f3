"""What a training run is told, from one TOML file.

Promises: every key is known and of its type, or a `SettingsError` that names it. The file that a
run was started with lies in its folder, so that a resumed run can't become another one unseen.
"""

import dataclasses
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

Settings = TypeVar("Settings", bound="RunSettings")


class SettingsError(Exception):
    """The settings can't be used. The text names the file, the key and what to do."""


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """What every run has. Sizes in pixels; a step is one batch on every device."""

    seed: int = 1
    steps: int = 20_000
    batch: int = 8  # pictures a step on each device
    size: int = 256  # side of the square crops
    learning_rate: float = 1e-4
    warmup_steps: int = 100  # the rate rises from 0 over these ...
    final_rate: float = 1.0  # ... and falls along a cosine to this share of itself
    betas: tuple[float, float] = (0.9, 0.999)  # Adam's
    average: float = 0.0  # decay of the weights' moving average; 0 keeps none
    clip: float = 0.0  # largest norm of a network's gradient; 0 clips none
    precision: str = "auto"  # "fp32", "bf16", or bf16 where the device is quick at it
    compile: bool = False  # a minute or two at the start, then half as fast again on a CPU
    loaders: int = -1  # processes that make samples; -1: the cores less one, 0 on a CPU
    log_every: int = 50  # steps
    measure_every: int = 1000  # steps between measurements on the validation split
    measure_pictures: int = 32
    save_every_s: float = 120.0

    def faults(self) -> list[str]:
        """What can't be, each in a few words."""
        counts = ("steps", "batch", "log_every", "measure_every", "measure_pictures")
        faults = [f"{name} has to be at least 1" for name in counts if getattr(self, name) < 1]
        if self.precision not in ("auto", "fp32", "bf16"):
            faults.append('precision has to be "auto", "fp32" or "bf16"')
        if not all(beta < 1 for beta in self.betas):
            faults.append("betas have to be below 1")
        return faults


@dataclass(frozen=True, kw_only=True)
class EdgeConnectSettings(RunSettings):
    """EdgeConnect's three stages. Weights as published unless a comment says otherwise."""

    width: int = 64
    blocks: int = 8
    judge_width: int = 64  # of the discriminator
    fill: str = "white"  # the hole before the network sees it: "white" as published, or "smooth"
    judge_rate: float = 0.1  # discriminator's learning rate, as a share of the generator's
    adversarial: float = 0.1  # 1.0 for the edge stage in the paper
    matching: float = 0.0  # feature matching; 10 for the edge stage
    reconstruction: float = 1.0  # L1 by the hole's share
    squares: float = 0.0  # L2 by the hole's share; not in the paper
    decibels: float = 0.0  # negative PSNR in the hole; not in the paper
    style: float = 0.0  # 250 with VGG's features; ours are the discriminator's
    content: float = 0.0  # 0.1, likewise
    edges: float = 0.0  # cross entropy of the drawn edges; not in the paper
    scratches: float = 0.2  # share of masks that are thin scratches and dust
    least_hole: float = 0.05
    most_hole: float = 0.45
    smallest_scale: float = 0.35  # of the photos, before they are cropped

    def faults(self) -> list[str]:
        faults = super().faults()
        if self.size < 16 or self.size % 4:
            faults.append("size has to be a multiple of 4 and at least 16")
        if min(self.width, self.judge_width) < 1:
            faults.append("width and judge_width have to be at least 1")
        if self.fill not in ("white", "smooth"):
            faults.append('fill has to be "white" or "smooth"')
        if not 0 < self.least_hole <= self.most_hole <= 0.95:
            faults.append("least_hole and most_hole have to rise, between 0 and 0.95")
        if not (0 < self.smallest_scale <= 1 and self.scratches <= 1):
            faults.append("smallest_scale and scratches have to lie between 0 and 1")
        return faults


@dataclass(frozen=True, kw_only=True)
class MattingSettings(RunSettings):
    """Deep Image Matting. `layout`: "skips", of the networks in docs/networks.md."""

    width: int = 64
    prefill: bool = False  # give the network smooth colours of both sides and a first alpha
    alpha: float = 1.0
    composition: float = 0.0  # 1.0 in the paper's overall loss, optional in the public code
    squares: float = 0.0  # of alpha's errors; not in the paper
    gradients: float = 0.0  # likewise
    hair: float = 0.3  # shares of the foregrounds that are procedural; the rest are cut-outs
    lace: float = 0.1
    smoke: float = 0.1
    least_band: int = 2  # pixels that the trimap takes from either side
    most_band: int = 25

    def faults(self) -> list[str]:
        faults = super().faults()
        if self.size < 32:
            faults.append("size has to be at least 32")
        if self.width < 1:
            faults.append("width has to be at least 1")
        if self.hair + self.lace + self.smoke > 1:
            faults.append("hair, lace and smoke have to make 1 together at most")
        if self.least_band > self.most_band:
            faults.append("least_band has to be most_band at most")
        return faults


def read_settings(path: Path, kind: type[Settings]) -> Settings:
    """The settings in a TOML file. Raises `SettingsError`."""
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SettingsError(f"{path}: there is no such file.") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
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
    settings = kind(**{key: _as(hints[key], value, key, source) for key, value in values.items()})
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if field.name != "loaders" and isinstance(value, int | float) and value < 0:
            raise SettingsError(f"{source}: {field.name}: {value} is below 0.")
    faults = settings.faults()
    if faults:
        raise SettingsError(f"{source}: {'; '.join(faults)}.")
    return settings


def _as(kind: Any, value: Any, key: str, source: str) -> Any:
    if kind == tuple[float, float] and isinstance(value, list | tuple) and len(value) == 2:
        return (float(value[0]), float(value[1]))
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(kind, type) and type(value) is kind:
        return value
    name = getattr(kind, "__name__", str(kind))
    raise SettingsError(f"{source}: {key} = {value!r}: has to be of the kind {name}.")
