"""What model-based strategies share: losses fit for a model, expected improvement, candidates to choose from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from math import isfinite
from typing import NamedTuple, final

import numpy as np
from numpy.typing import NDArray

from morphogen.predictors.kernel import Kernel, Points
from morphogen.predictors.layout import Layout, States, layout
from morphogen.space import Architecture, Space
from morphogen.trial import Trial

__all__ = [
    "Candidates",
    "Flattened",
    "Pool",
    "flattened",
    "fullest",
    "log_expected_improvement",
    "most_promising",
    "novel",
    "pool",
    "representative",
    "search",
    "squashed",
    "unseen",
]

Array = NDArray[np.float64]

ENUMERABLE = 20_000
"""The largest space (size, limits aside) of which every architecture is a candidate."""


@final
class Flattened(NamedTuple):
    """Losses on a scale that a Gaussian model can live with: `x = (loss - center) / unit`, and `log(1 + x)` above 0."""

    values: Array
    center: float
    unit: float


def flattened(trials: Sequence[Trial], objective: int = 0) -> Flattened:
    """The losses of trials, of one objective, flattened where they are worse than the median; needs one that worked.

    In units of the distance from the median to the best tenth; worse than the median grows only as a
    logarithm, so that failures of training do not hide differences between good architectures. What exceeds
    a measured limit is put behind every loss within the limits, further off the larger the excess; what
    failed, behind everything.
    """
    losses = np.array([t.losses[objective] if objective < len(t.losses) else np.inf for t in trials])
    violations = np.array([t.violation for t in trials])
    worked = np.isfinite(losses) & np.isfinite(violations)
    good = worked & (violations <= 0) if (worked & (violations <= 0)).any() else worked
    center = float(np.median(losses[good]))
    unit = center - float(np.quantile(losses[good], 0.1)) or float(losses[good].std()) or 1.0
    out = (np.where(worked, losses, center) - center) / unit
    out = np.where(out > 0, np.log1p(np.maximum(out, 0.0)), out)
    behind = max(float(out[good].max()), 0.0)
    over = worked & ~good
    out[over] = behind + np.log1p(violations[over]) + 0.1 * np.tanh(out[over])
    out[~worked] = max(float(out[worked].max()), 0.0) + 0.5
    return Flattened(out, center, unit)


def squashed(trials: Sequence[Trial], objective: int = 0) -> Array:
    """The flattened losses of an objective, with mean 0 and variance 1."""
    values = flattened(trials, objective).values
    return np.asarray((values - values.mean()) / (float(values.std()) or 1.0))


def log_expected_improvement(mean: Array, deviation: Array, incumbent: float) -> Array:
    """Logarithm of the expected improvement on a value that is to be minimized.

    Jones et al. 1998 (eq. 15); in the logarithm so that it still ranks where it underflows (Ament et al.
    2023, arXiv:2310.20708, eq. 9, with the leading term of the tail's expansion).
    """
    from scipy.special import ndtr

    z = (incumbent - mean) / deviation
    near = np.maximum(z, -6.0)
    density = np.exp(-0.5 * near * near) / np.sqrt(2 * np.pi)
    body = np.log(np.maximum(density + near * ndtr(near), 1e-300))
    far = np.minimum(z, -6.0)
    tail = -0.5 * far * far - 0.5 * np.log(2 * np.pi) - 2 * np.log(-far) + np.log1p(-3 / (far * far))
    return np.asarray(np.where(z > -6.0, body, tail) + np.log(deviation))


def fullest(trials: Sequence[Trial], enough: int) -> list[Trial]:
    """The trials of the fullest fidelity of which enough worked; else those of the commonest.

    Falkner et al. 2018, BOHB (arXiv:1807.01774), section 4: the model of the largest budget with enough
    points is used.
    """
    groups: dict[tuple[tuple[str, float], ...], list[Trial]] = {}
    for trial in trials:
        fidelity = trial.proposal.fidelity
        groups.setdefault(tuple(sorted(fidelity.items())) if fidelity else (), []).append(trial)
    # an axis that is not named is at its full amount
    axes = sorted({axis for key in groups for axis, _ in key})
    ranked = sorted(groups, key=lambda key: tuple(dict(key).get(a, float("inf")) for a in axes), reverse=True)
    full = next((k for k in ranked if sum(isfinite(t.loss) for t in groups[k]) >= enough), None)
    return groups[full] if full is not None else max(groups.values(), key=len, default=[])


@final
class Pool(NamedTuple):
    """Every architecture of a small space, one of each identity."""

    states: States
    identities: list[bytes]


@final
class Candidates(NamedTuple):
    """Architectures to choose from; `which` of the pool they are, where they are from it."""

    states: States
    which: NDArray[np.int64] | None = None

    def points(self, kernel: Kernel) -> Points:
        """What a kernel sees of them."""
        if self.which is None:
            return kernel.points(self.states)
        return _pooled(kernel.layout.space, kernel.whole).take(self.which)


@lru_cache(maxsize=16)
def _pooled(space: Space, whole: bool) -> Points:
    """The pool as a kernel sees it."""
    small = pool(space)
    assert small is not None
    return Kernel(layout(space), whole).points(small.states)


def representative(losses: Array, most: int) -> NDArray[np.int64]:
    """At most so many trials: the better half of them the best, the rest the latest."""
    n = len(losses)
    if n <= most:
        return np.arange(n)
    best = np.argsort(losses, kind="stable")[: most // 2]
    rest = np.setdiff1d(np.arange(n), best)
    return np.sort(np.concatenate([best, rest[len(rest) - (most - len(best)) :]]))


def most_promising(
    rows: Layout,
    acquisition: Callable[[Candidates], Array],
    good: Sequence[Architecture],
    taken: set[bytes],
    rng: np.random.Generator,
) -> Architecture | None:
    """The architecture of the largest acquisition whose identity is not taken; None where none was found.

    Of a small space all are compared, of a large one those that `search` finds.

    Args:
        rows: Layout of the space.
        acquisition: What is maximized.
        good: Good architectures, best first, that the search starts from.
        taken: Identities.
        rng: Randomness.
    """
    small = pool(rows.space)
    if small is None:
        ranked = search(rows, good, lambda states: acquisition(Candidates(states)), rng)
        return unseen(rows.space, rows.architectures(ranked), taken)
    left = np.array([i for i, identity in enumerate(small.identities) if identity not in taken], int)
    if not left.size:
        return None
    states = small.states[left]
    return rows.architectures(states[[int(np.argmax(acquisition(Candidates(states, left))))]])[0]


@lru_cache(maxsize=8)
def pool(space: Space) -> Pool | None:
    """The pool of a space; None where it is too large to enumerate. A function of the space."""
    if space.size > ENUMERABLE:
        return None
    kept: dict[bytes, Architecture] = {}
    for architecture in space.enumerate():
        kept.setdefault(space.identity(architecture), architecture)
    return Pool(layout(space).read(list(kept.values())), list(kept))


def search(
    layout: Layout,
    start: Sequence[Architecture],
    acquisition: Callable[[States], Array],
    rng: np.random.Generator,
    *,
    samples: int = 64,
    beam: int = 8,
    rounds: int = 4,
    most: int = 600,
) -> States:
    """Candidates of a space too large to enumerate, the largest acquisition first.

    Starts from random architectures, from good ones given, all their neighbors and crossovers of them; then
    climbs: the neighbors of the best few join the candidates, round after round.

    Args:
        layout: Of the space.
        start: Good architectures, best first.
        acquisition: What is maximized.
        rng: Randomness.
        samples: How many random architectures there are.
        beam: How many are climbed from.
        rounds: The most rounds; it ends where the best few stay the same.
        most: The most new candidates of a round, drawn from all.
    """
    sampled = layout.read([layout.space.sample(rng) for _ in range(samples)])
    good = layout.read(start)
    mates = good[rng.integers(len(good), size=(2, samples))]
    near = _thinned(layout.neighbors(good[: max(beam, 1)], rng), most, rng)
    known = np.unique(np.concatenate([sampled, good, near, layout.crossed(mates[0], mates[1], rng)]), axis=0)
    values = acquisition(known)
    climbed: set[bytes] = set()
    for _ in range(rounds):
        best = known[np.argsort(-values, kind="stable")[:beam]]
        best = best[[row.tobytes() not in climbed for row in best]]
        if not len(best):
            break
        climbed |= {row.tobytes() for row in best}
        have = {row.tobytes() for row in known}
        fresh = np.unique(_thinned(layout.neighbors(best, rng), most, rng), axis=0)
        fresh = fresh[[row.tobytes() not in have for row in fresh]]
        if not len(fresh):
            break
        known, values = np.concatenate([known, fresh]), np.concatenate([values, acquisition(fresh)])
    return known[np.argsort(-values, kind="stable")]


def unseen(space: Space, candidates: Iterable[Architecture], taken: set[bytes]) -> Architecture | None:
    """The first candidate within the limits whose identity is not taken."""
    for architecture in candidates:
        if (not space.limits or space.feasible(architecture.picks)) and space.identity(architecture) not in taken:
            return architecture
    return None


def novel(space: Space, taken: set[bytes], rng: np.random.Generator, attempts: int = 200) -> Architecture | None:
    """A random architecture whose identity is not taken; None where there seems to be none, or is none."""
    found = unseen(space, (space.sample(rng) for _ in range(attempts)), taken)
    if found is None and (small := pool(space)) is not None:
        left = [i for i, identity in enumerate(small.identities) if identity not in taken]
        if left:
            row = small.states[[left[int(rng.integers(len(left)))]]]
            return layout(space).architectures(row)[0]
    return found


def _thinned(states: States, most: int, rng: np.random.Generator) -> States:
    return states if len(states) <= most else states[np.sort(rng.choice(len(states), most, replace=False))]
