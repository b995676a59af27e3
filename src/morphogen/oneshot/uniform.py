"""Uniform single paths: every step trains one architecture, drawn at random."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, final

import numpy as np
import torch

from morphogen.nn.mixture import Mixture, picks_to_mixture
from morphogen.oneshot.distribution import Score, Step, refuse_hyperparameters
from morphogen.space import Architecture, Space

__all__ = ["Uniform"]


@final
class Uniform:
    """Every active decision uniform; nothing is learned but the shared weights.

    Guo et al. 2020, "Single Path One-Shot Neural Architecture Search with Uniform Sampling"
    (arXiv:1904.00420), section 3.1. There the architecture is then found by evolution on the trained
    supernet, which is a phase of its own; `derive` is the random search that it is compared with.

    Args:
        space: What is drawn from, within its limits.
        candidates: How many architectures `derive` scores.

    Raises:
        ValueError: The space has choices that only a training can read.
    """

    def __init__(self, space: Space, candidates: int = 10) -> None:
        refuse_hyperparameters(space, "Uniform")
        if candidates < 1:
            raise ValueError(f"derive scores one candidate or more, got candidates={candidates}")
        self.space, self.candidates = space, candidates

    def draw(self, generator: torch.Generator) -> Sequence[Mixture]:
        return [picks_to_mixture(self.space.sample(_rng(generator)))]

    def update(self, step: Step) -> None:
        """Nothing."""

    def derive(self, score: Score, generator: torch.Generator) -> Architecture:
        """The best by `score` of the candidates; of equally good ones, the first."""
        rng = _rng(generator)
        return max((self.space.sample(rng) for _ in range(self.candidates)), key=score)

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing: there is no state."""


def _rng(generator: torch.Generator) -> np.random.Generator:
    """A numpy generator, seeded by a draw of torch's."""
    return np.random.default_rng(int(torch.randint(2**63 - 1, (), generator=generator, device=generator.device)))
