"""A user's own training code as an estimator."""

from __future__ import annotations

import pickle
from collections.abc import Mapping

import pytest
import torch
from torch import Tensor, nn

from morphogen.estimators import Function
from morphogen.nn.mixed import MixedOp
from morphogen.protocols import Context
from morphogen.space import Choice, Space
from morphogen.spaces.skeleton import Skeleton
from morphogen.trial import Fidelity, Outcome, Proposal


class Network(nn.Module):
    """One layer of a chosen width."""

    def __init__(self, space: Space, skeleton: Skeleton) -> None:
        super().__init__()
        self.op = MixedOp(space["width"], lambda w: nn.Linear(skeleton.classes, int(w)))

    def forward(self, x: Tensor) -> Tensor:
        return self.op(x)  # type: ignore[no-any-return]


SPACE = Space((Choice("width", ("2", "4")),), network=Network, name="tiny")
PROPOSAL = Proposal(SPACE.architecture({"width": "4"}), {"epochs": 2})


def test_the_function_gets_network_fidelity_and_context() -> None:
    import collections

    seen: list[tuple[nn.Module, Fidelity, Context]] = []

    def judge(network: nn.Module, fidelity: Fidelity, context: Context) -> Mapping[str, float]:
        seen.append((network, fidelity, context))
        return {"accuracy": torch.rand(()), "epochs": fidelity["epochs"]}

    collections.judge = judge  # stands for a module of somebody's own
    try:
        estimator = Function(SPACE, "collections:judge", Skeleton(classes=3), full={"epochs": 8, "images": 100})
        copied: Function = pickle.loads(pickle.dumps(estimator))
        outcomes = [e(PROPOSAL, Context(seed=5)) for e in (estimator, copied)]
    finally:
        del collections.judge
    assert (1, 4) == tuple(seen[0][0](torch.zeros(1, 3)).shape)
    assert {"epochs": 2, "images": 100} == seen[0][1]
    assert 5 == seen[0][2].seed
    assert outcomes[0].metrics == outcomes[1].metrics
    assert torch.equal(next(seen[0][0].parameters()), next(seen[1][0].parameters()))
    assert 2 / 8 == estimator.cost(PROPOSAL)
    assert 1.0 == estimator.cost(Proposal(PROPOSAL.architecture))


def whole(network: nn.Module, fidelity: Fidelity, context: Context) -> Outcome:
    return Outcome({"f1": 0.5}, seconds=7.0)


def test_a_whole_outcome_is_taken_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    import collections

    monkeypatch.setattr(collections, "whole", whole, raising=False)
    outcome = Function(SPACE, "collections:whole")(Proposal(PROPOSAL.architecture), Context(seed=0))
    assert Outcome({"f1": 0.5}, seconds=7.0) == outcome


def test_a_function_is_known_by_its_name() -> None:
    estimator = Function(SPACE, len)
    assert Function(SPACE, "builtins:len") == estimator
    with pytest.raises(TypeError, match="takes exactly one"):
        estimator(Proposal(PROPOSAL.architecture), Context(seed=0))
    with pytest.raises(ValueError, match="top level of a module"):
        Function(SPACE, lambda network, fidelity, context: {})
    with pytest.raises(ValueError, match="cannot be imported"):
        Function(SPACE, "nowhere:judge")


def test_what_it_cannot_judge_is_said() -> None:
    estimator = Function(SPACE, "builtins:print")
    with pytest.raises(ValueError, match="has no fidelity axis 'epochs'; it has none: name them with full="):
        estimator(PROPOSAL, Context(seed=0))
    with pytest.raises(ValueError, match="the whole space was proposed"):
        estimator(Proposal(None), Context(seed=0))
    with pytest.raises(TypeError, match="gave NoneType, expected a mapping"):
        estimator(Proposal(PROPOSAL.architecture), Context(seed=0))
