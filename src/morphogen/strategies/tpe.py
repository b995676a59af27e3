"""The tree-structured Parzen estimator."""

from __future__ import annotations

import math
from bisect import insort
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, final

import numpy as np
from numpy.typing import NDArray

from morphogen.moves import mutate
from morphogen.predictors.layout import Block, Layout, States, layout
from morphogen.space import Architecture, Choice, Space
from morphogen.strategies.acquisition import novel
from morphogen.trial import Proposal, Trial

__all__ = ["Tpe"]

Array = NDArray[np.float64]
Ranked = tuple[float, float, int, Trial]
"""Violation, loss, id, and the trial that they order."""


@final
@dataclass
class Told:
    """The trials of one fidelity: all in order, the best first, and the latest."""

    latest: deque[Trial]
    ranked: list[Ranked] = field(default_factory=list)


@final
@dataclass
class Tpe:
    """Two densities over architectures, of the good trials and of the others; the largest ratio of them is next.

    Bergstra et al. 2011, "Algorithms for Hyper-Parameter Optimization" (NIPS), section 4: the expected improvement
    rises with `l(x) / g(x)` (eq. 3), over candidates drawn from `l`. The densities are multivariate, a product kernel
    on each trial (Aitchison & Aitken 1976), as in Falkner et al. 2018, BOHB (arXiv:1807.01774), section 3.2, and in
    Optuna.

    Differs: options that are numbers are smoothed towards their neighbors, subsets are read element by element, and a
    choice that does not exist in an architecture has no part in its density. Nothing is proposed twice. Pending trials
    count as not good. Of several fidelities, the fullest that has enough trials is modeled (BOHB, section 4).

    Args:
        space: Where to search.
        startup: How many trials are random.
        candidates: How many architectures are drawn from the good density.
        good: The part of the trials that is good, `gamma` of the paper.
        most_good: The most trials that are good.
        bandwidth: How likely the kernel on a trial decides a choice uniformly.
        prior: How many trials the uniform prior counts as.
        modeled: The most of the other trials that are modeled, the latest.
    """

    multi_fidelity: ClassVar[bool] = True

    space: Space
    startup: int = 10
    candidates: int = 64
    good: float = 0.1
    most_good: int = 25
    bandwidth: float = 0.25
    prior: float = 1.0
    modeled: int = 256
    told: dict[tuple[tuple[str, float], ...], Told] = field(default_factory=dict, init=False)
    seen: set[bytes] = field(default_factory=set, init=False)

    def __post_init__(self) -> None:
        if not (0 < self.good < 1 and 0 < self.bandwidth < 1):
            raise ValueError(f"good={self.good} and bandwidth={self.bandwidth} must be between 0 and 1")
        if min(self.startup, self.candidates, self.most_good, self.modeled) < 1 or not self.prior > 0:
            raise ValueError(
                f"startup={self.startup}, candidates={self.candidates}, most_good={self.most_good}, "
                f"modeled={self.modeled} must be 1 or more, and prior={self.prior} above 0"
            )

    def ask(self, pending: Sequence[Trial], rng: np.random.Generator) -> Proposal | None:
        waiting = [t.architecture for t in pending if t.architecture is not None]
        taken = {self.space.identity(a) for a in waiting}
        told = self._fullest()
        found = None if told is None else self._most_promising(told, waiting, taken, rng)
        if found is None:
            found = novel(self.space, self.seen | taken, rng)
        return None if found is None else Proposal(found)

    def tell(self, trial: Trial, rng: np.random.Generator) -> None:
        if trial.architecture is None:
            return
        key = tuple(sorted(trial.proposal.fidelity.items()))
        told = self.told.setdefault(key, Told(deque(maxlen=self.modeled + self.most_good)))
        told.latest.append(trial)
        violation = trial.violation if math.isfinite(trial.loss) else math.inf
        insort(told.ranked, (violation, trial.loss, trial.id, trial))
        self.seen.add(self.space.identity(trial.architecture))

    def _fullest(self) -> Told | None:
        """The trials of the fullest fidelity that has enough that worked; an axis that is left out is full."""
        axes = sorted({axis for key in self.told for axis, _ in key})
        for key in sorted(self.told, key=lambda k: [dict(k).get(a, math.inf) for a in axes], reverse=True):
            ranked = self.told[key].ranked
            if len(ranked) >= self.startup and math.isfinite(ranked[0][1]):
                return self.told[key]
        return None

    def _most_promising(
        self, told: Told, waiting: list[Architecture], taken: set[bytes], rng: np.random.Generator
    ) -> Architecture | None:
        rows = layout(self.space)
        count = min(math.ceil(self.good * len(told.ranked)), self.most_good)
        good = [t for *_, t in told.ranked[:count]]
        ids = {t.id for t in good}
        others = [t for t in told.latest if t.id not in ids][-self.modeled :]
        read = [[t.architecture for t in trials if t.architecture is not None] for trials in (good, others)]
        below = Density(rows, rows.read(read[0]), self.bandwidth, self.prior)
        above = Density(rows, rows.read(read[1] + waiting), self.bandwidth, self.prior)
        drawn = np.unique(below.draw(self.candidates, rng), axis=0)
        drawn = drawn[rows.feasible(drawn)]
        if not len(drawn):  # tight limits: small steps from good ones keep them
            near = [read[0][int(i)] for i in rng.integers(len(read[0]), size=self.candidates)]
            drawn = np.unique(rows.read([mutate(a, rng) for a in near]), axis=0)
        ratio = below.logarithm(drawn) - above.logarithm(drawn)
        for architecture in rows.architectures(drawn[np.argsort(-ratio, kind="stable")]):
            identity = self.space.identity(architecture)
            if identity not in self.seen and identity not in taken and self.space.feasible(architecture.picks):
                return architecture
        return None


