"""MobileNet: inverted residual blocks, with the depth and width of each stage, kernels and expansions to choose.

Cai et al. 2020, "Once-for-All: Train One Network and Specialize it for Efficient Deployment" (arXiv:1908.09791),
section 3, over MobileNetV3 (Howard et al. 2019, arXiv:1905.02244), as in the released code. All options share weights:
the first blocks of a stage, the first channels, the centre of a kernel.

**Differs**: kernels are cut out of larger ones as they are, without a trained linear map between the sizes; the width
of a stage is a choice if more than one is given (the code has one factor for the whole network).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from torch import Tensor, nn

from morphogen.choice import Choice
from morphogen.nn.elastic import ElasticBatchNorm2d, ElasticConv2d
from morphogen.nn.mixed import Mixed, MixedDepth, MixedOp
from morphogen.nn.mixture import Mixture, run
from morphogen.nn.sizes import Product, Size
from morphogen.nn.squeeze_excite import SqueezeExcite
from morphogen.nn.with_mixture import WithMixture
from morphogen.space import Space, When

__all__ = [
    "MOBILENET",
    "SKELETONS",
    "MobileSkeleton",
    "Network",
    "growth",
    "mobilenet",
    "network",
]

WIDTHS = ((16, 24), (32, 40), (64, 80), (96, 112), (128, 160))
"""Channels to choose from, by stage; the last ones are those of MobileNetV3."""
SQUEEZED = (False, True, False, True, True)
"""Stages with squeeze-and-excite."""
HARD_SWISH = (False, False, True, True, True)
"""Stages with hard swish, the others have ReLU."""


@final
@dataclass(frozen=True, slots=True)
class MobileSkeleton:
    """What surrounds the stages.

    Args:
        image: Channels, height, width of an image.
        classes: How many classes the head tells apart.
        stem_channels: Of the first convolution and of the fixed block behind it.
        stem_stride: Of the first convolution.
        strides: Of the first block of each stage.
        head_channels: Of the two 1x1 convolutions in front of the classifier; the pooling is between them.
        dropout: Probability that a feature in front of the classifier is dropped in training.

    Raises:
        ValueError: A size below one, or a probability outside [0, 1).
    """

    image: tuple[int, int, int] = (3, 32, 32)
    classes: int = 10
    stem_channels: int = 16
    stem_stride: int = 1
    strides: tuple[int, ...] = (1, 2, 2, 1, 2)
    head_channels: tuple[int, int] = (960, 1280)
    dropout: float = 0.0

    def __post_init__(self) -> None:
        for name in ("image", "strides", "head_channels"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        sizes = (*self.image, *self.strides, *self.head_channels, self.classes, self.stem_channels, self.stem_stride)
        if len(self.image) != 3 or len(self.head_channels) != 2 or min(sizes) < 1:
            raise ValueError(
                "a skeleton has an image of (channels, height, width), two head_channels, and sizes from 1 on; "
                f"got {self}"
            )
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout is a probability below 1, got {self.dropout}")


SKELETONS = {
    "search": MobileSkeleton(),
    "final": MobileSkeleton(dropout=0.1),
    "imagenet": MobileSkeleton((3, 224, 224), 1000, stem_stride=2, strides=(2, 2, 2, 1, 2), dropout=0.1),
}
"""For small images the first convolution and stage keep the resolution; `imagenet` is that of the paper."""


def mobilenet(
    widths: Sequence[Sequence[int]] = WIDTHS,
    depths: Sequence[int] = (2, 3, 4),
    kernels: Sequence[int] = (3, 5, 7),
    expansions: Sequence[int] = (3, 4, 6),
) -> Space:
    """The space: the width and depth of each stage; for each of its blocks a kernel and an expansion.

    With the defaults it has 32 times as many architectures as the paper's, which has one width for each stage:
    `(9**2 + 9**3 + 9**4)**5`, about 2e19. The expansion is a factor: of the channels in front of a block, that many run
    between its two 1x1 convolutions.

    Args:
        widths: For each of up to five stages, the channels to choose from.
        depths: Blocks of a stage to choose from.
        kernels: Odd.
        expansions: Factors.
    """
    if not 1 <= len(widths) <= len(SQUEEZED):
        raise ValueError(f"there are one to {len(SQUEEZED)} stages, got widths of {len(widths)}")
    choices: list[Choice] = []
    for stage, some in enumerate(widths, start=1):
        choices.append(Choice(f"stage{stage}/width", _texts(some), ordered=True))
        choices.append(Choice(f"stage{stage}/depth", _texts(depths), ordered=True))
        for block in range(max(depths)):
            deep = tuple(str(depth) for depth in depths if depth > block)
            when = When(f"stage{stage}/depth", deep) if len(deep) < len(depths) else None
            choices.append(Choice(f"stage{stage}/{block}/kernel", _texts(kernels), when=when, ordered=True))
            choices.append(Choice(f"stage{stage}/{block}/expansion", _texts(expansions), when=when, ordered=True))
    return Space(tuple(choices), network=network, skeletons=SKELETONS, name="mobilenet")


def _texts(numbers: Sequence[int]) -> tuple[str, ...]:
    return tuple(map(str, sorted(numbers)))


def growth(space: Space) -> tuple[Space, ...]:
    """Nested spaces, opened stage by stage: what is not open yet is as small as it can be."""
    names = {c.name: c.name.partition("/")[0] for c in space}
    stages = list(dict.fromkeys(names.values()))
    levels = []
    for opened in range(1, len(stages) + 1):
        closed = {c.name: c.pickable[:1] for c in space if names[c.name] in stages[opened:]}
        levels.append(space.restrict(closed))
    return tuple(levels)


# --- the network ------------------------------------------------------------------------------------------------------


def network(space: Space, skeleton: MobileSkeleton, mixed: Mixed = MixedOp) -> nn.Module:
    """The network of a space of mobile blocks: supernet, or stand-alone where the space has one point.

    Raises:
        ValueError: The skeleton has other stages than the space, or `mixed` is given: every choice is a size.
    """
    if mixed is not MixedOp:
        raise ValueError("the choices of mobilenet are sizes of layers, so nothing mixes operations: leave out `mixed`")
    return Network(space, skeleton)


@final
class Network(nn.Module):
    """A convolution and a fixed block, stages, a 1x1 convolution, pooling, another one, a linear head.

    `forward` gives logits `[batch, classes]`.

    Args:
        space: Has the choices of the stages.
        skeleton: What surrounds them.
    """

    def __init__(self, space: Space, skeleton: MobileSkeleton) -> None:
        super().__init__()
        stages = sum(choice.name.endswith("/depth") for choice in space)
        if stages > len(skeleton.strides):
            raise ValueError(
                f"space '{space.name}' has {stages} stages, the skeleton strides for {len(skeleton.strides)}"
            )
        c = skeleton.stem_channels
        self.stem = nn.Sequential(
            nn.Conv2d(skeleton.image[0], c, 3, skeleton.stem_stride, padding=1, bias=False),
            nn.BatchNorm2d(c),
            nn.Hardswish(),
        )
        self.first = MobileBlock(c, c, 1, 3, 1, squeezed=False, hard_swish=False)
        self.stages = nn.ModuleList()
        width: Size = c
        for stage in range(1, stages + 1):
            c_out = space[f"stage{stage}/width"]
            self.stages.append(Stage(space, stage, width, c_out, skeleton.strides[stage - 1]))
            width = c_out
        wide, last = skeleton.head_channels
        self.head = ConvNorm(width, wide, 1, activation=nn.Hardswish())
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.features = nn.Sequential(nn.Conv2d(wide, last, 1, bias=False), nn.Hardswish(), nn.Flatten())
        self.dropout = nn.Dropout(skeleton.dropout) if skeleton.dropout else nn.Identity()
        self.classifier = nn.Linear(last, skeleton.classes)

    def forward(self, x: Tensor, mixture: Mixture | None = None) -> Tensor:
        x = self.first(self.stem(x), mixture)
        for stage in self.stages:
            x = stage(x, mixture)
        x = self.pool(self.head(x, mixture))
        logits: Tensor = self.classifier(self.dropout(self.features(x)))
        return logits


@final
class Stage(nn.Module):
    """The first so many of a row of blocks, the first of which changes width and resolution."""

    def __init__(self, space: Space, stage: int, c_in: Size, c_out: Size, stride: int) -> None:
        super().__init__()

        def block(i: int) -> MobileBlock:
            kernel, expansion = (space[f"stage{stage}/{i}/{name}"] for name in ("kernel", "expansion"))
            return MobileBlock(
                c_out if i else c_in,
                c_out,
                expansion,
                kernel,
                1 if i else stride,
                squeezed=SQUEEZED[stage - 1],
                hard_swish=HARD_SWISH[stage - 1],
            )

        self.blocks = MixedDepth(space[f"stage{stage}/depth"], lambda i: WithMixture(block(i)))

    def forward(self, x: Tensor, mixture: Mixture | None = None) -> Tensor:
        y: Tensor = self.blocks(x, mixture)
        return y


@final
class MobileBlock(nn.Module):
    """An inverted residual: 1x1 convolution to more channels, depthwise convolution, 1x1 convolution.

    Args:
        c_in: Channels of its input.
        c_out: Of its output; the input is added where both are the same, and so is the resolution.
        expansion: Channels between the convolutions, as a multiple of those of the input; 1: no first convolution.
        kernel_size: Of the depthwise convolution.
        stride: Of that one.
        squeezed: Whether squeeze-and-excite follows it.
        hard_swish: Whether activations are hard swish; else ReLU.
    """

    def __init__(
        self,
        c_in: Size,
        c_out: Size,
        expansion: int | Choice,
        kernel_size: Size,
        stride: int,
        *,
        squeezed: bool,
        hard_swish: bool,
    ) -> None:
        super().__init__()
        assert not isinstance(c_in, Product)
        activation: nn.Module = nn.Hardswish() if hard_swish else nn.ReLU()
        c: Size = c_in if expansion == 1 else Product((c_in, expansion))
        self.expand = None if expansion == 1 else ConvNorm(c_in, c, 1, activation=activation)
        self.depthwise = ConvNorm(c, c, kernel_size, stride, depthwise=True, activation=activation)
        self.squeeze = SqueezeExcite(c) if squeezed else None
        self.project = ConvNorm(c, c_out, 1)
        self.residual = stride == 1 and c_in == c_out

    def forward(self, x: Tensor, mixture: Mixture | None = None) -> Tensor:
        y: Tensor = x if self.expand is None else self.expand(x, mixture)
        y = self.depthwise(y, mixture)
        if self.squeeze is not None:
            y = self.squeeze(y, mixture)
        y = self.project(y, mixture)
        return x + y if self.residual else y


@final
class ConvNorm(nn.Module):
    """A convolution without bias, batch norm, an activation."""

    def __init__(
        self,
        c_in: Size,
        c_out: Size,
        kernel_size: Size,
        stride: int = 1,
        *,
        depthwise: bool = False,
        activation: nn.Module | None = None,
    ) -> None:
        super().__init__()
        groups = c_out if depthwise else 1
        self.conv = ElasticConv2d(c_in, c_out, kernel_size, stride, groups=groups, bias=False)
        self.norm = ElasticBatchNorm2d(c_out)
        self.activation = nn.Identity() if activation is None else activation

    def forward(self, x: Tensor, mixture: Mixture | None = None) -> Tensor:
        y: Tensor = self.activation(run(self.norm, run(self.conv, x, mixture), mixture))
        return y


MOBILENET = mobilenet()
"""The space with two widths for each stage."""
