"""Training loop of the stages that train the VAE or its decoder: clock, checkpoint, curve and average of weights."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lingbot_cli.model.vae import VAE
from training.muon import Muon
from training.vae_report import report, validation_views
from training.workers import (
    DEVICE,
    StageClock,
    WeightAverage,
    average_gradients,
    gradients_finite,
    save,
)

REPORT_INTERVAL_S = 240.0
_LONGEST_STEP_S = 20.0


def read_state(checkpoint: Path) -> dict[str, Any]:
    """Return a checkpoint's contents, or nothing."""
    return torch.load(checkpoint, weights_only=True, map_location=DEVICE) if checkpoint.exists() else {}


class VaeTraining:
    """A VAE with its optimiser and averaged weights, resumed from a checkpoint's state if it is not empty."""

    def __init__(
        self, rank: int, checkpoint: Path, vae: VAE, state: Mapping[str, Any], *, lr: float, adam_lr: float
    ) -> None:
        if state:
            vae.load_state_dict(state["model"])
        self.rank, self.checkpoint, self.vae = rank, checkpoint, vae
        self.optimiser, self.average = Muon(vae, lr=lr, adam_lr=adam_lr), WeightAverage(vae, 0.995)
        self.step, self.spent = 0, 0.0
        self.extra: Callable[[], dict[str, Any]] = dict
        if state:
            self.optimiser.load_state_dict(state["optimiser"])
            self.average.weights = state["average"]
            self.step, self.spent = state["step"], state["spent"]

    def seed(self, seed: int) -> list[int]:
        """Seed torch, and return the seed of this process's views; both depend on the step, for a resumed stage."""
        torch.manual_seed(1000 * seed + 10 * self.step + self.rank)
        return [seed, self.rank, self.step]

    def run(
        self,
        minutes: float,
        rate: Callable[[float], float],
        losses_of_step: Callable[[int, float], Iterable[tuple[Tensor, float]]],
    ) -> None:
        """Train for that many minutes of the stage's clock.

        `rate` maps progress to the share of the peak learning rate. `losses_of_step(step, progress)` yields losses,
        whose gradients are computed before the next is asked for, and the values to log.
        """
        unseen = validation_views() if self.rank == 0 else {}
        clock, reported, total = StageClock(self.spent, _LONGEST_STEP_S), self.spent, 60 * minutes
        losses: list[float] = []
        while (spent := clock.seconds()) < total:
            self.spent = spent
            self.optimiser.scale(rate(spent / total))
            self.optimiser.zero_grad()
            for loss, value in losses_of_step(self.step, spent / total):
                loss.backward()
                losses.append(value)
            average_gradients(self.vae)
            if gradients_finite(self.vae):
                self.optimiser.step()
                self.average.follow(self.vae, self.step)
            self.step += 1
            if spent - reported > REPORT_INTERVAL_S:
                reported = spent
                self._save(unseen, losses)
                losses = []
        self.spent = spent
        self._save(unseen, losses)

    def _save(self, unseen: dict[str, Tensor], losses: list[float]) -> None:
        if self.rank == 0:
            state = {"model": self.vae.state_dict(), "optimiser": self.optimiser.state_dict(), **self.extra()}
            progress = {"average": self.average.weights, "step": self.step, "spent": self.spent}
            save(self.checkpoint, {**state, **progress})
            curve = self.checkpoint.with_name(f"{self.checkpoint.stem}-curve.csv")
            report(curve, self.average.weights, unseen, self.step, self.spent, losses)
