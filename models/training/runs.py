"""Settings and pictures in, a run ready to go out; a finished run in, weights to export out."""

import dataclasses
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from models.checkpoints import EDGE_WEIGHTS_FILE, INPAINT_WEIGHTS_FILE, MATTING_WEIGHTS_FILE
from models.edgeconnect import EdgeGenerator
from models.training.composites import extended_colours
from models.training.crops import InpaintSamples
from models.training.edgeconnect import EDGE, INPAINT, EdgeTraining, InpaintTraining
from models.training.loop import Run, Training
from models.training.matting import MATTING, MattingTraining
from models.training.pack import Split, read_cutouts, read_photos
from models.training.parallel import Group
from models.training.settings import EdgeConnectSettings, MattingSettings, RunSettings
from models.training.trimapped import MattingSamples

# Apart from the training's seed, so that no validation sample repeats a training one.
VALIDATION_SEED = 1_000_003

FILES = {
    EDGE: EDGE_WEIGHTS_FILE,
    INPAINT: INPAINT_WEIGHTS_FILE,
    MATTING: MATTING_WEIGHTS_FILE,
}


class RunError(Exception):
    """A run can't be set up, or holds no weights. The text says why and what to do."""


def edgeconnect_run(
    stage: str,
    settings: EdgeConnectSettings,
    data: Path,
    folder: Path,
    group: Group,
    *,
    masks: Sequence[np.ndarray] = (),
    starts: Mapping[str, Path | None] | None = None,
) -> Run:
    """A run of EdgeConnect's `stage` ("edge", "inpaint", "joint") in `folder`, made or resumed.

    `starts` names the runs whose networks a stage begins with, by network; the joint stage needs
    both. Raises `RunError`, `PackError`.
    """
    torch.manual_seed(settings.seed)
    training: Training
    if stage == "edge":
        training = EdgeTraining(settings)
    elif stage == "inpaint":
        training = InpaintTraining(settings)
    else:
        training = InpaintTraining(settings, EdgeGenerator(settings.width, settings.blocks))
    for name, start in (starts or {}).items():
        if start and name in training.networks:
            _begin_with(training.networks[name], name, start, settings.fill)
    common = _shared(settings, InpaintSamples)
    samples = InpaintSamples(
        _pixels(read_photos(data, "train"), data), seed=settings.seed, masks=masks, **common
    )
    validation = InpaintSamples(
        _pixels(read_photos(data, "validation"), data), seed=VALIDATION_SEED, masks=masks, **common
    )
    _settle(folder, stage, settings)
    return Run(training, samples, validation, settings, folder, group)


def matting_run(
    settings: MattingSettings,
    data: Path,
    folder: Path,
    group: Group,
    *,
    backgrounds: Path | None = None,
    start: Path | None = None,
) -> Run:
    """A run of Deep Image Matting in `folder`, made or resumed. Raises `RunError`, `PackError`.

    It begins with the network of the run `start`, if one is given.

    Foregrounds and backgrounds come from the same split; backgrounds from the folder of that name,
    or else from the photos of `data`.
    """
    torch.manual_seed(settings.seed)
    common = _shared(settings, MattingSamples)
    splits: tuple[tuple[Split, int], ...]
    splits = (("train", settings.seed), ("validation", VALIDATION_SEED))
    sets = [
        MattingSamples(
            [extended_colours(cutout.pixels) for cutout in read_cutouts(data, split)],
            _pixels(read_photos(backgrounds or data, split), data),
            seed=seed,
            **common,
        )
        for split, seed in splits
    ]
    if not all(samples.cutouts for samples in sets):
        raise RunError(f"{data}: holds no cut-outs for one of the splits. Add some.")
    training = MattingTraining(settings)
    if start:
        _begin_with(training.network, MATTING, start, None)
    _settle(folder, MATTING, settings)
    return Run(training, sets[0], sets[1], settings, folder, group)


