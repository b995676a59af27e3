"""Costs that add up, limits on them, and the least costs of many completions at once."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import final

import numpy as np
import numpy.typing as npt

from morphogen.choice import Pick

__all__ = ["Cost", "Front", "Limit"]

SLACK = 1e-12
MOST_ROWS = 4096
Vector = tuple[float, ...]
"""One cost a limit."""
Rows = npt.NDArray[np.float64]
"""`[vectors, limits]`."""

Literal = tuple[str, str]
"""`(choice, option)`: the choice has picked the option."""


@final
@dataclass(frozen=True)
class Cost:
    """A metric that is a sum of terms, each due where all its literals hold.

    `terms[(("1/width", "64"),)]` is the cost of an option, `terms[(("1/width", "64"), ("2/width", "32"))]` that of a
    pair. A term of infinity forbids what it names.

    Raises:
        ValueError: A term that is NaN or minus infinity, or a base that is not finite.
    """

    metric: str
    terms: Mapping[tuple[Literal, ...], float] = field(hash=False)
    base: float = 0.0

    def __post_init__(self) -> None:
        if not math.isfinite(self.base):
            raise ValueError(f"the cost {self.metric} has the base {self.base}, which is not a finite number")
        for literals, value in self.terms.items():
            if not value > -math.inf:
                raise ValueError(
                    f"the cost {self.metric} is {value} for {literals}; expected a finite number, or inf to forbid it"
                )

    def __call__(self, picks: Mapping[str, Pick]) -> float:
        """The cost of an architecture, given as the picks of its active choices."""
        return self.base + math.fsum(
            value
            for literals, value in self.terms.items()
            if all(option in picks.get(choice, ()) for choice, option in literals)
        )


@final
@dataclass(frozen=True)
class Limit:
    """The most that an additive cost may be. No architecture above it is ever proposed.

    Sums in another order differ in their last bits, so a cost may be above by `SLACK` of the bound (and of the base and
    of negative terms).

    Raises:
        ValueError: A bound that is NaN or minus infinity.
    """

    cost: Cost
    at_most: float

    def __post_init__(self) -> None:
        if not self.at_most > -math.inf:
            raise ValueError(f"the limit of {self.cost.metric} is {self.at_most}; expected a number (inf: no limit)")

    @property
    def room(self) -> float:
        """What the decisions may cost together, that is without what is due for every architecture."""
        return self.at_most - self.cost.base - self.cost.terms.get((), 0.0)

    @property
    def slack(self) -> float:
        """By how much rounding may take the costs of the decisions over `room`."""
        # what is above the bound takes part only where something negative makes up for it
        numbers = (self.at_most, self.cost.base, *(v for v in self.cost.terms.values() if v < 0))
        return SLACK * max(map(abs, numbers))


@final
class Front:
    """The Pareto-least of the cost vectors that the completions of something have, rising in the first cost.

    Exact up to `MOST_ROWS` of them (an eighth for three limits or more); beyond, some are dropped. What stays are costs
    of real completions, so nothing above a limit ever fits, but what is within a hair of several limits may be missed.
    """

    __slots__ = ("_first", "_last", "rows")

    def __init__(self, rows: Rows) -> None:
        self.rows = rows = _least(rows)
        self._first: list[float] = rows[:, 0].tolist()
        self._last: list[float] = rows[:, -1].tolist()

    def fits(self, room: Vector) -> bool:
        """Whether one of the vectors is nowhere above `room`."""
        candidates = bisect_right(self._first, room[0])
        if candidates == 0 or len(room) == 1:
            return candidates > 0
        if len(room) == 2:  # the second cost falls as the first one rises
            return self._last[candidates - 1] <= room[1]
        return bool((self.rows[:candidates] <= room).all(axis=1).any())


def _least(rows: Rows) -> Rows:
    costs = rows.shape[1]
    if costs == 1:
        return rows[[rows[:, 0].argmin()]]
    if costs > 2:
        return _thin(_least_of_many(_thin(rows, MOST_ROWS // 2)), MOST_ROWS // 8)
    rows = rows[np.lexsort((rows[:, 1], rows[:, 0]))]
    before = np.minimum.accumulate(rows[:, 1])[:-1]
    return _thin(rows[np.concatenate(([True], rows[1:, 1] < before))], MOST_ROWS)


def _least_of_many(rows: Rows) -> Rows:
    rows, i = np.unique(rows, axis=0), 0
    while i < len(rows):
        keep = (rows < rows[i]).any(axis=1)
        keep[: i + 1] = True
        rows, i = rows[keep], i + 1
    return rows


def _thin(rows: Rows, most: int) -> Rows:
    """Some of the rows: the least in each cost, and per cell of a grid over the other costs the least in the last."""
    if len(rows) <= most:
        return rows
    first, costs = rows[:, :-1], rows.shape[1]
    side = int(most ** (1 / (costs - 1)) + 1e-9)
    low, high = first.min(axis=0), first.max(axis=0)
    cells = np.minimum((first - low) / np.maximum(high - low, np.finfo(float).tiny) * side, side - 1).astype(int)
    order = np.lexsort((rows[:, -1], *cells.T))
    best = order[np.concatenate(([True], (cells[order][1:] != cells[order][:-1]).any(axis=1)))]
    return np.unique(rows[np.concatenate((best, rows.argmin(axis=0)))], axis=0)
