"""Judge an architecture by a user's own code."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any, final

from torch import nn

from morphogen.catalog import resolve
from morphogen.estimators.complexity import suited_skeleton
from morphogen.nn.network import network
from morphogen.protocols import Context
from morphogen.space import Space
from morphogen.training.device import seeded, torch_device
from morphogen.trial import Fidelity, Outcome, Proposal

__all__ = ["Function"]

Judge = Callable[[nn.Module, Fidelity, Context], Mapping[str, float] | Outcome]
"""From a network with new weights, how much is wanted, and where it runs, to metrics."""


@final
@dataclass(frozen=True)
class Function:
    """Builds the stand-alone network and gives it to a function, which trains and judges it as it likes.

    The function is called as `function(network, fidelity, context)` and gives metrics, or a whole `Outcome`. The
    network is on `context.device` and has new weights that are a function of `context.seed`; torch's own random state
    starts from that seed, too. `fidelity` has every axis, at its full amount where nothing less is wanted.
    `context.log(step, metrics)` draws curves, `context.folder` is for checkpoints, `context.warm_start` is the folder
    of the trial to go on from. An exception is a failed trial.

    Args:
        space: Where architectures are from.
        function: On the top level of a module that can be imported, or its name `package.module:function`: other
            processes find it by its name.
        skeleton: The hand-made rest, or the name of a preset of the space; by default the preset `search`.
        full: The full amount on each fidelity axis that the function knows.
        measured: Metrics that differ between equal runs.

    Raises:
        ValueError: A function that has no name in a module, such as a lambda.
    """

    space: Space
    function: Judge | str
    skeleton: Any = None
    full: Fidelity = field(default_factory=dict)
    measured: frozenset[str] = frozenset({"seconds"})

    def __post_init__(self) -> None:
        object.__setattr__(self, "skeleton", suited_skeleton(self.space, self.skeleton))
        object.__setattr__(self, "measured", frozenset(self.measured) | {"seconds"})
        if isinstance(self.function, str):
            resolve(self.function)
        else:
            object.__setattr__(self, "function", _name(self.function))

    def __call__(self, proposal: Proposal, context: Context) -> Outcome:
        if proposal.architecture is None:
            raise ValueError(f"{self.function} judges one architecture, but the whole space was proposed")
        fidelity = self._fidelity(proposal)
        function: Judge = resolve(str(self.function))
        device, started = torch_device(context.device), time.monotonic()
        with seeded(context.seed, device):
            built = network(self.space.fix(proposal.architecture), self.skeleton).to(device)
            given = function(built, fidelity, context)
        if isinstance(given, Outcome):
            return given
        if not isinstance(given, Mapping):
            raise TypeError(f"{self.function} gave {type(given).__name__}, expected a mapping from metrics to numbers")
        metrics = {str(name): float(value) for name, value in given.items()}
        return Outcome(metrics, seconds=time.monotonic() - started)

    def cost(self, proposal: Proposal) -> float:
        """The share of the full amount that is wanted."""
        fidelity = self._fidelity(proposal)
        return prod((fidelity[axis] / amount for axis, amount in self.full.items()), start=1.0)

    def _fidelity(self, proposal: Proposal) -> Fidelity:
        if unknown := sorted(set(proposal.fidelity) - set(self.full)):
            known = ", ".join(self.full) or "none: name them with full={axis: amount}"
            raise ValueError(f"{self.function} has no fidelity axis '{unknown[0]}'; it has {known}")
        return {**self.full, **proposal.fidelity}


def _name(function: Judge) -> str:
    dotted = f"{getattr(function, '__module__', '')}:{getattr(function, '__qualname__', '')}"
    try:
        found = resolve(dotted)
    except ValueError:
        found = None
    if found is not function:
        raise ValueError(
            f"{function!r} is not found again under a name of its own; put it on the top level of a module "
            "(no lambda, no method), or give its name as 'package.module:function'"
        )
    return dotted
