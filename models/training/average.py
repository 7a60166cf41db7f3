"""A moving average of weights, which wanders less than the weights themselves."""

import copy

import torch
from torch import Tensor, nn


class MovingAverage:
    """Networks whose weights are the exponential mean of those of the networks in training.

    Early on the mean is short, (1 + n) / (10 + n) after n steps, so that it does not drag the
    random start along. Buffers (a batch norm's statistics) are copied. A decay of 0 keeps none.
    """

    def __init__(self, networks: dict[str, nn.Module], decay: float) -> None:
        self.decay = decay
        self.sources = networks if decay else {}
        self.networks = {name: copy.deepcopy(n).eval() for name, n in self.sources.items()}
        for network in self.networks.values():
            network.requires_grad_(False)

    @torch.no_grad()
    def update(self, steps: int) -> None:
        """Move towards the networks as they are after `steps` steps."""
        decay = min(self.decay, (1 + steps) / (10 + steps))
        for name, mean in self.networks.items():
            source = self.sources[name]
            pairs = list(zip(mean.parameters(), source.parameters(), strict=True))
            torch._foreach_lerp_([m for m, _ in pairs], [s for _, s in pairs], 1 - decay)
            for kept, buffer in zip(mean.buffers(), source.buffers(), strict=True):
                kept.copy_(buffer)

    def restart(self) -> None:
        """Begin again from the networks as they are."""
        for name, mean in self.networks.items():
            mean.load_state_dict(self.sources[name].state_dict())

    def state(self) -> dict[str, dict[str, Tensor]]:
        """What a checkpoint keeps."""
        return {name: mean.state_dict() for name, mean in self.networks.items()}

    def load(self, state: dict[str, dict[str, Tensor]]) -> None:
        """Take up what `state` kept."""
        for name, mean in self.networks.items():
            mean.load_state_dict(state[name])
