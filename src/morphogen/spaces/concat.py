"""What a cell of blocks gives: some of its states, concatenated. And what reads it.

Which states these are may depend on the architecture: in NASNet, those that no block reads (loose ends).
Then a supernet's reader has weights for every state that could be there, and a sub-graph runs with the
columns of those that are: what the 1x1 convolution at the end of a cell of ENAS does (Pham et al. 2018,
arXiv:1802.03268). **Differs**: the papers of NASNet and PNAS train no supernets. A stand-alone network has
ordinary layers, and nothing of this.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import mul
from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from morphogen.choice import Choice, Pick
from morphogen.nn.mixture import Mixing, Mixture
from morphogen.nn.pointwise import conv2d, pointwise

__all__ = ["Concat", "Output", "StatesConv2d", "StatesLinear", "states_conv2d", "states_linear"]


@final
@dataclass(frozen=True)
class Concat:
    """The states that a cell concatenates.

    Args:
        states: Those that it may concatenate, in order; 0 and 1 are the inputs of the cell.
        readers: The choices of inputs; a state that one of them picks is left out, so none: no state is.
        depth: How many blocks there are, where that is a choice; the states of others are left out.
    """

    states: tuple[int, ...]
    readers: tuple[tuple[int, Choice], ...] = ()
    """With the block that reads: one that does not exist reads nothing."""
    depth: Choice | None = None

    @property
    def choices(self) -> tuple[Choice, ...]:
        """What decides."""
        return (*(choice for _, choice in self.readers), *([self.depth] if self.depth is not None else []))

    @property
    def fixed(self) -> tuple[int, ...] | None:
        """The states, where nothing is left to decide."""
        if any(len(choice.options) > 1 for choice in self.choices):
            return None
        return self.picked({choice.name: choice.options for choice in self.choices})

    def picked(self, picks: Mapping[str, Pick]) -> tuple[int, ...]:
        """The states in an architecture."""
        last = self._last(picks[self.depth.name][0]) if self.depth is not None else self.states[-1]
        read = {int(state) for block, choice in self.readers if block <= last for state in picks[choice.name]}
        return tuple(state for state in self.states if state <= last and state not in read)

    def weights(self, module: Mixing, mixture: Mixture | None) -> dict[int, Tensor | None]:
        """The states that a mixture concatenates, with what each is multiplied by; None is one.

        With weighted inputs it is the probability that nothing picks the state, if each were drawn by its
        weights: one or zero for a one-hot mixture.

        Args:
            module: One that reads `choices`.
            mixture: As in its `forward`.
        """
        if self.depth is None:
            return self._left(module, mixture, self.states[-1])
        depths = module.weights(self.depth, mixture)
        found: dict[int, Tensor | None] = {}
        for depth, weight in depths.items():
            for state, left in self._left(module, mixture, self._last(depth)).items():
                term = left if weight is None else weight if left is None else weight * left
                before = found.get(state)
                found[state] = term if before is None or term is None else before + term
        return dict(sorted(found.items()))

    def _last(self, depth: str) -> int:
        """The last block of so many."""
        return int(depth) + 1

    def _left(self, module: Mixing, mixture: Mixture | None, last: int) -> dict[int, Tensor | None]:
        factors: dict[int, list[Tensor]] = {state: [] for state in self.states if state <= last}
        for block, choice in self.readers:
            if block > last:
                continue
            for option, weight in module.weights(choice, mixture).items():
                if weight is None:
                    factors.pop(int(option), None)
                elif int(option) in factors:
                    factors[int(option)].append(1 - weight)
        return {state: reduce(mul, some) if some else None for state, some in factors.items()}


@final
class Output(Mixing):
    """Concatenates the states of a cell."""

    def __init__(self, concat: Concat) -> None:
        super().__init__(*concat.choices)
        self.concat = concat

    def blocks(self, mixture: Mixture | None) -> int | None:
        """How many blocks have to run; None: all."""
        depth = self.concat.depth
        return None if depth is None else max(map(int, self.weights(depth, mixture)))

    def forward(self, states: Sequence[Tensor], mixture: Mixture | None = None) -> Tensor:
        chosen = self.concat.weights(self, mixture).items()
        terms = [states[s] if weight is None else weight * states[s] for s, weight in chosen]
        return torch.cat(terms, dim=1) if len(terms) > 1 else terms[0]


class _Reader(Mixing):
    """A layer over the concatenated states of a cell, with weights for every state that may be there.

    Args:
        concat: What may be there.
        channels: Of each state.
    """

    weight: Tensor
    """`[out, states * channels, ...]`."""

    def __init__(self, concat: Concat, channels: int) -> None:
        super().__init__(*concat.choices)
        self.concat, self.channels = concat, channels

    def columns(self, states: Sequence[int]) -> Tensor:
        """The weights of some of the states."""
        if len(states) == len(self.concat.states):
            return self.weight
        places = [self.concat.states.index(state) for state in states]
        return torch.cat([self.weight.narrow(1, i * self.channels, self.channels) for i in places], dim=1)

    def narrow(self, picks: Mapping[str, Pick]) -> dict[str, Tensor]:
        """The state of the layer in the stand-alone network."""
        tensors = dict(self.named_parameters())
        return {**tensors, "weight": self.columns(self.concat.picked(picks))}

    def macs(self, picks: Mapping[str, Pick], output: torch.Size) -> int:
        """Multiply-adds for one image."""
        return len(self.concat.picked(picks)) * self.channels * output[1:].numel()


@final
class StatesConv2d(_Reader):
    """A 1x1 convolution without bias."""

    def __init__(self, concat: Concat, channels: int, c_out: int, stride: int) -> None:
        super().__init__(concat, channels)
        self.stride = stride
        self.weight = nn.Conv2d(len(concat.states) * channels, c_out, 1, bias=False).weight

    def forward(self, x: Tensor, mixture: Mixture | None = None) -> Tensor:
        return pointwise(x, self.columns([*self.concat.weights(self, mixture)]), stride=self.stride)


@final
class StatesLinear(_Reader):
    """A linear layer on pooled features."""

    def __init__(self, concat: Concat, channels: int, n_out: int, bias: bool = True) -> None:
        super().__init__(concat, channels)
        linear = nn.Linear(len(concat.states) * channels, n_out, bias)
        self.weight, self.bias = linear.weight, linear.bias

    def forward(self, x: Tensor, mixture: Mixture | None = None) -> Tensor:
        return F.linear(x, self.columns([*self.concat.weights(self, mixture)]), self.bias)


def states_conv2d(concat: Concat | None, channels: int, c_out: int, stride: int = 1) -> nn.Module:
    """A 1x1 convolution over a cell's output (of `channels` a state), or, without `concat`, over `channels`."""
    number = _number(concat)
    if concat is None or number is not None:
        return conv2d((number or 1) * channels, c_out, 1, stride, bias=False)
    return StatesConv2d(concat, channels, c_out, stride)


def states_linear(concat: Concat | None, channels: int, n_out: int, bias: bool = True) -> nn.Module:
    """Likewise, a linear layer."""
    number = _number(concat)
    if concat is None or number is not None:
        return nn.Linear((number or 1) * channels, n_out, bias)
    return StatesLinear(concat, channels, n_out, bias)


def _number(concat: Concat | None) -> int | None:
    """How many states there are, where nothing is left to decide."""
    fixed = None if concat is None else concat.fixed
    return None if fixed is None else len(fixed)
