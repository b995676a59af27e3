"""The protocol of one-shot methods: a distribution over architectures, trained with the weights they
share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from morphogen.nn.mixture import Mixture
from morphogen.space import HYPERPARAMETERS, Architecture, Space

__all__ = [
    "Batch",
    "Distribution",
    "Loss",
    "Make",
    "Reward",
    "Score",
    "Step",
    "accuracy",
    "logits_of",
    "refuse_hyperparameters",
]

Batch = tuple[Tensor, Tensor]
"""Images `[batch, channels, height, width]` and their targets: classes `[batch]`, or what the task has."""

Loss = Callable[[Tensor, Tensor], Tensor]
"""`loss(logits, classes)`, a tensor without dimensions."""

Reward = Callable[[Tensor, Tensor], float]
"""`reward(logits, classes)`: how good the output for a batch is; higher is better."""

Score = Callable[[Architecture], float]
"""How good a sub-graph is with the shared weights; higher is better."""


def accuracy(logits: Tensor, classes: Tensor) -> float:
    """The share of a batch that is right."""
    return float((logits.argmax(1) == classes).float().mean())


@final
@dataclass(frozen=True, slots=True)
class Step:
    """What a distribution may learn from, once for each step of the weights, before that step.

    Args:
        network: The supernet, in training mode.
        optimizer: Of its weights.
        train: The batch that the weights will learn from.
        valid: Gives a batch of the validation split at each call; not drawn where nobody asks.
        epoch: Counted from 0.
        last: Whether it is the epoch's last step.
        generator: For what the step draws.
        loss: What the weights minimize.
        progress: How much of the whole training is done, from 0 to 1; for temperatures that fall.
        reward: What a controller maximizes: what is sought, on a batch.
    """

    network: nn.Module
    optimizer: torch.optim.Optimizer
    train: Batch
    valid: Callable[[], Batch]
    epoch: int
    last: bool
    generator: torch.Generator
    loss: Loss = F.cross_entropy
    progress: float = 0.0
    reward: Reward = accuracy


class Distribution(Protocol):
    """A distribution over the architectures of a space, which says what of the supernet runs."""

    def draw(self, generator: torch.Generator) -> Sequence[Mixture]:
        """Mixtures for one step of the weights, which averages over them."""
        ...

    def update(self, step: Step) -> None:
        """Learn. Leaves the weights, their gradients and the running statistics as they are."""
        ...

    def derive(self, score: Score, generator: torch.Generator) -> Architecture:
        """The architecture to retrain: the most probable, or the best by `score` of some that are sampled."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Everything that was learned, for `torch.save`."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` gave."""
        ...


class Make(Protocol):
    """What makes a distribution for a supernet: a class of this package, or `functools.partial` of one, or
    a function of one's own. It must pickle."""

    def __call__(self, space: Space, *, generator: torch.Generator, device: torch.device) -> Distribution:
        """The distribution before it has learned anything; `generator` draws the first values."""
        ...


def logits_of(output: Tensor | tuple[Tensor, ...]) -> Tensor:
    """The logits of a network's output; one with an auxiliary head gives two in training mode."""
    return output[0] if isinstance(output, tuple) else output


def refuse_hyperparameters(space: Space, who: str) -> None:
    """Refuse choices that the training reads: all architectures of a supernet are trained at once, by one
    training.

    Raises:
        ValueError: The space has such a choice.
    """
    if found := [choice.name for choice in space if choice.name.startswith(HYPERPARAMETERS)]:
        raise ValueError(
            f"{who} cannot decide '{found[0]}': a supernet has one training for all its architectures; "
            "search hyperparameters with a strategy that trains each proposal"
        )
