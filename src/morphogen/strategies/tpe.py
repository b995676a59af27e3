"""The tree-structured Parzen estimator."""

from __future__ import annotations

import math
from bisect import insort
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import final

import numpy as np
from numpy.typing import NDArray

from morphogen.moves import mutate
from morphogen.predictors.layout import Block, Layout, States, layout
from morphogen.space import Architecture, Space
from morphogen.strategies.acquisition import novel
from morphogen.trial import Proposal, Trial

__all__ = ["Tpe"]

Array = NDArray[np.float64]
Ranked = tuple[float, float, int, Trial]
"""Violation, loss, id: trials of one fidelity in order, the best first."""


@final
@dataclass
class Tpe:
    """Two densities over architectures, of the good trials and of the others; the largest ratio of them is next.

    Bergstra et al. 2011, "Algorithms for Hyper-Parameter Optimization" (NIPS), section 4: the expected improvement rises with
    `l(x) / g(x)` (eq. 3), over candidates drawn from `l`. The densities are multivariate, a product kernel on each trial
    (Aitchison & Aitken 1976), as in Falkner et al. 2018, BOHB (arXiv:1807.01774), section 3.2, and Optuna's.

    Differs: options that are numbers are smoothed towards their neighbors, subsets are read element by element, and a
    choice that does not exist in a candidate has no part in its densities. What was told is not proposed again. Pending
    trials count as not good. Of several fidelities, the fullest that has enough trials is modeled (BOHB).

    Args:
        space: Where to search.
        startup: How many trials are random.
        candidates: How many architectures are drawn from the good density.
        good: The part of the trials that is good, `gamma` of the paper.
        most_good: The most trials that are good.
        prior: How many trials the uniform prior counts as.
        modeled: The most trials in the density of the others: the latest.
    """

    space: Space
    startup: int = 10
    candidates: int = 64
    good: float = 0.1
    most_good: int = 25
    prior: float = 1.0
    modeled: int = 256
    width: float = 0.0
    ranked: dict[tuple[tuple[str, float], ...], list[Ranked]] = field(default_factory=dict, init=False)
    seen: set[bytes] = field(default_factory=set, init=False)
    told: int = field(default=0, init=False)

    def tell(self, trial: Trial, rng: np.random.Generator) -> None:
        self.told += 1
        if trial.architecture is not None:
            key = tuple(sorted(trial.proposal.fidelity.items()))
            insort(self.ranked.setdefault(key, []), (trial.violation, trial.loss, trial.id, trial))
            self.seen.add(self.space.identity(trial.architecture))

    def ask(self, pending: Sequence[Trial], rng: np.random.Generator) -> Proposal | None:
        waiting = [t.architecture for t in pending if t.architecture is not None]
        taken = {self.space.identity(a) for a in waiting}
        ranked = self._fullest()
        if ranked is None:
            found = novel(self.space, self.seen | taken, rng)
            return None if found is None else Proposal(found)
        l = layout(self.space)
        n = min(math.ceil(self.good * len(ranked)), self.most_good)
        good = l.read([r[-1].architecture for r in ranked[:n]])
        others = sorted(ranked[n:], key=lambda r: r[2])[-self.modeled :]
        bad = l.read([r[-1].architecture for r in others] + waiting)
        below, above = Density(l, good, self.prior, self.width), Density(l, bad, self.prior, self.width)
        drawn = np.unique(below.draw(self.candidates, rng), axis=0)
        drawn = drawn[l.feasible(drawn)]
        ratio = below(drawn) - above(drawn)
        for a in l.architectures(drawn[np.argsort(-ratio, kind="stable")]):
            i = self.space.identity(a)
            if i not in self.seen and i not in taken:
                return Proposal(a)
        found = novel(self.space, self.seen | taken, rng)
        return None if found is None else Proposal(found)

    def _fullest(self):
        return next((r for r in self.ranked.values() if len(r) >= self.startup), None)


class Density:
    def __init__(self, layout, centers, prior, width):
        self.layout, self.centers, self.prior = layout, centers, prior
        n = len(centers)
        self.tables = []
        for b in layout.blocks:
            if b.choice.single:
                o = [b.choice.options.index(x) for x in b.choice.pickable]
                k = len(o); size = len(b.choice.options)+1
                at = np.array(o)+1
            else:
                k, size, at = 2, 3, np.array([1, 2])
            off = prior / max(n,1) if not width else width/k
            K = np.full((k,k), off) + np.eye(k)
            if b.choice.ordered and b.choice.single:
                d = np.abs(np.subtract.outer(np.arange(k), np.arange(k)))
                K = np.exp(-d/ max(k/6*1.0,.5))*(1 if True else 0) + off
            K /= K.sum(1, keepdims=True)
            T = np.zeros((size,size)); T[:, 1:] = 1e-300; T[0, at] = 1/k; T[np.ix_(at,at)] = K; T[:,0]=1
            self.tables.append(T)
    def __call__(self, x):
        total = np.zeros((len(x), len(self.centers)))
        uniform = np.zeros(len(x))
        for b, T in zip(self.layout.blocks, self.tables):
            lt = np.log(T)
            for c in range(b.at, b.at+b.width):
                total += lt[self.centers[:, c][None, :], x[:, c][:, None]]
                uniform += lt[0, x[:, c]]
        return np.logaddexp.reduce(np.concatenate([total, (uniform + np.log(self.prior))[:, None]], 1), axis=1) - np.log(len(self.centers) + self.prior)
    def draw(self, m, rng):
        i = rng.integers(len(self.centers)+1, size=m)
        x = np.concatenate([self.centers, np.zeros((1,self.centers.shape[1]),np.uint8)])[i]
        for b, T in zip(self.layout.blocks, self.tables):
            if not b.choice.single and b.choice.bounds != (0, b.width):
                continue
            for c in range(b.at, b.at+b.width):
                cum = T[:,1:].cumsum(1); cum/=cum[:,-1:]
                x[:, c] = 1 + (rng.random(m)[:,None] > cum[x[:,c]]).sum(1)
        # drop inactive
        for b in self.layout.blocks:
            x[~self.layout.active(b, x), b.columns] = 0
        return self.layout.settle(x, rng)
