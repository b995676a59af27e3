"""The covariance of two architectures, with learned similarity of options.

Three parts, each with a learned variance:

- *product*: `exp(-sum_c w_c |z_a - z_b|^2)` over columns c, where z embeds the states of a column. Choices
  that have the same options share one embedding (an operation is much the same on every edge), each column
  has its own weight w;
- *main effects*: the dot product of the same embeddings, `sum_c w_c z_a z_b`: what an option adds wherever
  it is picked;
- *bag*: `exp(-l |f_a - f_b|^2)` of square roots of counts: paths of operations where the space is made of
  cells, else options.

Embeddings start where all states are equally far apart (a line, where options are ordered) and move as far
as the data and a Gaussian prior let them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, final

import numpy as np
from numpy.typing import NDArray

from morphogen.predictors.encodings import Counts, Paths, live, matrix, paths_or_one_hot, vocabulary
from morphogen.predictors.layout import Layout, States

__all__ = ["Kernel", "Points", "Seen"]

Array = NDArray[np.float64]

MAX_EMBEDDED = 8
"""Options are embedded in at most so many dimensions."""


@final
@dataclass(frozen=True, slots=True)
class Points:
    """Architectures as the kernel sees them: states without what has no effect, and bags of words."""

    states: States
    words: NDArray[np.uint64]

    def __len__(self) -> int:
        return len(self.states)

    def take(self, which: NDArray[np.int64]) -> Points:
        """Some of them, by their indexes."""
        return Points(self.states[which], self.words[which])

    def and_then(self, others: Points) -> Points:
        """These and others after them."""
        states, words = np.concatenate([self.states, others.states]), np.concatenate([self.words, others.words])
        return Points(states, words)


class Seen(NamedTuple):
    """What the likelihood of a data set needs, computed once for it."""

    points: Points
    hot: Array
    """One-hot states, `(n, sum of states over columns)`."""
    bag_distances: Array
    scale: float


@final
@dataclass(frozen=True)
class _Group:
    """Columns that share an embedding, and where it starts from: `(states, dimensions)`."""

    columns: tuple[int, ...]
    start: Array
    at: int
    spread: float


@final
class Kernel:
    """The covariance over the architectures of a space. Holds no data and no parameters: these are a vector `theta`.

    Args:
        layout: Of the space.
        whole: Whether it sees decisions that have no effect on what a network computes, and counts options instead of
            paths: these cost time and memory all the same.
    """

    def __init__(self, layout: Layout, whole: bool = False) -> None:
        space = layout.space
        self.layout, self.whole = layout, whole
        bag = paths_or_one_hot(space)
        self._bag: Paths | Counts = bag if isinstance(bag, Paths) and not whole else Counts(space)
        # a column of a subset says "not there", "not picked" or "picked"; what that means differs from choice to choice
        keys: dict[tuple[bool, tuple[str, ...]], list[int]] = {}
        for b in layout.blocks:
            key = (b.choice.ordered, b.choice.options) if b.choice.single else (False, ("subset", b.choice.name))
            keys.setdefault(key, []).extend(range(b.at, b.at + b.width))
        self.width = layout.width
        self.groups: list[_Group] = []
        at = self.width
        for (ordered, options), columns in keys.items():
            # two names for the two states of a subset's columns make the count right here, too
            start = _line(len(options)) if ordered else _simplex(len(options) + 1)
            self.groups.append(_Group(tuple(columns), start, at, 0.15 if ordered else 0.6))
            at += start.size
        # after weights and embeddings: log variances of the three parts, log bag scale, log noise
        self.variances, self.bag_scale, self.noise = at, at + 3, at + 4
        self.size = at + 5
        self.offsets = np.zeros(self.width, int)
        offset = 0
        for group in self.groups:
            for column in group.columns:
                self.offsets[column] = offset
                offset += len(group.start)
        self.hot_width = offset
        self.start = np.zeros(self.size)
        self.spread = np.ones(self.size)
        self.start[: self.width] = np.log(2.0 / np.sqrt(max(self.width, 1)))
        for g in self.groups:
            self.start[g.at : g.at + g.start.size] = g.start.ravel()
            self.spread[g.at : g.at + g.start.size] = g.spread
        self.start[self.variances : self.bag_scale] = np.log([0.5, 0.1, 0.5])
        self.start[self.noise] = np.log(0.01)

    def points(self, states: States) -> Points:
        """What the kernel sees of architectures, from their layout's states."""
        return Points(states if self.whole else live(self.layout.space, states), self._bag.words(states))

    def seen(self, points: Points) -> Seen:
        """Prepare a data set."""
        n = len(points)
        hot = np.zeros((n, self.hot_width))
        for column in range(self.width):
            hot[np.arange(n), self.offsets[column] + points.states[:, column]] = 1.0
        distances = self._bag_distances(points, points)
        # in units of the data's own mean distance, so that the prior of the scale means the same in every space
        mean = float(distances.mean())
        return Seen(points, hot, distances, 2.0 / mean if mean > 0 else 1.0)

    def covariance(self, theta: Array, scale: float, a: Points, b: Points) -> Array:
        """`(len(a), len(b))`, without noise."""
        za, zb = self._embed(theta, a.states), self._embed(theta, b.states)
        product, main, bag = np.exp(theta[self.variances : self.bag_scale])
        dots = za @ zb.T
        # in place: with thousands of candidates, writing new arrays takes longer than computing them
        out: Array = dots * -2.0
        out += (za * za).sum(1)[:, None]
        out += (zb * zb).sum(1)
        _decay(out, 1.0, product)
        dots *= main
        out += dots
        far = self._bag_distances(a, b)
        _decay(far, scale * np.exp(theta[self.bag_scale]), bag)
        out += far
        return out

    def variance(self, theta: Array, points: Points) -> Array:
        """The diagonal of the covariance."""
        product, main, bag = np.exp(theta[self.variances : self.bag_scale])
        z = self._embed(theta, points.states)
        return np.asarray(product + bag + main * (z * z).sum(1))

    def with_gradient(self, theta: Array, seen: Seen) -> tuple[Array, _Back]:
        """The covariance of a data set, and a function from its gradient to that of `theta`."""
        z = self._embed(theta, seen.points.states)
        dots = z @ z.T
        square = np.diag(dots)
        distances = np.maximum(square[:, None] + square[None] - 2.0 * dots, 0.0)
        variances = np.exp(theta[self.variances : self.bag_scale])
        scaled = seen.scale * np.exp(theta[self.bag_scale]) * seen.bag_distances
        parts = variances[0] * np.exp(-distances), variances[1] * dots, variances[2] * np.exp(-scaled)
        return parts[0] + parts[1] + parts[2], _Back(self, theta, seen, parts, float(variances[1]), scaled)

    def _embed(self, theta: Array, states: States) -> Array:
        columns: list[Array] = []
        for g in self.groups:
            table = self._table(theta, g)
            columns += [(np.exp(0.5 * theta[c]) * table)[states[:, c]] for c in g.columns]
        return np.concatenate(columns, axis=1) if columns else np.zeros((len(states), 1))

    @staticmethod
    def _table(theta: Array, group: _Group) -> Array:
        return theta[group.at : group.at + group.start.size].reshape(group.start.shape)

    def _bag_distances(self, a: Points, b: Points) -> Array:
        words = vocabulary(a.words)
        # the squared norm of square roots of counts is the number of items, known words or not
        out: Array = np.sqrt(matrix(a.words, words)) @ np.sqrt(matrix(b.words, words)).T
        out *= -2.0
        out += (a.words != 0).sum(1)[:, None]
        out += (b.words != 0).sum(1)
        return np.maximum(out, 0.0, out=out)


