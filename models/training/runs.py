"""Settings and pictures in, a run ready to go out; a finished run in, weights to export out."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from models.checkpoints import EDGE_WEIGHTS_FILE, INPAINT_WEIGHTS_FILE, MATTING_WEIGHTS_FILE
from models.edgeconnect import EdgeGenerator
from models.training.composites import extended_colours
from models.training.crops import InpaintSamples
from models.training.drafts import write_whole
from models.training.edgeconnect import EDGE, INPAINT, EdgeTraining, InpaintTraining
from models.training.fingerprints import fingerprint
from models.training.folders import read_masks
from models.training.loop import Run, Training
from models.training.matting import MATTING, MattingTraining
from models.training.pack import Split, read_cutouts, read_photos
from models.training.parallel import Group
from models.training.run_folder import RunError, has_checkpoint, networks_of, read_about, settle
from models.training.settings import EdgeConnectSettings, MattingSettings, RunSettings
from models.training.trimapped import MattingSamples

# Apart from the training's seed, so that no validation sample repeats a training one.
VALIDATION_SEED = 1_000_003

FILES = {
    EDGE: EDGE_WEIGHTS_FILE,
    INPAINT: INPAINT_WEIGHTS_FILE,
    MATTING: MATTING_WEIGHTS_FILE,
}


def edgeconnect_run(
    stage: str,
    settings: EdgeConnectSettings,
    data: Path,
    folder: Path,
    group: Group,
    *,
    masks: Path | None = None,
    starts: Mapping[str, Path | None] | None = None,
) -> Run:
    """A run of EdgeConnect's `stage` ("edge", "inpaint", "joint") in `folder`, made or resumed.

    `starts` names the runs whose networks a stage begins with, by network; the joint stage needs
    both. A run that is resumed needs none. `masks` is a folder. Raises `RunError`, `PackError`.
    """
    starts = {} if has_checkpoint(folder) else starts or {}
    torch.manual_seed(settings.seed)
    training: Training
    if stage == "edge":
        training = EdgeTraining(settings)
    elif stage == "inpaint":
        training = InpaintTraining(settings)
    else:
        training = InpaintTraining(settings, EdgeGenerator(settings.width, settings.blocks))
    for name, start in starts.items():
        if start and name in training.networks:
            _begin_with(training.networks[name], name, start, settings.fill)
    common = _shared(settings, InpaintSamples)
    holes = read_masks(masks) if masks else []
    sets = [
        InpaintSamples(_photos(data, split), seed=seed, masks=holes, **common)
        for split, seed in _splits(settings)
    ]
    told = _settle(folder, stage, settings, group, {"data": data, "masks": masks})
    loaded = [f"{_counts('photos', [samples.photos for samples in sets])}.", *told]
    return Run(training, sets[0], sets[1], settings, folder, group, loaded=loaded)


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

    It begins with the network of the run `start`, if one is given and it is not resumed.

    Foregrounds and backgrounds come from the same split; backgrounds from the folder of that name,
    or else from the photos of `data`.
    """
    torch.manual_seed(settings.seed)
    common = _shared(settings, MattingSamples)
    sets = [
        MattingSamples(
            _cutouts(data, split, settings.balance),
            _photos(backgrounds or data, split),
            seed=seed,
            **common,
        )
        for split, seed in _splits(settings)
    ]
    training = MattingTraining(settings)
    if start and not has_checkpoint(folder):
        _begin_with(training.network, MATTING, start, None)
    sources = {"data": data, "backgrounds": backgrounds}
    told = _settle(folder, MATTING, settings, group, sources)
    cutouts = _counts("cut-outs", [samples.cutouts for samples in sets])
    photos = _counts("photos", [samples.photos for samples in sets])
    loaded = [f"{cutouts}, over {photos}.", *told]
    return Run(training, sets[0], sets[1], settings, folder, group, loaded=loaded)


