"""Plain networks trained beside the finalists, for a person to compare with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

from torch import nn

from morphogen.nn.complexity import complexity
from morphogen.protocols import Context
from morphogen.training.baselines import logistic_recipe, logistic_regression, plain_network
from morphogen.training.data import Data
from morphogen.training.fit import train
from morphogen.training.recipe import Recipe
from morphogen.trial import Outcome, Proposal

__all__ = ["BUILDERS", "Baselines"]

BUILDERS: dict[str, Callable[[Data], nn.Module]] = {"plain": plain_network, "logistic-regression": logistic_regression}


@final
@dataclass(frozen=True)
class Baselines:
    """Trains the baseline that a proposal's origin names: `{"baseline": "plain"}`.

    Args:
        data: What to train on.
        recipe: The finalists' own; the logistic regression is convex and has its own learning rate.
    """

    data: Data
    recipe: Recipe

    @property
    def measured(self) -> frozenset[str]:
        return frozenset()

    def __call__(self, proposal: Proposal, context: Context) -> Outcome:
        name = str(proposal.origin["baseline"])
        recipe = logistic_recipe(self.data) if name == "logistic-regression" else self.recipe
        network, fitted = train(lambda: BUILDERS[name](self.data), self.data, recipe, context)
        size = complexity(network, self.data.image)
        return Outcome(
            {**fitted.metrics, "params": size.params, "macs": size.macs}, fitted.curves, seconds=fitted.seconds
        )

    def cost(self, proposal: Proposal) -> float:
        return 1.0
