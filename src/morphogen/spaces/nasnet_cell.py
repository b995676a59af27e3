"""The cell of the NASNet family: blocks that combine two operations each, on two adjusted inputs.

Zoph et al. 2018 (arXiv:1707.07012), sections 3 and A.4, wired as in the code released with TensorFlow (slim).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import islice
from operator import add
from typing import final

import torch
from torch import Tensor, nn

from morphogen.choice import Choice
from morphogen.nn.drop_path import DropPath
from morphogen.nn.mixed import Mixed, MixedInput, MixedOp
from morphogen.nn.mixture import Mixing, Mixture, run
from morphogen.nn.nasnet_operations import FactorizedReduction, Norms, nasnet_operation, squeeze
from morphogen.space import Space
from morphogen.spaces.blocks import FIRST, SIDES, blocks_of
from morphogen.spaces.concat import Concat, Output, StatesConv2d, states_conv2d

__all__ = ["Block", "Cell", "CellChoices", "Features", "Halve", "Squeeze", "adjusted"]


@final
@dataclass(frozen=True)
class CellChoices:
    """The choices of a cell, and what it gives.

    Args:
        space: Has them.
        name: Their path: `normal` for `normal/2/a/input`.
        concat: What the cell concatenates.
    """

    space: Space
    name: str
    concat: Concat

    @property
    def blocks(self) -> range:
        """The numbers of its blocks."""
        return blocks_of(self.space, self.name)


@final
@dataclass(frozen=True)
class Features:
    """What a cell reads: the stem's output, or that of another cell.

    Args:
        channels: Of each state that is concatenated; of all of it, where it is no cell's.
        size: Height and width.
        concat: What the cell concatenates; None: it is no cell's output.
    """

    channels: int
    size: tuple[int, int]
    concat: Concat | None = None

    @property
    def width(self) -> int | None:
        """Channels in all; None where the architecture decides."""
        if self.concat is None:
            return self.channels
        fixed = self.concat.fixed
        return None if fixed is None else len(fixed) * self.channels

    @property
    def halved(self) -> tuple[int, int]:
        """Height and width behind a stride of 2."""
        return -(-self.size[0] // 2), -(-self.size[1] // 2)

    def conv(self, c_out: int, stride: int = 1) -> nn.Module:
        """A 1x1 convolution on it."""
        return states_conv2d(self.concat, self.channels, c_out, stride)

    def reduction(self, c: int, norms: Norms) -> FactorizedReduction:
        """A factorized reduction of it."""
        return FactorizedReduction(self.conv(c // 2, 2), self.conv(c - c // 2, 2), norms(c))


@final
class Squeeze(nn.Module):
    """ReLU, 1x1 convolution, batch norm.

    Args:
        features: What it reads.
        c: Channels of its output.
        norms: How it normalizes.
        unless: Whether what has that many channels already stays as it is. That matters in a supernet, where
            an architecture may make it so; weighted inputs never do.
    """

    def __init__(self, features: Features, c: int, norms: Norms, unless: bool = False) -> None:
        super().__init__()
        self.c, self.unless, self.features = c, unless, features
        self.relu, self.conv, self.norm = nn.ReLU(), features.conv(c), norms(c)

    def _decided(self, mixture: Mixture | None) -> bool:
        """Whether the states that it reads are those of one architecture."""
        conv = self.conv
        assert isinstance(conv, StatesConv2d)
        return all(len(conv.weights(choice, mixture)) == 1 for choice in conv.choices)

    def there(self) -> tuple[tuple[tuple[str, str], ...], ...]:
        """With which picks the stand-alone network has it.

        Raises:
            ValueError: Several choices decide that.
        """
        concat = self.features.concat
        if not self.unless or concat is None:
            return ()
        if concat.readers or concat.depth is None:
            raise ValueError(
                "costs do not add up: whether a cell's output is squeezed depends on which blocks are read; "
                "limit them by rejection"
            )
        name = concat.depth.name
        widths = {depth: len(concat.picked({name: (depth,)})) for depth in concat.depth.options}
        return (tuple((name, depth) for depth, n in widths.items() if n * self.features.channels != self.c),)

    def forward(self, x: Tensor, mixture: Mixture | None = None) -> Tensor:
        if self.unless and x.shape[1] == self.c and self._decided(mixture):
            return x
        y: Tensor = self.norm(run(self.conv, self.relu(x), mixture))
        return y


@final
class Halve(nn.Module):
    """ReLU, factorized reduction.

    Both halves have the same channels, so of an odd number there is one less, as in the code that gave the
    published counts; operations on it adapt.
    """

    def __init__(self, features: Features, c: int, norms: Norms) -> None:
        super().__init__()
        self.channels = c - c % 2
        self.relu = nn.ReLU()
        self.reduction = features.reduction(self.channels, norms)

    def forward(self, x: Tensor, mixture: Mixture | None = None) -> Tensor:
        y: Tensor = self.reduction(self.relu(x), mixture)
        return y


@final
class Combine(Mixing):
    """How the two sides of a block become one state.

    **Differs**: the paper says that 1x1 convolutions are inserted where shapes do not fit; here concatenated
    sides go through one at once, so that all states of a cell have the same channels.
    """

    def __init__(self, choice: Choice, c: int, norms: Norms) -> None:
        super().__init__(choice)
        self.squeeze = squeeze(2 * c, c, norms) if "concat" in choice.options else None

    def forward(self, a: Tensor, b: Tensor, mixture: Mixture | None = None) -> Tensor:
        (choice,) = self.choices
        terms: list[Tensor] = []
        for option, weight in self.weights(choice, mixture).items():
            if option == "concat":
                assert self.squeeze is not None
                term = self.squeeze(torch.cat((a, b), dim=1))
            else:
                term = a + b
            terms.append(term if weight is None else weight * term)
        return reduce(add, terms)


@final
class Block(nn.Module):
    """Two operations, each on one of the states before, put together."""

    def __init__(self, a: nn.Module, b: nn.Module, combine: Combine | None) -> None:
        super().__init__()
        self.a, self.b, self.combine = a, b, combine

    def forward(self, states: Sequence[Tensor], mixture: Mixture | None = None) -> Tensor:
        a, b = self.a(states, mixture), self.b(states, mixture)
        y: Tensor = a + b if self.combine is None else self.combine(a, b, mixture)
        return y


@final
class Cell(nn.Module):
    """Two inputs, adjusted; blocks; some of all these states concatenated.

    The last cell's output goes through a `Squeeze`. That of the cell before it too, or through a factorized
    reduction where its resolution is another, or as it is where it has the channels already.

    Args:
        choices: Those of the cell.
        inputs: What the cell before the last gave, and the last. The same, and no cell's: the first cell,
            whose first input is the stem's output as it is.
        c: Channels of the cell's operations.
        reduces: Whether operations on the two inputs have stride 2.
        norms: How it normalizes and pools.
        mixed: What mixes operations.
        drop_path: Probability, at the end of training, that an operation's output is dropped.
    """

    def __init__(
        self,
        choices: CellChoices,
        inputs: tuple[Features, Features],
        c: int,
        *,
        reduces: bool,
        norms: Norms,
        mixed: Mixed = MixedOp,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        before_last, last = inputs
        first = before_last is last
        self.adjust0 = nn.Identity() if first else adjusted(before_last, last.size, c, norms)
        self.adjust1 = Squeeze(last, c, norms)
        # of the first input, where it has not those of the cell
        channels = {0: before_last.channels} if first else {}
        if isinstance(self.adjust0, Halve):
            channels = {0: self.adjust0.channels}

        def operation(name: str, state: int) -> nn.Module:
            stride = 2 if reduces and state < FIRST else 1
            module = nasnet_operation(name, channels.get(state, c), c, stride, norms)
            # an identity is not dropped, also not where it is a convolution that changes the shape
            return module if name == "skip_connect" else _dropped(module, drop_path)

        def side(path: str) -> nn.Module:
            which, op = choices.space[f"{path}/input"], choices.space[f"{path}/op"]
            return MixedInput(which, lambda state: mixed(op, lambda name: operation(name, int(state))))

        self.blocks = nn.ModuleList()
        for number in choices.blocks:
            path = f"{choices.name}/{number}"
            combine = (
                Combine(choices.space[f"{path}/combine"], c, norms) if f"{path}/combine" in choices.space else None
            )
            a, b = (side(f"{path}/{name}") for name in SIDES)
            self.blocks.append(Block(a, b, combine))
        self.output = Output(choices.concat)
        size = last.halved if reduces else last.size
        self.outputs = nn.ModuleDict()
        """For inputs that are concatenated: what fits their shape to that of the blocks."""
        for state in choices.concat.states:
            given = Features(channels.get(state, c), last.size)
            if state < FIRST and size != last.size:
                self.outputs[str(state)] = given.reduction(c, norms)
            elif state < FIRST and given.channels != c:
                self.outputs[str(state)] = nn.Sequential(given.conv(c), norms(c))
        self.features = Features(c, size, choices.concat)
        """What it gives."""

    def forward(self, s0: Tensor, s1: Tensor, mixture: Mixture | None = None) -> Tensor:
        states = [s0 if isinstance(self.adjust0, nn.Identity) else self.adjust0(s0, mixture), self.adjust1(s1, mixture)]
        for block in islice(self.blocks, self.output.blocks(mixture)):
            states.append(block(states, mixture))
        for state, fit in self.outputs.items():
            states[int(state)] = fit(states[int(state)])
        y: Tensor = self.output(states, mixture)
        return y


def _dropped(module: nn.Module, drop_path: float) -> nn.Module:
    """With drop path at its end, by which no name in its `state_dict` changes."""
    if drop_path == 0:
        return module
    return nn.Sequential(*(module if isinstance(module, nn.Sequential) else [module]), DropPath(drop_path))


def adjusted(features: Features, size: tuple[int, int], c: int, norms: Norms) -> nn.Module:
    """What makes an input of a cell as large as the other one, and as wide as its operations."""
    if features.size != size:
        return Halve(features, c, norms)
    return nn.Identity() if features.width == c else Squeeze(features, c, norms, unless=features.width is None)
