"""From weights of all options to one architecture: the rule of DARTS, and the most probable one within limits."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from typing import final

from morphogen.choice import Choice, Pick
from morphogen.space import Architecture, Space

__all__ = ["Discretization", "Weights"]

Weights = Mapping[str, Mapping[str, float]]
"""Choice -> option -> probability."""

LEAST = 1e-300
"""A probability that has a logarithm."""


@final
class Discretization:
    """Which architecture weights stand for.

    Liu et al. 2019, "DARTS" (arXiv:1806.09055), section 2.4, choice by choice: an option that is `mixed_only` (`none`)
    takes its part of the weights but is never picked; a choice that picks several options with choices of their own,
    such as the inputs of a node, ranks these by the largest weight that their children can have. Equal weights: the
    earlier option. A choice of any number of options picks those that weigh more than one half.

    **Differs** where limits rule that architecture out, of which the paper has none: then it is the most probable one
    within them, by the product of the weights that the rule would compare.
    """

    def __init__(self, space: Space) -> None:
        self._space = space
        self._children = {choice.name: _children(space, choice) for choice in space}

    def __call__(self, weights: Weights) -> Architecture:
        """The architecture of these weights."""
        picks = self._published(self._unlimited, weights)
        if self._space.feasible(picks):
            return self._space.architecture(picks)
        step_by_step = self._space.architecture(self._published(self._space, weights))
        logs = self._logs(weights)
        best = next(self._space.heaviest(logs, only=True), step_by_step)
        # rounding is no reason for another one
        return best if _sum(logs, best) > _sum(logs, step_by_step) + 1e-6 else step_by_step

    def falling(self, weights: Weights) -> Iterator[Architecture]:
        """Architectures within the limits, by falling probability; it may end early, see `Space.heaviest`."""
        return self._space.heaviest(self._logs(weights))

    def by_children(self, choice: Choice) -> bool:
        """Whether the choices that exist by its options are what ranks these."""
        return choice.pick != 1 and any(self._children[choice.name].values())

    def probability(self, weights: Weights, architecture: Architecture) -> float:
        """Its logarithm, up to a constant."""
        return _sum(self._logs(weights), architecture)

    @cached_property
    def _unlimited(self) -> Space:
        return replace(self._space, limits=())

    def _published(self, space: Space, weights: Weights) -> dict[str, Pick]:
        """Choice by choice, the largest weights that a space allows."""
        picks: dict[str, Pick] = {}
        while (choice := next((c for c in space.active(picks) if c.name not in picks), None)) is not None:
            picked: Pick = ()
            while allowed := space.allowed({**picks, choice.name: picked}, choice):
                best = max(allowed, key=lambda option: self._weight(choice, option, weights))
                if len(picked) >= choice.bounds[0] and self._weight(choice, best, weights) <= 0.5:
                    break  # of as many as it likes
                picked = (*picked, best)
            picks[choice.name] = tuple(option for option in choice.options if option in picked)
        return picks

    def _weight(self, choice: Choice, option: str, weights: Weights) -> float:
        own = weights[choice.name][option] if choice.name in weights else 1.0
        if not self.by_children(choice):
            return own
        children = self._children[choice.name][option]
        return own * math.prod(max(self._weight(c, o, weights) for o in c.pickable) for c in children)

    def _logs(self, weights: Weights) -> Weights:
        """What adds up to the logarithm of a probability.

        An option counts against the best of its choice, so that one that exists costs nothing. Where options of a parent
        are ranked by it, it counts as it is.
        """
        ranking = {
            child.name
            for choice in self._space
            if self.by_children(choice)
            for children in self._children[choice.name].values()
            for child in children
        }
        logs: dict[str, dict[str, float]] = {}
        for choice in self._space:
            if choice.name in weights and choice.pickable:
                of = {option: math.log(max(weights[choice.name][option], LEAST)) for option in choice.pickable}
                if not isinstance(choice.pick, int):  # what is not picked counts, too
                    of = {o: log - math.log(max(1 - weights[choice.name][o], LEAST)) for o, log in of.items()}
                relative = choice.single and choice.name not in ranking
                best = max(of.values()) if relative else 0.0
                logs[choice.name] = {option: log - best for option, log in of.items()}
        return logs


def _sum(logs: Weights, architecture: Architecture) -> float:
    return math.fsum(
        logs[name][option] for name, picked in architecture.picks.items() if name in logs for option in picked
    )


def _children(space: Space, choice: Choice) -> dict[str, list[Choice]]:
    """Option -> the choices that exist when it is picked."""
    return {
        option: [c for c in space if c.when is not None and c.when.choice == choice.name and option in c.when.any_of]
        for option in choice.options
    }
