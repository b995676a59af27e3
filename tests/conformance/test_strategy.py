"""Every strategy that morphogen exports keeps the laws; a new one has to be named here or the first test fails."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from morphogen import strategies
from morphogen.predictors.recurrent import Ensemble
from morphogen.protocols import Strategy
from morphogen.space import Space
from morphogen.strategies import Deduplicated, Each, Ppo, Progressive, RandomSearch, RegularizedEvolution, Reinforce
from morphogen.testing import StrategySuite
from morphogen.trial import Proposal
from probes.asha import Asha
from probes.generational import Generational
from probes.policy import Policy


def each(space: Space) -> Each:
    return Each([Proposal(space.sample(np.random.default_rng(i))) for i in range(40)])


MAKERS: dict[str, Callable[[Space], Strategy]] = {
    "Asha": strategies.Asha,
    "Bananas": lambda space: strategies.Bananas(space, startup=6, every=8, candidates=20),
    "Bayesian": strategies.Bayesian,
    "CurveStopping": lambda space: strategies.CurveStopping(space, warm_up=3),
    "Deduplicated": lambda space: Deduplicated(RegularizedEvolution(space, 10, 3), space),
    "Each": each,
    "Ehvi": strategies.Ehvi,
    "Genetic": lambda space: strategies.Genetic(space, population_size=10, tournament_size=3),
    "Grid": strategies.Grid,
    "HillClimbing": strategies.HillClimbing,
    "Hyperband": strategies.Hyperband,
    "LocalSearch": strategies.LocalSearch,
    "Nsga2": lambda space: strategies.Nsga2(space, population_size=10),
    "Ppo": lambda space: Ppo(space, hidden=8, minibatch=10),
    "Progressive": lambda space: Progressive(space, beam=8, predictor=Ensemble(space, members=2, steps=20)),
    "RandomSearch": RandomSearch,
    "RegularizedEvolution": lambda space: RegularizedEvolution(space, population_size=10, tournament_size=3),
    "Reinforce": lambda space: Reinforce(space, hidden=8, children=4),
    "Screening": lambda space: strategies.Screening(space, lowest=3, first=12),
    "Tpe": strategies.Tpe,
}
FEW = {"Bananas": 24, "Bayesian": 24, "Ehvi": 24, "Screening": 24}
"""Fewer trials for those that fit a model to every answer."""
PROBES: dict[str, Callable[[Space], Strategy]] = {"AshaProbe": Asha, "Policy": Policy, "Generational": Generational}


def test_every_exported_strategy_is_under_the_laws() -> None:
    assert sorted(strategies.__all__) == sorted(MAKERS)


@pytest.mark.parametrize("name", sorted(MAKERS | PROBES))
class TestStrategies(StrategySuite):
    @pytest.fixture(autouse=True)
    def _named(self, name: str) -> None:
        self.name = name
        self.trials = FEW.get(name, StrategySuite.trials)

    def make(self, space: Space) -> Strategy:
        return (MAKERS | PROBES)[self.name](space)
