"""The loop that every training goes through: batches in, a run folder out.

Promises: the n-th step sees the same samples however often the run was cut off and resumed, on
however many loader processes; a run folder holds a whole checkpoint at every instant.

    RUN/run.json        the stage and settings it was started with (models.training.runs)
    RUN/last.pt         the newest checkpoint: networks, averages, optimizers, step
    RUN/scalars.jsonl   a line for each logged step, also kept for TensorBoard where that is there
    RUN/pictures/       what the validation pictures look like, by step
    RUN/.lock           held while a training is at work there (models.training.lock)
"""

import math
import os
import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.data import DataLoader, Dataset

from models.training.average import MovingAverage
from models.training.board import Board
from models.training.drafts import write_whole
from models.training.failures import is_of_the_compiler
from models.training.parallel import Group
from models.training.run_folder import CHECKPOINT, damaged, has_checkpoint, read_checkpoint
from models.training.settings import RunSettings
from models.training.speed import Speed, count_operations, measure_peak

Batch = dict[str, Tensor]


class Training(Protocol):
    """One stage of one network: what a step does, and what is kept of it."""

    networks: dict[str, nn.Module]
    optimizers: dict[str, Optimizer]
    averaged: tuple[str, ...]

    def step(self, batch: Batch, update: "Update") -> dict[str, Tensor]:
        """Learn from a batch; gives the losses by name, detached."""
        ...

    def measure(self, networks: dict[str, nn.Module], batch: Batch) -> dict[str, Tensor]:
        """Scores of a validation batch, each a mean over its pictures."""
        ...

    def pictures(self, networks: dict[str, nn.Module], batch: Batch) -> Tensor:
        """What to look at: RGB `[N,3,H,W]` in 0..1."""
        ...


@dataclass
class Update:
    """Gradients in, changed weights out: the part of a step that all losses share."""

    group: Group
    clip: float
    autocast: torch.dtype | None

    def precision(self) -> torch.autocast:
        """The context in which networks run."""
        dtype = self.autocast or torch.float32
        return torch.autocast(self.group.device.type, dtype, enabled=self.autocast is not None)

    def __call__(self, loss: Tensor, optimizer: Optimizer) -> None:
        """One step of `optimizer` down `loss`, with gradients averaged over all devices."""
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        weights = [w for g in optimizer.param_groups for w in g["params"] if w.grad is not None]
        self.group.average_gradients(weights)
        if self.clip:
            nn.utils.clip_grad_norm_(weights, self.clip)
        optimizer.step()


