"""Checkpoint files in, networks out: the published layouts, and one clear error.

Trusts: nothing in the file. Only tensors and plain containers are unpickled (torch's
`weights_only`), so a file can't run code. Promises: a network in evaluation mode on the CPU in
float32 whose every tensor came from the file, finite and of the right shape, or a
`CheckpointError` whose sentence names the file, the keys and what to do.

Layouts: `{'iteration': int, 'generator': state}`, `{'discriminator': state}`, or the state alone;
keys with `module.` in front (trained on several GPUs) or without. Width and number of residual
blocks are read from the tensors. Matting networks come as `{'state_dict': state}` too, and as
pickles of whole objects, whose tensors alone are taken (`models.pickled_networks`). Files that end
in `.safetensors` are the project's own, as `retouchd-train weights` writes them; what tensors can't
say stands in their metadata.
"""

import hashlib
import io
import re
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.nn.functional import normalize

from models.edgeconnect import (
    CorrectingInpaintGenerator,
    Discriminator,
    EdgeGenerator,
    InpaintGenerator,
)
from models.matting import DeepImageMatting
from models.matting_corrected import CorrectingMatting
from models.matting_normed import NormedMatting
from models.matting_skips import SkipMatting
from models.pickled_networks import read_pickled_state
from models.pickles import PickleError

EDGE_GENERATOR_FILE = "EdgeModel_gen.pth"
INPAINT_GENERATOR_FILE = "InpaintingModel_gen.pth"
EDGE_DISCRIMINATOR_FILE = "EdgeModel_dis.pth"
INPAINT_DISCRIMINATOR_FILE = "InpaintingModel_dis.pth"

# The project's own, in the same order, and the matting network.
EDGE_WEIGHTS_FILE = "edgeconnect-edge.safetensors"
INPAINT_WEIGHTS_FILE = "edgeconnect-inpaint.safetensors"
MATTING_WEIGHTS_FILE = "matting.safetensors"

# What a training run saves itself in, beside its settings.
RUN_FILE = "last.pt"

# The weights that come with the project; the card beside each file says what they are.
STARTER_WEIGHTS = Path(__file__).parent / "weights"

Part = Literal["generator", "discriminator"]
Network = TypeVar("Network", bound=nn.Module)
MattingNetwork = DeepImageMatting | SkipMatting | NormedMatting | CorrectingMatting

# What a training run's own file holds, beside what doesn't matter here.
_RUN_KEYS = {"step", "networks", "averages"}

# An error names this many keys and counts the rest.
_KEYS_NAMED = 4


class CheckpointError(Exception):
    """A checkpoint can't be used. The text names the file, what is wrong and what to do."""


@dataclass(frozen=True)
class Checkpoint:
    """A file's tensors, by their published names, float32 on the CPU, and the file's sha256.

    `about` is what a safetensors file says of itself: `fill` of the hole ("white" or "smooth"),
    `licence`, and more.
    """

    path: Path
    sha256: str
    state: dict[str, Tensor]
    about: Mapping[str, str] = field(default_factory=dict)

    @property
    def fills_smoothly(self) -> bool:
        """Whether the network was trained on holes that were filled smoothly."""
        return self.about.get("fill") == "smooth"


def read_checkpoint(
    path: Path, part: Part = "generator", *, whole_objects: bool = False
) -> Checkpoint:
    """Read the tensors of one network from a file, without running anything the file brings.

    With `whole_objects` a file that pickles the network itself, or other objects beside its
    tensors, is read too: the tensors are taken, and the objects are not made.

    Raises `CheckpointError` where the file is missing or unreadable, is no checkpoint, wants to run
    code, holds another part, or has a tensor with NaN or infinite values.
    """
    data = _read_bytes(path)
    if path.suffix == ".safetensors":
        return _read_safetensors(path, data)
    loaded = _unpickle(path, data, whole_objects)
    if not isinstance(loaded, Mapping):
        raise CheckpointError(
            f"{path}: holds a {type(loaded).__name__}, not a dictionary of tensors. "
            "Save the network's state_dict() and use that file."
        )
    state = _find_state(path, loaded, part)
    named = {_published_name(key): value for key, value in state.items()}
    return Checkpoint(path, hashlib.sha256(data).hexdigest(), _tensors(path, named))


