"""Two cells, found by aging evolution."""

from __future__ import annotations

from functools import partial

from morphogen.methods.black_box import black_box, horizon
from morphogen.methods.one_shot import Setting
from morphogen.protocols import Phase, Strategy
from morphogen.space import Space
from morphogen.strategies import Deduplicated, RegularizedEvolution

__all__ = ["amoebanet"]

POPULATION, SHARE = 100, 0.25
GENERATIONS = 4
"""A population is at most one of so many parts of the trials, or there is little evolution."""


def amoebanet(
    setting: Setting, *, population_size: int | None = None, tournament_size: int | None = None
) -> list[Phase]:
    """Mutate the best of a random tournament of normal and reduction cells; retire the oldest.

    Real et al. 2019, "Regularized Evolution for Image Classifier Architecture Search" (arXiv:1802.01548), section 3: a
    population of 100, tournaments of 25, 20,000 models.

    **Differs**: with fewer than 400 trials the population is a quarter of them, a tournament a quarter of that (where
    only time ends the search, as in one of 64 trials); a mutation changes one decision, any with equal probability (the
    paper: an input or an operation, and with 5 % nothing); isomorphic cells are not trained again.

    Args:
        setting: What it is given.
        population_size: P of the paper.
        tournament_size: S of the paper.
    """
    population = population_size or min(POPULATION, max(2, horizon(setting.plan) // GENERATIONS))
    evolution = partial(
        RegularizedEvolution,
        population_size=population,
        tournament_size=tournament_size or max(1, round(SHARE * population)),
    )

    def strategy(space: Space) -> Strategy:
        found: Strategy = Deduplicated(evolution(space), space)
        return found

    strategy(setting.space)  # what cannot be says so now
    return black_box(strategy, setting.space, setting.judges, setting.plan)
