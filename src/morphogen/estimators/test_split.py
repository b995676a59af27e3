"""The test split, opened once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

from torch import nn

from morphogen.estimators.baselines import BUILDERS
from morphogen.nn.network import network
from morphogen.protocols import Context, MorphogenError
from morphogen.space import Space
from morphogen.training import checkpoint
from morphogen.training.data import Data
from morphogen.training.fit import evaluate
from morphogen.trial import Outcome, Proposal

__all__ = ["TestSplit"]


@final
@dataclass(frozen=True)
class TestSplit:
    """Evaluates on the test split what an earlier trial trained. Nothing is chosen by what comes out.

    A run has one phase of it, the last; its outcomes are recorded, so that resuming does not open the split again.

    Args:
        space: Of the architectures.
        data: Whose test split is opened.
        skeleton: That the networks were trained with.
    """

    __test__ = False  # no test class, whatever its name begins with

    space: Space
    data: Data
    skeleton: Any

    @property
    def measured(self) -> frozenset[str]:
        return frozenset()

    def __call__(self, proposal: Proposal, context: Context) -> Outcome:
        trained = None if context.warm_start is None else checkpoint.load(context.warm_start)
        if trained is None:
            raise MorphogenError(
                f"the weights of trial {proposal.warm_start} are gone or damaged: nothing can be tested"
            )
        built = self._build(proposal)
        built.load_state_dict(trained["network"])
        return Outcome(evaluate(built, self.data, self.data.open_test(), context.device))

    def _build(self, proposal: Proposal) -> nn.Module:
        if proposal.architecture is None:
            return BUILDERS[str(proposal.origin["baseline"])](self.data)
        return network(self.space.fix(proposal.architecture), self.skeleton)

    def cost(self, proposal: Proposal) -> float:
        return 1.0
