"""Bayesian optimization with a Gaussian process over architectures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Any, ClassVar, final

import numpy as np
from numpy.typing import NDArray

from morphogen.predictors.gaussian_process import Parameters, Posterior, fit_parameters
from morphogen.predictors.kernel import Kernel, Points
from morphogen.predictors.layout import layout
from morphogen.space import Architecture, Space
from morphogen.strategies.acquisition import (
    Candidates,
    fullest,
    log_expected_improvement,
    most_promising,
    novel,
    representative,
    squashed,
)
from morphogen.trial import Proposal, Trial

__all__ = ["Bayesian"]

Array = NDArray[np.float64]


@final
@dataclass
class Bayesian:
    """A Gaussian process over architectures; the one of the largest expected improvement is next, none twice.

    Jones et al. 1998 (expected improvement); Kandasamy et al. 2018, NASBOT (arXiv:1802.07191), and Ru et
    al. 2021, NAS-BOWL (arXiv:2006.07556), for architectures. The kernel learns how similar options are
    (`predictors/kernel.py`).

    Differs: losses are squashed by a monotone transform; a small space is enumerated, one architecture of
    each identity; in a large one, candidates are found by climbing on the acquisition. Pending trials count
    as if they came out as expected ("kriging believer", Ginsbourger et al. 2010). The process is
    conditioned on the best and the latest trials where there are many.

    Args:
        space: Where to search.
        startup: How many trials are random before the model proposes.
        patience: After so many trials without a better one, deviations count double every other time; after twice as
            many, three times.
        points: The most trials that the process is conditioned on.
        fitted: The most trials that its parameters are fitted to.
    """

    multi_fidelity: ClassVar[bool] = True  # of several fidelities, the fullest with enough trials is modeled

    space: Space
    startup: int = 5
    patience: int = 10
    points: int = 256
    fitted: int = 96
    told: list[Trial] = field(default_factory=list, init=False)
    seen: set[bytes] = field(default_factory=set, init=False)
    _cache: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.patience < 1:
            raise ValueError(f"patience={self.patience} must be 1 or more")
        if self.startup < 2 or self.points < self.startup or self.fitted < 2:
            raise ValueError(
                f"startup={self.startup} and fitted={self.fitted} must be 2 or more, "
                f"points={self.points} not below startup"
            )

    def __getstate__(self) -> dict[str, Any]:
        # the cache follows from what was told
        return {**self.__dict__, "_cache": {}}

    def tell(self, trial: Trial, rng: np.random.Generator) -> None:
        if trial.architecture is not None:
            self.told.append(trial)
            self.seen.add(self.space.identity(trial.architecture))

    def ask(self, pending: Sequence[Trial], rng: np.random.Generator) -> Proposal | None:
        waiting = [t.architecture for t in pending if t.architecture is not None]
        taken = self.seen | {self.space.identity(a) for a in waiting}
        found: Architecture | None = None
        trials = fullest(self.told, self.startup)
        if len(trials) >= self.startup and sum(isfinite(t.loss) for t in trials) >= 2:
            found = self._most_promising(trials, waiting, taken, rng)
        if found is None:
            found = novel(self.space, taken, rng)
        return None if found is None else Proposal(found)

    def _most_promising(
        self, trials: list[Trial], waiting: list[Architecture], taken: set[bytes], rng: np.random.Generator
    ) -> Architecture | None:
        kernel: Kernel = self._cached("kernel", lambda: Kernel(layout(self.space)))
        parameters = self._parameters(kernel, trials)
        losses = squashed(trials)
        data, values = self._data(kernel, trials, losses, self.points)
        posterior = Posterior(kernel, parameters, data, values)
        if waiting:
            believed = kernel.points(kernel.layout.read(waiting))
            mean, _ = posterior.mean(believed)
            posterior = Posterior(kernel, parameters, data.and_then(believed), np.concatenate([values, mean]))
        incumbent = float(values.min())
        wider = self._wider(losses, len(waiting))

        def acquisition(candidates: Candidates) -> Array:
            points = candidates.points(kernel)
            mean, cross = posterior.mean(points)
            return log_expected_improvement(mean, wider * posterior.deviation(points, cross), incumbent)

        good = [a for i in np.argsort(losses, kind="stable")[:20] if (a := trials[i].architecture) is not None]
        return most_promising(kernel.layout, acquisition, good, taken, rng)

    def _wider(self, losses: Array, waiting: int) -> float:
        """What deviations are multiplied by: more the longer nothing better was found, every other time.

        Parameters of the largest likelihood make a process too sure of itself, above all where it has seen little but
        the surroundings of one local optimum.
        """
        n = len(losses)
        stale = n - 1 - int(np.argmin(losses))
        return 1.0 if (n + waiting) % 2 else 1.0 + min(stale / self.patience, 2.0)

    def _parameters(self, kernel: Kernel, trials: list[Trial]) -> Parameters:
        """Fitted anew at fixed counts, so that they are a function of what was told then."""
        n = len(trials)
        count = n - (n % 2 if n < 50 else n % 5 if n < 200 else n % 20)
        count = max(count, self.startup)
        if sum(isfinite(t.loss) for t in trials[:count]) < 2:
            count = n

        def fit() -> Parameters:
            losses = squashed(trials[:count])
            return fit_parameters(kernel, *self._data(kernel, trials, losses, self.fitted))

        parameters: Parameters = self._cached(f"parameters {count} {trials[count - 1].id}", fit, only="parameters")
        return parameters

    @staticmethod
    def _data(kernel: Kernel, trials: list[Trial], losses: Array, most: int) -> tuple[Points, Array]:
        """At most so many trials and their losses, with mean 0 and variance 1."""
        chosen = representative(losses, most)
        architectures = [a for i in chosen if (a := trials[i].architecture) is not None]
        values = losses[chosen] - losses[chosen].mean()
        return kernel.points(kernel.layout.read(architectures)), values / (float(values.std()) or 1.0)

    def _cached(self, key: str, make: Any, only: str = "") -> Any:
        """What follows from what was told, kept; of those that start with `only` the last one."""
        if key not in self._cache:
            made = make()
            for old in [k for k in self._cache if only and k.startswith(only)]:
                del self._cache[old]
            self._cache[key] = made
        return self._cache[key]
