"""The phases that methods are made of."""

from dataclasses import replace

import numpy as np
import pytest

from morphogen.estimators.tabular import Tabular
from morphogen.estimators.toy import ToyTable
from morphogen.methods.pausing import Pausing
from morphogen.methods.phases import RANDOM, SEARCH, SUPERNET, random_arm
from morphogen.trial import Outcome, Proposal, Trial

TABLE = ToyTable()
FIRST = Trial(0, SUPERNET, Proposal(None, {"epochs": 3}, origin={"repeat": 0}))


def told(phase, *seconds):
    return [Trial(id, phase, Proposal(None), Outcome({"loss": 0.5}, seconds=each)) for id, each in enumerate(seconds)]


def test_supernets_pause_and_go_on_side_by_side():
    strategy, rng = Pausing(2, (3, 4)), np.random.default_rng(0)
    first, second = (Trial(id, SUPERNET, strategy.ask(pending, rng)) for id, pending in enumerate(([], [FIRST])))
    assert ({"epochs": 3}, 1) == (second.proposal.fidelity, second.proposal.origin["repeat"])
    assert strategy.ask([first, second], rng) is None
    strategy.tell(replace(first, outcome=Outcome({"loss": 0.5})), rng)
    going_on = strategy.ask([second], rng)
    assert going_on == Proposal(None, {"epochs": 4}, warm_start=0, origin={"repeat": 0})
    strategy.tell(replace(second, outcome=Outcome(error="NaN")), rng)
    strategy.tell(Trial(2, SUPERNET, going_on, Outcome({"loss": 0.4})), rng)
    last = strategy.ask([], rng)
    assert last == Proposal(None, warm_start=2, origin={"repeat": 0})
    strategy.tell(Trial(3, SUPERNET, last, Outcome({"loss": 0.4})), rng)
    assert strategy.ask([], rng) is None  # the other one failed, and has nothing to go on from
    assert 6 == strategy.trials


def test_the_random_arm_may_spend_what_supernets_and_search_spent():
    phase = random_arm(TABLE.space, Tabular(TABLE))
    stop = phase.stop([*told(SUPERNET, 30.0), *told(SEARCH, 1.0, 2.0), *told("baselines", 50.0)])
    assert RANDOM == phase.name
    assert 33.0 == stop.seconds


def test_the_first_round_of_the_random_arm_reckons_with_the_longest_trial_of_the_search():
    """Rungs make a search of few seconds: as many full trainings as there are slots would be more than it spent."""
    stop = random_arm(TABLE.space, Tabular(TABLE)).stop(told(SEARCH, 1.0, 1.0, 1.0, 3.0))
    assert [False, False, True] == [stop.reached(asked, told=0, seconds=0.0) for asked in (0, 1, 2)]
    assert not stop.reached(asked=2, told=2, seconds=2.0)


def test_after_a_search_by_rungs_it_reckons_with_trials_at_the_full_fidelity():
    class Epochs(Tabular):
        def cost(self, proposal):
            return proposal.fidelity.get("epochs", 9)

    architecture = TABLE.space.sample(np.random.default_rng(0))
    low = [
        Trial(i, SEARCH, Proposal(architecture, {"epochs": 1}), Outcome({"loss": 0.5}, seconds=2.0)) for i in range(9)
    ]
    assert pytest.approx(18.0) == random_arm(TABLE.space, Epochs(TABLE)).stop(low).each
