"""The decisions of a space as a graph: what each can be, what it costs, and what later ones need to know of it.

Its state is the *frontier*: the values of the earlier decisions that a later condition or cost still mentions. For
chains (a layer's cost depends on the width of the layer before it) that is one or two decisions, whatever the depth, so
the graph is small although it has a path for every architecture.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, final

from morphogen.choice import Choice
from morphogen.limits import Cost, Vector

__all__ = ["Frontier", "Move", "Node"]

Variable = tuple[int, int]
"""`(choice, -1)`: what a single choice picks, -1 if it does not exist. `(choice, option)`: 1 if a subset has it."""
COUNT = -2
"""`(choice, COUNT)`: how many options a subset has so far."""
NOTHING = -3
"""`(choice, NOTHING)`: the step of a choice without options, for it to be seen whether the choice exists."""
State = tuple[int, ...]


class Move(NamedTuple):
    """One value of a step: the node that it leads to, and what it costs."""

    after: Node
    cost: Vector  # empty where it costs nothing


@final
class Node:
    """What is left to decide from a step on, in one state of the frontier."""

    __slots__ = ("active", "count", "moves", "state", "step")

    def __init__(self, step: int, state: State) -> None:
        self.step, self.state = step, state
        self.moves: dict[int, Move] = {}
        """By the value that the step decides; empty until somebody looks."""
        self.active = False
        """Whether the choice of the step exists here."""
        self.count = 0


@final
class Frontier:
    """The graph of the decisions of some choices, grown where it is looked at."""

    def __init__(self, choices: Sequence[Choice], costs: Sequence[Cost]) -> None:
        self.choices = choices
        self.index = {c.name: i for i, c in enumerate(choices)}
        self.numbers = [{o: n for n, o in enumerate(c.options)} for c in choices]
        self.steps: list[Variable] = []
        self.spans: list[range] = []
        """The steps of each choice: one, or one per option of a subset."""
        for i, c in enumerate(choices):
            options = [-1] if c.single else [self.numbers[i][o] for o in c.pickable] or [NOTHING]
            self.spans.append(range(len(self.steps), len(self.steps) + len(options)))
            self.steps += [(i, o) for o in options]
        self.names = [None if o == -1 else "" if o == NOTHING else choices[i].options[o] for i, o in self.steps]
        """The option of a subset that each step is about, None for a single choice."""
        self.at = {variable: step for step, variable in enumerate(self.steps)}
        self._costs = costs
        self._terms = self._terms_by_step()
        self._alive = self._alive_by_step()
        self.start = Node(0, ())
        self._nodes: list[dict[State, Node]] = [{(): self.start}, *({} for _ in self.steps)]

    def count(self) -> int:
        """The number of architectures, limits aside."""
        if not self.start.count:
            for nodes in reversed(self.layers()):
                for node in nodes:
                    node.count = sum(m.after.count for m in node.moves.values()) if node.step < len(self.steps) else 1
        return self.start.count

    def exists(self, node: Node) -> bool:
        """Whether the choice that a node is about exists there."""
        self.moves(node)
        return node.active

    def moves(self, node: Node) -> dict[int, Move]:
        """What the step of a node can decide; fills in `node.active`."""
        if not node.moves and node.step < len(self.steps):
            i, option = self.steps[node.step]
            values = dict(zip(self._alive[node.step], node.state, strict=True))
            node.active = self._active(self.choices[i], values)
            alive, nodes = self._alive[node.step + 1], self._nodes[node.step + 1]
            for value in self._possible(i, option, values) if node.active else (-1 if option == -1 else 0,):
                after = {**values, (i, option): value}
                if (i, COUNT) in alive:
                    after[i, COUNT] = values.get((i, COUNT), 0) + value
                state = tuple(after[v] for v in alive)
                if state not in nodes:
                    nodes[state] = Node(node.step + 1, state)
                node.moves[value] = Move(nodes[state], self._step_cost(node.step, after))
        return node.moves

    def layers(self) -> list[list[Node]]:
        """Every node that can be reached, by step."""
        for nodes in self._nodes:
            for node in nodes.values():
                self.moves(node)
        return [list(nodes.values()) for nodes in self._nodes]

    def _possible(self, i: int, option: int, values: Mapping[Variable, int]) -> Sequence[int]:
        choice = self.choices[i]
        if option == -1:
            return [self.numbers[i][o] for o in choice.pickable]
        if option == NOTHING:
            return (0,)
        low, high = choice.bounds
        if (low, high) == (0, len(choice.pickable)):
            return (0, 1)
        have = values.get((i, COUNT), 0)
        left = self.spans[i].stop - self.at[i, option] - 1
        return [value for value in (0, 1) if have + value <= high and have + value + left >= low]

    def _active(self, choice: Choice, values: Mapping[Variable, int]) -> bool:
        return choice.when is None or any(
            values.get(v) == n for v, n in self._literals(choice.when.choice, choice.when.any_of)
        )

    def _literals(self, choice: str, options: Iterable[str]) -> list[tuple[Variable, int]]:
        """The variables, and the values of them, that say that one of the options is picked."""
        i = self.index[choice]
        single = self.choices[i].single
        return [((i, -1), n) if single else ((i, n), 1) for n in (self.numbers[i][o] for o in options)]

    def _step_cost(self, step: int, values: Mapping[Variable, int]) -> Vector:
        cost = tuple(
            math.fsum(value for literals, value in terms if all(values.get(v) == n for v, n in literals))
            for terms in self._terms[step]
        )
        return cost if any(cost) else ()

    def _terms_by_step(self) -> list[list[list[tuple[list[tuple[Variable, int]], float]]]]:
        """Per step and cost, the terms whose last literal the step decides."""
        by_step: list[list[list[tuple[list[tuple[Variable, int]], float]]]] = [
            [[] for _ in self._costs] for _ in self.steps
        ]
        for k, cost in enumerate(self._costs):
            for literals, value in cost.terms.items():
                if literals and all(c in self.index and o in self.choices[self.index[c]].pickable for c, o in literals):
                    resolved = [found for c, o in literals for found in self._literals(c, [o])]
                    by_step[max(self.at[v] for v, _ in resolved)][k].append((resolved, value))
        return by_step

    def _alive_by_step(self) -> list[tuple[Variable, ...]]:
        """Per step, the earlier variables that this step or a later one reads."""
        last_read: dict[Variable, int] = {}
        for step, (i, option) in enumerate(self.steps):
            choice = self.choices[i]
            if choice.when is not None:
                last_read |= {
                    v: step for v, _ in self._literals(choice.when.choice, choice.when.any_of) if v in self.at
                }
            if option >= 0 and choice.bounds != (0, len(choice.pickable)):
                last_read[i, COUNT] = step
            last_read |= {
                v: step
                for terms in self._terms[step]
                for literals, _ in terms
                for v, _ in literals
                if self.at[v] < step
            }
        born = {v: self.spans[v[0]].start if v[1] == COUNT else self.at[v] for v in last_read}
        return [
            tuple(sorted(v for v, last in last_read.items() if born[v] < step <= last))
            for step in range(len(self.steps) + 1)
        ]
