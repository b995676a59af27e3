"""What strategies with Gaussian processes share: the trials, when a model proposes, and how it is fitted to them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from morphogen.predictors.gaussian_process import Parameters, Posterior, fit_parameters
from morphogen.predictors.kernel import Kernel
from morphogen.predictors.layout import States, layout
from morphogen.space import Architecture, Space
from morphogen.strategies.acquisition import fullest, novel, representative
from morphogen.trial import Proposal, Trial

__all__ = ["Modeled", "architectures"]

Array = NDArray[np.float64]
Fit = tuple[tuple[int, int], Kernel, Parameters]
Promising = Callable[[list[Trial], list[Architecture], set[bytes], np.random.Generator], Architecture | None]
"""What a model proposes, given trials, architectures that are waited for, identities that are taken, and randomness."""


@final
@dataclass
class Modeled:
    """The trials that are modeled, those of the fullest fidelity that has enough. Nothing is proposed twice.

    Args:
        space: Where to search.
        startup: How many trials are random before the model proposes.
        points: The most trials that a process is conditioned on.
        fitted: The most trials that its parameters are fitted to.
        every: After so many more trials they are fitted anew: below 50 trials, below 200, and beyond.
        whole: The kernels to choose from, by the `whole` of `Kernel`.
        objectives: So many objectives are modeled, the first ones; None: all.
        losses: What is modeled of trials, for an objective.
    """

    space: Space
    startup: int
    points: int
    fitted: int
    every: tuple[int, int, int]
    whole: tuple[bool, ...]
    objectives: int | None
    losses: Callable[[list[Trial], int], Array]
    trials: list[Trial] = field(default_factory=list, init=False)
    seen: set[bytes] = field(default_factory=set, init=False)
    _fits: dict[int, Fit] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.startup < 2 or self.points < self.startup or self.fitted < 2:
            raise ValueError(
                f"startup={self.startup} and fitted={self.fitted} must be 2 or more, "
                f"points={self.points} not below startup"
            )

    def __getstate__(self) -> dict[str, Any]:
        # the fits follow from what was told
        return {**self.__dict__, "_fits": {}}

    def tell(self, trial: Trial) -> None:
        """Add a trial; a supernet's is passed over."""
        if trial.architecture is not None:
            self.trials.append(trial)
            self.seen.add(self.space.identity(trial.architecture))

    def worked(self, trial: Trial) -> bool:
        """Whether it has losses that can be modeled."""
        return bool(trial.losses) and all(map(isfinite, trial.losses[: self.objectives]))

    def ask(self, pending: Sequence[Trial], promising: Promising, rng: np.random.Generator) -> Proposal | None:
        """What the model finds where there is enough to model, else something new at random; None: nothing is left."""
        waiting = [t.architecture for t in pending if t.architecture is not None]
        taken = self.seen | {self.space.identity(a) for a in waiting}
        trials = fullest(self.trials, self.startup)
        enough = len(trials) >= self.startup and sum(map(self.worked, trials)) >= 2
        found = promising(trials, waiting, taken, rng) if enough else None
        if found is None:
            found = novel(self.space, taken, rng)
        return None if found is None else Proposal(found)

    def posterior(
        self, trials: list[Trial], data: States, values: Array, waiting: list[Architecture], objective: int = 0
    ) -> tuple[Posterior, Array]:
        """A process for which what is waited for came out as expected ("kriging believer"), and what is expected."""
        kernel, parameters = self._fit(trials, objective)
        points, more = kernel.points(data), kernel.points(kernel.layout.read(waiting))
        found = Posterior(kernel, parameters, points, values)
        mean, _ = found.mean(more)
        if waiting:
            found = Posterior(kernel, parameters, points.and_then(more), np.concatenate([values, mean]))
        return found, mean

    def standardized(self, trials: list[Trial], losses: Array, most: int) -> tuple[States, Array]:
        """At most so many of the trials that have losses here, and these, with mean 0 and variance 1."""
        chosen = representative(losses, most)
        values = losses[chosen] - losses[chosen].mean()
        return layout(self.space).read(architectures(trials, chosen)), values / (float(values.std()) or 1.0)

    def _fit(self, trials: list[Trial], objective: int) -> tuple[Kernel, Parameters]:
        """The likeliest kernel and its parameters, fitted anew at fixed counts: a function of what was told then."""
        n = len(trials)
        count = max(n - n % self.every[0 if n < 50 else 1 if n < 200 else 2], self.startup)
        if sum(map(self.worked, trials[:count])) < 2:
            count = n
        key = count, trials[count - 1].id
        if objective not in self._fits or self._fits[objective][0] != key:
            states, values = self.standardized(trials, self.losses(trials[:count], objective), self.fitted)
            kernels = [Kernel(layout(self.space), whole) for whole in self.whole]
            found = [(key, k, fit_parameters(k, k.points(states), values)) for k in kernels]
            self._fits[objective] = max(found, key=lambda fit: fit[2].likelihood)  # the first of equals
        return self._fits[objective][1:]


def architectures(trials: Sequence[Trial], which: Iterable[int]) -> list[Architecture]:
    """The architectures of some of the trials."""
    return [a for i in which if (a := trials[i].architecture) is not None]
