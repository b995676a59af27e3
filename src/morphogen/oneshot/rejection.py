"""What a distribution ends at, within limits that can only be looked up, one architecture after another."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import islice

import numpy as np
import torch

from morphogen.oneshot.discretize import Discretization, Weights
from morphogen.oneshot.distribution import Distribution, Score
from morphogen.oneshot.health import Weighing
from morphogen.oneshot.uniform import generator_of
from morphogen.space import Architecture, Space

__all__ = ["Fits", "within"]

Fits = Callable[[Architecture], bool]
"""Whether an architecture is within the limits."""

LOOKED_AT = 256
"""The most probable architectures, and as many that are drawn with their probabilities."""

TIMES = 32
"""So often a distribution that samples derives anew."""


def within(
    distribution: Distribution, found: Architecture, fits: Fits, score: Score, generator: torch.Generator
) -> Architecture:
    """What a distribution ends at instead of what does not fit; what it was, where nothing else was found.

    Of a distribution that weighs options, the most probable architecture that fits, among the most probable ones and
    some that are drawn with their probabilities: where options are weighed much alike, the most probable ones hardly
    differ in what they cost. Any other derives anew, with the score of what does not fit being minus infinity.

    Args:
        distribution: Has learned.
        found: What it ends at without the limits.
        fits: Asked once for each architecture.
        score: As for `Distribution.derive`.
        generator: For what is drawn.
    """
    if isinstance(distribution, Weighing):
        weights, rule = distribution.probabilities(), Discretization(found.space)
        for architecture in islice(rule.falling(weights), LOOKED_AT):
            if fits(architecture):
                return architecture
        rng = generator_of(generator)
        drawn = {_drawn(found.space, weights, rng) for _ in range(LOOKED_AT)}
        fitting = sorted(filter(fits, drawn), key=lambda a: (-rule.probability(weights, a), a.code))
        return fitting[0] if fitting else found

    known: dict[Architecture, float] = {}

    def fitting_score(architecture: Architecture) -> float:
        if architecture not in known:
            known[architecture] = score(architecture) if fits(architecture) else -math.inf
        return known[architecture]

    for _ in range(TIMES):
        architecture = distribution.derive(fitting_score, generator)
        if fitting_score(architecture) > -math.inf:
            return architecture
    return found


def _drawn(space: Space, weights: Weights, rng: np.random.Generator) -> Architecture:
    """Every decision with its probabilities, one without any uniform."""
    wishes = {}
    for choice in space:
        if choice.single and choice.name in weights:
            p = np.array([weights[choice.name][option] for option in choice.pickable])
            order = rng.choice(len(p), size=int((p > 0).sum()), replace=False, p=p / p.sum())
            wishes[choice.name] = [(choice.pickable[i],) for i in order]
    return space.complete({}, rng, wishes)
