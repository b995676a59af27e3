"""Mixing modules: each is `y = sum_k w_k op_k(x)` over the options of a choice.

Which options run, and with what weight, is the mixture's. A module is built only for the options that a
choice still has, so the network of a one-point space is the stand-alone network, and its `state_dict`
keys are among the supernet's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import reduce
from operator import add
from typing import Protocol, final

from torch import Tensor, nn

from morphogen.choice import Choice
from morphogen.nn.mixture import Mixing, Mixture, key, run
from morphogen.nn.operations import Zero

__all__ = ["Mixed", "MixedDepth", "MixedInput", "MixedOp"]


class Mixed(Protocol):
    """What a network takes as `mixed`: `MixedOp`, or a method's own mixed operation."""

    def __call__(self, choice: Choice, build: Callable[[str], nn.Module]) -> nn.Module: ...


@final
class MixedOp(Mixing):
    """One of several operations on the same tensor, or their weighted sum.

    Liu et al. 2019, "DARTS" (arXiv:1806.09055), eq. (2). An operation that is zero (`Zero`) is left out
    of a sum that has other terms: its weight matters only to those it takes from in a softmax.

    Args:
        choice: Which operation.
        build: Option -> module; called for the options that the choice has.
    """

    def __init__(self, choice: Choice, build: Callable[[str], nn.Module]) -> None:
        super().__init__(choice)
        self.ops = nn.ModuleDict({key(option): build(option) for option in choice.options})

    def forward(self, x: Tensor, mixture: Mixture | None = None) -> Tensor:
        (choice,) = self.choices
        chosen = [(self.ops[key(option)], weight) for option, weight in self.weights(choice, mixture).items()]
        terms = [(op, weight) for op, weight in chosen if not isinstance(op, Zero)] or chosen
        return _sum((_weighted(run(op, x, mixture), weight) for op, weight in terms), x)


@final
class MixedInput(Mixing):
    """Some of several input tensors, each through its own module, summed.

    Args:
        choice: Which inputs; an option is the index of an input: `"0"`, `"1"`, ...
        build: Option -> what its input goes through: a mixed operation on that edge, `nn.Identity()`.

    `forward` takes a sequence of tensors, of which those that are not chosen may be anything.
    """

    def __init__(self, choice: Choice, build: Callable[[str], nn.Module]) -> None:
        super().__init__(choice)
        for option in choice.options:
            if not option.isdecimal():
                raise ValueError(
                    f"choice '{choice.name}' is among inputs, its options are indices 0, 1, ...; got '{option}'"
                )
        self.edges = nn.ModuleDict({option: build(option) for option in choice.options})

    def forward(self, inputs: Sequence[Tensor], mixture: Mixture | None = None) -> Tensor:
        (choice,) = self.choices
        chosen = self.weights(choice, mixture).items()
        return _sum((_weighted(run(self.edges[i], inputs[int(i)], mixture), weight) for i, weight in chosen), inputs[0])


@final
class MixedDepth(Mixing):
    """The first d of a row of blocks: `y = sum_d w_d h_d`, where `h_d` is what comes out of block d.

    Args:
        choice: How many blocks; its options are numbers, `"0"` for none.
        build: Index -> block; called for as many as the largest option says. Where depths are weighted,
            blocks keep the shape.
    """

    def __init__(self, choice: Choice, build: Callable[[int], nn.Module]) -> None:
        super().__init__(choice)
        for option in choice.options:
            if not option.isdecimal():
                raise ValueError(
                    f"choice '{choice.name}' is a number of blocks, its options are numbers; got '{option}'"
                )
        self.blocks = nn.ModuleList(build(i) for i in range(max(map(int, choice.options))))

    def forward(self, x: Tensor, mixture: Mixture | None = None) -> Tensor:
        (choice,) = self.choices
        chosen = {int(depth): weight for depth, weight in self.weights(choice, mixture).items()}
        outputs = {0: x}
        for depth in range(max(chosen, default=0)):
            outputs[depth + 1] = run(self.blocks[depth], outputs[depth], mixture)
        return _sum((_weighted(outputs[depth], weight) for depth, weight in chosen.items()), x)


def _weighted(y: Tensor, weight: Tensor | None) -> Tensor:
    return y if weight is None else weight * y


def _sum(terms: Iterable[Tensor], like: Tensor) -> Tensor:
    """The sum; of no terms it is a zero without dimensions, which can be added to anything."""
    found = list(terms)
    return reduce(add, found) if found else like.new_zeros(())
