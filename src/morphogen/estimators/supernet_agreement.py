"""Whether a supernet ranks architectures as training them alone does."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np

from morphogen.objective import Objective
from morphogen.predictors.calibrated import kendall
from morphogen.protocols import Context, Estimator
from morphogen.space import Architecture, Space
from morphogen.trial import Proposal

__all__ = ["Agreement", "agreement"]


ACCURACY = Objective("accuracy", maximize=True)


@final
@dataclass(frozen=True)
class Agreement:
    """What was compared.

    Args:
        tau: Kendall's, of the two accuracies: 1 the same order, 0 no relation, -1 reversed.
        architectures: Those compared.
        shared: Their accuracies with the supernet's weights.
        alone: Their accuracies, each trained alone.
        sought: What these are, where not accuracies.
    """

    tau: float
    architectures: Sequence[Architecture]
    shared: Sequence[float]
    alone: Sequence[float]
    sought: Objective = ACCURACY


def agreement(
    space: Space,
    supernet: Path,
    shared: Estimator,
    alone: Estimator,
    rng: np.random.Generator,
    *,
    k: int = 8,
    seed: int = 0,
    device: str = "cpu",
    seconds: float | None = None,
    sought: Objective = ACCURACY,
    say: Callable[[str], None] = print,
) -> Agreement:
    """Kendall's tau between accuracies with shared weights and alone, on random architectures.

    Yu et al. 2020, "Evaluating the Search Phase of Neural Architecture Search" (arXiv:1902.08142), section 3. The price
    is said before the first training, and after each the time that is left.

    Args:
        space: Drawn from, without repetition.
        supernet: The folder of the supernet's trial.
        shared: Such as `SupernetAccuracy`.
        alone: Such as `Training`.
        rng: Draws the architectures.
        k: How many.
        seed: Of the trainings; the same for all.
        device: Where.
        seconds: Of one training, where that is known already, for the price.
        sought: What both estimators give, to be compared.
        say: Is told the price, and of every training.

    Raises:
        ValueError: Fewer than two architectures, or more than the space has.
    """
    if not 2 <= k <= space.size:
        raise ValueError(f"k={k} architectures cannot be ranked: expected 2 to {space.size}, all that the space has")
    drawn: dict[Architecture, None] = {}
    while len(drawn) < k:
        drawn[space.sample(rng)] = None
    cost = sum(alone.cost(Proposal(a)) for a in drawn)
    price = f"a cost of {cost:.3g} in all" if seconds is None else f"about {k * seconds:.0f} s in all"
    say(f"comparing the supernet with {k} architectures trained alone: {k} trainings, {price}")
    ours = [
        _judged(shared, Proposal(a, warm_start=0), Context(seed, warm_start=supernet, device=device), sought)
        for a in drawn
    ]
    theirs: list[float] = []
    started = time.monotonic()
    for number, (architecture, with_shared) in enumerate(zip(drawn, ours, strict=True), start=1):
        theirs.append(_judged(alone, Proposal(architecture), Context(seed, device=device), sought))
        left = (k - number) * (time.monotonic() - started) / number
        say(
            f"{number} of {k}: {sought.metric} {theirs[-1]:.4f} alone, {with_shared:.4f} with shared weights; {left:.0f} s left"
        )
    return Agreement(kendall(np.array(ours), np.array(theirs)), tuple(drawn), ours, theirs, sought)


def _judged(estimator: Estimator, proposal: Proposal, context: Context, sought: Objective) -> float:
    """The metric that is sought; a training that fails counts as the worst."""
    return sought.metric_value(sought.loss(estimator(proposal, context)))
