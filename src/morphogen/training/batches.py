"""Batches of a split, drawn by an explicit generator."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import final

import torch
from torch import Tensor
from torch.nn import functional

from morphogen.training.augment import Augment, Normalize, cutout, shift_and_flip
from morphogen.training.dataset import Data
from morphogen.training.images import Images

__all__ = ["Batches"]

NONE = Augment()
RESIDENT = 0.5
"""Of the free memory of a GPU, what the images of a split may take."""


@final
class Batches:
    """Batches of a split on a device, normalized.

    An epoch has `ceil(N / size)` batches of sizes that differ by one at most: no image is left out, and there is no
    small last batch to upset batch norm.

    Args:
        data: For mean and standard deviation.
        split: Which images.
        size: The most images of a batch.
        device: Where the split is put: whole, or batch by batch where it would take more than `RESIDENT` of a GPU.
        augment: For training.
        image_size: Height and width that images are resized to, by the mean over the area of a new pixel; numbers of
            pixels in `augment` shrink with them.
    """

    def __init__(
        self,
        data: Data,
        split: Images,
        size: int,
        device: torch.device,
        augment: Augment = NONE,
        image_size: tuple[int, int] | None = None,
    ) -> None:
        self._images = split.images if _too_large(split, device) else split.images.to(device)
        self._labels = split.labels.to(device)
        self._device = device
        self._normalize = Normalize(data.mean, data.std, device)
        self._size = image_size if image_size is not None and image_size != tuple(split.shape[2:]) else None
        self._augment = augment if self._size is None else _smaller(augment, self._size[0] / split.shape[2])
        self.steps = -(-len(split) // size)

    def shuffled(self, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        """An epoch in random order, augmented: `(N, C, H, W)` float32 and `(N,)` int64."""
        augment = self._augment
        order = torch.randperm(len(self._labels), generator=generator).to(self._images.device)
        for picked in order.tensor_split(self.steps):
            images = shift_and_flip(self._sized(self._images[picked]), augment.shift, augment.flip, generator)
            yield cutout(self._normalize(images), augment.cutout, generator), self._labels[picked.to(self._device)]

    def in_order(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Every image once, as it is."""
        for images, labels in zip(
            self._images.tensor_split(self.steps), self._labels.tensor_split(self.steps), strict=True
        ):
            yield self._normalize(self._sized(images)), labels

    def _sized(self, images: Tensor) -> Tensor:
        """Images on the device, in the size that is wanted."""
        images = images.to(self._device)
        return images if self._size is None else functional.interpolate(images.float(), self._size, mode="area")


def _smaller(augment: Augment, share: float) -> Augment:
    return replace(augment, shift=round(augment.shift * share), cutout=2 * round(augment.cutout * share / 2))


def _too_large(split: Images, device: torch.device) -> bool:
    if device.type != "cuda":
        return False
    free, _ = torch.cuda.mem_get_info(device)
    return bool(split.nbytes > RESIDENT * free)
