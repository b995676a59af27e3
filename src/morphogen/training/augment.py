"""Augmentation of whole batches, image by image at random, from an explicit generator.

Offsets are drawn on the CPU, so that the same generator gives the same images on every device.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Generator, Tensor
from torch.nn import functional

__all__ = ["Augment", "Normalize", "cutout", "hole", "shift_and_flip"]


@final
@dataclass(frozen=True)
class Augment:
    """Which augmentation suits a data set.

    Args:
        shift: Pixels that an image may move each way: padding with zeros, then a random crop of the old size.
        flip: Mirror left and right with probability 1/2. Not for digits.
        cutout: Side in pixels of a square that is blanked out after normalization; 0 for none.
    """

    shift: int = 0
    flip: bool = False
    cutout: int = 0

    def __post_init__(self) -> None:
        if self.shift < 0 or self.cutout < 0:
            raise ValueError(f"shift={self.shift}, cutout={self.cutout}: both are numbers of pixels, 0 or more")


@final
class Normalize:
    """Pixels to float32 of mean 0 and standard deviation 1, channel by channel, in `channels_last`.

    Args:
        mean: One number a channel, of pixels as they are stored.
        std: Likewise.
        device: Where batches are.
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float], device: torch.device) -> None:
        self._mean = torch.tensor(mean, dtype=torch.float32, device=device).view(1, -1, 1, 1)
        self._scale = 1 / torch.tensor(std, dtype=torch.float32, device=device).view(1, -1, 1, 1)

    def __call__(self, images: Tensor) -> Tensor:
        # always a copy: float images are the data set itself
        floating = images.to(torch.float32, copy=True, memory_format=torch.channels_last)
        return floating.sub_(self._mean).mul_(self._scale)


def shift_and_flip(images: Tensor, shift: int, flip: bool, generator: Generator) -> Tensor:
    """Crop a batch `(N, C, H, W)` at random from its zero-padded self, then mirror half of it, by one gather."""
    if not shift and not flip:
        return images
    count, _, height, width = images.shape
    rows = torch.arange(height).expand(count, height)
    columns = torch.arange(width).expand(count, width)
    if flip:
        mirrored = torch.rand(count, 1, generator=generator) < 0.5
        columns = torch.where(mirrored, width - 1 - columns, columns)
    if shift:
        offsets = torch.randint(2 * shift + 1, (2, count, 1), generator=generator)
        rows, columns = rows + offsets[0], columns + offsets[1]
        images = functional.pad(images, (shift, shift, shift, shift))
    device = images.device
    image = torch.arange(count, device=device)[:, None, None]
    # the indexed axes come first, channels last: in memory this is `channels_last` already
    picked = images[image, :, rows.to(device)[:, :, None], columns.to(device)[:, None, :]]
    return picked.permute(0, 3, 1, 2)


def hole(top: Tensor, left: Tensor, side: int, height: int, width: int) -> Tensor:
    """Squares, clipped at the border, as a mask `(N, 1, H, W)` that is True inside.

    Args:
        top: The first row of each, `(N,)`; it may be negative.
        left: The first column of each.
        side: In pixels.
        height: Of the images.
        width: Of the images.
    """
    rows = torch.arange(height, device=top.device)
    columns = torch.arange(width, device=top.device)
    inside_rows = (rows >= top[:, None]) & (rows < top[:, None] + side)
    inside_columns = (columns >= left[:, None]) & (columns < left[:, None] + side)
    return (inside_rows[:, :, None] & inside_columns[:, None, :])[:, None]


def cutout(images: Tensor, side: int, generator: Generator) -> Tensor:
    """Blank a square out of each image of a normalized batch `(N, C, H, W)`, in place.

    DeVries and Taylor 2017 (arXiv:1708.04552), as in DARTS: the center is uniform over the pixels, and the square is
    clipped, rows `[y - side // 2, y + side // 2)`; 196 of 256 pixels remain in it on average, for side 16 on 32x32.
    """
    if not side:
        return images
    count, _, height, width = images.shape
    y = torch.randint(height, (count,), generator=generator)
    x = torch.randint(width, (count,), generator=generator)
    mask = hole(y - side // 2, x - side // 2, 2 * (side // 2), height, width)
    return images.masked_fill_(mask.to(images.device), 0.0)
