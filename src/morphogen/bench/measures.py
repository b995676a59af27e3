"""What many runs come to: anytime regret with its uncertainty, queries to the optimum, ranks, and significance."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import numpy.typing as npt

from morphogen.bench.replaying import Replay

__all__ = [
    "CONFIDENCE",
    "Band",
    "Significance",
    "band",
    "by_queries",
    "by_seconds",
    "holm",
    "queries",
    "ranks",
    "significance",
]

Floats = npt.NDArray[np.float64]
CONFIDENCE = 0.95
DRAWS = 2000


@final
@dataclass(frozen=True)
class Band:
    """A mean over seeds, with the ends of its 95 % interval, at each place."""

    mean: Floats
    low: Floats
    high: Floats

    def at(self, place: int) -> dict[str, float]:
        """One place, for JSON."""
        return {"mean": float(self.mean[place]), "low": float(self.low[place]), "high": float(self.high[place])}

    @property
    def json(self) -> dict[str, list[float]]:
        """Plain JSON."""
        return {"mean": self.mean.tolist(), "low": self.low.tolist(), "high": self.high.tolist()}


@final
@dataclass(frozen=True)
class Significance:
    """Against random search: two-sided Mann-Whitney U test over seeds.

    Args:
        p: The p value, adjusted for the number of strategies (Holm).
        chance: That a run of the strategy is better than one of random search; 0.5: no difference.
        answer: `better`, `worse` or `cannot tell`, at 5 %.
    """

    p: float
    chance: float
    answer: str


def by_queries(replays: Sequence[Replay], budget: int, worst: float) -> Floats:
    """Regret after 1 to `budget` queries, `[seeds, budget]`; `worst` before something was told."""
    return _steps([r.spent for r in replays], replays, np.arange(1, budget + 1, dtype=np.float64) + 1e-9, worst)


def by_seconds(replays: Sequence[Replay], seconds: Floats, worst: float) -> Floats:
    """Regret at simulated seconds, `[seeds, places]`."""
    return _steps([r.clock for r in replays], replays, seconds, worst)


def _steps(places: Sequence[Sequence[float]], replays: Sequence[Replay], wanted: Floats, worst: float) -> Floats:
    rows = []
    for at, replay in zip(places, replays, strict=True):
        told = np.searchsorted(np.asarray(at), wanted, side="right")
        rows.append(np.asarray([worst, *replay.regret])[told])
    return np.asarray(rows)


def band(values: Floats) -> Band:
    """The mean over seeds and its interval, by the bootstrap (Efron 1979, percentiles of 2,000 resamples).

    Regret is skewed and never below 0: an interval by the normal distribution would be. One seed shows no spread: the
    interval is the mean.
    """
    seeds = len(values)
    rng = np.random.default_rng(0)
    weights = rng.multinomial(seeds, np.full(seeds, 1 / seeds), size=DRAWS) / seeds
    edge = (1 - CONFIDENCE) / 2
    low, high = np.quantile(weights @ values, [edge, 1 - edge], axis=0)
    return Band(values.mean(axis=0), low, high)


def queries(replays: Sequence[Replay], budget: int) -> dict[str, float]:
    """Queries to the optimum: mean with its standard error (a run that never finds it counts with the budget), median, share."""
    taken = np.asarray([budget if r.found is None else min(budget, r.found) for r in replays], dtype=float)
    error = float(taken.std(ddof=1) / math.sqrt(len(taken))) if len(taken) > 1 else 0.0
    share = sum(r.found is not None and r.found <= budget + 1e-9 for r in replays) / len(replays)
    return {"mean": float(taken.mean()), "se": error, "median": float(np.median(taken)), "found": share}


def significance(areas: Mapping[str, Sequence[float]], against: str) -> dict[str, Significance]:
    """Each strategy against one, by one number a seed of which less is better.

    Mann & Whitney 1947; p values adjusted by Holm 1979, over the strategies compared.
    """
    from scipy.stats import mannwhitneyu

    others = [name for name in areas if name != against]
    found: dict[str, tuple[float, float]] = {}
    for name in others:
        mine, theirs = areas[name], areas[against]
        if len({*mine, *theirs}) == 1:  # all equal: the test has no variance to divide by
            found[name] = (1.0, 0.5)
            continue
        test: Any = mannwhitneyu(mine, theirs, alternative="two-sided")
        found[name] = (float(test.pvalue), 1 - float(test.statistic) / (len(mine) * len(theirs)))
    adjusted = holm([found[name][0] for name in others])
    return {
        name: Significance(
            p, found[name][1], "cannot tell" if p > 1 - CONFIDENCE else "better" if found[name][1] > 0.5 else "worse"
        )
        for name, p in zip(others, adjusted, strict=True)
    }


def holm(values: Sequence[float]) -> list[float]:
    """P values adjusted for their number (Holm 1979, "A Simple Sequentially Rejective Multiple Test Procedure")."""
    adjusted, highest = [0.0] * len(values), 0.0
    for rank, i in enumerate(sorted(range(len(values)), key=values.__getitem__)):
        highest = max(highest, min(1.0, values[i] * (len(values) - rank)))
        adjusted[i] = highest
    return adjusted


def ranks(values: Mapping[str, float]) -> dict[str, float]:
    """Rank 1 for the least; equal values share the mean of their ranks."""
    ordered = sorted(values.values())
    return {name: 1 + ordered.index(v) + (ordered.count(v) - 1) / 2 for name, v in values.items()}