def run_advice(run: Path) -> str:
    """What to do with a training run's folder, of which an export can't make anything."""
    return (
        f"It holds a training run. Run first: retouchd-train weights --run {run} --output DIR, "
        "and name what that writes."
    )


def build_edge_generator(checkpoint: Checkpoint) -> EdgeGenerator:
    """The edge generator of a checkpoint, in evaluation mode. Raises `CheckpointError`."""
    what = "EdgeConnect edge generator"
    width = _width(checkpoint, "encoder.1.weight_orig", what)
    return _fill(EdgeGenerator(width, _blocks(checkpoint)), checkpoint, what)


def build_inpaint_generator(
    checkpoint: Checkpoint,
) -> InpaintGenerator | CorrectingInpaintGenerator:
    """The inpaint generator of a checkpoint, in evaluation mode. Raises `CheckpointError`.

    One that is shown the hole, as its first layer tells, corrects a smooth fill.
    """
    what = "EdgeConnect inpaint generator"
    width = _width(checkpoint, "encoder.1.weight", what)
    if checkpoint.state["encoder.1.weight"].shape[1] == 5:
        what = "EdgeConnect inpaint generator that corrects a smooth fill"
        return _fill(CorrectingInpaintGenerator(width, _blocks(checkpoint)), checkpoint, what)
    return _fill(InpaintGenerator(width, _blocks(checkpoint)), checkpoint, what)


def build_discriminator(checkpoint: Checkpoint) -> Discriminator:
    """The discriminator of a checkpoint, in evaluation mode. Raises `CheckpointError`."""
    what = "EdgeConnect discriminator"
    width = _width(checkpoint, "conv1.0.weight_orig", what)
    in_channels = checkpoint.state["conv1.0.weight_orig"].shape[1]
    return _fill(Discriminator(in_channels, width), checkpoint, what)


def build_matting(checkpoint: Checkpoint, *, skips: bool | None = None) -> MattingNetwork:
    """The matting network of a checkpoint, in evaluation mode. Raises `CheckpointError`.

    Which of the three published layouts it is follows from the keys. `skips` is for `SkipMatting`
    alone, whose tensors don't tell: True unless given, but False for a 1x1 `conv6_1`, of which all
    published files are older than the skips.
    """
    if "_feature_extractor.features.0.weight" in checkpoint.state:
        what = "Deep Image Matting network (VGG16 with batch norm)"
        width = _width(checkpoint, "_feature_extractor.features.0.weight", what)
        return _fill(DeepImageMatting(width), checkpoint, what)
    if "conv1_1.weight" in checkpoint.state:
        return _build_skip_matting(checkpoint, skips)
    if "down1.conv1.cbr_unit.0.weight" in checkpoint.state:
        what = "Deep Image Matting network (batch norm in the decoder)"
        width = _width(checkpoint, "down1.conv1.cbr_unit.0.weight", what)
        return _fill(NormedMatting(width=width), checkpoint, what)
    if "network.conv1_1.weight" in checkpoint.state:
        what = "Deep Image Matting network that corrects a first alpha"
        width = _width(checkpoint, "network.conv1_1.weight", what)
        return _fill(CorrectingMatting(width), checkpoint, what)
    raise CheckpointError(
        f"{checkpoint.path}: is no checkpoint of a Deep Image Matting network: it has none of "
        "_feature_extractor.features.0.weight (Shirhe-Lyh's layout), conv1_1.weight "
        "(huochaitiantang's) and down1.conv1.cbr_unit.0.weight (foamliu's). "
        f"Its keys begin with {_keys(sorted(checkpoint.state))}. "
        "Is it another network's file?"
    )


