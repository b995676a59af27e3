"""Proximal policy optimization with a recurrent controller."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, final

import numpy as np
import torch
from torch import Tensor

from morphogen.space import Space
from morphogen.strategies.baseline import Advantages, Reward, negative_loss
from morphogen.strategies.policy import Policy
from morphogen.trial import Proposal, Trial

__all__ = ["Ppo", "clipped_objective"]


def clipped_objective(ratio: Tensor, advantage: Tensor, clip: float) -> Tensor:
    """`min(r A, clip(r, 1 - clip, 1 + clip) A)`: Schulman et al. 2017 (arXiv:1707.06347), eq. (7), without the mean.

    Shapes: `(m,)` all.
    """
    return torch.minimum(ratio * advantage, ratio.clamp(1 - clip, 1 + clip) * advantage)


FURTHEST = 20.0
"""The largest logarithm of a ratio: where others proposed what it is told, a pass can move a controller that is sure of
itself so far that the ratio has no number."""


@final
@dataclass
class Ppo:
    """A recurrent controller writes architectures and learns from their accuracy by PPO: the controller of NASNet.

    Zoph et al. 2018, "Learning Transferable Architectures for Scalable Image Recognition" (arXiv:1707.07012),
    appendix A: a one-layer LSTM with 100 units, weights uniform in [-0.1, 0.1], a learning rate of 0.00035,
    an entropy term of 0.00001, an exponential moving average of earlier rewards (0.95) as the baseline, 20
    architectures an update.

    Differs: the paper does not state the optimizer (here Adam), the clipping (here 0.2 of Schulman et al.
    2017), the passes over a minibatch (here 3), nor what a ratio is taken of (here of whole architectures:
    they are the actions that have a reward). A failed architecture has the lowest reward told so far, none
    before there is one.

    Args:
        space: Where to search.
        hidden: Units of a layer.
        layers: Layers of the LSTM; 0: no network, independent logits for each choice (`policy.Independent`).
        bound: Weights start uniform in `[-bound, bound]`.
        learning_rate: Of Adam.
        minibatch: Architectures an update, in the order of telling.
        passes: Gradient steps on a minibatch.
        clip: Ratios beyond 1 +- clip are not rewarded.
        entropy: Weight of the entropy that is added to the objective.
        decay: Of the moving average.
        reward: From a trial to its reward: a function, or its name `package.module:function`.
        seed: Of the first weights.
    """

    on_policy: ClassVar[bool] = True  # it learns from its own samples, repetitions included

    space: Space
    hidden: int = 100
    layers: int = 1
    bound: float = 0.1
    learning_rate: float = 3.5e-4
    minibatch: int = 20
    passes: int = 3
    clip: float = 0.2
    entropy: float = 1e-5
    decay: float = 0.95
    reward: Reward | str = negative_loss
    seed: int = 0
    policy: Policy = field(init=False, repr=False)
    advantages: Advantages = field(init=False, repr=False)
    waiting: list[tuple[Trial, float]] = field(default_factory=list, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.minibatch < 1 or self.passes < 1 or not self.clip > 0:
            raise ValueError(
                f"minibatch={self.minibatch}, passes={self.passes}, clip={self.clip}: at least 1, 1 and above 0"
            )
        self.policy = Policy(
            self.space,
            (),
            hidden=self.hidden,
            layers=self.layers,
            bound=self.bound,
            learning_rate=self.learning_rate,
            seed=self.seed,
        )
        self.advantages = Advantages(self.reward, self.decay)

    def ask(self, pending: Sequence[Trial], rng: np.random.Generator) -> Proposal | None:
        return self.policy.propose(rng, -1, {})

    def tell(self, trial: Trial, rng: np.random.Generator) -> None:
        if trial.proposal.architecture is None:
            return
        self.waiting.append((trial, self.advantages(trial)))
        if len(self.waiting) == self.minibatch:
            self._update([t for t, _ in self.waiting], torch.tensor([a for _, a in self.waiting]))
            self.waiting = []

    def _update(self, trials: Sequence[Trial], advantage: Tensor) -> None:
        sequences = self.policy.sequences(trials)
        old: Tensor | None = None
        for _ in range(self.passes):
            likelihood = self.policy.controller(sequences)
            if old is None:
                old = _old(trials, likelihood.log_probability.detach())
            ratio = (likelihood.log_probability - old).clamp(max=FURTHEST).exp()
            objective = clipped_objective(ratio, advantage, self.clip) + self.entropy * likelihood.entropy
            self.policy.step(-objective.mean())


def _old(trials: Sequence[Trial], now: Tensor) -> Tensor:
    """The log-probabilities at the time of asking; now, for an architecture that the controller did not sample. (m,)"""
    known = [t.proposal.origin.get("log_probability") for t in trials]
    return torch.tensor([float(n) if k is None else k for k, n in zip(known, now, strict=True)], dtype=now.dtype)
