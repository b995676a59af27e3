"""A strategy on its own: asked and told, one trial after the other."""

from collections.abc import Callable, Mapping

import numpy as np

from morphogen.protocols import Strategy
from morphogen.space import Architecture
from morphogen.trial import Outcome, Trial


def searched(
    strategy: Strategy,
    losses: Callable[[Architecture], float | tuple[float, ...]],
    trials: int,
    seed: int = 0,
    metrics: Mapping[str, float] | None = None,
) -> list[Trial]:
    """What it proposes, as trials with these losses, until it proposes nothing."""
    told: list[Trial] = []
    for id in range(trials):
        proposal = strategy.ask([], np.random.default_rng((seed, id, 0)))
        if proposal is None:
            break
        assert proposal.architecture is not None
        found = losses(proposal.architecture)
        found = found if isinstance(found, tuple) else (found,)
        told.append(Trial(id, "search", proposal, Outcome(metrics or {}), found))
        strategy.tell(told[-1], np.random.default_rng((seed, id, 1)))
    return told
