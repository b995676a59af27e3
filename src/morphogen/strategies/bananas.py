"""BANANAS: Bayesian optimization with an ensemble of neural networks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Any, final

import numpy as np

from morphogen.moves import mutate
from morphogen.predictors import MlpEnsemble, Predictor
from morphogen.space import Architecture, Space
from morphogen.strategies.acquisition import fullest, novel, squashed
from morphogen.trial import Proposal, Trial

__all__ = ["Bananas"]


@final
@dataclass
class Bananas:
    """An ensemble predicts; the best by independent Thompson sampling among mutations of the best is next.

    White et al. 2021, "BANANAS: Bayesian Optimization with Neural Architectures for Neural Architecture
    Search" (arXiv:1910.11858), Algorithm 1.

    Differs: candidates are mutated from the best ten, not the best one; proposals come one at a time,
    between two fits as in a batch of the paper; losses are squashed by a monotone transform; no network is
    asked twice.

    Args:
        space: Where to search.
        startup: Random trials before the ensemble is fitted, t0 of the paper.
        every: The ensemble is fitted each time so many more were told, k of the paper.
        candidates: How many mutations are compared, c of the paper.
        parents: From how many of the best they are mutated.
        points: The most trials that are fitted to, the latest.
    """

    space: Space
    startup: int = 10
    every: int = 10
    candidates: int = 100
    parents: int = 10
    points: int = 500
    told: list[Trial] = field(default_factory=list, init=False)
    seen: set[bytes] = field(default_factory=set, init=False)
    seeds: list[int] = field(default_factory=list, init=False)
    _cache: dict[tuple[int, int, int], Predictor] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if min(self.startup, self.every, self.candidates, self.parents) < 1 or self.points < self.parents:
            raise ValueError("startup, every, candidates and parents are 1 or more, points not below parents")

    def __getstate__(self) -> dict[str, Any]:
        # the ensemble follows from what was told
        return {**self.__dict__, "_cache": {}}

    def tell(self, trial: Trial, rng: np.random.Generator) -> None:
        if trial.architecture is None:
            return
        self.told.append(trial)
        self.seen.add(self.space.identity(trial.architecture))
        if len(self.told) % self.every == 0 or len(self.told) == self.startup:
            self.seeds.append(int(rng.integers(2**63)))

    def surrogate(self) -> MlpEnsemble:
        """The ensemble."""
        return MlpEnsemble(self.space)

    def ask(self, pending: Sequence[Trial], rng: np.random.Generator) -> Proposal | None:
        taken = self.seen | {self.space.identity(t.architecture) for t in pending if t.architecture is not None}
        trials = fullest(self.told, self.startup)
        found: Architecture | None = None
        if len(trials) >= self.startup and self.seeds and sum(isfinite(t.loss) for t in trials) >= 2:
            found = self._sampled(trials, taken, rng)
        if found is None:
            found = novel(self.space, taken, rng)
        return None if found is None else Proposal(found)

    def _sampled(self, trials: list[Trial], taken: set[bytes], rng: np.random.Generator) -> Architecture | None:
        ranked = sorted(trials, key=lambda t: (t.violation, t.loss, t.id))
        parents = [t.architecture for t in ranked[: self.parents] if t.architecture is not None]
        candidates: dict[bytes, Architecture] = {}
        # around good architectures most neighbors may be taken: then further away, a step each time
        for attempt in range(3 * self.candidates):
            if len(candidates) >= self.candidates:
                break
            child = parents[int(rng.integers(len(parents)))]
            for _ in range(1 + attempt // self.candidates):
                try:
                    child = mutate(child, rng)
                except ValueError:  # the space has one architecture only
                    return None
            if (identity := self.space.identity(child)) not in taken:
                candidates.setdefault(identity, child)
        if not candidates:
            return None
        mean, deviation = self._ensemble(trials).predict(list(candidates.values()))
        # independent Thompson sampling, section 4: one draw a candidate from its own marginal
        return list(candidates.values())[int(np.argmin(rng.normal(mean, np.maximum(deviation, 1e-9))))]

    def _ensemble(self, trials: list[Trial]) -> Predictor:
        """Fitted to what was told at the last multiple of `every`: a function of what was told."""
        n = len(trials)
        count = max(n - n % self.every, min(self.startup, n))
        if sum(isfinite(t.loss) for t in trials[:count]) < 2:
            count = n
        key = count, trials[count - 1].id, self.seeds[-1]
        if key not in self._cache:
            known = trials[:count]
            values = squashed(known)[-self.points :]
            ensemble = self.surrogate()
            architectures = [t.architecture for t in known[-self.points :] if t.architecture is not None]
            ensemble.fit(architectures, values, np.random.default_rng(self.seeds[-1]))
            self._cache.clear()
            self._cache[key] = ensemble
        return self._cache[key]
