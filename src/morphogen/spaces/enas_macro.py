"""The macro space of ENAS: the operation of every layer, and which earlier layers are connected to it.

Pham, Guan, Zoph, Le, Dean 2018, "Efficient Neural Architecture Search via Parameter Sharing" (arXiv:1802.03268),
section 2.3, as in the released code (melodyguan/enas).

The network of the search and the final one differ by `Skeleton.weight_sharing`:

|                     | search                          | final                                              |
|---------------------|---------------------------------|----------------------------------------------------|
| layer               | 1x1 and kxk, each conv-BN-ReLU  | 1x1 and kxk, each ReLU-conv-BN                     |
| separable operation | depthwise and 1x1               | an ordinary convolution                            |
| connected layers    | added, then batch norm          | concatenated, then ReLU, 1x1 convolution, batch norm |
| channels            | the same everywhere             | doubled where the resolution is halved             |

**Differs** from the released code: there, all six operations of the search run as the last one (each branch reads one
variable when it is called), and the final network has no pooling. Here every operation is itself in both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from operator import add
from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from morphogen.nn.mixed import Mixed, MixedOp
from morphogen.nn.mixture import Mixing, Mixture, run
from morphogen.nn.nasnet_operations import FactorizedReduction, Norms
from morphogen.nn.pointwise import conv2d
from morphogen.space import Architecture, Choice, Pick, Space
from morphogen.spaces.skeleton import Skeleton
from morphogen.spaces.stem import stem

__all__ = [
    "ENAS_MACRO",
    "OPERATIONS",
    "SKELETONS",
    "Network",
    "enas_macro",
    "from_arc",
    "network",
    "published",
    "published_network",
]

OPERATIONS = ("conv_3x3", "sep_conv_3x3", "conv_5x5", "sep_conv_5x5", "avg_pool_3x3", "max_pool_3x3")
"""In the order of the released code."""
LAYERS = 12
SKELETONS = {
    "search": Skeleton(
        channels=36, cells=12, extra_reductions=True, stem_multiplier=1, dropout=0.1, weight_sharing=True
    ),
    "final": Skeleton(channels=96, cells=12, extra_reductions=True, stem_multiplier=1, dropout=0.5),
}
"""For 12 layers; `cells` are layers. `enas_macro(24).skeletons` are for the 24 layers of the published network."""


def enas_macro(layers: int = LAYERS, operations: Sequence[str] = OPERATIONS) -> Space:
    """The space: for each layer an operation on the layer before, and any subset of those before that one.

    With 12 layers it has 160,618,186,625,454,535,808,756,219,904 architectures. No two are isomorphic: the layers form
    a chain. Multiply-adds do not add up: an output is halved if any of the later layers reads it. Limits of them are
    kept by rejection.

    Args:
        layers: How many; `3/op` is the operation of the fourth one, `3/skips` its connections: 0 is what the stem
            gives, 1 the first layer, 2 the second one.
        operations: Some of `OPERATIONS`.
    """
    if layers < 1:
        raise ValueError(f"layers={layers}: a network has one or more")
    choices = []
    for layer in range(layers):
        choices.append(Choice(f"{layer}/op", tuple(operations)))
        if layer:
            choices.append(Choice(f"{layer}/skips", tuple(map(str, range(layer))), pick=(0, layer)))
    skeletons = {name: skeleton.repeated(layers) for name, skeleton in SKELETONS.items()}
    return Space(tuple(choices), network=network, skeletons=skeletons, name="enas-macro")


# --- the network ------------------------------------------------------------------------------------------------------


def network(space: Space, skeleton: Skeleton, mixed: Mixed = MixedOp) -> nn.Module:
    """The network of an ENAS macro space: supernet, or stand-alone where the space has one point.

    Raises:
        ValueError: The skeleton has another number of layers than the space.
    """
    return Network(space, skeleton, mixed)


@final
class Network(nn.Module):
    """A convolution, layers, global average pooling, a linear head without bias.

    In front of a third and two thirds of the layers, the resolution is halved: what a later layer reads from before
    goes through a factorized reduction of its own. `forward` gives logits `[batch, classes]`.

    Args:
        space: Has the choices of the layers.
        skeleton: What surrounds them.
        mixed: What mixes operations.

    Raises:
        ValueError: The skeleton has another number of layers than the space.
    """

    def __init__(self, space: Space, skeleton: Skeleton, mixed: Mixed = MixedOp) -> None:
        super().__init__()
        layers = sum(choice.name.endswith("/op") for choice in space)
        if skeleton.cells != layers:
            raise ValueError(
                f"space '{space.name}' has {layers} layers and the skeleton {skeleton.cells}: make both of "
                f"enas_macro({skeleton.cells}), or set cells={layers}"
            )
        norms = Norms(skeleton.norm_eps, skeleton.norm_momentum, skeleton.affine)
        c = skeleton.channels * skeleton.stem_multiplier
        self.stem, _ = stem(skeleton, c, norms)
        third = layers // 3
        chosen = (third, 2 * third) if skeleton.reductions is None else skeleton.reductions
        # none in front of the first layer, as in the code
        self.reductions = sorted(i for i in set(chosen) if i > 0)
        self.halvings = nn.ModuleDict()
        """At each halving, one for every output before it: `0<-2` is that of output 2 at the first halving."""
        self.layers, self.skips = nn.ModuleList(), nn.ModuleList()
        c_out = skeleton.channels
        for layer in range(layers):
            if layer in self.reductions:
                c_out = c_out if skeleton.weight_sharing else 2 * c_out
                level = self.reductions.index(layer)
                self.halvings.update({f"{level}<-{i}": _reduction(c, c_out, norms) for i in range(layer + 1)})
                c = c_out
            self.layers.append(mixed(space[f"{layer}/op"], _Operation(c, c_out, skeleton.weight_sharing, norms)))
            if layer:
                skips = Sum if skeleton.weight_sharing else Concatenation
                self.skips.append(skips(space[f"{layer}/skips"], c_out, norms))
            c = c_out
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(skeleton.dropout) if skeleton.dropout else nn.Identity()
        self.classifier = nn.Linear(c, skeleton.classes, bias=False)

    def forward(self, x: Tensor, mixture: Mixture | None = None) -> Tensor:
        outputs = [self.stem(x)]
        halved = [0]
        level = 0

        def read(i: int) -> Tensor:
            """An earlier output at the resolution of now; halved only where somebody reads it."""
            while halved[i] < level:
                outputs[i] = self.halvings[f"{halved[i]}<-{i}"](outputs[i])
                halved[i] += 1
            y: Tensor = outputs[i]
            return y

        for i, operation in enumerate(self.layers):
            level += i in self.reductions
            y = run(operation, read(i), mixture)
            if i:
                skips = self.skips[i - 1]
                assert isinstance(skips, _Skips)
                y = skips(y, {j: read(j) for j in skips.picked(mixture)}, mixture)
            outputs.append(y)
            halved.append(level)
        logits: Tensor = self.classifier(self.dropout(self.pool(outputs[-1]).flatten(1)))
        return logits


class _Operation:
    """Builds the operation of a name."""

    def __init__(self, c_in: int, c_out: int, shared: bool, norms: Norms) -> None:
        self.c_in, self.c_out, self.shared, self.norms = c_in, c_out, shared, norms

    def __call__(self, name: str) -> nn.Module:
        c = self.c_out
        core: list[nn.Module]
        if name == "avg_pool_3x3":
            core = [nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)]
        elif name == "max_pool_3x3":
            core = [nn.MaxPool2d(3, stride=1, padding=1)]
        elif name in OPERATIONS:
            k = int(name[-1])
            depthwise = self.shared and name.startswith("sep")
            core = [nn.Conv2d(c, c, k, padding=k // 2, groups=c if depthwise else 1, bias=False)]
            core += [nn.Conv2d(c, c, 1, bias=False)] if depthwise else []
            core = self._normalized(core)
        else:
            raise ValueError(f"there is no operation '{name}' in ENAS's macro space; there are {', '.join(OPERATIONS)}")
        return nn.Sequential(*self._normalized([nn.Conv2d(self.c_in, c, 1, bias=False)]), *core)

    def _normalized(self, convolution: list[nn.Module]) -> list[nn.Module]:
        norm = self.norms(self.c_out)
        return [*convolution, norm, nn.ReLU()] if self.shared else [nn.ReLU(), *convolution, norm]


class _Skips(Mixing):
    """What a layer makes of its connections.

    Args:
        choice: Which earlier outputs are connected.
    """

    def __init__(self, choice: Choice) -> None:
        super().__init__(choice)

    def picked(self, mixture: Mixture | None) -> list[int]:
        """The outputs that are connected."""
        return [int(option) for option in self.weights(self.choices[0], mixture)]

    def terms(self, others: Mapping[int, Tensor], mixture: Mixture | None) -> list[Tensor]:
        """They, multiplied by their weights."""
        weights = self.weights(self.choices[0], mixture)
        return [
            others[int(o)] if w is None else w.to(others[int(o)].dtype) * others[int(o)] for o, w in weights.items()
        ]


@final
class Sum(_Skips):
    """Added to the layer's own output; batch norm, also where nothing is connected."""

    def __init__(self, choice: Choice, c: int, norms: Norms) -> None:
        super().__init__(choice)
        self.norm = norms(c)

    def forward(self, y: Tensor, others: Mapping[int, Tensor], mixture: Mixture | None = None) -> Tensor:
        z: Tensor = self.norm(reduce(add, [*self.terms(others, mixture), y]))
        return z


