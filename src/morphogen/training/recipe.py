"""How a network is trained: every number that training depends on, as data."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import final

import torch
from torch import nn

from morphogen.catalog import nearest
from morphogen.training.augment import Augment
from morphogen.training.dataset import Data
from morphogen.training.schedules import Cosine, Schedule

__all__ = ["OPTIMIZERS", "RECIPES", "Recipe", "recipe_for"]


@final
@dataclass(frozen=True)
class Recipe:
    """Every number that training depends on, beside data, network and seed.

    Args:
        epochs: The full horizon; schedules span it also where less is trained.
        batch_size: The most images of a batch.
        optimizer: Of `OPTIMIZERS`.
        lr: The highest learning rate.
        momentum: Of SGD and RMSprop.
        nesterov: Whether SGD looks ahead.
        weight_decay: Times the weights, added to the gradient (to the step, for AdamW).
        schedule: The learning rate over time.
        warmup: Epochs of a linear warm-up of new weights; those of another trial have none.
        label_smoothing: See `Classification`.
        clip: The longest that the gradient may be, in its L2 norm over all weights; None: any length.
        auxiliary_weight: Of the loss of an auxiliary head, where the network has one.
        augment: Instead of what suits the data set.
    """

    epochs: int = 30
    batch_size: int = 64
    optimizer: str = "sgd"
    lr: float = 0.05
    momentum: float = 0.9
    nesterov: bool = True
    weight_decay: float = 5e-4
    schedule: Schedule = field(default_factory=Cosine)
    warmup: float = 0.0
    label_smoothing: float = 0.0
    clip: float | None = None
    auxiliary_weight: float = 0.4
    augment: Augment | None = None

    def __post_init__(self) -> None:
        if self.optimizer not in OPTIMIZERS:
            close = nearest(self.optimizer, OPTIMIZERS)
            raise ValueError(f"there is no optimizer '{self.optimizer}'{close}; there are {', '.join(OPTIMIZERS)}")
        for name in ("epochs", "batch_size", "lr"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}={getattr(self, name)} in a recipe: it must be above 0")
        for name in ("momentum", "weight_decay", "warmup", "auxiliary_weight"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name}={getattr(self, name)} in a recipe: it must be 0 or more")
        if not 0 <= self.label_smoothing < 1:
            raise ValueError(f"label_smoothing={self.label_smoothing} in a recipe: it must be at least 0 and below 1")
        if self.clip is not None and not self.clip > 0:
            raise ValueError(f"clip={self.clip} in a recipe: it must be above 0, or None")

    def make_optimizer(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """The optimizer, for these parameters."""
        return OPTIMIZERS[self.optimizer](list(parameters), self)


Parameters = list[nn.Parameter]


def _sgd(parameters: Parameters, recipe: Recipe) -> torch.optim.Optimizer:
    nesterov = recipe.nesterov and recipe.momentum > 0
    return torch.optim.SGD(
        parameters, recipe.lr, recipe.momentum, weight_decay=recipe.weight_decay, nesterov=nesterov, foreach=True
    )


def _adamw(parameters: Parameters, recipe: Recipe) -> torch.optim.Optimizer:
    return torch.optim.AdamW(parameters, recipe.lr, weight_decay=recipe.weight_decay, foreach=True)


def _rmsprop(parameters: Parameters, recipe: Recipe) -> torch.optim.Optimizer:
    # alpha and eps of NASNet on ImageNet
    return torch.optim.RMSprop(
        parameters, recipe.lr, 0.9, eps=1.0, weight_decay=recipe.weight_decay, momentum=recipe.momentum, foreach=True
    )


OPTIMIZERS: dict[str, Callable[[Parameters, Recipe], torch.optim.Optimizer]] = {
    "adamw": _adamw,
    "rmsprop": _rmsprop,
    "sgd": _sgd,
}
"""`foreach` costs a third less than one parameter at a time; `fused` would trust memory layouts to be equal."""

RECIPES: dict[str, Recipe] = {
    "cifar10": Recipe(epochs=30, batch_size=128, lr=0.1, warmup=1.0, label_smoothing=0.1, clip=5.0),
    "cifar100": Recipe(epochs=30, batch_size=128, lr=0.1, warmup=1.0, label_smoothing=0.1, clip=5.0),
    "digits": Recipe(epochs=24, batch_size=64, lr=0.1, warmup=2.0, label_smoothing=0.1, clip=5.0),
    "fashion-mnist": Recipe(epochs=12, batch_size=128, lr=0.1, warmup=1.0, label_smoothing=0.1, clip=5.0),
    "mnist": Recipe(epochs=8, batch_size=128, lr=0.1, warmup=1.0, label_smoothing=0.1, clip=5.0),
    "svhn": Recipe(epochs=12, batch_size=128, lr=0.1, warmup=1.0, label_smoothing=0.1, clip=5.0),
}
"""By the name of a data set; for hours of CPU, not for the tables of a paper."""

FALLBACK = Recipe(warmup=1.0, label_smoothing=0.1, clip=5.0)


def recipe_for(data: Data, epochs: int | None = None) -> Recipe:
    """The recipe that goes with a data set, with another horizon where `epochs` says so."""
    found = RECIPES.get(data.name, FALLBACK)
    return found if epochs is None else replace(found, epochs=epochs, warmup=min(found.warmup, epochs / 4))
