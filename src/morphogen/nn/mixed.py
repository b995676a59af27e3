"""Mixing modules: each is `y = sum_k w_k op_k(x)` over the options of a choice.

Which options run, and with what weight, is the mixture's. A module is built only for the options that a
choice still has, so the network of a one-point space is the stand-alone network, and its `state_dict`
keys are among the supernet's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import reduce
from operator import add
from typing import Protocol, final, runtime_checkable

from torch import Tensor, nn

from morphogen.choice import Choice
from morphogen.nn.mixture import Mixing, Mixture, key, run
from morphogen.nn.operations import Zero
from morphogen.nn.side_by_side import Shared, States, Term, serves, weighted_sum

__all__ = ["Edge", "Mixed", "MixedDepth", "MixedInput", "MixedOp", "fuse"]


class Mixed(Protocol):
    """What a network takes as `mixed`: `MixedOp`, or a method's own mixed operation."""

    def __call__(self, choice: Choice, build: Callable[[str], nn.Module]) -> nn.Module: ...


@final
class MixedOp(Mixing):
    """One of several operations on the same tensor, or their weighted sum.

    Liu et al. 2019, "DARTS" (arXiv:1806.09055), eq. (2). An operation that is zero (`Zero`) is left out
    of a sum that has other terms: its weight matters only to those it takes from in a softmax.

    In a supernet, sums are computed together where they can be: see `side_by_side` and `fuse`.

    Args:
        choice: Which operation.
        build: Option -> module; called for the options that the choice has.
    """

    def __init__(self, choice: Choice, build: Callable[[str], nn.Module]) -> None:
        super().__init__(choice)
        self.ops = nn.ModuleDict({key(option): build(option) for option in choice.options})
        self.fused: bool | None = None

    def forward(self, x: Tensor, mixture: Mixture | None = None) -> Tensor:
        terms = self.terms(x, mixture)
        if _together(self, mixture) and serves(terms, self.fused):
            return weighted_sum(terms, lambda op, x: run(op, x, mixture), Shared())
        return _sum((_weighted(run(op, x, mixture), weight) for op, x, weight in terms), x)

    def terms(self, x: Tensor, mixture: Mixture | None, weight: Tensor | None = None) -> list[Term]:
        """What the sum is of; `weight` is that of the whole sum."""
        (choice,) = self.choices
        chosen = [
            Term(self.ops[key(option)], x, _product(weight, own))
            for option, own in self.weights(choice, mixture).items()
        ]
        return [term for term in chosen if not isinstance(term.op, Zero)] or chosen


@runtime_checkable
class Edge(Protocol):
    """What a method puts on the edges of a node, where the sum of several is less work than one after the other."""

    def joined(self, edges: Sequence[Term], mixture: Mixture | None, shared: Shared) -> Tensor | None:
        """The weighted sum of edges that are all of this type; None: they are to run alone.

        Args:
            edges: Modules, with their inputs `[N, C, H, W]` and weights.
            mixture: As in `forward`.
            shared: What was computed from the states of the cell already.
        """


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
        self.fused: bool | None = None

    def forward(self, inputs: Sequence[Tensor], mixture: Mixture | None = None) -> Tensor:
        (choice,) = self.choices
        chosen = [Term(self.edges[i], inputs[int(i)], weight) for i, weight in self.weights(choice, mixture).items()]
        if _together(self, mixture):
            shared = inputs.shared if isinstance(inputs, States) else Shared()
            if (y := _joined(chosen, mixture, shared)) is not None:
                return y
            terms = [term for edge, x, weight in chosen for term in _terms(edge, x, weight, mixture)]
            if serves(terms, self.fused):
                return weighted_sum(terms, lambda op, x: run(op, x, mixture), shared)
        return _sum((_weighted(run(edge, x, mixture), weight) for edge, x, weight in chosen), inputs[0])


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


def fuse(network: nn.Module, on: bool | None = True) -> None:
    """How the sums of a supernet are computed: together wherever they can be (True), where that is faster (None, as they
    are unless told), or one operation after the other, as they are written (False). The same numbers but for rounding."""
    for module in network.modules():
        if isinstance(module, MixedOp | MixedInput):
            module.fused = on


def _together(sum_: MixedOp | MixedInput, mixture: Mixture | None) -> bool:
    # without a mixture it is a stand-alone network, which stays what `torch.nn` makes of it
    return sum_.fused is not False and sum_.training and (mixture is not None or sum_.bound is not None)


def _joined(edges: Sequence[Term], mixture: Mixture | None, shared: Shared) -> Tensor | None:
    if len({type(edge.op) for edge in edges}) != 1:
        return None
    first: object = edges[0].op
    return first.joined(edges, mixture, shared) if isinstance(first, Edge) else None


def _terms(edge: nn.Module, x: Tensor, weight: Tensor | None, mixture: Mixture | None) -> list[Term]:
    """The terms of an edge, weighted with the edge itself."""
    return edge.terms(x, mixture, weight) if isinstance(edge, MixedOp) else [Term(edge, x, weight)]


def _product(a: Tensor | None, b: Tensor | None) -> Tensor | None:
    return b if a is None else a if b is None else a * b


def _weighted(y: Tensor, weight: Tensor | None) -> Tensor:
    return y if weight is None else weight * y


def _sum(terms: Iterable[Tensor], like: Tensor) -> Tensor:
    """The sum; of no terms it is a zero without dimensions, which can be added to anything."""
    found = list(terms)
    return reduce(add, found) if found else like.new_zeros(())
