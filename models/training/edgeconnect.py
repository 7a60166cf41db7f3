"""EdgeConnect's three stages of training: edges, colours along true edges, both together.

Nazeri et al., arXiv 1901.00212, section 3. The weight of each loss stands in the settings; a weight
of 0 leaves the loss, and where it was the last of its kind the discriminator, out of the step.
"""

import torch
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from models.canny import luma
from models.edgeconnect import (
    CorrectingInpaintGenerator,
    Discriminator,
    EdgeGenerator,
    InpaintGenerator,
)
from models.prefill import SmoothFill
from models.training import losses
from models.training.loop import Batch, Update
from models.training.settings import EdgeConnectSettings

EDGE = "edge"
INPAINT = "inpaint"
JUDGE = "judge"


class Judge:
    """A discriminator's part in a step: its own lesson, and what it teaches a generator."""

    def __init__(self, in_channels: int, settings: EdgeConnectSettings) -> None:
        self.network = Discriminator(in_channels, settings.judge_width, sigmoid=False)
        rate = settings.learning_rate * settings.judge_rate
        self.optimizer = Adam(self.network.parameters(), rate, settings.betas)
        self.settings = settings

    @property
    def wanted(self) -> bool:
        """Whether any loss needs it."""
        s = self.settings
        return max(s.adversarial, s.matching, s.style, s.content) > 0

    def learn(self, made: Tensor, real: Tensor, update: Update) -> Tensor:
        """A step towards telling `made` from `real`; gives the loss."""
        with update.precision():
            real_score, _ = self.network(real)
            made_score, _ = self.network(made.detach())
            loss = (losses.judged(real_score, True) + losses.judged(made_score, False)) / 2
        update(loss, self.optimizer)
        return loss.detach()

    def teach(self, made: Tensor, real: Tensor) -> dict[str, Tensor]:
        """The weighted losses of a generator that made `made` where `real` was true."""
        s = self.settings
        score, made_seen = self.network(made)
        with torch.no_grad():
            _, real_seen = self.network(real)
        # The last layer is the score itself, no feature.
        made_seen, real_seen = made_seen[:-1], real_seen[:-1]
        parts = {
            "adversarial": (s.adversarial, lambda: losses.judged(score, True)),
            "matching": (s.matching, lambda: losses.feature_matching(made_seen, real_seen)),
            "style": (s.style, lambda: losses.style(made_seen, real_seen)),
            "content": (s.content, lambda: losses.feature_matching(made_seen, real_seen)),
        }
        return {name: weight * loss() for name, (weight, loss) in parts.items() if weight}


class EdgeTraining:
    """Stage 1: draw the edges that a hole hides."""

    averaged: tuple[str, ...] = (EDGE,)

    def __init__(self, settings: EdgeConnectSettings) -> None:
        self.settings = settings
        self.edge = EdgeGenerator(settings.width, settings.blocks)
        self.judge = Judge(2, settings)
        self.networks: dict[str, nn.Module] = {EDGE: self.edge, JUDGE: self.judge.network}
        self.optimizers: dict[str, Optimizer] = {
            EDGE: Adam(self.edge.parameters(), settings.learning_rate, settings.betas),
            JUDGE: self.judge.optimizer,
        }
        self.holes = Holes(settings.fill)

    def step(self, batch: Batch, update: Update) -> dict[str, Tensor]:
        seen = self.holes(batch)
        with update.precision():
            drawn = self.edge(seen.for_edges()).float()
        made, real = torch.cat([seen.grey, drawn], 1), torch.cat([seen.grey, seen.edges], 1)
        shown: dict[str, Tensor] = {}
        if self.judge.wanted:
            shown["judge"] = self.judge.learn(made, real, update)
        with update.precision():
            parts = self.judge.teach(made, real) if self.judge.wanted else {}
            if self.settings.edges:
                entropy = losses.true_edges(drawn, seen.edges, seen.hole)
                parts["edges"] = self.settings.edges * entropy
        update(torch.stack(list(parts.values())).sum(), self.optimizers[EDGE])
        return shown | {name: part.detach() for name, part in parts.items()}

    def measure(self, networks: dict[str, nn.Module], batch: Batch) -> dict[str, Tensor]:
        """Precision and recall of the drawn edges in the hole, at a likelihood of one half."""
        seen = self.holes(batch)
        drawn = (networks[EDGE](seen.for_edges()) > 0.5).float() * seen.hole
        hits = (drawn * seen.edges).sum()
        return {
            "precision": hits / drawn.sum().clamp(min=1),
            "recall": hits / (seen.edges * seen.hole).sum().clamp(min=1),
            "entropy": losses.true_edges(
                networks[EDGE](seen.for_edges()).float(), seen.edges, seen.hole
            ),
        }

    def pictures(self, networks: dict[str, nn.Module], batch: Batch) -> Tensor:
        seen = self.holes(batch)
        drawn = networks[EDGE](seen.for_edges()).float()
        merged = drawn * seen.hole + seen.edges * (1 - seen.hole)
        columns = [seen.image, seen.edges.expand(-1, 3, -1, -1), merged.expand(-1, 3, -1, -1)]
        return torch.cat(columns, 3)


