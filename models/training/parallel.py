"""Several devices as one: each sees its own samples, all take the same step.

Started by torchrun, which tells each process its rank in the environment; alone without it.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn


class DeviceError(Exception):
    """A device that is not there, or can't train, was asked for. The text says which."""


@dataclass(frozen=True)
class Group:
    """This process among its peers: its rank, how many there are, and its device."""

    device: torch.device
    rank: int = 0
    size: int = 1

    def average_gradients(self, weights: Sequence[Tensor]) -> None:
        """Replace each gradient by its mean over all devices, in one exchange.

        Done by hand since a step of adversarial training goes through two networks in turn, which
        wrappers around a single forward pass don't expect.
        """
        if self.size == 1 or not weights:
            return
        grads = [weight.grad for weight in weights if weight.grad is not None]
        flat = torch.cat([grad.flatten() for grad in grads])
        dist.all_reduce(flat)
        flat /= self.size
        for grad, mean in zip(grads, flat.split([g.numel() for g in grads]), strict=True):
            grad.copy_(mean.view_as(grad))

    def any(self, said: bool) -> bool:
        """Whether any process says so."""
        if self.size == 1:
            return said
        flag = torch.tensor([float(said)], device=self.device)
        dist.all_reduce(flag, dist.ReduceOp.MAX)
        return bool(flag.item())

    def leave(self) -> None:
        """End the exchange with the others, when all of them are done: none goes while the first
        still measures and saves."""
        if self.size > 1:
            dist.barrier()
            dist.destroy_process_group()

    def same_start(self, networks: dict[str, nn.Module]) -> None:
        """Give every device the first one's weights."""
        if self.size > 1:
            for network in networks.values():
                for tensor in network.state_dict().values():
                    dist.broadcast(tensor, 0)


def join_group(device: str | None = None) -> Group:
    """The group torchrun started, or this process alone; on its GPU where there is one."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    rank = int(os.environ.get("RANK", "0"))
    local = int(os.environ.get("LOCAL_RANK", "0"))
    name = device or ("cuda" if torch.cuda.is_available() else "cpu")
    if name == "cuda":
        name = f"cuda:{local}"
    try:
        place = torch.device(name)
        weight = torch.ones(1, device=place, requires_grad=True)
        weight.square().backward()
        float(weight.grad)  # type: ignore[arg-type]  # "meta" can do all but this
    except (RuntimeError, AssertionError, ImportError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise DeviceError(f"--device {name}: can't be used here ({reason}).") from None
    if place.type == "cuda":
        torch.cuda.set_device(place)
    if size > 1:
        dist.init_process_group("nccl" if place.type == "cuda" else "gloo")
    return Group(place, rank, size)
