"""Single paths, drawn at random: every step trains one architecture, or as many as treat all options alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, final

import numpy as np
import torch

from morphogen.choice import Choice, Pick
from morphogen.nn.mixture import Mixture, picks_to_mixture
from morphogen.oneshot.distribution import Score, Step, refuse_hyperparameters
from morphogen.space import Architecture, Space

__all__ = ["Uniform", "generator_of"]


@final
class Uniform:
    """Every active decision uniform; nothing is learned but the shared weights.

    Guo et al. 2020, "Single Path One-Shot Neural Architecture Search with Uniform Sampling"
    (arXiv:1904.00420), section 3.1. There the architecture is then found by evolution on the trained
    supernet, which is a phase of its own; `derive` is the random search that it is compared with.

    With `fair`, a step averages over as many architectures as the largest choice has options, and in these every
    option of a choice is picked equally often, as far as limits and conditions allow: the strict fairness of Chu et
    al. 2021, "FairNAS" (arXiv:1907.01845), section 3.2. **Differs** where choices have different numbers of options, or
    exist only sometimes, which FairNAS has not: there the counts differ by one at most each time a choice is met.

    Args:
        space: What is drawn from, within its limits.
        candidates: How many architectures `derive` scores.
        fair: Whether steps are strictly fair.
        generator: Draws nothing: there are no first values.
        device: Holds nothing.

    Raises:
        ValueError: The space has choices that only a training can read.
    """

    def __init__(
        self,
        space: Space,
        candidates: int = 10,
        *,
        fair: bool = False,
        generator: torch.Generator | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        refuse_hyperparameters(space, "Uniform")
        if candidates < 1:
            raise ValueError(f"derive scores one candidate or more, got candidates={candidates}")
        self.space, self.candidates, self.fair = space, candidates, fair

    def draw(self, generator: torch.Generator) -> Sequence[Mixture]:
        rng = generator_of(generator)
        drawn = _fair(self.space, rng) if self.fair else [self.space.sample(rng)]
        return [picks_to_mixture(architecture) for architecture in drawn]

    def update(self, step: Step) -> None:
        """Nothing."""

    def derive(self, score: Score, generator: torch.Generator) -> Architecture:
        """The best by `score` of the candidates; of equally good ones, the first."""
        rng = generator_of(generator)
        return max((self.space.sample(rng) for _ in range(self.candidates)), key=score)

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing: there is no state."""


def generator_of(generator: torch.Generator) -> np.random.Generator:
    """A numpy generator, seeded by a draw of torch's."""
    return np.random.default_rng(int(torch.randint(2**63 - 1, (), generator=generator, device=generator.device)))


def _fair(space: Space, rng: np.random.Generator) -> list[Architecture]:
    """Architectures in which the options of every choice take turns, in random order."""
    turns: dict[str, list[str]] = {choice.name: [] for choice in space}
    drawn = []
    for _ in range(max(len(choice.pickable) for choice in space)):
        wishes = {choice.name: _wishes(choice, turns[choice.name], rng) for choice in space}
        architecture = space.complete({}, rng, wishes)
        for name, picked in architecture.picks.items():
            for option in picked:
                turns[name].remove(option)
        drawn.append(architecture)
    return drawn


def _wishes(choice: Choice, turns: list[str], rng: np.random.Generator) -> list[Pick]:
    """Who is next, first; `turns` goes on with another round where fewer are left than may be picked."""
    low, high = choice.bounds
    if len(set(turns)) < high:
        turns += [str(option) for option in rng.permutation(choice.pickable)]
    order = list(dict.fromkeys([*turns, *choice.pickable]))
    turns += [option for option in order if option not in turns]  # limits may prefer any of them
    if choice.single:
        return [(option,) for option in order]
    return [choice.sort(tuple(order[: int(rng.integers(low, high + 1))]))]
