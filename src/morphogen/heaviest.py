"""The architectures of a space in the order of a sum of weights, within its limits.

Best first: a partly decided architecture stands for the most that a completion of it can weigh. That is read off the
graph of the decisions (`Frontier`), where limits are relaxed to a price on what they bound (Lagrange): the bound with
the best price is close to the truth, so little is looked at in vain.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from heapq import heappop, heappush
from typing import NamedTuple, final

from morphogen.choice import Pick
from morphogen.completions import Completions
from morphogen.frontier import Frontier, Node
from morphogen.limits import Vector

__all__ = ["heaviest"]

Weights = Mapping[str, Mapping[str, float]]
"""Choice -> option -> what it adds where it is picked; what is not there adds nothing."""

ROUNDS = 30
"""In which the price of each limit is found."""


def heaviest(
    program: Completions, weights: Weights, *, only: bool = False, most: int = 100_000
) -> Iterator[dict[str, Pick]]:
    """Architectures by falling sums of the weights of what they pick; of equal ones, first the one of earlier options.

    Args:
        program: Of the choices and limits.
        weights: Finite numbers.
        only: Whether the first one is all that is wanted, which is found faster.
        most: After so many partly decided ones it ends.
    """
    search = _Search(program, weights)
    graph, room = program.graph, program.room
    start = _Partly(0.0, (0.0,) * len(room), ())
    waiting = [(-search.bound(graph.start, start), start.path, start, graph.start)]
    seen: dict[Node, list[_Partly]] = {}
    for _ in range(most):
        if not waiting:
            return
        _, _, partly, node = heappop(waiting)
        if node.step == len(graph.steps):
            yield search.picks(partly.path)
            if only:
                return
            continue
        for value, move in graph.moves(node).items():
            weight = partly.weight + search.gain(node, value)
            spent = tuple(map(sum, zip(partly.spent, move.cost, strict=True))) if move.cost else partly.spent
            after = _Partly(weight, spent, (*partly.path, value if graph.names[node.step] is None else -value))
            bound = search.bound(move.after, after)
            if bound == -math.inf or (only and search.dominated(seen, move.after, after)):
                continue
            heappush(waiting, (-bound, after.path, after, move.after))


class _Partly(NamedTuple):
    """The first decisions: what they weigh, what they cost, and the value of each, below 0 for an option that a subset
    has: the earlier the options, the less."""

    weight: float
    spent: Vector
    path: tuple[int, ...]


@final
class _Search:
    def __init__(self, program: Completions, weights: Weights) -> None:
        self._graph, self._room, self._fronts = program.graph, program.room, program.fronts if program.room else None
        self._gains = _gains(program.graph, weights)
        self._layers = program.graph.layers()
        free = (0.0,) * len(self._room)
        self._most = [(free, self._heaviest(free))]
        if self._room and self._excess(free) > 0:
            prices = self._prices()
            self._most.append((prices, self._heaviest(prices)))

    def gain(self, node: Node, value: int) -> float:
        return self._gains[node.step].get(value, 0.0) if node.active else 0.0

    def bound(self, node: Node, partly: _Partly) -> float:
        """At least what the heaviest completion within the limits weighs; minus infinity where there is none."""
        left = tuple(r - s for r, s in zip(self._room, partly.spent, strict=True))
        if left:
            front = None if self._fronts is None else self._fronts[node]
            if node.step == len(self._graph.steps):
                if min(left) < 0:
                    return -math.inf
            elif front is None or not front.fits(left):
                return -math.inf
        return partly.weight + min(
            most[node] + sum(p * r for p, r in zip(prices, left, strict=True)) for prices, most in self._most
        )

    @staticmethod
    def dominated(seen: dict[Node, list[_Partly]], node: Node, partly: _Partly) -> bool:
        """Whether another way to the node weighs no less and costs no more; else it is remembered itself."""
        others = seen.setdefault(node, [])
        if any(
            o.weight >= partly.weight and all(a <= b for a, b in zip(o.spent, partly.spent, strict=True))
            for o in others
        ):
            return True
        others.append(partly)
        return False

    def picks(self, path: Sequence[int]) -> dict[str, Pick]:
        """What the moves decide."""
        node, found = self._graph.start, dict[str, Pick]()
        for step, value in enumerate(map(abs, path)):
            moves = self._graph.moves(node)
            choice = self._graph.choices[self._graph.steps[step][0]]
            if node.active:
                name = self._graph.names[step]
                picked = choice.options[value] if name is None else name if value else None
                found[choice.name] = (*found.get(choice.name, ()), *(() if picked is None else (picked,)))
            (node, _) = moves[value] if node.active else next(iter(moves.values()))
        return found

    def _heaviest(self, prices: Vector) -> dict[Node, float]:
        """Node -> the most that what is left to decide weighs, less its costs at these prices."""
        most: dict[Node, float] = {}
        for nodes in reversed(self._layers):
            for node in nodes:
                most[node] = max(
                    (
                        self.gain(node, value) + most[move.after] - _priced(prices, move.cost)
                        for value, move in node.moves.items()
                    ),
                    default=0.0 if node.step == len(self._graph.steps) else -math.inf,
                )
        return most

    def _spent(self, prices: Vector) -> Vector:
        """What the heaviest architecture at these prices costs."""
        most, node, spent = self._heaviest(prices), self._graph.start, (0.0,) * len(self._room)
        while node.step < len(self._graph.steps):
            _, move = max(
                node.moves.items(),
                key=lambda item: self.gain(node, item[0]) + most[item[1].after] - _priced(prices, item[1].cost),
            )
            spent = tuple(map(sum, zip(spent, move.cost, strict=True))) if move.cost else spent
            node = move.after
        return spent

    def _excess(self, prices: Vector) -> float:
        return max(s - r for s, r in zip(self._spent(prices), self._room, strict=True))

    def _prices(self) -> Vector:
        """Prices at which what is heaviest is just about within the limits: one after the other, each by bisection."""
        prices = [0.0] * len(self._room)
        for k in range(len(prices)):
            low, high = 0.0, 1.0 / max(abs(self._room[k]), 1e-12)
            for _ in range(ROUNDS):
                prices[k] = high
                if self._spent(tuple(prices))[k] <= self._room[k]:
                    break
                low, high = high, 4 * high
            for _ in range(ROUNDS):
                prices[k] = (low + high) / 2
                if self._spent(tuple(prices))[k] <= self._room[k]:
                    high = prices[k]
                else:
                    low = prices[k]
            prices[k] = high
        return tuple(prices)


def _gains(graph: Frontier, weights: Weights) -> list[dict[int, float]]:
    """By step, what each value adds."""
    gains: list[dict[int, float]] = []
    for (i, _), name in zip(graph.steps, graph.names, strict=True):
        choice = graph.choices[i]
        of = weights.get(choice.name, {})
        gains.append(
            {number: of.get(option, 0.0) for number, option in enumerate(choice.options)}
            if name is None
            else {1: of.get(name, 0.0)}
        )
    return gains


def _priced(prices: Vector, cost: Vector) -> float:
    # what costs nothing may be forbidden by an infinite cost
    return sum(p * c for p, c in zip(prices, cost, strict=True) if p) if cost else 0.0
