import numpy as np

from morphogen.space import Choice, Space
from morphogen.strategies.deduplicated import Deduplicated
from morphogen.trial import Outcome, Proposal, Trial

LARGE = Space(tuple(Choice(f"c{i}", ("a", "b", "c", "d")) for i in range(20)))


class Converged:
    """Proposes the same, whatever it is told."""

    def ask(self, pending: object, rng: np.random.Generator) -> Proposal:
        return Proposal(LARGE.architecture({c.name: "a" for c in LARGE}), {"epochs": 3})

    def tell(self, trial: Trial, rng: np.random.Generator) -> None: ...


def test_in_a_large_space_a_strategy_that_only_repeats_itself_gets_random_architectures() -> None:
    strategy = Deduplicated(Converged(), LARGE, attempts=3)
    asked = []
    for id in range(5):
        proposal = strategy.ask([], np.random.default_rng(id))
        assert proposal is not None
        asked.append(proposal)
        strategy.tell(Trial(id, "search", proposal, Outcome(), (0.0,)), np.random.default_rng(id))
    assert 5 == len({p.architecture for p in asked})
    assert all({"epochs": 3} == p.fidelity for p in asked)