@dataclass
class Run:
    """A training with its samples, settings and folder."""

    training: Training
    samples: Dataset[Batch]
    validation: Dataset[Batch]
    settings: RunSettings
    folder: Path
    group: Group
    until: float = math.inf  # time.monotonic() at which to save and stop early
    loaded: Sequence[str] = ()  # what is to be told at the start of what was read
    step: int = field(default=0, init=False)
    saved_step: int | None = field(default=None, init=False)  # of the checkpoint in the folder

    def __post_init__(self) -> None:
        for network in self.training.networks.values():
            network.to(self.group.device)
            if self.group.device.type == "cuda":
                network.to(memory_format=torch.channels_last)
        self.average = MovingAverage(
            {name: self.training.networks[name] for name in self.training.averaged},
            self.settings.average,
        )
        self.update = Update(self.group, self.settings.clip, _autocast(self.settings, self.group))

    def best_networks(self) -> dict[str, nn.Module]:
        """The networks as they are to be used: averages where they are kept."""
        return {**self.training.networks, **self.average.networks}

    def go(self, board: Board) -> None:
        """Train to the last step, from the last checkpoint if there is one."""
        self.resume()
        for text in [*self.loaded, self._where()]:
            board.say(text)
        if self.step >= self.settings.steps:
            return
        saved = started = time.monotonic()
        first = self.step
        speed = None
        for batch in self.batches():
            self._set_rates()
            if speed is None:
                losses, speed = self._first_step(batch)
                started, first = time.monotonic(), self.step + 1
            else:
                losses = self._next_step(batch, board)
            self.step += 1
            self.average.update(self.step)
            now = time.monotonic()
            last = self.step == self.settings.steps or self._is_time_to_stop(now)
            logs = self.step % self.settings.log_every == 0 or last
            saves = now - saved > self.settings.save_every_s or last
            if logs or saves:
                self._check(losses)
            if logs:
                rate = (self.step - first) / max(now - started, 1e-9)
                pictures = rate * self.settings.batch * self.group.size
                told = {k: float(v) for k, v in losses.items()}
                about = {"pictures_per_second": pictures, "peak_share": speed.share(rate)}
                board.scalars(self.step, told | about)
                board.progress(self.step, self.settings.steps, pictures, speed.share(rate), told)
            if saves:
                self.save()
                saved = time.monotonic()
            if self.step % self.settings.measure_every == 0 or last:
                self.measure(board)
            if last:
                break
        board.say(self._end())

    def _where(self) -> str:
        steps = self.settings.steps
        if self.step >= steps:
            return (
                f"This run is finished: step {self.step} of {steps}. "
                "More steps in its settings make it go on."
            )
        return f"Goes on at step {self.step} of {steps}." if self.step else f"{steps} steps to go."

    def _end(self) -> str:
        if self.step >= self.settings.steps:
            return f"Trained: saved at step {self.step}, the last."
        return (
            f"Stopped: saved at step {self.step} of {self.settings.steps}. "
            "The same command goes on from there."
        )

    def _is_time_to_stop(self, now: float) -> bool:
        """Whether any process of the group is to stop: all do so after the same step."""
        if self.group.size > 1 and self.step % self.settings.log_every:
            return False  # asking the others costs time
        return self.group.any(now > self.until)

    def _first_step(self, batch: Batch) -> tuple[dict[str, Tensor], Speed]:
        """The first step, its operations counted; only then are networks compiled.

        Compiled networks hide their operations from the counter.
        """
        losses: dict[str, Tensor] = {}
        dtype = self.update.autocast or torch.float32
        peak = measure_peak(self.group.device, dtype)
        flop = count_operations(lambda: losses.update(self.training.step(batch, self.update)))
        if self.settings.compile:
            for network in self.training.networks.values():
                network.compile()
        return losses, Speed(flop, peak)

    def _next_step(self, batch: Batch, board: Board) -> dict[str, Tensor]:
        """A step, compiled if it is to be and can be.

        Compilers are found, or not, when a network is first called: before it has learned anything.
        """
        try:
            return self.training.step(batch, self.update)
        except RuntimeError as error:
            if not is_of_the_compiler(error):
                raise
            reason = str(error).strip().splitlines()[0]
        torch.compiler.set_stance("force_eager")
        board.say(
            f"Can't compile the networks here ({reason}). Goes on without, more slowly. "
            "Install a C++ compiler (Debian: g++), or set compile = false."
        )
        return self.training.step(batch, self.update)

    def batches(self) -> Iterator[Batch]:
        """The batches of the steps that are left, on the device."""
        each, group = self.settings.batch, self.group
        rows = (
            list(range(start, start + each))
            for start in (
                (step * group.size + group.rank) * each
                for step in range(self.step, self.settings.steps)
            )
        )
        loaders = _loaders(self.settings, group)
        loader = DataLoader(
            self.samples,
            batch_sampler=rows,  # any iterable of lists serves
            num_workers=loaders,
            prefetch_factor=4 if loaders else None,
            pin_memory=group.device.type == "cuda",
            worker_init_fn=_leave_signals_to_the_run,
        )
        return (self._to_device(batch) for batch in loader)

    def measure(self, board: Board) -> None:
        """Score the validation pictures and show some; on the first device alone."""
        if self.group.rank:
            return
        networks = self.best_networks()
        modes = {name: network.training for name, network in networks.items()}
        for network in networks.values():
            network.eval()
        total: dict[str, float] = {}
        batches = list(self._validation_batches())
        with torch.inference_mode(), self.update.precision():
            for batch in batches:
                for name, score in self.training.measure(networks, batch).items():
                    total[name] = total.get(name, 0.0) + float(score) / len(batches)
            pictures = self.training.pictures(networks, batches[0])
        board.scalars(self.step, {f"validation/{name}": value for name, value in total.items()})
        board.pictures(self.step, pictures)
        for name, network in networks.items():
            network.train(modes[name])

    def save(self) -> None:
        """Put the checkpoint under its name, whole, in one rename."""
        self.saved_step = self.step
        if not self.group.rank:
            write_whole(self.folder / CHECKPOINT, lambda out: torch.save(self._state(), out))

    def resume(self) -> None:
        """Go on where the last checkpoint of this folder left off; at 0 where there is none."""
        if not has_checkpoint(self.folder):
            torch.manual_seed(self.settings.seed + self.group.rank)
            self.group.same_start(self.training.networks)
            self.average.restart()
            return
        state = read_checkpoint(self.folder)
        try:
            for name, network in self.training.networks.items():
                network.load_state_dict(state["networks"][name])
            for name, optimizer in self.training.optimizers.items():
                _load(optimizer, state["optimizers"][name])
            self.average.load(state["averages"])
        except (KeyError, ValueError, TypeError, RuntimeError) as error:
            if isinstance(error, torch.OutOfMemoryError):
                raise
            raise damaged(self.folder, str(error).strip().splitlines()[-1].strip()) from None
        if self._not_finite():
            raise damaged(self.folder, "weights that are no numbers")
        self.step = self.saved_step = state["step"]
        torch.manual_seed(self.settings.seed + self.group.rank + 1000 * self.step)

    def _state(self) -> dict[str, Any]:
        return {
            "step": self.step,
            "networks": {k: v.state_dict() for k, v in self.training.networks.items()},
            "averages": self.average.state(),
            "optimizers": {k: v.state_dict() for k, v in self.training.optimizers.items()},
        }

    def _set_rates(self) -> None:
        share = rate_at(self.step, self.settings)
        for optimizer in self.training.optimizers.values():
            for weights in optimizer.param_groups:
                weights.setdefault("initial_lr", weights["lr"])
                weights["lr"] = weights["initial_lr"] * share

    def _check(self, losses: dict[str, Tensor]) -> None:
        """Raise `TrainingError` where a loss or a weight is no number: such a run is not saved."""
        bad = [name for name, loss in losses.items() if not math.isfinite(float(loss))]
        bad += [f"a weight of {name}" for name in self._not_finite()]
        if bad:
            if self.saved_step is None:
                where = "Nothing was saved yet: the same command begins again."
            else:
                where = f"The same command goes on from the checkpoint of step {self.saved_step}."
            raise TrainingError(
                f"step {self.step}: {', '.join(bad)} is not finite. "
                f"Lower learning_rate in the settings, or set clip (to 1.0, say). {where}"
            )

    def _not_finite(self) -> list[str]:
        """The networks that have weights which are no numbers."""
        return [name for name, network in self.training.networks.items() if not _is_finite(network)]

    def _validation_batches(self) -> Iterator[Batch]:
        each = self.settings.batch
        for start in range(0, self.settings.measure_pictures, each):
            rows = [self.validation[i] for i in range(start, start + each)]
            yield self._to_device({k: torch.stack([row[k] for row in rows]) for k in rows[0]})

    def _to_device(self, batch: Batch) -> Batch:
        return {k: v.to(self.group.device, non_blocking=True) for k, v in batch.items()}