class InpaintTraining:
    """Stage 2: colours along the true edges; or stage 3, along those that `edge` draws.

    In stage 3 both generators learn from the colours, and the edge generator from its own cross
    entropy besides, if the settings weigh it. The inpaint generator sees the edge generator's
    output for the whole picture, as the exported pipeline gives it.
    """

    def __init__(self, settings: EdgeConnectSettings, edge: EdgeGenerator | None = None) -> None:
        self.settings = settings
        self.edge = edge
        kind = CorrectingInpaintGenerator if settings.fill == "smooth" else InpaintGenerator
        self.inpaint: nn.Module = kind(settings.width, settings.blocks)
        if settings.fill == "smooth":
            # Begin with the fill itself: the first correction is none.
            nn.init.zeros_(self.inpaint.get_parameter("decoder.7.weight"))
            nn.init.zeros_(self.inpaint.get_parameter("decoder.7.bias"))
        self.judge = Judge(3, settings)
        self.networks: dict[str, nn.Module] = {
            INPAINT: self.inpaint,
            JUDGE: self.judge.network,
        }
        learning = list(self.inpaint.parameters())
        if edge is not None:
            self.networks[EDGE] = edge
            learning += list(edge.parameters())
        self.averaged: tuple[str, ...] = (INPAINT,) if edge is None else (INPAINT, EDGE)
        self.optimizers: dict[str, Optimizer] = {
            INPAINT: Adam(learning, settings.learning_rate, settings.betas),
            JUDGE: self.judge.optimizer,
        }
        self.holes = Holes(settings.fill)

    def step(self, batch: Batch, update: Update) -> dict[str, Tensor]:
        seen = self.holes(batch)
        with update.precision():
            edges = seen.edges if self.edge is None else self.edge(seen.for_edges()).float()
            made = self.inpaint(seen.for_colours(edges)).float()
        whole = made * seen.hole + seen.image * (1 - seen.hole)
        shown: dict[str, Tensor] = {}
        if self.judge.wanted:
            shown["judge"] = self.judge.learn(whole, seen.image, update)
        s = self.settings
        parts = {"reconstruction": s.reconstruction * losses.in_hole(made, seen.image, seen.hole)}
        if s.squares:
            squares = losses.squares_in_hole(made, seen.image, seen.hole)
            parts["squares"] = s.squares * squares
        if s.decibels:
            decibels = losses.decibels_in_hole(made, seen.image, seen.hole)
            parts["decibels"] = s.decibels * decibels
        with update.precision():
            if self.judge.wanted:
                parts |= self.judge.teach(whole, seen.image)
            if self.edge is not None and s.edges:
                parts["edges"] = s.edges * losses.true_edges(edges, seen.edges, seen.hole)
        update(torch.stack(list(parts.values())).sum(), self.optimizers[INPAINT])
        return shown | {name: part.detach() for name, part in parts.items()}

    def measure(self, networks: dict[str, nn.Module], batch: Batch) -> dict[str, Tensor]:
        """PSNR inside the hole, dB, mean over the pictures; that of the fill beside it."""
        seen = self.holes(batch)
        made = networks[INPAINT](seen.for_colours(self._edges(networks, seen))).float()
        return {
            "psnr": _psnr(made.clamp(0, 1), seen).mean(),
            "psnr_fill": _psnr(seen.filled, seen).mean(),
        }

    def pictures(self, networks: dict[str, nn.Module], batch: Batch) -> Tensor:
        seen = self.holes(batch)
        edges = self._edges(networks, seen)
        made = networks[INPAINT](seen.for_colours(edges)).float()
        whole = made * seen.hole + seen.image * (1 - seen.hole)
        return torch.cat([seen.filled, edges.expand(-1, 3, -1, -1), whole, seen.image], 3)

    def _edges(self, networks: dict[str, nn.Module], seen: "Seen") -> Tensor:
        if self.edge is None:
            return seen.edges
        drawn: Tensor = networks[EDGE](seen.for_edges()).float()
        return drawn


class Seen:
    """A batch as the networks see it; float32 in 0..1, `hole` 1 in the hole."""

    def __init__(self, batch: Batch, fill: SmoothFill | None) -> None:
        hole = batch["hole"]
        self.image = batch["image"].float() / 255
        self.edges = batch["edges"].float()
        self.hole = hole.float()
        self.grey = luma(self.image)
        self.smooth = fill is not None
        self.filled = fill(self.image, hole) if fill else self.image.masked_fill(hole, 1.0)

    def for_edges(self) -> Tensor:
        """The edge generator's input `[B,3,H,W]`."""
        return torch.cat([luma(self.filled), self.edges * (1 - self.hole), self.hole], 1)

    def for_colours(self, edges: Tensor) -> Tensor:
        """The inpaint generator's input: `[B,4,H,W]`, or with the hole `[B,5,H,W]`."""
        parts = [self.filled, edges, self.hole] if self.smooth else [self.filled, edges]
        return torch.cat(parts, 1)


class Holes:
    """Batches in, what the networks see of them out: the hole white, or filled smoothly."""

    def __init__(self, fill: str) -> None:
        self.fill = SmoothFill() if fill == "smooth" else None

    def __call__(self, batch: Batch) -> Seen:
        with torch.no_grad():
            return Seen(batch, self.fill)


def _psnr(made: Tensor, seen: Seen) -> Tensor:
    """Inside the hole, of each picture: `[B]`, dB."""
    error = ((made - seen.image).square() * seen.hole).sum(dim=[1, 2, 3])
    count = 3 * seen.hole.sum(dim=[1, 2, 3])
    return -10 * torch.log10((error / count.clamp(min=1)).clamp(min=1e-10))
