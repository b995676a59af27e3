import numpy as np
import pytest

from morphogen.bench.metered import Metered
from morphogen.space import Choice, Space
from morphogen.strategies import HillClimbing, RandomSearch
from morphogen.trial import Outcome, Proposal, Trial

SPACE = Space(tuple(Choice(f"c{i}", ("a", "b", "c")) for i in range(4)))
ARCHITECTURE = SPACE.sample(np.random.default_rng(0))
FULL = {"epochs": 27}


def told(metered: Metered, id: int, proposal: Proposal) -> float:
    before = metered.spent
    metered.tell(Trial(id, "search", proposal, Outcome({}), (0.0,)), np.random.default_rng(id))
    return metered.spent - before


def test_going_on_costs_what_it_adds_and_beginning_with_weights_costs_a_training() -> None:
    metered = Metered(RandomSearch(SPACE), 10, FULL, lambda trial: False)
    assert told(metered, 0, Proposal(ARCHITECTURE, {"epochs": 9})) == pytest.approx(1 / 3)
    assert told(metered, 1, Proposal(ARCHITECTURE, warm_start=0)) == pytest.approx(2 / 3)
    assert told(metered, 2, Proposal(ARCHITECTURE, warm_start=1)) == pytest.approx(1)
    assert told(metered, 3, Proposal(ARCHITECTURE, {"epochs": 9}, warm_start=1)) == pytest.approx(1 / 3)


def test_a_climb_spends_its_queries() -> None:
    metered = Metered(HillClimbing(SPACE, neighbors=3), 10, FULL, lambda trial: False)
    id = 0
    while (proposal := metered.ask([], np.random.default_rng((1, id)))) is not None:
        told(metered, id, proposal)
        id += 1
    assert 10 == id == metered.spent
