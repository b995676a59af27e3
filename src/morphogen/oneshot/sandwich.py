"""The largest network, the smallest, and some in between, in every step: for elastic spaces."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, final

import torch

from morphogen.choice import Pick
from morphogen.nn.mixture import Mixture, picks_to_mixture
from morphogen.oneshot.distribution import Score, Step, refuse_hyperparameters
from morphogen.oneshot.uniform import generator_of
from morphogen.space import Architecture, Space

__all__ = ["Sandwich"]


@final
class Sandwich:
    """Every step of the weights averages over the largest architecture, the smallest, and random ones.

    Yu and Huang 2019, "Universally Slimmable Networks and Improved Training Techniques" (arXiv:1903.05134), section
    3.2: what lies between the two is bounded by them. Largest and smallest are by the choices that are `ordered`, the
    last and the first option that the limits allow; all others are drawn.

    **Differs** from the paper, where the smaller networks learn from the outputs of the largest: here all learn from
    the labels.

    Args:
        space: Has a choice that is ordered.
        between: How many random architectures.
        candidates: How many architectures `derive` scores.
        generator: Draws nothing: there are no first values.
        device: Holds nothing.

    Raises:
        ValueError: Nothing in the space is ordered, or it has choices that only a training can read.
    """

    def __init__(
        self,
        space: Space,
        between: int = 2,
        candidates: int = 10,
        *,
        generator: torch.Generator | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        refuse_hyperparameters(space, "Sandwich")
        if between < 0 or candidates < 1:
            raise ValueError(f"between is 0 or more and candidates 1 or more, got {between} and {candidates}")
        self._ordered = [choice for choice in space if choice.ordered and choice.single]
        if not self._ordered:
            raise ValueError(
                "Sandwich trains the largest and the smallest network, but no choice of the space is ordered: "
                "use Uniform, or give the sizes ordered=True"
            )
        self.space, self.between, self.candidates = space, between, candidates

    def draw(self, generator: torch.Generator) -> Sequence[Mixture]:
        rng = generator_of(generator)
        rising: dict[str, list[Pick]] = {c.name: [(option,) for option in c.pickable] for c in self._ordered}
        falling = {name: values[::-1] for name, values in rising.items()}
        drawn = [self.space.complete({}, rng, wishes) for wishes in (falling, rising)]
        drawn += [self.space.sample(rng) for _ in range(self.between)]
        return [picks_to_mixture(architecture) for architecture in drawn]

    def update(self, step: Step) -> None:
        """Nothing."""

    def derive(self, score: Score, generator: torch.Generator) -> Architecture:
        """The best by `score` of random candidates; of equally good ones, the first."""
        rng = generator_of(generator)
        return max((self.space.sample(rng) for _ in range(self.candidates)), key=score)

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing: there is no state."""
