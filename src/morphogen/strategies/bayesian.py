"""Bayesian optimization with a Gaussian process over architectures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, final

import numpy as np
from numpy.typing import NDArray

from morphogen.predictors.gaussian_process import GaussianProcess
from morphogen.predictors.layout import layout
from morphogen.space import Architecture, Space
from morphogen.strategies.acquisition import Candidates, log_expected_improvement, most_promising, squashed
from morphogen.strategies.modeled import Modeled, architectures
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
    told: Modeled = field(init=False)

    def __post_init__(self) -> None:
        if self.patience < 1:
            raise ValueError(f"patience={self.patience} must be 1 or more")
        self.told = Modeled(self.space, self.startup, self.points, self.fitted, (2, 5, 20), (False,), 1, squashed)

    def tell(self, trial: Trial, rng: np.random.Generator) -> None:
        self.told.tell(trial)

    def surrogate(self) -> GaussianProcess:
        """The same kernel; its parameters are fitted to all that it is shown."""
        return GaussianProcess(self.space)

    def ask(self, pending: Sequence[Trial], rng: np.random.Generator) -> Proposal | None:
        return self.told.ask(pending, self._most_promising, rng)

    def _most_promising(
        self, trials: list[Trial], waiting: list[Architecture], taken: set[bytes], rng: np.random.Generator
    ) -> Architecture | None:
        losses = squashed(trials)
        data, values = self.told.standardized(trials, losses, self.points)
        posterior, _ = self.told.posterior(trials, data, values, waiting)
        incumbent = float(values.min())
        wider = self._wider(losses, len(waiting))

        def acquisition(candidates: Candidates) -> Array:
            points = candidates.points(posterior.kernel)
            mean, cross = posterior.mean(points)
            return log_expected_improvement(mean, wider * posterior.deviation(points, cross), incumbent)

        good = architectures(trials, np.argsort(losses, kind="stable")[:20])
        return most_promising(layout(self.space), acquisition, good, taken, rng)

    def _wider(self, losses: Array, waiting: int) -> float:
        """What deviations are multiplied by: more the longer nothing better was found, every other time.

        Parameters of the largest likelihood make a process too sure of itself, above all where it has seen little but
        the surroundings of one local optimum.
        """
        n = len(losses)
        stale = n - 1 - int(np.argmin(losses))
        return 1.0 if (n + waiting) % 2 else 1.0 + min(stale / self.patience, 2.0)
