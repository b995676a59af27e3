"""A controller with its optimizer, as a strategy uses it: write proposals, and read the likelihood of told ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from morphogen.nn.controller import Controller, Sequences
from morphogen.nn.decisions import Decisions
from morphogen.space import Space
from morphogen.strategies.nesting import require_nested
from morphogen.trial import Proposal, Trial

__all__ = ["Policy"]


@final
class Policy:
    """A distribution over a space that learns.

    Args:
        space: What proposals are points of.
        levels: Spaces nested in it that are searched one after another; empty: `space` itself.
        hidden: Units of a layer of the controller.
        layers: Layers.
        bound: Weights start uniform in `[-bound, bound]`.
        learning_rate: Of Adam.
        seed: Of the first weights.

    Raises:
        ValueError: A level has choices or options that the space does not have.
    """

    def __init__(
        self,
        space: Space,
        levels: Sequence[Space],
        *,
        hidden: int,
        layers: int,
        bound: float,
        learning_rate: float,
        seed: int,
    ) -> None:
        require_nested(space, levels, "growth")
        self.space = space
        self.decisions = [*map(Decisions, levels), Decisions(space)]
        self.controller = Controller(space, hidden, layers, bound, torch.Generator().manual_seed(seed))
        self.optimizer = torch.optim.Adam(self.controller.parameters(), learning_rate)

    def propose(self, rng: np.random.Generator, level: int, note: Mapping[str, Any]) -> Proposal:
        """A sample, with its log-probability at this time in the origin; level -1 is the space itself."""
        generator = torch.Generator().manual_seed(int(rng.integers(2**63)))
        picks, log_probability = self.controller.sample(self.decisions[level], generator)
        origin = {"log_probability": log_probability, "level": level, **note}
        return Proposal(self.space.architecture(picks), origin=origin)

    def sequences(self, trials: Sequence[Trial]) -> Sequences:
        """Told trials as tensors, each within the level that it was sampled in, or else the whole space."""
        batch = []
        for trial in trials:
            assert trial.proposal.architecture is not None
            batch.append((self.decisions[trial.proposal.origin.get("level", -1)], trial.proposal.architecture))
        return self.controller.sequences(batch)

    def step(self, loss: Tensor) -> None:
        """One step of the optimizer down the gradient of a loss."""
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