class _Back(NamedTuple):
    kernel: Kernel
    theta: Array
    seen: Seen
    parts: tuple[Array, Array, Array]
    main: float
    scaled: Array

    def __call__(self, by_covariance: Array) -> Array:
        """The gradient by `theta`, from that by the (symmetric) covariance."""
        k = self.kernel
        out = np.zeros(k.size)
        out[k.variances : k.bag_scale] = [float((by_covariance * p).sum()) for p in self.parts]
        out[k.bag_scale] = -float((by_covariance * self.parts[2] * self.scaled).sum())
        by_distance = -by_covariance * self.parts[0]
        # d2 = |a|^2 + |b|^2 - 2ab, so all goes through the dot products: S[p, q] sums over pairs in states p and q
        by_dot = self.main * by_covariance - 2.0 * by_distance
        by_square = by_distance.sum(1) * 2.0
        through = by_dot @ self.seen.hot
        for g in k.groups:
            n = len(g.start)
            table = k._table(self.theta, g)
            by_table = np.zeros_like(table)
            for c in g.columns:
                hot = slice(k.offsets[c], k.offsets[c] + n)
                pairs = self.seen.hot[:, hot].T @ through[:, hot]
                single = by_square @ self.seen.hot[:, hot]
                weight = np.exp(self.theta[c])
                # by weight: sum pairs z_p z_q + sum single |z_p|^2
                moved = pairs @ table
                out[c] = weight * float((moved * table).sum() + (single * (table * table).sum(1)).sum())
                by_table += weight * (moved + pairs.T @ table + 2.0 * single[:, None] * table)
            out[g.at : g.at + g.start.size] += by_table.ravel()
        return out


def _decay(distances: Array, rate: float, variance: float) -> None:
    """`variance * exp(-rate * distances)`, in place."""
    np.maximum(distances, 0.0, out=distances)
    distances *= -rate
    np.exp(distances, out=distances)
    distances *= variance


def _simplex(states: int) -> Array:
    """Points at distance 1 from each other, in fewer dimensions than points where there are many."""
    if states <= MAX_EMBEDDED + 1:
        return np.asarray(np.eye(states) / np.sqrt(2.0))
    points = np.random.default_rng(0).standard_normal((states, MAX_EMBEDDED))
    return np.asarray(points / np.linalg.norm(points, axis=1, keepdims=True) / np.sqrt(2.0))


def _line(options: int) -> Array:
    """Ordered options on a line of length 1.5, "does not exist" off it: `(1 + options, 2)`."""
    out = np.zeros((options + 1, 2))
    out[1:, 0] = np.linspace(-0.75, 0.75, options) if options > 1 else 0.0
    out[0, 1] = 0.7
    return out
