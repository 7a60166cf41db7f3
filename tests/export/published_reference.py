"""The published networks' test mode, straight from a state_dict: an oracle that shares no code.

Written from docs/networks.md with numpy, scikit-image's Canny and functional convolutions.
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
import torchvision
from skimage.feature import canny
from torch import Tensor

State = Mapping[str, Tensor]
Pixels = npt.NDArray[np.uint8]


def inpaint(edge: State, paint: State, image: Pixels, mask: Pixels, stage: int) -> Pixels:
    """EdgeConnect on one picture: image `[H,W,3]` RGB, mask `[H,W]`, non-zero = hole.

    Gives `[H,W]` for stage 1, else `[H,W,3]`.
    """
    hole = (mask != 0).astype(np.float64)
    rgb = image.astype(np.float64)
    grey = (0.2125 * rgb[..., 0] + 0.7154 * rgb[..., 1] + 0.0721 * rgb[..., 2]) / 255
    edges = canny(grey, sigma=2, mask=(1 - hole).astype(bool)).astype(np.float64)

    seen = _planes(grey * (1 - hole) + hole, edges * (1 - hole), hole)
    drawn = _numpy(edge_generator(edge, seen)) if stage in (1, 3) else edges[..., None]
    if stage == 1:
        merged: Pixels = ((drawn[..., 0] * hole + edges * (1 - hole)) * 255).astype(np.uint8)
        return merged

    white = (rgb / 255) * (1 - hole)[..., None] + hole[..., None]
    filled = _numpy(inpaint_generator(paint, _planes(*np.moveaxis(white, 2, 0), drawn[..., 0])))
    made: Pixels = (filled * 255).astype(np.uint8)
    result: Pixels = np.where(hole[..., None] == 1, made, image)
    return result


def matte(state: State, image: Pixels, trimap: Pixels) -> Pixels:
    """Deep Image Matting on one picture: image `[H,W,3]` RGB, trimap `[H,W]` of 0, 128, 255."""
    rgb = _planes(*np.moveaxis(image.astype(np.float64), 2, 0)) / 255
    # float32 all along, as torchvision's transforms have it: a pooling may hang on the last bit.
    normal = torchvision.transforms.functional.normalize(
        rgb, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    )
    hint = _planes(trimap / 255)
    alpha = _numpy(matting(state, torch.cat([normal, hint], dim=1)))[..., 0]
    alpha = np.where(trimap == 255, 1.0, np.where(trimap == 0, 0.0, alpha))
    made: Pixels = (alpha.astype(np.float32) * np.float32(255)).astype(np.uint8)
    return made


def edge_generator(state: State, x: Tensor) -> Tensor:
    """EdgeConnect's first generator, by its keys."""
    return torch.sigmoid(_generator(state, x))


def inpaint_generator(state: State, x: Tensor) -> Tensor:
    """EdgeConnect's second generator, by its keys."""
    return (torch.tanh(_generator(state, x)) + 1) / 2


def matting(state: State, x: Tensor) -> Tensor:
    """Deep Image Matting on a VGG16 with batch norm, by its keys."""
    x = F.conv2d(x, *_conv(state, "_head_conv"), padding=2)
    indices, sizes = [], []
    for number in range(43):
        name = f"_feature_extractor.features.{number}"
        if number in (6, 13, 23, 33):
            sizes.append(x.shape[2:])
            x, where = F.max_pool2d(x, 2, 2, return_indices=True)
            indices.append(where)
        elif f"{name}.running_mean" in state:
            x = F.relu(_batch_norm(state, name, x))
        elif f"{name}.weight" in state:
            x = F.conv2d(x, *_conv(state, name), padding=1)
    for number in (0, 4, 8, 12, 16):
        if number:
            x = F.max_unpool2d(x, indices.pop(), [2, 2], [2, 2], output_size=list(sizes.pop()))
        x = F.conv2d(x, *_conv(state, f"_decode_layers.{number}"), padding=2)
        x = F.relu(_batch_norm(state, f"_decode_layers.{number + 1}", x))
    return torch.sigmoid(F.conv2d(x, *_conv(state, "_final_conv"), padding=2))


def _generator(state: State, x: Tensor) -> Tensor:
    x = _instance_norm(F.conv2d(_reflect(x, 3), *_conv(state, "encoder.1"))).relu()
    for layer in ("encoder.4", "encoder.7"):
        x = _instance_norm(F.conv2d(x, *_conv(state, layer), stride=2, padding=1)).relu()
    block = 0
    while any(key.startswith(f"middle.{block}.") for key in state):
        name = f"middle.{block}.conv_block"
        y = F.conv2d(_reflect(x, 2), *_conv(state, f"{name}.1"), dilation=2)
        y = _instance_norm(y).relu()
        x = x + _instance_norm(F.conv2d(_reflect(y, 1), *_conv(state, f"{name}.5")))
        block += 1
    for layer in ("decoder.0", "decoder.3"):
        weight, bias = _conv(state, layer, transposed=True)
        x = _instance_norm(F.conv_transpose2d(x, weight, bias, stride=2, padding=1)).relu()
    return F.conv2d(_reflect(x, 3), *_conv(state, "decoder.7"))


def _conv(state: State, layer: str, transposed: bool = False) -> tuple[Tensor, Tensor | None]:
    """Weight, with spectral norm where the file has it, and bias."""
    bias = state.get(f"{layer}.bias")
    if f"{layer}.weight" in state:
        return state[f"{layer}.weight"], bias
    weight = state[f"{layer}.weight_orig"]
    axes = (1, 0, 2, 3) if transposed else (0, 1, 2, 3)
    matrix = weight.permute(axes).reshape(weight.shape[axes[0]], -1)
    sigma = state[f"{layer}.weight_u"] @ (matrix @ state[f"{layer}.weight_v"])
    return weight / sigma, bias


def _reflect(x: Tensor, by: int) -> Tensor:
    return F.pad(x, [by] * 4, mode="reflect")


def _instance_norm(x: Tensor) -> Tensor:
    mean = x.mean(dim=(2, 3), keepdim=True)
    variance = ((x - mean) ** 2).mean(dim=(2, 3), keepdim=True)
    return (x - mean) / torch.sqrt(variance + 1e-5)


def _batch_norm(state: State, name: str, x: Tensor) -> Tensor:
    mean, variance, weight, bias = (
        state[f"{name}.{what}"] for what in ("running_mean", "running_var", "weight", "bias")
    )
    return F.batch_norm(x, mean, variance, weight, bias)


def _planes(*planes: npt.NDArray[np.float64]) -> Tensor:
    return torch.from_numpy(np.stack(planes).astype(np.float32))[None]


def _numpy(x: Tensor) -> npt.NDArray[np.float64]:
    return np.moveaxis(x[0].detach().numpy(), 0, 2)
