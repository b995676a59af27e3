"""Many objectives at once: fronts, crowding and the hypervolume, on arrays of losses."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["crowding", "fronts", "hypervolume"]

Array = NDArray[np.float64]


def fronts(losses: ArrayLike, violations: ArrayLike | None = None) -> NDArray[np.int64]:
    """The front of each row of `losses[n, objectives]`: 0 where nothing dominates it, 1 where only front 0 does, ...

    Deb et al. 2002, "A Fast and Elitist Multiobjective Genetic Algorithm: NSGA-II" (IEEE TEC 6:2), sections III-A and
    VI-A: a smaller violation dominates; where neither has one, losses do.
    """
    values = np.asarray(losses, float)
    over = np.zeros(len(values)) if violations is None else np.asarray(violations, float)
    better = (values[:, None] <= values[None]).all(-1) & (values[:, None] < values[None]).any(-1)
    within = over <= 0
    dominates = (over[:, None] < over[None]) | (within[:, None] & within[None] & better)
    ranks = np.full(len(values), -1)
    dominators = dominates.sum(0)
    rank = 0
    while (ranks < 0).any():
        front = (ranks < 0) & (dominators == 0)
        ranks[front] = rank
        dominators = dominators - dominates[front].sum(0)
        rank += 1
    return ranks


def crowding(losses: ArrayLike) -> Array:
    """How far the neighbors of each row of one front are apart, summed over objectives; infinite at the ends.

    Deb et al. 2002, section III-B. An objective in which all rows are equal counts for nothing.
    """
    values = np.asarray(losses, float)
    distance = np.zeros(len(values))
    for column in values.T:
        order = np.argsort(column, kind="stable")
        in_order = column[order]
        spread = in_order[-1] - in_order[0] if len(order) else 0.0
        if not 0 < spread < np.inf:
            continue
        distance[order[[0, -1]]] = np.inf
        distance[order[1:-1]] += (in_order[2:] - in_order[:-2]) / spread
    return distance


def hypervolume(losses: ArrayLike, reference: Sequence[float]) -> float:
    """The volume that rows of `losses[n, objectives]` dominate, up to a reference point. Exact.

    Zitzler & Thiele 1998; computed by slices along the last objective (Knowles 2002), `O(n log n)` for two objectives
    and `O(n^2 log n)` for three. Rows that are not better than the reference everywhere count for nothing.

    Raises:
        ValueError: Another number of objectives than the reference has.
    """
    corner = np.asarray(reference, float)
    values = np.asarray(losses, float).reshape(-1, len(corner)) if np.size(losses) == 0 else np.asarray(losses, float)
    if values.ndim != 2 or values.shape[1] != len(corner):
        raise ValueError(f"losses of shape {values.shape} do not go with a reference of {len(corner)} objectives")
    return _volume(values[(values < corner).all(1)], corner)


def _volume(values: Array, corner: Array) -> float:
    if not len(values):
        return 0.0
    if len(corner) == 1:
        return float(corner[0] - values.min())
    values = values[np.argsort(values[:, -1], kind="stable")]
    depths = np.diff(np.append(values[:, -1], corner[-1]))
    if len(corner) == 2:
        widths = corner[0] - np.minimum.accumulate(values[:, 0])
        return float(widths @ depths)
    return sum(_volume(values[: i + 1, :-1], corner[:-1]) * float(d) for i, d in enumerate(depths) if d > 0)
