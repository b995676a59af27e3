"""The first space searched by reinforcement learning: convolutions of any shape, with skip connections.

Zoph & Le 2017, "Neural Architecture Search with Reinforcement Learning" (arXiv:1611.01578), sections 3.1, 3.3
and 4.1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from morphogen.nn.mixed import Mixed, MixedOp
from morphogen.nn.pointwise import conv2d
from morphogen.space import Architecture, Choice, Pick, Space, When
from morphogen.spaces.isomorphism import canonical_graph
from morphogen.spaces.standalone import require_one_point

__all__ = ["GROWING", "NAS_RL", "SKELETONS", "Layer", "Network", "PlainSkeleton", "identity", "nas_rl", "network"]

SIZES = ("1", "3", "5", "7")
STRIDES = ("1", "2", "3")
FILTERS = ("24", "36", "48", "64")


@final
@dataclass(frozen=True, slots=True)
class PlainSkeleton:
    """What surrounds the layers.

    Args:
        image: Channels, height, width of an image.
        classes: How many classes the head tells apart.
        more_filters: Added to the filters of every layer: 40 in the largest network of the paper's table 1.
    """

    image: tuple[int, int, int] = (3, 32, 32)
    classes: int = 10
    more_filters: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "image", tuple(self.image))
        if len(self.image) != 3 or min(*self.image, self.classes) < 1 or self.more_filters < 0:
            raise ValueError(
                f"a skeleton has an image of (channels, height, width), a class and no negative number of filters, "
                f"got image={self.image}, classes={self.classes}, more_filters={self.more_filters}"
            )


SKELETONS = {"search": PlainSkeleton(), "final": PlainSkeleton()}
"""The paper trains the same network in the search and after it."""


def nas_rl(layers: int | Sequence[int] = 6, strides: bool = False, skips: bool = True) -> Space:
    """The space: for each layer the shape and the number of its filters, and which earlier layers it reads.

    With 6 layers it has 2,251,799,813,685,248 architectures; 1,196,698,744,784,701,882,368 with strides. Params and
    multiply-adds do not add up: a layer that reads none reads the image, the classifier reads what no layer does, and
    maps are as large as the largest that they are padded to. Limits of them are kept by rejection.

    Args:
        layers: How many, or the numbers to choose from, as in `GROWING`.
        strides: Whether the stride of each direction is chosen from 1, 2 and 3. Else it is 1.
        skips: Whether layers read any subset of the earlier ones. Else each reads the one before it.
    """
    depths = (layers,) if isinstance(layers, int) else tuple(layers)
    if not depths or min(depths) < 1:
        raise ValueError(f"layers={layers!r}: expected a number of layers from 1 on, or several")
    choices = [Choice("layers", tuple(map(str, depths)), ordered=True)] if len(depths) > 1 else []
    for layer in range(max(depths)):
        deep = tuple(str(depth) for depth in depths if depth > layer)
        when = When("layers", deep) if len(deep) < len(depths) else None
        parts: list[tuple[str, tuple[str, ...]]] = [("height", SIZES), ("width", SIZES)]
        if strides:
            parts += [("stride_height", STRIDES), ("stride_width", STRIDES)]
        parts.append(("filters", FILTERS))
        choices += [Choice(f"{layer}/{name}", options, when=when, ordered=True) for name, options in parts]
        if skips and layer:
            choices.append(Choice(f"{layer}/inputs", tuple(map(str, range(layer))), pick=(0, layer), when=when))
    return Space(tuple(choices), network=network, skeletons=SKELETONS, canonical=identity, name="nas-rl")


# --- the network ------------------------------------------------------------------------------------------------------


@final
@dataclass(frozen=True, slots=True)
class Layer:
    """One layer of an architecture.

    Args:
        kernel: Height and width of its filters.
        stride: Of height and width.
        filters: How many.
        sources: The layers that it reads; none: the image.
    """

    kernel: tuple[int, int]
    stride: tuple[int, int]
    filters: int
    sources: tuple[int, ...]


def network(space: Space, skeleton: PlainSkeleton, mixed: Mixed = MixedOp) -> nn.Module:
    """The network of one architecture.

    **Differs** from other spaces: there is no supernet. A layer reads any number of layers of any width, and the
    paper trains architectures one by one.

    Raises:
        ValueError: The space has more than one point, or `mixed` is another than `MixedOp`.
    """
    require_one_point(space, mixed, "the networks of nas-rl share no weights")
    return Network(space, skeleton)


@final
class Network(nn.Module):
    """Convolutions, each followed by batch norm and ReLU; then pooling and a linear layer.

    The three rules of section 3.3: a layer without inputs reads the image; what no layer reads goes to the
    classifier, concatenated; maps of different sizes are padded with zeros to the largest. (Where the zeros go, and
    the order of convolution, norm and ReLU are not stated: here at the bottom and right, and in this order.)

    `forward` gives logits `[batch, classes]`.

    Args:
        space: Of one point.
        skeleton: What surrounds the layers.
    """

    def __init__(self, space: Space, skeleton: PlainSkeleton) -> None:
        super().__init__()
        self.choices = space.choices
        layers = _layers({choice.name: choice.options for choice in space})
        image, *size = skeleton.image
        sizes: list[tuple[int, int]] = []
        self.convolutions, self.joins = nn.ModuleList(), nn.ModuleList()
        for layer in layers:
            join = Join(layer.sources, [sizes[s] for s in layer.sources])
            height, width = join.size or size
            c_in = sum(layers[s].filters + skeleton.more_filters for s in layer.sources) or image
            c_out = layer.filters + skeleton.more_filters
            padding = (layer.kernel[0] // 2, layer.kernel[1] // 2)
            self.joins.append(join)
            self.convolutions.append(
                nn.Sequential(
                    conv2d(c_in, c_out, layer.kernel, layer.stride, padding, bias=False),
                    nn.BatchNorm2d(c_out),
                    nn.ReLU(),
                )
            )
            sizes.append((-(-height // layer.stride[0]), -(-width // layer.stride[1])))
        ends = _loose(layers)
        self.last = Join(ends, [sizes[s] for s in ends])
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(sum(layers[s].filters + skeleton.more_filters for s in ends), skeleton.classes)

    def forward(self, x: Tensor) -> Tensor:
        outputs: list[Tensor] = []
        for join, convolution in zip(self.joins, self.convolutions, strict=True):
            outputs.append(convolution(join(outputs) if join.sources else x))
        logits: Tensor = self.classifier(self.pool(self.last(outputs)).flatten(1))
        return logits


@final
class Join(nn.Module):
    """Concatenates some outputs, padded with zeros to the largest of them.

    Args:
        sources: Which.
        sizes: Their heights and widths.
    """

    def __init__(self, sources: Sequence[int], sizes: Sequence[tuple[int, int]]) -> None:
        super().__init__()
        self.sources = tuple(sources)
        height, width = (max((size[i] for size in sizes), default=0) for i in (0, 1))
        self.size = (height, width) if sizes else None
        """Height and width of what it gives."""
        self.missing = [(0, width - w, 0, height - h) for h, w in sizes]

    def forward(self, outputs: Sequence[Tensor]) -> Tensor:
        padded = [
            F.pad(outputs[s], missing) if any(missing) else outputs[s]
            for s, missing in zip(self.sources, self.missing, strict=True)
        ]
        return torch.cat(padded, dim=1) if len(padded) > 1 else padded[0]


# --- other forms of an architecture -----------------------------------------------------------------------------------


def identity(architecture: Architecture) -> bytes:
    """Bytes that are equal exactly for isomorphic networks: the graph of the layers, whatever their order."""
    layers = _layers(architecture.picks)
    labels = [(layer.kernel, layer.stride, layer.filters) for layer in layers]
    return repr(canonical_graph(labels, [layer.sources for layer in layers])).encode()


def _layers(picks: Mapping[str, Pick]) -> list[Layer]:
    layers: list[Layer] = []
    while (name := f"{len(layers)}/height") in picks:
        path = name.removesuffix("/height")
        before = (str(len(layers) - 1),) if layers else ()
        stride = [int(picks.get(f"{path}/stride_{side}", ("1",))[0]) for side in ("height", "width")]
        # a space without skips has no choice of inputs
        sources = picks.get(f"{path}/inputs", before)
        layers.append(
            Layer(
                (int(picks[name][0]), int(picks[f"{path}/width"][0])),
                (stride[0], stride[1]),
                int(picks[f"{path}/filters"][0]),
                tuple(map(int, sources)),
            )
        )
    return layers


def _loose(layers: Sequence[Layer]) -> tuple[int, ...]:
    """What no layer reads."""
    read = {source for layer in layers for source in layer.sources}
    return tuple(i for i in range(len(layers)) if i not in read)


NAS_RL = nas_rl()
"""Networks of 6 layers without strides, where the paper's search begins."""
GROWING = nas_rl(range(6, 21, 2))
"""Networks of 6 to 20 layers: the search of the paper adds 2 every 1,600 architectures, 12,800 in all. `growth` gives
these levels."""