@final
class Concatenation(_Skips):
    """Concatenated with the layer's own output; ReLU, 1x1 convolution, batch norm."""

    def __init__(self, choice: Choice, c: int, norms: Norms) -> None:
        super().__init__(choice)
        self.relu, self.norm = nn.ReLU(), norms(c)
        fixed = choice.bounds == (len(choice.options),) * 2
        self.conv = nn.Conv2d((len(choice.options) + 1) * c, c, 1, bias=False) if fixed else SkipsConv2d(choice, c)

    def forward(self, y: Tensor, others: Mapping[int, Tensor], mixture: Mixture | None = None) -> Tensor:
        x = self.relu(torch.cat([*self.terms(others, mixture), y], dim=1) if others else y)
        z: Tensor = self.norm(run(self.conv, x, mixture))
        return z


@final
class SkipsConv2d(Mixing):
    """A 1x1 convolution with weights for every output that may be connected, and the layer's own."""

    def __init__(self, choice: Choice, c: int) -> None:
        super().__init__(choice)
        self.channels = c
        self.weight = nn.Conv2d((len(choice.options) + 1) * c, c, 1, bias=False).weight

    def forward(self, x: Tensor, mixture: Mixture | None = None) -> Tensor:
        return F.conv2d(x, self._columns(tuple(self.weights(self.choices[0], mixture))))

    def narrow(self, picks: Mapping[str, Pick]) -> dict[str, Tensor]:
        """The state of the convolution in the stand-alone network."""
        return {"weight": self._columns(picks[self.choices[0].name])}

    def _columns(self, options: Sequence[str]) -> Tensor:
        (choice,) = self.choices
        places = [*(choice.options.index(o) for o in options), len(choice.options)]
        return torch.cat([self.weight.narrow(1, i * self.channels, self.channels) for i in places], dim=1)


