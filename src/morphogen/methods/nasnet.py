"""Two cells, written by a controller that learns by proximal policy optimization."""

from __future__ import annotations

from functools import partial

from morphogen.methods.black_box import black_box
from morphogen.methods.one_shot import Setting
from morphogen.protocols import Phase
from morphogen.strategies import Ppo

__all__ = ["nasnet"]


def nasnet(
    setting: Setting,
    *,
    minibatch: int = 20,
    passes: int = 3,
    clip: float = 0.2,
    learning_rate: float = 3.5e-4,
    entropy: float = 1e-5,
    decay: float = 0.95,
    seed: int = 0,
) -> list[Phase]:
    """A recurrent controller writes a normal and a reduction cell and learns from their accuracy by PPO.

    Zoph et al. 2018, "Learning Transferable Architectures for Scalable Image Recognition" (arXiv:1707.07012), appendix
    A: 20,000 children, whose best 250 are then trained in full; here as many finalists as the plan says.

    **Differs**: what `Ppo` says.

    Args:
        setting: What it is given.
        minibatch: Cells an update.
        passes: Gradient steps on a minibatch.
        clip: Ratios beyond 1 +- clip are not rewarded.
        learning_rate: Of Adam.
        entropy: Weight of the entropy.
        decay: Of the moving average of rewards.
        seed: Of the controller's first weights.
    """
    strategy = partial(
        Ppo,
        minibatch=minibatch,
        passes=passes,
        clip=clip,
        learning_rate=learning_rate,
        entropy=entropy,
        decay=decay,
        seed=seed,
    )
    strategy(setting.space)  # what cannot be says so now
    return black_box(strategy, setting.space, setting.judges, setting.plan)