class TrainingError(Exception):
    """Training can't go on. The text says why and what to do."""


def rate_at(step: int, settings: RunSettings) -> float:
    """The learning rate of a step as a share of the settings': a rise, then half a cosine down."""
    if step < settings.warmup_steps:
        return (step + 1) / settings.warmup_steps
    left = max(settings.steps - settings.warmup_steps, 1)
    cosine = (1 + math.cos(math.pi * (step - settings.warmup_steps) / left)) / 2
    return settings.final_rate + (1 - settings.final_rate) * cosine


def _is_finite(network: nn.Module) -> bool:
    """Whether all weights are numbers; a GPU is waited for once, not once for each weight."""
    finite = [weight.isfinite().all() for weight in network.parameters()]
    return not finite or bool(torch.stack(finite).all())


def _autocast(settings: RunSettings, group: Group) -> torch.dtype | None:
    """None for float32. A CPU's bfloat16 is slow unless it has instructions for it."""
    auto = group.device.type == "cuda" and torch.cuda.is_bf16_supported()
    wanted = settings.precision == "bf16" or (settings.precision == "auto" and auto)
    return torch.bfloat16 if wanted else None


def _load(optimizer: Optimizer, state: dict[str, Any]) -> None:
    """Take up what an optimizer had gathered, but at the rate of today's settings."""
    rates = [group["lr"] for group in optimizer.param_groups]
    optimizer.load_state_dict(state)
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        group["initial_lr"] = rate


def _leave_signals_to_the_run(_: int) -> None:
    """In a loader process: Ctrl-C reaches all processes of a terminal, and one saves and ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _loaders(settings: RunSettings, group: Group) -> int:
    if settings.loaders >= 0:
        return settings.loaders
    if group.device.type == "cpu":
        return 0
    return max(len(os.sched_getaffinity(0)) // group.size - 1, 1)
