"""Bayesian optimization of several objectives by the expected improvement of the hypervolume."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, final

import numpy as np
from numpy.typing import NDArray

from morphogen.pareto import crowding
from morphogen.predictors.gaussian_process import GaussianProcess, Posterior
from morphogen.predictors.layout import layout
from morphogen.space import Architecture, Space
from morphogen.strategies.acquisition import Candidates, flattened, most_promising, representative
from morphogen.strategies.modeled import Modeled, architectures
from morphogen.trial import Proposal, Trial

__all__ = ["Ehvi", "log_hypervolume_improvement"]

Array = NDArray[np.float64]

MOST_BOXES = 2_500
"""Into so many boxes what a front leaves is divided at most; of a larger front the least crowded members count."""
AT_ONCE = 2_000_000
"""Numbers in memory, boxes times candidates."""
UNDERFLOW = 1e-13
"""Below this, differences of integrals are rounding errors."""


@final
@dataclass
class Ehvi:
    """A Gaussian process for each objective; what is expected to add most to the hypervolume is next, none twice.

    Emmerich et al. 2006, "Single- and Multiobjective Evolutionary Optimization Assisted by Gaussian Random Field
    Metamodels" (IEEE TEC 10:4); Daulton et al. 2020 (arXiv:2006.05078), section 2. The processes are those of
    `Bayesian`, and so is how candidates are found. With one objective it is the expected improvement.

    Differs: exact for any number of objectives (the processes are independent), while a front has few enough members.
    Losses are flattened where they are bad before they are modeled, as by `Bayesian`; the hypervolume is that of the
    losses as they are. An objective such as latency also depends on decisions that change nothing of what a network
    computes: a second kernel sees them, and the likelier one is used (`Kernel`). What exceeds a measured limit is
    behind what does not, and is on no front. The reference point is beyond the worst of the front by a tenth of its
    range. Pending trials count as if they came out as expected, on the front too.

    Args:
        space: Where to search.
        startup: How many trials are random before the model proposes.
        points: The most trials that a process is conditioned on.
        fitted: The most trials that its parameters are fitted to.
        beyond: How far the reference point is beyond the worst of the front, in ranges of the front.
    """

    multi_fidelity: ClassVar[bool] = True  # of several fidelities, the fullest with enough trials is modeled

    space: Space
    startup: int = 10
    points: int = 256
    fitted: int = 96
    beyond: float = 0.1
    told: Modeled = field(init=False)

    def __post_init__(self) -> None:
        self.told = Modeled(
            self.space, self.startup, self.points, self.fitted, (4, 10, 40), (False, True), None, _losses
        )
        if not self.beyond > 0:
            raise ValueError(f"beyond={self.beyond} must be above 0: else the ends of the front count for nothing")

    def tell(self, trial: Trial, rng: np.random.Generator) -> None:
        self.told.tell(trial)

    def surrogate(self) -> GaussianProcess:
        """That of the first objective, with the first kernel; its parameters are fitted to all that it is shown."""
        return GaussianProcess(self.space)

    def ask(self, pending: Sequence[Trial], rng: np.random.Generator) -> Proposal | None:
        return self.told.ask(pending, self._most_promising, rng)

    def _most_promising(
        self, trials: list[Trial], waiting: list[Architecture], taken: set[bytes], rng: np.random.Generator
    ) -> Architecture | None:
        rows = layout(self.space)
        worked = np.array([self.told.worked(t) for t in trials])
        within = worked & np.array([t.violation <= 0 for t in trials])
        within = within if within.any() else worked
        losses = np.stack([_losses(trials, m) for m in range(max(len(t.losses) for t in trials))], axis=1)
        best = _by_front(losses, within, max(self.points // 2, 20))
        chosen = _chosen(best, len(trials), self.points)
        data = rows.read(architectures(trials, chosen))
        models: list[tuple[Posterior, float, float]] = []
        expected = []
        for m in range(losses.shape[1]):
            values = losses[chosen, m]
            center, scale = float(values.mean()), float(values.std()) or 1.0
            values = (values - center) / scale
            posterior, mean = self.told.posterior(trials, data, values, waiting, m)
            expected.append(center + scale * mean)
            models.append((posterior, center, scale))
        front = losses[within][_front(losses[within])]
        front = _unflattened(np.concatenate([front, np.stack(expected, axis=1)]))
        reference = _reference(front, self.beyond)

        def acquisition(candidates: Candidates) -> Array:
            means, deviations = [], []
            for posterior, center, scale in models:
                points = candidates.points(posterior.kernel)
                mean, cross = posterior.mean(points)
                means.append(center + scale * mean)
                deviations.append(scale * posterior.deviation(points, cross))
            return log_hypervolume_improvement(np.stack(means, 1), np.stack(deviations, 1), front, reference)

        return most_promising(rows, acquisition, architectures(trials, best[:20]), taken, rng)


def log_hypervolume_improvement(mean: Array, deviation: Array, front: Array, reference: Array) -> Array:
    """Logarithm of the expected hypervolume that a point adds to a front, all minimized.

    The expectation of a volume is the integral, over what the front does not dominate, of the probability to dominate
    there. What the front does not dominate are boxes that have no lower end in the first objective; over a box the
    integral is a product of `int Phi((t - mean) / deviation) dt`, one an objective, whose antiderivative is
    `deviation * (z Phi(z) + phi(z))`. With two objectives these are the stripes of Emmerich et al. 2011 ("Hypervolume-
    Based Expected Improvement: Monotonicity Properties and Exact Computation").

    Losses are in units of `flattened`, and normally distributed once they are flattened: above 0 it is `log(1 + loss)`
    that has this mean and deviation. There the antiderivative is, with `f` the flattened loss and z of it,
    `exp(f) Phi(z) - exp(mean + deviation^2 / 2) Phi(z - deviation)`. Where the volume is lost in rounding errors, the
    distance to the nearest box in deviations still ranks.

    Args:
        mean: Of flattened losses, `(n, objectives)`.
        deviation: `(n, objectives)`.
        front: Losses, `(members, objectives)`; those that others dominate change nothing.
        reference: A loss for each objective.
    """
    objectives = len(reference)
    front = _thinned(front[(front < reference).all(1)], objectives)
    ends = [np.unique(front[:, m]) for m in range(1, objectives)]
    # up to where the front leaves the first objective free, in each cell of the grid of the others
    free = np.full([1, *(len(e) + 1 for e in ends)], reference[0])
    at = (np.searchsorted(e, front[:, m]) + 1 for m, e in enumerate(ends, start=1))
    np.minimum.at(free, (np.zeros(len(front), int), *at), front[:, 0])
    for axis in range(1, free.ndim):
        free = np.minimum.accumulate(free, axis=axis)

    uppers = [np.append(e, r) for e, r in zip(ends, reference[1:], strict=True)]
    pieces = range(0, len(mean), max(AT_ONCE // free.size, 1))
    rows = [slice(i, i + pieces.step) for i in pieces]
    return np.concatenate([_log_volume(mean[r], deviation[r], free, uppers) for r in rows])


def _log_volume(mean: Array, deviation: Array, free: Array, uppers: Sequence[Array]) -> Array:
    """The sum over the boxes of `log_hypervolume_improvement`: their ends in the first objective, and in the others."""
    firsts, where = np.unique(free, return_inverse=True)
    where = where.reshape(free.shape)
    volume, far = (found[where] for found in _below(mean[:, 0], deviation[:, 0], firsts))
    for m in range(len(uppers), 0, -1):  # the last axis of the grid first, then it is gone
        sides, beyond = _below(mean[:, m], deviation[:, m], uppers[m - 1])
        sides = np.diff(sides, axis=0, prepend=0.0)
        volume, far = (volume * sides).sum(-2), (far + beyond).min(-2)
    small = np.log(UNDERFLOW) - far[0] / 2
    return np.asarray(np.where(volume[0] > UNDERFLOW, np.log(np.maximum(volume[0], UNDERFLOW)), small))


def _below(mu: Array, sigma: Array, upper: Array) -> tuple[Array, Array]:
    """The integral up to each of some ends, `(ends, n)`; and by how many deviations the mean is above, squared."""
    from scipy.special import ndtr

    z, zero = (_flat(upper)[:, None] - mu) / sigma, -mu / sigma
    line = np.minimum(z, zero)
    found = sigma * (line * ndtr(line) + np.exp(-0.5 * line * line) / np.sqrt(2 * np.pi))
    if (upper > 0).any():  # d loss = exp(flat) d flat, from 0 on
        curve, start = np.maximum(z, zero), ndtr(zero)
        found += np.exp(np.maximum(_flat(upper), 0.0))[:, None] * ndtr(curve) - start
        found -= np.exp(mu + sigma * sigma / 2) * (ndtr(curve - sigma) - ndtr(zero - sigma))
    return np.maximum(found, 0.0), np.maximum(-z, 0.0) ** 2


def _flat(losses: Array) -> Array:
    """Losses in units of `flattened`, flattened."""
    return np.where(losses > 0, np.log1p(np.maximum(losses, 0.0)), losses)


def _unflattened(values: Array) -> Array:
    return np.where(values > 0, np.expm1(np.maximum(values, 0.0)), values)


def _reference(front: Array, beyond: float) -> Array:
    """A point beyond the worst of a front in each objective, by a part of its range (1, where it has none)."""
    worst = front.max(axis=0)
    spread = worst - front.min(axis=0)
    return np.asarray(worst + beyond * np.where(spread > 0, spread, 1.0))


def _chosen(best: NDArray[np.int64], n: int, most: int) -> NDArray[np.int64]:
    """At most so many of n trials: at least half of them the best, the rest the latest."""
    ranks = np.full(n, float(n))
    ranks[best] = np.arange(len(best))
    return representative(ranks, most)


def _by_front(losses: Array, within: NDArray[np.bool_], most: int) -> NDArray[np.int64]:
    """At least so many of those that are `within`, where there are: front after front, each the least crowded first."""
    left, found = np.flatnonzero(within), [np.zeros(0, np.int64)]
    while left.size and sum(map(len, found)) < most:
        keep = _front(losses[left])
        found.append(left[keep][np.argsort(-crowding(losses[left[keep]]), kind="stable")])
        left = np.delete(left, keep)
    return np.concatenate(found)


def _front(losses: Array) -> NDArray[np.int64]:
    """Which rows nothing dominates, each value once. What has the least sum of those left is never dominated."""
    left, members = np.argsort(losses.sum(axis=1), kind="stable"), []
    while left.size:
        members.append(left[0])
        left = left[(losses[left] < losses[left[0]]).any(axis=1)]
    return np.sort(np.array(members, np.int64))


def _thinned(front: Array, objectives: int) -> Array:
    """What nothing dominates, each once; of too many the least crowded."""
    front = front[_front(front)]
    most = max(int(MOST_BOXES ** (1 / max(objectives - 1, 1))) - 1, 1)
    if len(front) <= most:
        return front
    return front[np.sort(np.argsort(-crowding(front), kind="stable")[:most])]


def _losses(trials: list[Trial], objective: int) -> Array:
    return flattened(trials, objective).values
