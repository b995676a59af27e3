"""How a supernet and its distribution learn together, and how far they got: plain data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import final

import numpy as np
import torch

from morphogen.space import Architecture
from morphogen.training.images import Images
from morphogen.training.recipe import Recipe

__all__ = ["Learned", "Regime", "parts"]


@final
@dataclass(frozen=True)
class Regime:
    """How a supernet and its distribution learn together.

    Args:
        recipe: Of the weights; its epochs are the horizon.
        share: Of the training split, what the architecture learns from; the weights learn from the rest. DARTS: half.
            `data.valid` is left out of both, so that it can judge.
        start: The share of the epochs before the architecture learns anything.
        most_skips: End as soon as a cell of the likeliest architecture would have so many skips, with the likeliest
            architecture of the epoch before. None: never.
        calibration: Images that running statistics are computed from, for what is judged.
        recompute: Whether cells run again in backward instead of keeping what they computed: about half the memory,
            for about 1.4 times the time.
        sharpness: Whether the curves have the sharpness of the architecture's minimum: some twenty passes over one
            batch after every epoch, with the memory of a second-order step. Only where there are logits.

    Raises:
        ValueError: A share outside of [0, 1).
    """

    recipe: Recipe
    share: float = 0.5
    start: float = 0.0
    most_skips: int | None = None
    calibration: int = 256
    recompute: bool = False
    sharpness: bool = False

    def __post_init__(self) -> None:
        for name in ("share", "start"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} of a supernet: it must be at least 0 and below 1")
        if self.most_skips is not None and self.most_skips < 1:
            raise ValueError(f"most_skips={self.most_skips}: a cell without skips is no collapse; 1 or more, or None")


@final
@dataclass
class Learned:
    """How far a supernet got.

    Args:
        epochs: Trained.
        metrics: On the validation split: the task's (`accuracy` and `loss`) of what was found, with the shared weights;
            `supernet_accuracy` (or another metric that is sought), of a mixture.
        curves: After every epoch: the mixture's metrics (`accuracy` and `loss`), `train_loss`, `lr`, and signs of health;
            `sharpness`, where the regime wants it.
        found: What the distribution ends at.
        seconds: All attempts together.
        stopped: Whether `most_skips` ended it.
    """

    epochs: int = 0
    metrics: dict[str, float] = field(default_factory=dict)
    curves: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    found: Architecture | None = None
    seconds: float = 0.0
    stopped: bool = False


def parts(images: Images, share: float, seed: int) -> tuple[Images, Images]:
    """What the weights learn from, and what the architecture learns from: two parts of a fixed permutation.

    Raises:
        ValueError: One of them would be empty.
    """
    order = torch.from_numpy(np.random.default_rng(seed).permutation(len(images)))
    cut = len(images) - round(share * len(images))
    if cut == 0 or (share > 0 and cut == len(images)):
        raise ValueError(f"{len(images)} training images cannot be divided: a share of {share:g} leaves a part empty")
    if share == 0:
        return images, images
    first, second = order[:cut], order[cut:]
    return Images(images.images[first], images.labels[first]), Images(images.images[second], images.labels[second])