def _build_skip_matting(checkpoint: Checkpoint, skips: bool | None) -> SkipMatting:
    what = "Deep Image Matting network (VGG16 without batch norm)"
    width = _width(checkpoint, "conv1_1.weight", what)
    bottom = checkpoint.state.get("conv6_1.weight")
    kernel = 1 if bottom is not None and bottom.shape[2:] == (1, 1) else 3
    network = SkipMatting(
        width=width,
        skips=kernel == 3 if skips is None else skips,
        refine="refine_conv1.weight" in checkpoint.state,
        bottom_kernel=kernel,
    )
    return _fill(network, checkpoint, what)


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise CheckpointError(
            f"{path}: there is no such file. Correct the path, or fetch the checkpoint."
        ) from None
    except OSError as error:
        raise CheckpointError(f"{path}: can't be read ({error.strerror}).") from None


def _read_safetensors(path: Path, data: bytes) -> Checkpoint:
    try:
        with safe_open(path, framework="pt") as file:
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            about = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path}: is no whole safetensors file ({error}). Copy it again."
        ) from None
    return Checkpoint(path, hashlib.sha256(data).hexdigest(), _tensors(path, state), about)


def _unpickle(path: Path, data: bytes, whole_objects: bool) -> Any:
    try:
        with warnings.catch_warnings():
            # Said of every TorchScript file, before it is refused.
            warnings.filterwarnings("ignore", "'torch.load' received a zip file", UserWarning)
            return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # noqa: BLE001 - a hostile or torn file may fail in any way
        if "TorchScript" in str(error):
            raise CheckpointError(
                f"{path}: is a TorchScript file, as artifacts are, and no checkpoint. Name the "
                "checkpoint that it was made from."
            ) from None
        state = _harvest(path, data) if whole_objects else None
        if state is not None:
            return state
        if "Weights only load failed" in str(error) and "GLOBAL" in str(error):
            raise CheckpointError(
                f"{path}: holds more than tensors and was not opened, since its objects could run "
                "code. If it is a checkpoint of yours, save the network's state_dict() alone."
            ) from None
        raise CheckpointError(
            f"{path}: is not a checkpoint that torch can read ({type(error).__name__}). It may be "
            "cut short, or another kind of file: copy or download it again."
        ) from None


def _harvest(path: Path, data: bytes) -> Mapping[Any, Any] | None:
    """The tensors of a file that torch refused; None where it is no file of torch's."""
    try:
        return read_pickled_state(data)
    except PickleError as error:
        raise CheckpointError(
            f"{path}: can be read neither as plain tensors nor as a pickled network: {error}. "
            "If it is a checkpoint of yours, save the network's state_dict() alone."
        ) from None


def _find_state(path: Path, loaded: Mapping[Any, Any], part: Part) -> Mapping[Any, Any]:
    for key in (part, "state_dict"):
        found = loaded.get(key)
        if isinstance(found, Mapping):
            return found
    if loaded.keys() >= _RUN_KEYS:
        raise CheckpointError(f"{path}: is no network's checkpoint. {run_advice(path.parent)}")
    others = [key for key in ("generator", "discriminator") if key in loaded]
    if others:
        raise CheckpointError(
            f"{path}: holds a {others[0]}, where a {part} is needed. Use the {part}'s file."
        )
    return loaded


def _published_name(key: Any) -> str:
    return str(key).removeprefix("module.")


