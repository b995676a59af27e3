"""The first search by reinforcement learning."""

from __future__ import annotations

from functools import partial

from morphogen.methods.black_box import black_box, horizon
from morphogen.methods.one_shot import Setting
from morphogen.protocols import Phase
from morphogen.strategies import Reinforce
from morphogen.strategies.progressive import growth

__all__ = ["nas_rl"]

EVERY = 1600
"""Children of a depth; 12,800 of eight depths."""


def nas_rl(
    setting: Setting,
    *,
    children: int = 8,
    replicas: int = 1,
    learning_rate: float = 6e-4,
    decay: float = 0.95,
    every: int | None = None,
    seed: int = 0,
) -> list[Phase]:
    """A recurrent controller writes networks layer by layer and learns from their accuracy by REINFORCE.

    Zoph & Le 2017, "Neural Architecture Search with Reinforcement Learning" (arXiv:1611.01578), section 4.1. In a space
    of several depths (`morphogen.spaces.nas_rl:GROWING`, 6 to 20 layers) the search begins with the smallest and grows.

    **Differs**: with fewer than the paper's 1,600 children for each depth, all depths get equally many; and what
    `Reinforce` says.

    Args:
        setting: What it is given.
        children: m: children a gradient.
        replicas: K: minibatches that are collected at the same time; 100 in the paper, with `slots=800`.
        learning_rate: Of Adam.
        decay: Of the moving average of rewards.
        every: Children of each depth.
        seed: Of the controller's first weights.
    """
    # what switches other choices on is the depth
    deep = any(choice.when is not None for choice in setting.space)
    levels = growth(setting.space) if deep else ()
    strategy = partial(
        Reinforce,
        children=children,
        replicas=replicas,
        learning_rate=learning_rate,
        decay=decay,
        growth=levels,
        every=every or min(EVERY, max(1, horizon(setting.plan) // max(1, len(levels)))),
        seed=seed,
    )
    return black_box(strategy, setting.space, setting.judges, setting.plan)