def _reduction(c_in: int, c_out: int, norms: Norms) -> FactorizedReduction:
    one, other = (conv2d(c_in, n, 1, stride=2, bias=False) for n in (c_out // 2, c_out - c_out // 2))
    return FactorizedReduction(one, other, norms(c_out))


# --- other forms of an architecture -----------------------------------------------------------------------------------


def from_arc(arc: Sequence[int], space: Space | None = None) -> Architecture:
    """The architecture of a list of the released code: for each layer its operation, and a bit for each connection.

    Args:
        arc: Of L layers, `L + L(L-1)/2` numbers.
        space: By default that of as many layers as the list has.

    Raises:
        ValueError: It has another length, or numbers that mean nothing.
    """
    picks: dict[str, str | list[str]] = {}
    rest, layer = list(arc), 0
    while len(rest) > layer:
        op, *bits = rest[: layer + 1]
        rest = rest[layer + 1 :]
        if not 0 <= op < len(OPERATIONS) or not set(bits) <= {0, 1}:
            raise ValueError(f"layer {layer} is {[op, *bits]}; expected an operation of 0 to 5, and bits")
        picks[f"{layer}/op"] = OPERATIONS[op]
        if layer:
            picks[f"{layer}/skips"] = [str(i) for i, bit in enumerate(bits) if bit]
        layer += 1
    if rest or not layer:
        raise ValueError(f"a list of {len(arc)} numbers is not that of some number of layers, such as 78 of 12")
    return (enas_macro(layer) if space is None else space).architecture(picks)


PUBLISHED = (
    "0; 3 0; 0 10; 2 001; 2 0000; 3 11010; 2 000001; 2 0110111; 1 01110101; 0 000000000; 2 0000010000; 0 "
    "10011000011; 2 010000010110; 1 0010001110101; 0 11010100000100; 2 001000000010101; 2 "
    "0100010011110010; 2 00001010100101001; 3 011010000010101000; 3 0110000000001100001; 0 "
    "10010110001000001100; 3 010110010110110100100; 0 1010100000000101001000; 0 11000111010001010011000 "
)
"""The network that the paper found, as in its released script: of each of 24 layers the operation, and its bits."""


def published() -> Architecture:
    """The network that the paper found, in `enas_macro(24)`."""
    return from_arc([int(digit) for digit in PUBLISHED if digit.isdecimal()])


def published_network(skeleton: Skeleton) -> nn.Module:
    """The network that the paper found.

    Raises:
        ValueError: The skeleton is not of 24 layers.
    """
    architecture = published()
    return network(architecture.space.fix(architecture), skeleton)


ENAS_MACRO = enas_macro()
"""The space of the paper."""
