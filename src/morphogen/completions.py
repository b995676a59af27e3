"""Which partly decided architectures can still be completed within limits, and in how many ways.

One dynamic program over the graph of the decisions (`Frontier`) answers three questions: can this be completed within
the limits, how many completions are there, and (by the counts) what does a uniform draw look like. Per node it has the
least costs of what is left to decide (a `Front`), so that no draw runs into a dead end.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import chain
from operator import add, sub
from typing import NamedTuple, TypeVar, final

import numpy as np

from morphogen.choice import Choice, Pick
from morphogen.frontier import Frontier, Move, Node
from morphogen.limits import Front, Limit, Rows, Vector

__all__ = ["Completions"]

TRIES = 16
"""Uniform draws of one decision that may be over the limits before the values that are not are counted."""
MOST_PLACES = 5000
"""Partial sums that are told apart when the values of one subset are counted."""

T = TypeVar("T")


class _Place(NamedTuple):
    node: Node
    spent: Vector


@final
class Completions:
    """The dynamic program of this file, for the choices and the limits of one space."""

    def __init__(self, choices: Sequence[Choice], limits: Sequence[Limit]) -> None:
        limits = [limit for limit in limits if limit.at_most < math.inf]
        self.graph = Frontier(choices, [limit.cost for limit in limits])
        self.room: Vector = tuple(limit.room + limit.slack for limit in limits)
        """What the decisions may cost, by limit."""
        self.floor = np.array([limit.room for limit in limits])
        """The same without slack for rounding."""
        self.start = _Place(self.graph.start, (0.0,) * len(limits))
        self.spent: dict[Node, Rows] = {}
        """The least and the most, cost by cost, that the decisions before a node can have taken; filled by `fronts`."""

    def feasible(self, picks: Mapping[str, Pick], partial: str | None = None) -> bool:
        """Whether some completion of `picks` is within the limits.

        A subset with fewer options than it needs, and the one that `partial` names, may still grow. Picks of a choice
        that does not exist in a completion count for nothing there.
        """
        walk = _Walk(self, picks, partial)
        reached = walk.forced(0, self.start, {})
        return reached is not None and walk.affordable(reached[1])

    def draw(
        self,
        uniform: Callable[[], float],
        picks: Mapping[str, Pick],
        wishes: Mapping[str, Sequence[Pick]] | None = None,
    ) -> dict[str, Pick]:
        """Complete `picks` within the limits: each decision the first possible one of its wishes, else uniform.

        Uniform is over the values that can still be completed: exactly so, unless they are few of very many subsets and
        have more than `MOST_PLACES` different costs. `uniform()` gives numbers of [0, 1).

        Raises:
            ValueError: No completion is within the limits.
        """
        walk, wishes = _Walk(self, picks), wishes or {}
        drawn: dict[str, Pick] = {}
        reached = walk.forced(0, self.start, drawn)
        while reached is not None and reached[0] < len(self.graph.choices):
            i, place = reached
            choice = self.graph.choices[i]
            have = picks.get(choice.name, ())
            draws = (choice.draw(uniform, have) for _ in range(TRIES))
            for value in chain(wishes.get(choice.name, ()), draws):
                after = walk.follow(place, i, value)
                if after is not None and walk.affordable(after):
                    break
            else:
                counted = walk.draw(place, i, uniform)
                if counted is None:
                    break
                value, after = counted
            drawn[choice.name] = value
            reached = walk.forced(i + 1, after, drawn)
        if reached is None or reached[0] < len(self.graph.choices) or not walk.affordable(reached[1]):
            raise ValueError("no completion of these picks is within the limits of the space")
        return drawn

    def draw_by_count(self, uniform: Callable[[], float]) -> dict[str, Pick] | None:
        """One of all architectures, equally likely; None where it is outside the limits."""
        self.graph.count()
        walk, place = _Walk(self, {}), self.start
        drawn: dict[str, Pick] = {}
        for i, choice in enumerate(self.graph.choices):
            exists = self.graph.exists(place.node)
            picked: list[str] = []
            node, spent = place
            for step in self.graph.spans[i]:
                moves = self.graph.moves(node)
                value, move = _weighted(moves.items(), [m.after.count for m in moves.values()], uniform)
                name = self.graph.names[step]
                if exists and (name is None or value):
                    picked.append(choice.options[value] if name is None else name)
                node, spent = move.after, _add(spent, move.cost)
            place = _Place(node, spent)
            if exists:
                drawn[choice.name] = tuple(picked)
            if not walk.affordable(place):
                return None
        return drawn

    def enumerate(self, picks: Mapping[str, Pick]) -> Iterator[dict[str, Pick]]:
        """Every completion of `picks` within the limits, in the order of choices and of `Choice.values`."""
        walk, forced = _Walk(self, picks), dict[str, Pick]()
        reached = walk.forced(0, self.start, forced)
        if reached is None or not walk.affordable(reached[1]):
            return
        stack = [iter([(*reached, forced)])]
        while stack:
            for i, place, decided in stack[-1]:
                if i == len(self.graph.choices):
                    yield decided
                else:
                    stack.append(self._extended(walk, i, place, decided, picks))
                    break
            else:
                stack.pop()

    def _extended(
        self, walk: _Walk, i: int, place: _Place, decided: dict[str, Pick], picks: Mapping[str, Pick]
    ) -> Iterator[tuple[int, _Place, dict[str, Pick]]]:
        """Every value of an open choice, each with the decisions after it that leave nothing open."""
        choice = self.graph.choices[i]
        for value in choice.values(picks.get(choice.name, ())):
            after = walk.follow(place, i, value)
            if after is not None and walk.affordable(after):
                grown = {**decided, choice.name: value}
                reached = walk.forced(i + 1, after, grown)
                if reached is not None and walk.affordable(reached[1]):
                    yield *reached, grown

    @cached_property
    def fronts(self) -> dict[Node, Front | None]:
        """The front of every node that can be reached; None where nothing from it is within the limits."""
        layers, walk, found = self.graph.layers(), _Walk(self, {}), dict[Node, Front | None]()
        self.spent[self.start.node] = np.zeros((2, len(self.room)))
        for node in chain.from_iterable(layers):
            for after, cost in node.moves.values():
                low, high = self.spent[node] + np.array(cost or self.start.spent)
                least, most = self.spent.get(after, (low, high))
                self.spent[after] = np.stack([np.minimum(least, low), np.maximum(most, high)])
        for node in chain.from_iterable(reversed(layers)):
            found[node] = walk.solve(node, found.__getitem__)
        return found


@final
class _Walk:
    """The program with some decisions fixed."""

    def __init__(self, program: Completions, picks: Mapping[str, Pick], partial: str | None = None) -> None:
        self._program, self._graph = program, program.graph
        self._picks, self._partial = picks, partial
        self._fronts: dict[Node, Front | None] = {}

    @cached_property
    def _fixed(self) -> dict[int, int]:
        """By step, the value that it must decide where its choice exists."""
        fixed: dict[int, int] = {}
        for name, picked in self._picks.items():
            i = self._graph.index[name]
            whole = not self._is_open(self._graph.choices[i])
            for step in self._graph.spans[i]:
                option = self._graph.names[step]
                if option is None and picked:
                    fixed[step] = self._graph.numbers[i][picked[0]]
                elif option is not None and (whole or option in picked):
                    fixed[step] = int(option in picked)
        return fixed

    @cached_property
    def _last(self) -> int:
        return max(self._fixed, default=-1)

    def forced(self, i: int, place: _Place, decided: dict[str, Pick]) -> tuple[int, _Place] | None:
        """Follow from choice `i` on what is decided or does not exist, up to an open choice; None if it cannot be."""
        while i < len(self._graph.choices):
            choice, exists = self._graph.choices[i], self._graph.exists(place.node)
            if exists and self._is_open(choice):
                break
            value = self._picks.get(choice.name, ())
            after = self.follow(place, i, value)
            if after is None:
                return None
            if exists:
                decided[choice.name] = value
            i, place = i + 1, after
        return i, place

    def _is_open(self, choice: Choice) -> bool:
        return choice.name == self._partial or choice.is_open(self._picks)

    def moves(self, node: Node) -> Mapping[int, Move]:
        """What the step of a node can decide, given what is fixed."""
        moves = node.moves or self._graph.moves(node)
        wanted = self._fixed.get(node.step) if node.active else None
        if wanted is None:
            return moves
        return {wanted: moves[wanted]} if wanted in moves else {}

    def follow(self, place: _Place, i: int, value: Pick) -> _Place | None:
        """Where a value of choice `i` leads (any, if it does not exist there); None if it cannot have the value."""
        node, spent = place
        for step in self._graph.spans[i]:
            moves = node.moves or self._graph.moves(node)
            if node.active:
                name = self._graph.names[step]
                found = moves.get(int(name in value) if name is not None else self._graph.numbers[i].get(value[0], -1))
                if found is None:
                    return None
                move = found
            else:
                (move,) = moves.values()
            node, spent = move.after, _add(spent, move.cost)
        return _Place(node, spent)

    def draw(self, place: _Place, i: int, uniform: Callable[[], float]) -> tuple[Pick, _Place] | None:
        """A uniform one of the values of choice `i` that can be completed within the limits; None if there is none."""
        choice, stop = self._graph.choices[i], self._graph.spans[i].stop
        picked: Pick = ()
        while place.node.step < stop:
            layers = [{place: self._affordable_moves(place)}]
            while layers[-1] and len(layers) < stop - place.node.step and sum(map(len, layers)) < MOST_PLACES:
                reached = dict.fromkeys(after for moves in layers[-1].values() for after in moves.values())
                layers.append({after: self._affordable_moves(after) for after in reached})
            ways: dict[_Place, int] = {}
            for layer in reversed(layers):
                ways |= {at: sum(ways.get(after, 1) for after in moves.values()) for at, moves in layer.items()}
            if not ways[place]:
                return None
            for layer in layers:
                name, moves = self._graph.names[place.node.step], layer[place]
                value, place = _weighted(moves.items(), [ways.get(after, 1) for after in moves.values()], uniform)
                picked += (choice.options[value],) if name is None else (name,) if value else ()
        return picked, place

    def _affordable_moves(self, place: _Place) -> dict[int, _Place]:
        after = {
            value: _Place(move.after, _add(place.spent, move.cost)) for value, move in self.moves(place.node).items()
        }
        return {value: p for value, p in after.items() if self.affordable(p)}

    def affordable(self, place: _Place) -> bool:
        """Whether some completion from a place on is within the limits."""
        node, spent = place
        if not spent:
            return True
        while node.step < len(self._graph.steps) and node.step <= self._last:
            moves = self.moves(node)
            if len(moves) != 1:
                break
            (move,) = moves.values()
            node, spent = move.after, _add(spent, move.cost)
        room: Vector = tuple(map(sub, self._program.room, spent))
        if node.step == len(self._graph.steps):
            return all(r >= 0 for r in room)
        front = self._front(node)
        return front is not None and front.fits(room)

    def _front(self, node: Node) -> Front | None:
        # beyond the last fixed decision the answer is the same for every walk
        if node.step > self._last:
            return self._program.fronts[node]
        if node not in self._fronts:
            layers = [[node]]
            while layers[-1] and layers[-1][0].step < self._last:
                layers.append(list(dict.fromkeys(move.after for n in layers[-1] for move in self.moves(n).values())))
            for nodes in reversed(layers):
                for n in nodes:
                    self._fronts[n] = self.solve(n, self._front)
        return self._fronts[node]

    def solve(self, node: Node, front: Callable[[Node], Front | None]) -> Front | None:
        """The front of a node from those of the nodes after it."""
        program = self._program
        parts = [np.zeros((1, len(program.room)))]
        if node.step < len(self._graph.steps):
            after = [(front(move.after), move.cost) for move in self.moves(node).values()]
            parts = [found.rows + np.array(cost) if cost else found.rows for found, cost in after if found is not None]
        if not parts:
            return None
        # exact: above the first bound nothing fits whatever came before, below the second one everything does
        least, most = program.spent[node]
        rows = np.concatenate(parts)
        rows = np.maximum(rows[(rows <= np.array(program.room) - least).all(axis=1)], program.floor - most)
        return Front(rows) if len(rows) else None


def _weighted(items: Iterable[T], weights: Sequence[int], uniform: Callable[[], float]) -> T:
    """One of the items, each as likely as its weight says."""
    if len(weights) > 1:
        # Python's integers are exact: there may be 10^30 completions
        target = int(uniform() * 2**53) * sum(weights)
        for item, weight in zip(items, weights, strict=True):
            target -= weight << 53
            if target < 0:
                return item
    return next(iter(items))


def _add(spent: Vector, cost: Vector) -> Vector:
    return tuple(map(add, spent, cost)) if cost else spent
