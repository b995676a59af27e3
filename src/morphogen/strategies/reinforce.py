"""Policy gradient with a recurrent controller."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, final

import numpy as np
import torch
from torch import Tensor

from morphogen.space import Space
from morphogen.strategies.baseline import Advantages, BestOfLast, Reward
from morphogen.strategies.policy import Policy
from morphogen.strategies.replicas import Key, Replicas
from morphogen.trial import Proposal, Trial

__all__ = ["Reinforce", "reinforce_loss"]


def reinforce_loss(log_probability: Tensor, advantage: Tensor) -> Tensor:
    """The mean over m children of `-(R_k - b) log P(a_k)`; its gradient is minus eq. (2) of Zoph & Le 2017.

    Shapes: `(m,)` both; the result is a scalar.
    """
    return -(advantage * log_probability).mean()


@final
@dataclass
class Reinforce:
    """A recurrent controller writes architectures and learns from their accuracy by REINFORCE.

    Zoph & Le 2017, "Neural Architecture Search with Reinforcement Learning" (arXiv:1611.01578), sections 3.2
    and 4.1: a two-layer LSTM with 35 units, weights uniform in [-0.08, 0.08], Adam with a learning rate of
    0.0006, m = 8 children a gradient, an exponential moving average of earlier rewards as the baseline,
    accuracies cubed; layers are added during the search (6, and 2 more every 1,600 children). The paper's 100
    asynchronous replicas are `replicas=100` with 800 slots: each collects its m children, then its gradient
    is applied at once, in the order of telling.

    The REINFORCE of Dong & Yang 2020, NAS-Bench-201 (arXiv:2001.00326), is `layers=0, bound=0.001, children=1,
    learning_rate=0.001, decay=0.9` with the accuracy as it is for a reward: a categorical distribution for each
    edge, a gradient after every child. (Its baseline includes the reward that it is compared with, which scales
    all advantages alike; Adam does not see the scale.)

    Differs: the gradient is that of the weights at the time of the step, not of those that the children were
    sampled with (which may be older); all replicas sample with the newest weights. The baseline's decay is
    not stated in the paper. A failed child has the lowest reward told so far, none before there is one.

    Args:
        space: Where to search.
        hidden: Units of a layer.
        layers: Layers of the LSTM; 0: no network, independent logits for each choice (`policy.Independent`).
        bound: Weights start uniform in `[-bound, bound]`.
        learning_rate: Of Adam.
        children: m: children a gradient.
        replicas: K: minibatches that are collected at the same time.
        decay: Of the moving average.
        reward: From a trial to its reward: a function, or its name `package.module:function`.
        growth: Spaces nested in `space`, searched one after another; empty: only `space`.
        every: How many children are asked before the next of `growth`.
        seed: Of the first weights.
    """

    on_policy: ClassVar[bool] = True  # it learns from its own samples, repetitions included

    space: Space
    hidden: int = 35
    layers: int = 2
    bound: float = 0.08
    learning_rate: float = 6e-4
    children: int = 8
    replicas: int = 1
    decay: float = 0.95
    reward: Reward | str = field(default_factory=BestOfLast)
    growth: Sequence[Space] = ()
    every: int = 1600
    seed: int = 0
    told: int = field(default=0, init=False)
    policy: Policy = field(init=False, repr=False)
    advantages: Advantages = field(init=False, repr=False)
    batches: Replicas[tuple[Trial, float]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if self.every < 1:
            raise ValueError(f"every={self.every}: a space of the growth is searched for at least one child")
        self.policy = Policy(
            self.space,
            self.growth,
            hidden=self.hidden,
            layers=self.layers,
            bound=self.bound,
            learning_rate=self.learning_rate,
            seed=self.seed,
        )
        self.advantages = Advantages(self.reward, self.decay)
        self.batches = Replicas(self.replicas, self.children)

    def ask(self, pending: Sequence[Trial], rng: np.random.Generator) -> Proposal | None:
        replica, batch = self.batches.place(key for t in pending if (key := _key(t)) is not None)
        asked = self.told + len(pending)
        level = min(asked // self.every, len(self.growth) - 1)  # -1, the whole space, where there is no growth
        return self.policy.propose(rng, level, {"replica": replica, "batch": batch})

    def tell(self, trial: Trial, rng: np.random.Generator) -> None:
        self.told += 1
        if trial.proposal.architecture is None:
            return
        minibatch = self.batches.collect(_key(trial), (trial, self.advantages(trial)))
        if minibatch is not None:
            likelihood = self.policy.controller(self.policy.sequences([t for t, _ in minibatch]))
            self.policy.step(reinforce_loss(likelihood.log_probability, torch.tensor([a for _, a in minibatch])))


def _key(trial: Trial) -> Key | None:
    origin = trial.proposal.origin
    return (origin["replica"], origin["batch"]) if "replica" in origin and "batch" in origin else None
