"""The hand-made rest of a network of cells, as data."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, final

__all__ = ["Skeleton"]


@final
@dataclass(frozen=True, slots=True)
class Skeleton:
    """What surrounds the searched cells; `dataclasses.replace(skeleton, image=..., classes=...)` adapts it.

    Args:
        image: Channels, height, width of an image.
        classes: How many classes the head tells apart.
        channels: Channels of the first cells' operations (C or F in the papers); doubled at each reduction.
        cells: How many cells in all; reductions are among them, unless they are `extra_reductions`.
        cells_per_repeat: How many cells a repeat adds, where a paper counts in repeats (its N): 3 for NASNet.
        reductions: Positions of the reduction cells, counted from 0; None: at a third and two thirds of
            the depth.
        extra_reductions: Whether a reduction is one more cell, in front of the cell at its position. Else
            the cell at its position is the reduction.
        skip_reduction_input: Whether the cell behind an extra reduction reads, as the cell before the last,
            what the reduction read as that.
        stem: `cifar` keeps the resolution, `imagenet` divides it by 8.
        stem_multiplier: The `cifar` stem has this many times `channels`; the first convolution of NASNet's
            `imagenet` stem this many times 32.
        affine: Whether batch norm in cells has a trained scale and shift. Supernets go without: an
            operation could scale its own weight in the mixture away.
        norm_eps: What batch norm adds to the variance (networks of DARTS always 1e-5).
        norm_momentum: Of its running statistics (networks of DARTS always 0.1).
        pool_norm: Whether a batch norm (never affine) follows each pooling.
        pool_zeros: Whether average pooling with stride 2 counts zeros beyond the border as pixels; networks
            of DARTS never do.
        auxiliary: Whether a second head, for training only, reads the features at two thirds of the depth.
        drop_path: Probability, at the end of training, that an operation's output is dropped for an image.
        drop_path_by_depth: Whether the probability also rises linearly over the cells, up to `drop_path`.
        dropout: Probability that a feature in front of the classifier is dropped in training.
        weight_sharing: Whether it is the network in which ENAS searches, which differs from the one that it
            trains in the end; no other network reads it.

    What networks of DARTS do not read: `extra_reductions`, `skip_reduction_input`, `norm_eps`, `norm_momentum`,
    `pool_zeros`, `drop_path_by_depth`, `dropout`.

    Raises:
        ValueError: A size below one, a reduction outside the cells, a probability outside [0, 1).
    """

    image: tuple[int, int, int] = (3, 32, 32)
    classes: int = 10
    channels: int = 16
    cells: int = 8
    cells_per_repeat: int = 1
    reductions: tuple[int, ...] | None = None
    extra_reductions: bool = False
    skip_reduction_input: bool = False
    stem: Literal["cifar", "imagenet"] = "cifar"
    stem_multiplier: int = 3
    affine: bool = True
    norm_eps: float = 1e-5
    norm_momentum: float = 0.1
    pool_norm: bool = False
    pool_zeros: bool = False
    auxiliary: bool = False
    drop_path: float = 0.0
    drop_path_by_depth: bool = False
    dropout: float = 0.0
    weight_sharing: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "image", tuple(self.image))
        if len(self.image) != 3 or min(self.image) < 1:
            raise ValueError(f"image={self.image} is not (channels, height, width)")
        for name in ("classes", "channels", "cells", "cells_per_repeat", "stem_multiplier"):
            if getattr(self, name) < 1:
                raise ValueError(f"a skeleton has {name} of 1 or more, got {getattr(self, name)}")
        if self.stem not in ("cifar", "imagenet"):
            raise ValueError(f"stem is 'cifar' or 'imagenet', got {self.stem!r}")
        if self.reductions is not None:
            object.__setattr__(self, "reductions", tuple(self.reductions))
            if outside := [i for i in self.reductions if not 0 <= i < self.cells]:
                raise ValueError(f"there is no cell {outside[0]} to reduce at: the cells are 0 to {self.cells - 1}")
        for name in ("drop_path", "dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} is a probability below 1, got {getattr(self, name)}")
        if not self.norm_eps > 0 or not 0 < self.norm_momentum <= 1:
            raise ValueError(
                "batch norm adds something to the variance and moves its statistics by a share above 0, got "
                f"norm_eps={self.norm_eps}, norm_momentum={self.norm_momentum}"
            )

    @property
    def reduction_cells(self) -> tuple[int, ...]:
        """Positions of the reduction cells: L//3 and 2L//3 of L cells, unless said otherwise."""
        return (self.cells // 3, 2 * self.cells // 3) if self.reductions is None else self.reductions

    def repeated(self, repeats: int) -> Skeleton:
        """The skeleton of another depth: N of the paper, where it has one, else the number of cells.

        Raises:
            ValueError: Less than one.
        """
        if repeats < 1:
            raise ValueError(f"a network has 1 repeat or more, got {repeats}")
        return replace(self, cells=repeats * self.cells_per_repeat)
