"""How long trainings take on this machine: a few are run for a moment, where the run would run them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np

from morphogen.estimators import Baselines, SupernetTraining, Training
from morphogen.protocols import Context, Executor, MorphogenError
from morphogen.space import Architecture, Space
from morphogen.training.data import Data
from morphogen.training.recipe import Recipe
from morphogen.trial import Proposal

__all__ = ["Line", "Prices", "Stopwatch", "Timed", "drawn", "macs_of"]

MEASURED = 3
"""Architectures that are trained for a moment."""

BATCHES = 6
"""Of each of their epochs."""


@final
@dataclass(frozen=True, slots=True)
class Timed:
    """What a training takes, in seconds.

    Args:
        epoch: An epoch of all training images, and the evaluation after it.
        overhead: What a trial takes beside its epochs: a new process, building the network, first uses of kernels.
    """

    epoch: float
    overhead: float


@final
@dataclass
class Stopwatch:
    """Times trainings in a place where trials run.

    A training is run over one epoch and over two of a small part of the data: the second epoch is the difference, the
    rest of the first run is the overhead.

    Args:
        executor: The place.
        device: Where networks train.
        seed: Of weights and batches.
    """

    executor: Executor
    device: str = "cpu"
    seed: int = 0
    warm: bool = False

    def __call__(self, training: Any, proposal: Proposal) -> Timed:
        """Time a `Training`, `SupernetTraining` or `Baselines` with a proposal at full fidelity.

        Raises:
            MorphogenError: The training failed.
        """
        part, share = _part(training.data, _batch_size(training))
        if not self.warm:  # a place may start slowly: its first trial says nothing about the next ones
            self._run(_short(training, part, 1), proposal, 1)
            self.warm = True
        one, two = (self._run(_short(training, part, epochs), proposal, epochs) for epochs in (1, 2))
        epoch = max(two - one, 0.0)
        return Timed(epoch / share, max(one - epoch, 0.0))

    def _run(self, training: Any, proposal: Proposal, epochs: int) -> float:
        if not isinstance(training, Baselines):
            proposal = replace(proposal, fidelity={"epochs": epochs})
        started = time.monotonic()
        future = self.executor.submit(training, proposal, Context(self.seed, device=self.device))
        while not self.executor.wait([future]):
            pass
        outcome = future.result()
        if outcome.error is not None:
            reason = outcome.error.splitlines()[0]
            raise MorphogenError(f"a training that was to be timed failed: {reason}")
        return time.monotonic() - started


@final
@dataclass(frozen=True, slots=True)
class Line:
    """Seconds an epoch: `start + rate * multiply-adds`.

    Args:
        start: Of a network without multiply-adds.
        rate: For one multiply-add of an image.
    """

    start: float
    rate: float

    def __call__(self, macs: float) -> float:
        return self.start + self.rate * macs

    @staticmethod
    def through(macs: Sequence[float], seconds: Sequence[float]) -> Line:
        """The line of least squares that neither falls nor begins below zero; through one point: no slope."""
        if len(set(macs)) < 2:
            return Line(float(np.mean(seconds)), 0.0)
        rate, start = np.polyfit(macs, seconds, 1)
        if start < 0:
            return Line(0.0, float(np.dot(macs, seconds) / np.dot(macs, macs)))
        return Line(float(start), float(rate)) if rate > 0 else Line(float(np.mean(seconds)), 0.0)


@final
@dataclass(frozen=True)
class Prices:
    """What any architecture of a space takes, reckoned from a few.

    Args:
        line: Through their seconds an epoch.
        overhead: Of a trial, in seconds: their median.
        rows: The few: `macs` and `seconds` an epoch.
    """

    line: Line
    overhead: float
    rows: list[dict[str, float]]

    @staticmethod
    def of(space: Space, training: Training, stopwatch: Stopwatch) -> Prices:
        """Time a small, a middle and a large one of some that are drawn."""
        some = drawn(space, training, stopwatch.seed)
        timed = [stopwatch(training, Proposal(architecture)) for architecture, _ in some]
        rows = [{"macs": macs, "seconds": each.epoch} for (_, macs), each in zip(some, timed, strict=True)]
        line = Line.through([row["macs"] for row in rows], [row["seconds"] for row in rows])
        return Prices(line, float(np.median([each.overhead for each in timed])), rows)

    def __call__(self, macs: float, epochs: float) -> float:
        """Seconds of a trial over so many epochs."""
        return self.overhead + epochs * self.line(macs)


def drawn(space: Space, training: Training, seed: int) -> list[tuple[Architecture, float]]:
    """Architectures to be timed, with their multiply-adds: a small, a middle and a large one of a few."""
    rng = np.random.default_rng((seed, 0))
    some = [space.sample(rng) for _ in range(3 * MEASURED)]
    priced = sorted(((a, macs_of(training, a)) for a in some), key=lambda row: row[1])
    return priced[1 :: len(priced) // MEASURED][:MEASURED]


def macs_of(training: Training, architecture: Architecture) -> float:
    """Multiply-adds as the training declares them; 1 where they cannot be counted."""
    assert training.recipe is not None
    return float(training.cost(Proposal(architecture)) / training.recipe.epochs)


def _part(data: Data, batch_size: int) -> tuple[Data, float]:
    """A few batches of a data set, with as much of the validation split in proportion; and which share that is."""
    images = min(len(data.train), BATCHES * batch_size)
    share = images / len(data.train)
    valid, seed = max(1, round(share * len(data.valid))), data.split_seed
    return replace(data, train=data.train.first(images, seed), valid=data.valid.first(valid, seed), folder=None), share


def _batch_size(training: Any) -> int:
    if isinstance(training, SupernetTraining):
        assert training.regime is not None
        return int(
            2 * training.regime.recipe.batch_size
        )  # its images are divided among the architecture and the weights
    return int(training.recipe.batch_size)


def _short(training: Any, part: Data, epochs: int) -> Any:
    if isinstance(training, Baselines):
        return replace(training, data=part, recipe=replace(training.recipe, epochs=epochs))
    if isinstance(training, SupernetTraining):
        assert training.regime is not None
        return replace(training, data=part, regime=replace(training.regime, recipe=_long(training.regime.recipe)))
    return replace(training, data=part, recipe=_long(training.recipe))


def _long(recipe: Recipe) -> Recipe:
    """With at least the two epochs that are timed."""
    return replace(recipe, epochs=max(recipe.epochs, 2))