def save_weights(folder: Path, output: Path, **said: str) -> list[Path]:
    """Write a run's networks to `output` as float16 safetensors; gives the files.

    Averages where the run kept them; no discriminators. `said` goes into the files' metadata and
    from there into artifacts: `licence`, `note`, `metrics` (JSON, numbers by name). Each file is
    whole or not there. Raises `RunError`, and OSError with the name of the file.
    """
    from safetensors.torch import save

    about = read_about(folder)
    networks = networks_of(folder)
    try:
        output.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise RunError(f"{output}: is a file. --output has to name a folder.") from None
    written = []
    for name in FILES.keys() & networks.keys():
        metadata = {
            "network": name,
            "fill": str(about["settings"].get("fill", "")),
            "training": json.dumps(about, sort_keys=True),
            **said,
        }
        content = save(_half(networks[name]), metadata)
        _write(output / FILES[name], content)
        written.append(output / FILES[name])
    return sorted(written)


def _half(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {k: v.half().contiguous() if v.is_floating_point() else v for k, v in state.items()}


def _write(path: Path, content: bytes) -> None:
    write_whole(path, lambda out: out.write(content))


def _shared(settings: RunSettings, samples: type[Any]) -> dict[str, Any]:
    """The settings that `samples` has a field for; each set of samples has a seed of its own."""
    names = {field.name for field in dataclasses.fields(samples)} - {"seed"}
    return {k: v for k, v in dataclasses.asdict(settings).items() if k in names}


def _splits(settings: RunSettings) -> tuple[tuple[Split, int], ...]:
    """What is trained on and what is measured on, each with the seed of its samples."""
    return ("train", settings.seed), ("validation", VALIDATION_SEED)


def _settle(
    folder: Path, stage: str, settings: RunSettings, group: Group, sources: dict[str, Path | None]
) -> list[str]:
    """Write down, on the first device, what is trained and on what; gives what to tell of it."""
    if group.rank:
        return []
    data = {name: fingerprint(path) for name, path in sources.items() if path}
    changed = settle(folder, stage, dataclasses.asdict(settings), data)
    return [f"Other than before: {', '.join(changed)}."] if changed else []


def _begin_with(network: nn.Module, name: str, folder: Path, fill: str | None) -> None:
    states = networks_of(folder)
    if fill != read_about(folder)["settings"].get("fill"):
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


def _photos(data: Path, split: Split) -> list[np.ndarray]:
    photos = [photo.pixels for photo in read_photos(data, split)]
    return _some(photos, "photos", data, split)


def _cutouts(data: Path, split: Split, balance: bool) -> list[np.ndarray]:
    cutouts = read_cutouts(data, split)
    pictures = [extended_colours(cutout.pixels) for cutout in cutouts]
    if balance and split == "train":
        pictures = _balanced(pictures, [cutout.kind == "soft" for cutout in cutouts])
    return _some(pictures, "cut-outs", data, split)


def _balanced(pictures: list[np.ndarray], is_soft: list[bool]) -> list[np.ndarray]:
    """The rarer kind again and again: samples draw evenly from the list."""
    kinds = [
        [p for p, soft in zip(pictures, is_soft, strict=True) if soft == kind] for kind in (0, 1)
    ]
    if not all(kinds):
        return pictures
    most = max(map(len, kinds))
    return [picture for kind in kinds for picture in islice(cycle(kind), most)]


def _some(pictures: list[np.ndarray], kind: str, data: Path, split: Split) -> list[np.ndarray]:
    if not pictures:
        raise RunError(
            f"{data}: holds no {kind} for the split {split}. Subfolders train/, validation/ and "
            f"test/ settle which picture is whose; without them two usable {kind} are enough. Make "
            "a pack anew after adding some."
        )
    return pictures


def _counts(kind: str, sets: Sequence[Sequence[np.ndarray]]) -> str:
    # What is in a list twice is one picture.
    train, validation = (len(set(map(id, pictures))) for pictures in sets)
    return f"{train} {kind} to train on, {validation} to measure on"
