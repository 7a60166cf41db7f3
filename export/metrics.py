"""How good weights say that they are: a checkpoint's metadata, made fit for a manifest.

Trusts: nothing in the metadata. A manifest is JSON, which has no word for NaN and infinity.
"""

import json
import math
from typing import Any, Final

from models.checkpoints import Checkpoint, CheckpointError

_NAMED: Final = 4
_ADVICE: Final = (
    "Write the weights again with retouchd-train weights, and give --metric NAME=NUMBER for what "
    "was measured, or leave it out."
)


def metrics_of(checkpoint: Checkpoint) -> dict[str, float] | None:
    """Finite numbers by name, as the checkpoint's file tells them; None where it tells none.

    Raises `CheckpointError` where it tells something else.
    """
    text = checkpoint.about.get("metrics")
    if text is None:
        return None
    try:
        told = json.loads(text)
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, dict):
        raise CheckpointError(
            f"{checkpoint.path}: the metrics in its metadata are no JSON object of numbers by "
            f"name. {_ADVICE}"
        )
    bad = [f"{name}: {value}" for name, value in told.items() if not _is_finite(value)]
    if bad:
        more = f" and {len(bad) - _NAMED} more" if len(bad) > _NAMED else ""
        raise CheckpointError(
            f"{checkpoint.path}: the metrics in its metadata hold what is no finite number "
            f"({', '.join(bad[:_NAMED])}{more}). {_ADVICE}"
        )
    return {name: float(value) for name, value in told.items()}


def _is_finite(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number that no float can hold
        return False
