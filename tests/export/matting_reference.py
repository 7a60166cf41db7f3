"""Deep Image Matting's other published layouts, straight from a state_dict: an oracle apart.

Written from docs/networks.md with numpy and functional convolutions; shares no code with the
networks, the pipelines or the other oracle.
"""

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor

State = Mapping[str, Tensor]
Pixels = npt.NDArray[np.uint8]


def matte(
    network: Callable[[Tensor], Tensor], image: Pixels, trimap: Pixels, multiple: int = 1
) -> Pixels:
    """Image `[H,W,3]` RGB, trimap `[H,W]` of 0, 128, 255; extended to a multiple of a size."""
    height, width = trimap.shape
    rows, columns = -height % multiple, -width % multiple
    wide_image = np.pad(image, [(0, rows), (0, columns), (0, 0)], "edge")
    wide_trimap = np.pad(trimap, [(0, rows), (0, columns)], "edge")
    rgb = torch.from_numpy(np.moveaxis(wide_image, 2, 0).astype(np.float32))[None] / 255
    normal = torchvision.transforms.functional.normalize(
        rgb, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    )
    hint = torch.from_numpy((wide_trimap / 255).astype(np.float32))[None, None]
    with torch.inference_mode():
        alpha = network(torch.cat([normal, hint], dim=1))[0, 0, :height, :width].numpy()
    alpha = np.where(trimap == 255, 1, np.where(trimap == 0, 0, alpha))
    made: Pixels = (alpha.astype(np.float32) * np.float32(255)).astype(np.uint8)
    return made


def plain_vgg(state: State, x: Tensor, *, skips: bool) -> Tensor:
    """huochaitiantang's: no batch norm, additive skips, refined where the file has the layers."""

    def layer(y: Tensor, name: str) -> Tensor:
        weight = state[f"{name}.weight"]
        return F.conv2d(y, weight, state[f"{name}.bias"], padding=weight.shape[-1] // 2)

    y, pooled = x, []
    for names in ("1_1 1_2", "2_1 2_2", "3_1 3_2 3_3", "4_1 4_2 4_3", "5_1 5_2 5_3"):
        for name in names.split():
            y = layer(y, f"conv{name}").relu()
        before = y
        y, where = F.max_pool2d(y, 2, 2, return_indices=True)
        pooled.append((before, where))
    y = layer(layer(y, "conv6_1").relu(), "deconv6_1").relu()
    for number in (5, 4, 3, 2, 1):
        before, where = pooled.pop()
        y = F.max_unpool2d(y, where, [2, 2], [2, 2])
        y = layer(y + before if skips else y, f"deconv{number}_1").relu()
    raw = layer(y, "deconv1")
    if "refine_pred.weight" not in state:
        return raw.sigmoid()
    y = torch.cat([x[:, :3], raw.sigmoid()], dim=1)
    for name in ("refine_conv1", "refine_conv2", "refine_conv3"):
        y = layer(y, name).relu()
    return (raw + layer(y, "refine_pred")).sigmoid()


def normed_vgg(state: State, x: Tensor) -> Tensor:
    """foamliu's: batch norm everywhere, ReLU in the encoder alone."""

    def unit(y: Tensor, name: str, padding: int) -> Tensor:
        weight, bias = (state[f"{name}.cbr_unit.0.{what}"] for what in ("weight", "bias"))
        y = F.conv2d(y, weight, bias, padding=padding)
        mean, variance, weight, bias = (
            state[f"{name}.cbr_unit.1.{what}"]
            for what in ("running_mean", "running_var", "weight", "bias")
        )
        return F.batch_norm(y, mean, variance, weight, bias)

    pooled = []
    for number, count in enumerate((2, 2, 3, 3, 3), 1):
        for convolution in range(1, count + 1):
            x = unit(x, f"down{number}.conv{convolution}", 1).relu()
        size = list(x.shape[2:])
        x, where = F.max_pool2d(x, 2, 2, return_indices=True)
        pooled.append((where, size))
    for number in (5, 4, 3, 2, 1):
        where, size = pooled.pop()
        x = F.max_unpool2d(x, where, [2, 2], [2, 2], output_size=size)
        x = unit(x, f"up{number}.conv", 2)
    return x.sigmoid()