def save_weights(folder: Path, output: Path, **said: str) -> list[Path]:
    """Write a run's networks to `output` as float16 safetensors; gives the files.

    Averages where the run kept them; no discriminators. `said` goes into the files' metadata and
    from there into artifacts: `licence`, `note`, `metrics` (JSON, numbers by name). Raises
    `RunError`.
    """
    from safetensors.torch import save_file

    about = _about(folder)
    output.mkdir(parents=True, exist_ok=True)
    written = []
    for name, state in _networks_of(folder).items():
        if name not in FILES:
            continue
        half = {k: v.half().contiguous() if v.is_floating_point() else v for k, v in state.items()}
        metadata = {
            "network": name,
            "fill": str(about["settings"].get("fill", "")),
            "training": json.dumps(about, sort_keys=True),
            **said,
        }
        save_file(half, output / FILES[name], metadata=metadata)
        (output / FILES[name]).chmod(0o644)  # whatever the library that wrote it thinks of others
        written.append(output / FILES[name])
    return written


def _shared(settings: RunSettings, samples: type[Any]) -> dict[str, Any]:
    """The settings that `samples` has a field for; each set of samples has a seed of its own."""
    names = {field.name for field in dataclasses.fields(samples)} - {"seed"}
    return {k: v for k, v in dataclasses.asdict(settings).items() if k in names}


def _settle(folder: Path, stage: str, settings: RunSettings) -> None:
    """Make the run's folder, or check that it holds a run of the same kind."""
    folder.mkdir(parents=True, exist_ok=True)
    about = {"stage": stage, "settings": dataclasses.asdict(settings)}
    text = json.dumps(about, indent=2, sort_keys=True) + "\n"
    if (folder / "last.pt").exists():
        changed = _differences(_about(folder), json.loads(text))
        if changed:
            raise RunError(
                f"{folder}: holds a run with other settings ({', '.join(changed)}). "
                "Use its own, or another folder."
            )
    draft = folder / f".run.json.{os.getpid()}"
    draft.write_text(text, encoding="utf-8")
    draft.replace(folder / "run.json")


# What may change when a run is resumed: how it is told of and saved, not what it learns.
_FREE = ("loaders", "log_every", "measure_every", "measure_pictures", "save_every_s", "precision")


def _differences(there: dict[str, Any], now: dict[str, Any]) -> list[str]:
    if there["stage"] != now["stage"]:
        return ["stage"]
    old, new = there["settings"], now["settings"]
    keys = sorted((old.keys() | new.keys()) - set(_FREE))
    return [key for key in keys if old.get(key) != new.get(key)]


def _about(folder: Path) -> dict[str, Any]:
    try:
        about: dict[str, Any] = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise RunError(f"{folder}: is no run's folder. Name the one given to --run.") from None
    return about


def _networks_of(folder: Path) -> dict[str, dict[str, Tensor]]:
    path = folder / "last.pt"
    if not path.exists():
        raise RunError(f"{folder}: holds no checkpoint yet. Train first.")
    state = torch.load(path, map_location="cpu", weights_only=True)
    return {**state["networks"], **state["averages"]}


def _begin_with(network: nn.Module, name: str, folder: Path, fill: str | None) -> None:
    states = _networks_of(folder)
    if fill != _about(folder)["settings"].get("fill"):
        raise RunError(
            f"{folder}: its {name} network was trained with another fill than {fill!r}. "
            "Use the same fill in all stages."
        )
    if name not in states:
        raise RunError(f"{folder}: trained no network named {name}. Name the run of that stage.")
    try:
        network.load_state_dict(states[name])
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise RunError(
            f"{folder}: its {name} network has other sizes ({reason}). "
            "Use the same width, blocks and fill in all stages."
        ) from None


def _pixels(photos: Sequence[Any], data: Path) -> list[np.ndarray]:
    if not photos:
        raise RunError(f"{data}: holds no photos for one of the splits. Add some.")
    return [photo.pixels for photo in photos]
