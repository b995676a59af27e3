"""A table made by a formula: for tests, first steps, and strategies in the making."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import final

import numpy as np

from morphogen.estimators.tabular import Entry
from morphogen.objective import Objective
from morphogen.space import Architecture, Choice, Space, When
from morphogen.trial import Fidelity

__all__ = ["ToyTable", "toy_space"]

OPERATIONS = ("conv3", "conv5", "pool", "skip")
GAIN = {"conv3": 1.0, "conv5": 1.2, "pool": 0.4, "skip": 0.1}
COST = {"conv3": 9.0, "conv5": 25.0, "pool": 1.0, "skip": 0.0}


def toy_space() -> Space:
    """Networks of 3 to 5 layers with an operation and a width each, and any set of skip connections to the head."""
    choices = [Choice("depth", ("3", "4", "5"), ordered=True)]
    for i in range(5):
        when = None if i < 3 else When("depth", tuple(str(d) for d in range(i + 1, 6)))
        choices.append(Choice(f"{i}/op", OPERATIONS, when=when))
        choices.append(Choice(f"{i}/width", ("8", "16", "32"), when=when, ordered=True))
    choices.append(Choice("skips", ("0", "1", "2"), pick=(0, 3)))
    return Space(tuple(choices), name="toy")


@final
@dataclass(frozen=True)
class ToyTable:
    """Accuracies with the traits of real ones, at no cost: diminishing returns, interactions, curves, noise, failures.

    Wide convolutions help, less and less; a pooling directly after a pooling hurts; skips help deep networks. Curves
    saturate, slower for larger networks, so that early ranks are like final ones but not equal. A seed moves an accuracy
    by about 0.003. Three poolings in a row diverge, which is a failed trial.
    """

    space: Space = field(default_factory=toy_space)
    epochs: int = 27
    noise: float = 0.003

    @property
    def objectives(self) -> tuple[Objective, ...]:
        return (Objective("accuracy", maximize=True),)

    @property
    def full(self) -> Fidelity:
        return {"epochs": self.epochs}

    def entry(self, architecture: Architecture, fidelity: Fidelity, seed: int) -> Entry:
        operations = self._layers(architecture, "op")
        if any(operations[i : i + 3] == ["pool"] * 3 for i in range(len(operations))):
            return Entry(
                {}, self.cost(architecture, fidelity), {}, error="the loss became NaN: three poolings in a row"
            )
        macs = self._macs(architecture)
        epochs = int(fidelity.get("epochs", self.epochs))
        noise = np.random.default_rng(seed).normal(0.0, self.noise)
        limit, rate = self.accuracy(architecture), 1.0 + macs / 4e4
        curve = [
            (float(e), limit * (1 - 0.6 * math.exp(-3 * e / (self.epochs / 3 * rate))) + noise)
            for e in range(1, epochs + 1)
        ]
        metrics = {"accuracy": curve[-1][1], "macs": macs, "params": macs / 4}
        return Entry(metrics, self.cost(architecture, fidelity), {"accuracy": curve})

    def cost(self, architecture: Architecture, fidelity: Fidelity) -> float:
        return fidelity.get("epochs", self.epochs) * (1.0 + self._macs(architecture) / 1e4)

    def accuracy(self, architecture: Architecture) -> float:
        """The accuracy that the formula gives after infinitely many epochs, without noise."""
        operations, widths = self._layers(architecture, "op"), self._layers(architecture, "width")
        gain = sum(GAIN[o] * math.log2(float(w)) / 5 for o, w in zip(operations, widths, strict=True))
        gain -= 0.7 * sum(a == b == "pool" for a, b in itertools.pairwise(operations))
        gain += 0.15 * len(architecture["skips"]) * (len(operations) - 3)
        return 0.95 - 0.6 * math.exp(-gain / 2)

    @property
    def deterministic(self) -> bool:
        """Whether asking again, with another seed, gives the same."""
        return self.noise == 0

    @property
    def lowest(self) -> Fidelity:
        """The least amount on every axis."""
        return {"epochs": 1}

    def truth(self, architecture: Architecture) -> float | None:
        """The accuracy of a full training, without noise; None where it diverges."""
        if "pool pool pool" in " ".join(self._layers(architecture, "op")):
            return None
        return self.accuracy(architecture) * (1 - 0.6 * math.exp(-9 / (1.0 + self._macs(architecture) / 4e4)))

    @property
    def optimum(self) -> float:
        """The best `truth`."""
        return self._extremes[1]

    @property
    def worst(self) -> float:
        """The worst `truth`."""
        return self._extremes[0]

    @cached_property
    def _extremes(self) -> tuple[float, float]:
        """The least and the highest `truth` of the toy space's 2.2 million, with all of one depth and set size at a time."""
        gain_of, cost_of = (np.array([per[o] for o in OPERATIONS]) for per in (GAIN, COST))
        width_of = np.array([8.0, 16.0, 32.0])
        found: list[float] = []
        for depth in (3, 4, 5):
            layers = np.indices((len(OPERATIONS) * 3,) * depth).reshape(depth, -1)
            op, width = layers // 3, width_of[layers % 3]
            pool = op == OPERATIONS.index("pool")
            pairs = pool[1:] & pool[:-1]
            macs = cost_of[op[0]] * 3 * width[0] + (cost_of[op[1:]] * width[:-1] * width[1:]).sum(axis=0)
            gain = (gain_of[op] * np.log2(width) / 5).sum(axis=0) - 0.7 * pairs.sum(axis=0)
            trained = (1 - 0.6 * np.exp(-9 / (1.0 + macs / 4e4)))[~(pairs[1:] & pairs[:-1]).any(axis=0)]
            for skips in range(4):
                total = gain[~(pairs[1:] & pairs[:-1]).any(axis=0)] + 0.15 * skips * (depth - 3)
                accuracy = (0.95 - 0.6 * np.exp(-total / 2)) * trained
                found += [float(accuracy.min()), float(accuracy.max())]
        return min(found), max(found)

    def _layers(self, architecture: Architecture, what: str) -> list[str]:
        picks = architecture.picks
        return [picks[f"{i}/{what}"][0] for i in range(int(picks["depth"][0]))]

    def _macs(self, architecture: Architecture) -> float:
        widths: Sequence[float] = [3.0, *map(float, self._layers(architecture, "width"))]
        pairs = zip(self._layers(architecture, "op"), widths, widths[1:], strict=False)
        return sum(COST[o] * a * b for o, a, b in pairs)
