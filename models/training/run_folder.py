"""What lies in a run's folder, read and checked in one place.

    run.json    "stage" and "settings"; where they are known "data" (a fingerprint of each source)
                and "changes" (what was told otherwise when the run was resumed, and at which step)
    last.pt     the newest checkpoint: networks, averages, optimizers, step

Both are replaced in one rename.
"""

import json
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models.training.drafts import write_whole

ABOUT = "run.json"
CHECKPOINT = "last.pt"

# What may change when a run is resumed because it is how the run is told of, saved and computed.
_FREE = {
    "compile", "loaders", "log_every", "measure_every", "measure_pictures", "precision",
    "save_every_s",
}  # fmt: skip
# What may change because later steps alone depend on it. It is written down.
_LATER = {"clip", "final_rate", "learning_rate", "steps"}


class RunError(Exception):
    """A run can't be set up, or holds no weights. The text says why and what to do."""


def has_checkpoint(folder: Path) -> bool:
    """Whether a run in this folder would be resumed."""
    return (folder / CHECKPOINT).exists()


def read_about(folder: Path) -> dict[str, Any]:
    """The run's stage and settings as they were written. Raises `RunError`."""
    path = folder / ABOUT
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if has_checkpoint(folder):
            raise RunError(
                f"{folder}: holds {CHECKPOINT} but no {ABOUT}, so what was trained is not known. "
                f"Put {ABOUT} back, or name another folder."
            ) from None
        raise RunError(f"{folder}: is no run's folder. Name the one given to --run.") from None
    except NotADirectoryError:
        raise RunError(f"{folder}: is no run's folder. Name the one given to --run.") from None
    except ValueError:  # neither text nor JSON
        about = None
    if not _is_of_a_run(about):
        raise RunError(
            f"{path}: does not tell of a training (its stage and settings). "
            "Put the right file back, or name another folder."
        )
    found: dict[str, Any] = about
    return found


def read_checkpoint(folder: Path) -> dict[str, Any]:
    """The newest checkpoint, on the CPU. Raises `RunError` where it is missing or damaged."""
    path = folder / CHECKPOINT
    try:
        with path.open("rb") as stream, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a TorchScript file: an error follows
            try:
                state = torch.load(stream, map_location="cpu", weights_only=True)
            except Exception as error:  # noqa: BLE001 - a torn file may fail in any way
                raise damaged(folder, type(error).__name__) from None
    except (FileNotFoundError, NotADirectoryError):
        raise RunError(f"{folder}: holds no checkpoint yet. Train first.") from None
    if not _is_checkpoint(state):
        raise damaged(folder, "other content")
    checkpoint: dict[str, Any] = state
    return checkpoint


def damaged(folder: Path, reason: str) -> RunError:
    """What is said of a checkpoint that can't be used."""
    return RunError(
        f"{folder / CHECKPOINT}: is no checkpoint of this run, or cut short ({reason}). "
        "Put a copy of it back, or delete it and train from the start."
    )


def networks_of(folder: Path) -> dict[str, dict[str, Tensor]]:
    """The weights to be used, by network: averages where the run kept them. Raises `RunError`."""
    state = read_checkpoint(folder)
    return {**state["networks"], **state["averages"]}


def settle(folder: Path, stage: str, settings: dict[str, Any], data: dict[str, str]) -> list[str]:
    """Write down what is trained in `folder`, and on what; gives what differs from before.

    Before the first checkpoint anything may differ. Raises `RunError` for another run's folder, and
    leaves it as it is.
    """
    folder.mkdir(parents=True, exist_ok=True)
    about: dict[str, Any] = json.loads(
        json.dumps({"stage": stage, "settings": settings, "data": data})
    )
    told: list[str] = []
    if has_checkpoint(folder):
        before = read_about(folder)
        _refuse_another(folder, before, about)
        told = _differences(before, about)
        changes = list(before.get("changes", []))
        if told:
            changes.append({"step": read_checkpoint(folder)["step"], "changed": told})
        if changes:
            about["changes"] = changes
    elif (folder / ABOUT).exists():
        read_about(folder)  # a file of somebody else's is not written over
    text = json.dumps(about, indent=2, sort_keys=True) + "\n"
    write_whole(folder / ABOUT, lambda stream: stream.write(text.encode()))
    return told


def _is_of_a_run(about: Any) -> bool:
    return (
        isinstance(about, dict)
        and isinstance(about.get("stage"), str)
        and isinstance(about.get("settings"), dict)
        and isinstance(about.get("data", {}), dict)
        and isinstance(about.get("changes", []), list)
    )


def _is_checkpoint(state: Any) -> bool:
    parts = ("networks", "averages", "optimizers")
    return (
        isinstance(state, dict)
        and isinstance(state.get("step"), int)
        and all(isinstance(state.get(part), dict) for part in parts)
        and all(isinstance(part, dict) for name in parts for part in state[name].values())
    )


def _refuse_another(folder: Path, before: dict[str, Any], now: dict[str, Any]) -> None:
    old, new = before["settings"], now["settings"]
    keys = sorted((old.keys() | new.keys()) - _FREE - _LATER)
    changed = [key for key in keys if old.get(key) != new.get(key)]
    if before["stage"] != now["stage"]:
        changed = ["stage"]
    if changed:
        raise RunError(
            f"{folder}: holds a run with other settings ({', '.join(changed)}). "
            "Use its own, or another folder."
        )


def _differences(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """What is told otherwise, each in a few words."""
    old, new = before["settings"], now["settings"]
    told = [
        f"{key} = {new.get(key)} (was {old.get(key)})"
        for key in sorted(_LATER)
        if old.get(key) != new.get(key)
    ]
    then, sources = before.get("data"), now["data"]
    if then is None:  # written before data had fingerprints
        return told
    names = sorted(then.keys() | sources.keys())
    return told + [f"other {name}" for name in names if then.get(name) != sources.get(name)]
