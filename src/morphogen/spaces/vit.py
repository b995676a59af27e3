"""Vision transformers of chosen width, depth, heads and MLP ratio.

Chen et al. 2021, "AutoFormer: Searching Transformers for Visual Recognition" (arXiv:2107.00651), section 3.3 and
table 1, over the vision transformer of Dosovitskiy et al. 2021 (arXiv:2010.11929). All options share weights: the first
blocks, the first features, the first heads.

**Differs** from the released code: positions are absolute only (the code adds relative ones), and tokens are averaged,
without one for the class (the code averages too, but carries that token along); queries, keys and values have matrices
of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from torch import Tensor, nn

from morphogen.choice import Choice
from morphogen.nn.attention import ElasticAttention, ElasticLayerNorm, Positions
from morphogen.nn.drop_path import DropPath
from morphogen.nn.elastic import ElasticLinear
from morphogen.nn.mixed import Mixed, MixedDepth, MixedOp
from morphogen.nn.mixture import Mixture, run
from morphogen.nn.sizes import Product
from morphogen.nn.with_mixture import WithMixture
from morphogen.space import Space, When

__all__ = ["SKELETONS", "VIT", "Network", "TokenSkeleton", "network", "vit"]


@final
@dataclass(frozen=True, slots=True)
class TokenSkeleton:
    """What surrounds the blocks.

    Args:
        image: Channels, height, width of an image.
        classes: How many classes the head tells apart.
        patch: Height and width of a patch; images are padded with zeros to a multiple of it.
        head_width: Features of a head.
        drop_path: Probability, at the end of training, that what a block adds is dropped for an image.

    Raises:
        ValueError: A size below one, or a probability outside [0, 1).
    """

    image: tuple[int, int, int] = (3, 32, 32)
    classes: int = 10
    patch: int = 4
    head_width: int = 64
    drop_path: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "image", tuple(self.image))
        if len(self.image) != 3 or min(*self.image, self.classes, self.patch, self.head_width) < 1:
            raise ValueError(f"a skeleton has an image of (channels, height, width) and sizes from 1 on; got {self}")
        if not 0 <= self.drop_path < 1:
            raise ValueError(f"drop_path is a probability below 1, got {self.drop_path}")

    @property
    def grid(self) -> tuple[int, int]:
        """Patches in height and width."""
        return -(-self.image[1] // self.patch), -(-self.image[2] // self.patch)


SKELETONS = {
    "search": TokenSkeleton(),
    "final": TokenSkeleton(drop_path=0.1),
    "imagenet": TokenSkeleton((3, 224, 224), 1000, patch=16, drop_path=0.1),
}
"""Patches of 4x4 for small images; `imagenet` is that of the paper."""


def vit(
    widths: Sequence[int] = (192, 216, 240),
    depths: Sequence[int] = (12, 13, 14),
    heads: Sequence[int] = (3, 4),
    ratios: Sequence[float] = (3.5, 4),
) -> Space:
    """The space: the width of all tokens and the number of blocks; for each block its heads and its MLP ratio.

    The defaults are the paper's supernet "tiny": 1,056,964,608 architectures.

    Args:
        widths: Features of a token to choose from.
        depths: Numbers of blocks.
        heads: Numbers of heads.
        ratios: Features inside the MLP of a block, as a multiple of the width.
    """
    choices = [
        Choice("width", tuple(map(str, sorted(widths))), ordered=True),
        Choice("depth", tuple(map(str, sorted(depths))), ordered=True),
    ]
    for block in range(max(depths)):
        deep = tuple(str(depth) for depth in sorted(depths) if depth > block)
        when = When("depth", deep) if len(deep) < len(depths) else None
        choices.append(Choice(f"{block}/heads", tuple(map(str, sorted(heads))), when=when, ordered=True))
        choices.append(Choice(f"{block}/ratio", tuple(f"{r:g}" for r in sorted(ratios)), when=when, ordered=True))
    return Space(tuple(choices), network=network, skeletons=SKELETONS, name="vit")


# --- the network ------------------------------------------------------------------------------------------------------


def network(space: Space, skeleton: TokenSkeleton, mixed: Mixed = MixedOp) -> nn.Module:
    """The network of a space of transformers: supernet, or stand-alone where the space has one point.

    Raises:
        ValueError: `mixed` is given: every choice is a size.
    """
    if mixed is not MixedOp:
        raise ValueError("the choices of vit are sizes of layers, so nothing mixes operations: leave out `mixed`")
    return Network(space, skeleton)


@final
class Network(nn.Module):
    """Patches through a linear layer, blocks, layer norm, the mean of all tokens, a linear head.

    `forward` gives logits `[batch, classes]`.

    Args:
        space: Has the choices.
        skeleton: What surrounds the blocks.
    """

    def __init__(self, space: Space, skeleton: TokenSkeleton) -> None:
        super().__init__()
        width, p = space["width"], skeleton.patch
        (c, height, image_width), (rows, columns) = skeleton.image, skeleton.grid
        missing = (columns * p - image_width, rows * p - height)
        pad = [nn.ZeroPad2d((0, missing[0], 0, missing[1]))] if any(missing) else []
        # a patch with all of its pixels as channels: the linear layer is a convolution of a patch's size and stride
        self.patches = nn.Sequential(*pad, nn.PixelUnshuffle(p), nn.Flatten(2))
        self.embed = ElasticLinear(c * p * p, width)
        self.positions = Positions(rows * columns, width)
        self.blocks = MixedDepth(space["depth"], lambda i: WithMixture(Block(space, i, width, skeleton)))
        self.norm = ElasticLayerNorm(width)
        self.classifier = ElasticLinear(width, skeleton.classes)

    def forward(self, x: Tensor, mixture: Mixture | None = None) -> Tensor:
        tokens = run(self.embed, self.patches(x).transpose(1, 2), mixture)
        tokens = run(self.blocks, run(self.positions, tokens, mixture), mixture)
        return run(self.classifier, run(self.norm, tokens, mixture).mean(1), mixture)


@final
class Block(nn.Module):
    """Attention and an MLP, each behind a layer norm and added to its input."""

    def __init__(self, space: Space, block: int, width: Choice, skeleton: TokenSkeleton) -> None:
        super().__init__()
        inside = Product((width, space[f"{block}/ratio"]))
        self.norm1, self.norm2 = ElasticLayerNorm(width), ElasticLayerNorm(width)
        self.attention = ElasticAttention(width, space[f"{block}/heads"], skeleton.head_width)
        self.widen, self.gelu, self.narrow_again = ElasticLinear(width, inside), nn.GELU(), ElasticLinear(inside, width)
        self.drop_path = DropPath(skeleton.drop_path) if skeleton.drop_path else nn.Identity()

    def forward(self, x: Tensor, mixture: Mixture | None = None) -> Tensor:
        """`[B, N, D]` -> the same shape."""
        x = x + self.drop_path(self.attention(run(self.norm1, x, mixture), mixture))
        y: Tensor = self.gelu(run(self.widen, run(self.norm2, x, mixture), mixture))
        y = self.drop_path(run(self.narrow_again, y, mixture))
        return x + y


VIT = vit()
"""The paper's supernet "tiny"."""