def _tensors(path: Path, state: Mapping[str, Any]) -> dict[str, Tensor]:
    """The state with every tensor checked, floating ones as float32."""
    if not state:
        raise CheckpointError(f"{path}: holds no tensors. Use the file that training saved.")
    foreign = [key for key, value in state.items() if not _is_plain_tensor(value)]
    if foreign:
        raise CheckpointError(
            f"{path}: {_keys(foreign)}: not plain tensors, as a state_dict() holds them. "
            "Save the network's state_dict() and use that file."
        )
    bad = [key for key, value in state.items() if not bool(torch.isfinite(value).all())]
    if bad:
        raise CheckpointError(
            f"{path}: {_keys(bad)}: NaN or infinite values. The training went wrong before "
            "this was saved, or the file is damaged: use an earlier checkpoint."
        )
    return {k: v.float() if v.is_floating_point() else v for k, v in state.items()}


def _is_plain_tensor(value: Any) -> bool:
    return (
        isinstance(value, Tensor)
        and value.layout == torch.strided
        and value.device.type == "cpu"
        and not (value.is_quantized or value.is_complex())
    )


def _width(checkpoint: Checkpoint, key: str, what: str) -> int:
    first = checkpoint.state.get(key)
    if first is None or first.dim() != 4 or first.shape[0] == 0:
        raise CheckpointError(
            f"{checkpoint.path}: is no checkpoint of the {what}: "
            f"{key} is missing or no convolution's weight. "
            f"Its keys begin with {_keys(sorted(checkpoint.state))}. "
            "Is it another network's file?"
        )
    return first.shape[0]


def _blocks(checkpoint: Checkpoint) -> int:
    numbers = (re.match(r"middle\.(\d{1,4})\.", key) for key in checkpoint.state)
    return max((int(number[1]) + 1 for number in numbers if number), default=0)


def _fill(network: Network, checkpoint: Checkpoint, what: str) -> Network:
    """Give the network all of the checkpoint's tensors; in evaluation mode."""
    state = _as_of_today(checkpoint.state)
    wanted = network.state_dict()
    # torch before 0.4.1 kept no count of a batch norm's batches; evaluation doesn't use it.
    missing = [k for k in wanted.keys() - state if not k.endswith(".num_batches_tracked")]
    foreign = sorted(state.keys() - wanted.keys())
    wrong = [k for k in wanted if k in state and state[k].shape != wanted[k].shape]
    faults = []
    if missing:
        faults.append(f"missing {_keys(sorted(missing))}")
    if foreign:
        faults.append(f"foreign {_keys(foreign)}")
    if wrong:
        shapes = (f"{k} {list(state[k].shape)} instead of {list(wanted[k].shape)}" for k in wrong)
        faults.append(f"wrong shapes: {_keys(shapes)}")
    if faults:
        raise CheckpointError(
            f"{checkpoint.path}: does not fit the {what}: {'; '.join(faults)}. "
            "Use the file of this network, as its training saved it."
        )
    network.load_state_dict({**wanted, **state})
    return network.eval()


def _as_of_today(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The state with the `weight_v` that torch 0.4 did not save, and without its `weight`.

    There `weight_v` was a by-product of each step, and the last normed weight a buffer. v follows
    from u as in a step of the power iteration, v = W^T u / |W^T u|. Not tried on a real file of
    that age.
    """
    state = dict(state)
    for key in [key for key in state if key.endswith(".weight_orig")]:
        layer = key.removesuffix("_orig")
        u = state.get(f"{layer}_u")
        if f"{layer}_v" in state or u is None:
            continue
        # torch norms a transposed convolution, which only the decoder has, by its second dimension.
        transposed = layer.startswith("decoder.")
        weight = state[key].transpose(0, 1) if transposed else state[key]
        if u.shape == weight.shape[:1]:
            state[f"{layer}_v"] = normalize(weight.flatten(1).t() @ u, dim=0)
            state.pop(layer, None)
    return state


def _keys(keys: Iterable[str]) -> str:
    """`a, b, c, d and 3 more`"""
    listed = list(keys)
    text = ", ".join(listed[:_KEYS_NAMED])
    more = len(listed) - _KEYS_NAMED
    return f"{text} and {more} more" if more > 0 else text