@final
class Density:
    """A density over architectures: a kernel on each of some, and the uniform prior.

    Args:
        rows: The layout of the space.
        centers: `(architectures, columns)`.
        bandwidth: How likely the kernel on a center decides a choice uniformly.
        prior: How many architectures the prior counts as.
    """

    def __init__(self, rows: Layout, centers: States, bandwidth: float, prior: float) -> None:
        self.rows, self.bandwidth = rows, bandwidth
        self.centers = np.concatenate([centers, np.zeros((1, rows.width), np.uint8)])  # the last one is the prior
        weights = np.append(np.ones(len(centers)), prior)
        self.weights: Array = weights / weights.sum()
        kinds: dict[Any, Array] = {}
        self.tables: list[Array] = []
        for block in rows.blocks:
            choice = block.choice
            kind = (choice.options, choice.mixed_only, choice.ordered) if choice.single else None
            if kind not in kinds:
                kinds[kind] = self._table(choice)
            self.tables.append(kinds[kind])

    def logarithm(self, states: States) -> Array:
        """The logarithm of the density of each row."""
        # the log-kernels of a row with all centers are sums over columns: a product of matrices, with one-hot rows
        kernels, marks = [], []
        for block, table in zip(self.rows.blocks, self.tables, strict=True):
            logs, eye = np.log(table), np.eye(len(table))
            for column in range(block.at, block.at + block.width):
                kernels.append(logs[self.centers[:, column]])
                marks.append(eye[states[:, column]])
        log = np.concatenate(marks, 1) @ np.concatenate(kernels, 1).T + np.log(self.weights)
        return np.asarray(np.logaddexp.reduce(log, axis=1))

    def draw(self, count: int, rng: np.random.Generator) -> States:
        """Rows from the density; limits of the space are not looked at."""
        states = self.centers[rng.choice(len(self.centers), size=count, p=self.weights)]
        for block, table in zip(self.rows.blocks, self.tables, strict=True):
            if not block.choice.single and block.choice.bounds != (0, block.width):
                self._redraw(block, states, rng)
                continue
            sums = table[:, 1:].cumsum(1)
            sums /= sums[:, -1:]
            for column in range(block.at, block.at + block.width):
                states[:, column] = 1 + (rng.random((count, 1)) >= sums[states[:, column]]).sum(1)
        for block in self.rows.blocks:  # parents first
            states[~self.rows.active(block, states), block.columns] = 0
        return states

    def _table(self, choice: Choice) -> Array:
        """`[state of the center, state]`: the kernel of a column. As a center, state 0 (it is not there) is uniform."""
        at = np.array([choice.options.index(o) + 1 for o in choice.pickable] if choice.single else [1, 2], int)
        size, k = 1 + (len(choice.options) if choice.single else 2), len(at)
        distance = np.abs(np.subtract.outer(np.arange(k), np.arange(k)))
        if choice.single and choice.ordered:
            kernel = np.exp(-distance / max(k / 6, 0.5))
        else:
            kernel = (distance == 0).astype(float)
        kernel = (1 - self.bandwidth) * kernel / kernel.sum(1, keepdims=True) + self.bandwidth / max(k, 1)
        table = np.full((size, size), 1e-300)  # states that no architecture has
        table[:, 0] = 1.0
        table[0, at] = 1.0 / max(k, 1)
        table[np.ix_(at, at)] = kernel
        return table

    def _redraw(self, block: Block, states: States, rng: np.random.Generator) -> None:
        """A subset of some sizes only is kept or drawn anew as a whole."""
        low, high = block.choice.bounds
        new = np.flatnonzero((states[:, block.columns] == 0).all(1) | (rng.random(len(states)) < self.bandwidth))
        order = rng.random((len(new), block.width)).argsort(1).argsort(1)
        sizes = rng.integers(low, high + 1, size=(len(new), 1))
        states[new, block.columns] = 1 + (order < sizes)
