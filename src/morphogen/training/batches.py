"""Batches of a split, drawn by an explicit generator."""

from __future__ import annotations

from collections.abc import Iterator
from typing import final

import torch
from torch import Tensor

from morphogen.training.augment import Augment, Normalize, cutout, shift_and_flip
from morphogen.training.data import Data
from morphogen.training.images import Images

__all__ = ["Batches"]

NONE = Augment()


@final
class Batches:
    """Batches of a split on a device, normalized.

    An epoch has `ceil(N / size)` batches of sizes that differ by one at most: no image is left out, and there is no
    small last batch to upset batch norm.

    Args:
        data: For mean and standard deviation.
        split: Which images.
        size: The most images of a batch.
        device: Where the split is put, whole.
        augment: For training.
    """

    def __init__(self, data: Data, split: Images, size: int, device: torch.device, augment: Augment = NONE) -> None:
        self._images = split.images.to(device)
        self._labels = split.labels.to(device)
        self._normalize = Normalize(data.mean, data.std, device)
        self._augment = augment
        self.steps = -(-len(split) // size)

    def shuffled(self, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        """An epoch in random order, augmented: `(N, C, H, W)` float32 and `(N,)` int64."""
        augment = self._augment
        order = torch.randperm(len(self._labels), generator=generator).to(self._labels.device)
        for picked in order.tensor_split(self.steps):
            images = shift_and_flip(self._images[picked], augment.shift, augment.flip, generator)
            yield cutout(self._normalize(images), augment.cutout, generator), self._labels[picked]

    def in_order(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Every image once, as it is."""
        for images, labels in zip(
            self._images.tensor_split(self.steps), self._labels.tensor_split(self.steps), strict=True
        ):
            yield self._normalize(images), labels
