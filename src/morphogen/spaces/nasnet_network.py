"""The network around cells of the NASNet family.

Zoph et al. 2018 (arXiv:1707.07012), figure 2 and section A.7; Liu et al. 2018, PNAS (arXiv:1712.00559); Real et
al. 2019, AmoebaNet (arXiv:1802.01548). As in their released code (TensorFlow's slim, and for AmoebaNet the TPU
models).

**Differs**: layers start as torch starts them (the code: variance scaling by what a layer gives).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import final

from torch import Tensor, nn

from morphogen.nn.mixed import Mixed, MixedOp
from morphogen.nn.mixture import Mixture, run
from morphogen.nn.nasnet_operations import Norms
from morphogen.spaces.concat import states_linear
from morphogen.spaces.nasnet_cell import Cell, CellChoices, Features
from morphogen.spaces.skeleton import Skeleton

__all__ = ["Network", "Place", "mobile", "places"]


def mobile(skeleton: Skeleton, channels: int, cells: int) -> Skeleton:
    """The skeleton of the network of a paper for ImageNet in the mobile setting, as the released code trains it."""
    return replace(
        skeleton,
        image=(3, 224, 224),
        classes=1000,
        channels=channels,
        cells=cells,
        stem="imagenet",
        stem_multiplier=1,
        norm_eps=1e-3,
        norm_momentum=0.0003,
        auxiliary=True,
        dropout=0.5,
    )


@final
@dataclass(frozen=True, slots=True)
class Place:
    """Where a cell stands.

    Args:
        channels: Of its operations.
        reduces: Whether it halves the resolution.
        back: Which output its first input is, counted from the last: 2 is the cell before the last.
        auxiliary: Whether the auxiliary head reads it.
    """

    channels: int
    reduces: bool = False
    back: int = 2
    auxiliary: bool = False


def places(skeleton: Skeleton) -> Iterator[Place]:
    """The cells of a network, in order, those of the stem included.

    The auxiliary head reads the cell in front of the second reduction.
    """
    c = skeleton.channels
    if skeleton.stem == "imagenet":
        if c < 4:
            raise ValueError(f"the first cell of an imagenet stem has a quarter of the channels, of {c} that is none")
        yield from (Place(c // 4, reduces=True), Place(c // 2, reduces=True))
    reductions = skeleton.reduction_cells
    second = reductions[1] if len(reductions) > 1 else 2 * skeleton.cells // 3
    for cell in range(skeleton.cells):
        extra, auxiliary = False, skeleton.auxiliary and cell == max(second - 1, 0)
        reduces = cell in reductions
        if reduces:
            c *= 2
            extra = skeleton.extra_reductions
        if extra:
            yield Place(c, reduces=True)
        back = 3 if extra and skeleton.skip_reduction_input else 2
        yield Place(c, reduces and not extra, back, auxiliary)


@final
class Network(nn.Module):
    """A convolution, cells of which some reduce, ReLU, global average pooling, a linear head.

    `forward` gives logits `[batch, classes]`; in training mode, with an auxiliary head, `(logits, auxiliary
    logits)`.

    Args:
        normal: The choices of cells that keep the resolution.
        reduce: The choices of those that halve it.
        skeleton: What surrounds them.
        mixed: What mixes operations.

    Raises:
        ValueError: An image or channels that the stem leaves nothing of.
    """

    def __init__(self, normal: CellChoices, reduce: CellChoices, skeleton: Skeleton, mixed: Mixed = MixedOp) -> None:
        super().__init__()
        norms = Norms(
            skeleton.norm_eps, skeleton.norm_momentum, skeleton.affine, skeleton.pool_norm, skeleton.pool_zeros
        )
        self.stem, features = _stem(skeleton, norms)
        self.cells = nn.ModuleList()
        self.auxiliary: Auxiliary | None = None
        self.places = tuple(places(skeleton))
        given = [features]
        for i, place in enumerate(self.places):
            depth = (i + 1) / len(self.places) if skeleton.drop_path_by_depth else 1.0
            cell = Cell(
                reduce if place.reduces else normal,
                (given[-min(place.back, len(given))], given[-1]),
                place.channels,
                reduces=place.reduces,
                norms=norms,
                mixed=mixed,
                drop_path=skeleton.drop_path * depth,
            )
            self.cells.append(cell)
            given.append(cell.features)
            if place.auxiliary:
                self.auxiliary = Auxiliary(cell.features, skeleton.classes, norms)
        self.relu, self.pool = nn.ReLU(), nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(skeleton.dropout) if skeleton.dropout else nn.Identity()
        self.classifier = states_linear(given[-1].concat, given[-1].channels, skeleton.classes)

    def forward(self, x: Tensor, mixture: Mixture | None = None) -> Tensor | tuple[Tensor, Tensor]:
        outputs: list[Tensor] = [self.stem(x)]
        auxiliary_logits = None
        for place, cell in zip(self.places, self.cells, strict=True):
            y = cell(outputs[-min(place.back, len(outputs))], outputs[-1], mixture)
            outputs = [*outputs[-2:], y]
            if place.auxiliary and self.auxiliary is not None and self.training:
                auxiliary_logits = self.auxiliary(y, mixture)
        features = self.dropout(self.pool(self.relu(outputs[-1])).flatten(1))
        logits = run(self.classifier, features, mixture)
        return logits if auxiliary_logits is None else (logits, auxiliary_logits)


def _stem(skeleton: Skeleton, norms: Norms) -> tuple[nn.Sequential, Features]:
    """The convolution of the image, and what it gives: one channel group, no cell's."""
    c_in, height, width = skeleton.image
    if skeleton.stem == "imagenet":
        if min(height, width) < 3:
            raise ValueError(f"an imagenet stem takes images of 3x3 or more, got {height}x{width}")
        c, stride, size = 32 * skeleton.stem_multiplier, 2, ((height - 1) // 2, (width - 1) // 2)
    else:
        c, stride, size = skeleton.channels * skeleton.stem_multiplier, 1, (height, width)
    conv = nn.Conv2d(c_in, c, 3, stride, padding=2 - stride, bias=False)
    norm = nn.BatchNorm2d(c, norms.eps, norms.momentum)
    return nn.Sequential(conv, norm), Features(c, size)


@final
class Auxiliary(nn.Module):
    """The second head, for training only: pooling, a 1x1 convolution, one over all that is left, a linear layer.

    **Differs** from the released code on maps smaller than 5x5, which it cannot take: the window shrinks.

    Args:
        features: What it reads.
        classes: How many.
        norms: How it normalizes.
    """

    def __init__(self, features: Features, classes: int, norms: Norms) -> None:
        super().__init__()
        height, width = features.size
        window = (min(5, height), min(5, width))
        left = ((height - window[0]) // 3 + 1, (width - window[1]) // 3 + 1)
        self.relu, self.pool = nn.ReLU(), nn.AvgPool2d(window, 3)
        self.project = features.conv(128)
        norm1, norm2 = (nn.BatchNorm2d(c, norms.eps, norms.momentum) for c in (128, 768))
        self.features = nn.Sequential(
            norm1, nn.ReLU(), nn.Conv2d(128, 768, left, bias=False), norm2, nn.ReLU(), nn.Flatten()
        )
        self.classifier = nn.Linear(768, classes)

    def forward(self, x: Tensor, mixture: Mixture | None = None) -> Tensor:
        y: Tensor = self.classifier(self.features(run(self.project, self.pool(self.relu(x)), mixture)))
        return y
