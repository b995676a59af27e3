"""Costs that add up, limits on them, and which partly decided architectures can still be completed.

One dynamic program over the decisions of a space answers three questions: can this be completed within the limits, how
many completions are there, and (by the counts) what does a uniform draw look like. Its state is the *frontier*: the values
of the earlier decisions that a later condition or cost still mentions. For chains (a layer's cost depends on the width of
the layer before it) the frontier is one or two decisions wide whatever the depth, so the program is exact and small.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, final

from morphogen.choice import Choice, Pick

__all__ = ["Completions", "Cost", "Limit"]

Literal = tuple[str, str]
"""`(choice, option)`: the choice has picked the option."""


@final
@dataclass(frozen=True)
class Cost:
    """A metric that is a sum of terms, each due where all its literals hold.

    `terms[(("1/width", "64"),)]` is the cost of an option, `terms[(("1/width", "64"), ("2/width", "32"))]` that of a pair.
    """

    metric: str
    terms: Mapping[tuple[Literal, ...], float] = field(hash=False)
    base: float = 0.0

    def __call__(self, picks: Mapping[str, Pick]) -> float:
        """The cost of an architecture, given as the picks of its active choices."""
        return self.base + math.fsum(
            value for literals, value in self.terms.items() if all(option in picks.get(choice, ()) for choice, option in literals)
        )


@final
@dataclass(frozen=True)
class Limit:
    """The most that an additive cost may be. No architecture above it is ever proposed."""

    cost: Cost
    at_most: float


Variable = tuple[int, int]
"""`(choice, -1)`: the index picked by a single choice, -1 if inactive. `(choice, option)`: 1 if a subset has the option."""
COUNT = -2
"""`(choice, COUNT)`: how many options a subset has so far."""
State = tuple[int, ...]
Vector = tuple[float, ...]


class _Move(NamedTuple):
    value: int
    after: State
    active: bool
    cost: Vector


@final
class Completions:
    """The dynamic program of this file, for the choices and the limits of one space."""

    def __init__(self, choices: Sequence[Choice], limits: Sequence[Limit]) -> None:
        self._choices = choices
        self._index = {c.name: i for i, c in enumerate(choices)}
        self.steps: list[Variable] = [
            variable
            for i, c in enumerate(choices)
            for variable in ([(i, -1)] if c.single else [(i, c.options.index(o)) for o in c.pickable])
        ]
        self.at = {variable: step for step, variable in enumerate(self.steps)}
        self._costs = [lim.cost for lim in limits]
        self.bounds: Vector = tuple(lim.at_most - lim.cost.base for lim in limits)
        self._terms = self._terms_by_step()
        self._alive = self._alive_by_step()
        self.least: dict[tuple[int, State], tuple[Vector, ...]] = {}
        self._known: dict[tuple[int, State], list[_Move]] = {}
        self._counts: dict[tuple[int, State], int] = {}

    def feasible(self, picks: Mapping[str, Pick], partial: str | None = None) -> bool:
        """Whether some completion of `picks` is within the limits; `partial` names a subset that may still grow."""
        return any(_within(v, self.bounds) for v in _Walk(self, self._fix(picks, partial)).least(0, ()))

    @property
    def dimensions(self) -> int:
        """How many costs are limited."""
        return len(self.bounds)

    def count(self) -> int:
        """The number of architectures, limits aside."""
        return self._count(0, ())

    def draw(self, uniform: Callable[[], float], picks: Mapping[str, Pick] | None = None, *, by_count: bool = False) -> dict[str, Pick]:
        """Complete `picks` within the limits: each decision uniform, or each completion equally likely (`by_count`).

        `by_count` is exact where there are no limits and no picks. `uniform()` gives numbers of [0, 1).

        Raises:
            ValueError: No completion is within the limits.
        """
        walk = _Walk(self, self._fix(picks or {}, None))
        spent, state = (0.0,) * len(self.bounds), ()  # type: tuple[Vector, State]
        drawn: dict[str, list[str]] = {}
        for step, (i, option) in enumerate(self.steps):
            moves = [m for m in walk.moves(step, state) if walk.affordable(step, m, spent)]
            if not moves:
                raise ValueError("no completion of these picks is within the limits of the space")
            move = moves[0]
            if len(moves) > 1:
                weights = [self._count(step + 1, m.after) if by_count else self._subsets(step, state, m) for m in moves]
                # Python's integers are exact: there may be 10^30 completions
                target = int(uniform() * 2**53) * sum(weights)
                for move, weight in zip(moves, weights, strict=True):
                    target -= weight << 53
                    if target < 0:
                        break
            if move.active:
                options = drawn.setdefault(self._choices[i].name, [])
                if option < 0 or move.value:
                    options.append(self._choices[i].options[move.value if option < 0 else option])
            spent, state = _add(spent, move.cost), move.after
        return {name: tuple(options) for name, options in drawn.items()}

    def moves(self, step: int, state: State) -> list[_Move]:
        """What a step can decide."""
        if (key := (step, state)) not in self._known:
            self._known[key] = list(self._moves(step, state))
        return self._known[key]

    def _count(self, step: int, state: State) -> int:
        if step == len(self.steps):
            return 1
        if (key := (step, state)) not in self._counts:
            self._counts[key] = sum(self._count(step + 1, m.after) for m in self.moves(step, state))
        return self._counts[key]

    def _subsets(self, step: int, state: State, move: _Move) -> int:
        """In how many ways the subset that a step is part of can go on after a move; 1 for a single choice."""
        i, option = self.steps[step]
        if option < 0:
            return 1
        choice = self._choices[i]
        have = dict(zip(self._alive[step], state, strict=True)).get((i, COUNT), 0) + move.value
        left = len(choice.pickable) - 1 - choice.pickable.index(choice.options[option])
        low, high = choice.bounds
        return sum(math.comb(left, k) for k in range(max(0, low - have), min(left, high - have) + 1))

    def _moves(self, step: int, state: State) -> Iterator[_Move]:
        i, option = self.steps[step]
        choice = self._choices[i]
        values = dict(zip(self._alive[step], state, strict=True))
        active = self._active(choice, values)
        if not active:
            possible: Sequence[int] = (-1,) if option < 0 else (0,)
        elif option >= 0:
            possible = self._element(choice, i, option, values)
        else:
            possible = [choice.options.index(o) for o in choice.pickable]
        for value in possible:
            after = {**values, (i, option): value}
            if (i, COUNT) in self._alive[step + 1]:
                after[i, COUNT] = values.get((i, COUNT), 0) + value
            cost = self._step_cost(step, after)
            yield _Move(value, tuple(after[v] for v in self._alive[step + 1]), active, cost)

    def _element(self, choice: Choice, i: int, option: int, values: Mapping[Variable, int]) -> Sequence[int]:
        low, high = choice.bounds
        if (low, high) == (0, len(choice.pickable)):
            return (0, 1)
        have = values.get((i, COUNT), 0)
        left = len(choice.pickable) - 1 - choice.pickable.index(choice.options[option])
        return [value for value in (0, 1) if have + value <= high and have + value + left >= low]

    def _active(self, choice: Choice, values: Mapping[Variable, int]) -> bool:
        if choice.when is None:
            return True
        p = self._index[choice.when.choice]
        parent = self._choices[p]
        wanted = [parent.options.index(o) for o in choice.when.any_of]
        return values[p, -1] in wanted if parent.single else any(values.get((p, o), 0) == 1 for o in wanted)

    def _step_cost(self, step: int, values: Mapping[Variable, int]) -> Vector:
        if not self._terms[step]:
            return (0.0,) * len(self.bounds)
        return tuple(
            math.fsum(cost for literals, cost in terms if all(values.get(v) == wanted for v, wanted in literals))
            for terms in self._terms[step]
        )

    def _literal(self, literal: Literal) -> tuple[Variable, int]:
        choice, option = literal
        i = self._index[choice]
        o = self._choices[i].options.index(option)
        return ((i, -1), o) if self._choices[i].single else ((i, o), 1)

    def _terms_by_step(self) -> list[list[list[tuple[tuple[tuple[Variable, int], ...], float]]]]:
        by_step: list[list[list[tuple[tuple[tuple[Variable, int], ...], float]]]] = [[[] for _ in self._costs] for _ in self.steps]
        for k, cost in enumerate(self._costs):
            for literals, value in cost.terms.items():
                if all(c in self._index and o in self._choices[self._index[c]].pickable for c, o in literals):
                    resolved = tuple(self._literal(x) for x in literals)
                    by_step[max(self.at[v] for v, _ in resolved)][k].append((resolved, value))
        return [terms if any(terms) else [] for terms in by_step]

    def _alive_by_step(self) -> list[tuple[Variable, ...]]:
        """Per step, the earlier variables that this step or a later one reads."""
        last_read: dict[Variable, int] = {}
        for step, (i, option) in enumerate(self.steps):
            choice = self._choices[i]
            if choice.when is not None:
                p = self._index[choice.when.choice]
                for o in choice.when.any_of:
                    variable = (p, -1) if self._choices[p].single else (p, self._choices[p].options.index(o))
                    if variable in self.at:
                        last_read[variable] = step
            if option >= 0 and choice.bounds != (0, len(choice.pickable)):
                last_read[i, COUNT] = step
            for terms in self._terms[step]:
                for literals, _ in terms:
                    for variable, _ in literals:
                        if self.at[variable] < step:
                            last_read[variable] = step
        born = {**self.at, **{v: min(s for s, (i, _) in enumerate(self.steps) if i == v[0]) for v in last_read if v[1] == COUNT}}
        return [tuple(sorted(v for v, last in last_read.items() if born[v] < step <= last)) for step in range(len(self.steps) + 1)]

    def _fix(self, picks: Mapping[str, Pick], partial: str | None) -> dict[Variable, int]:
        fixed: dict[Variable, int] = {}
        for name, picked in picks.items():
            i = self._index[name]
            choice = self._choices[i]
            if choice.single:
                fixed[i, -1] = choice.options.index(picked[0])
                continue
            for option in choice.pickable:
                if option in picked or name != partial:
                    fixed[i, choice.options.index(option)] = int(option in picked)
        return fixed


@final
class _Walk:
    """The program with some decisions fixed."""

    def __init__(self, program: Completions, fixed: Mapping[Variable, int]) -> None:
        self._program, self._fixed = program, fixed
        self._last = max((program.at[v] for v in fixed), default=-1)
        self._least: dict[tuple[int, State], tuple[Vector, ...]] = {}

    def moves(self, step: int, state: State) -> list[_Move]:
        moves = self._program.moves(step, state)
        wanted = self._fixed.get(self._program.steps[step]) if step <= self._last else None
        return moves if wanted is None else [m for m in moves if not m.active or m.value == wanted]

    def least(self, step: int, state: State) -> tuple[Vector, ...]:
        """The Pareto-least cost vectors of what is left to decide from `step` on."""
        if step == len(self._program.steps):
            return ((0.0,) * self._program.dimensions,)
        # beyond the last fixed decision the answer is the same for every walk
        memo = self._program.least if step > self._last else self._least
        if (key := (step, state)) not in memo:
            memo[key] = _pareto({_add(m.cost, rest) for m in self.moves(step, state) for rest in self.least(step + 1, m.after)})
        return memo[key]

    def affordable(self, step: int, move: _Move, spent: Vector) -> bool:
        if not spent:
            return True
        so_far = _add(spent, move.cost)
        return any(_within(_add(so_far, rest), self._program.bounds) for rest in self.least(step + 1, move.after))


def _add(a: Vector, b: Vector) -> Vector:
    return tuple(x + y for x, y in zip(a, b, strict=True))


def _within(vector: Vector, bounds: Vector) -> bool:
    # a sum of floats in another order may differ in its last bits: a bound that is met exactly must stay met
    return all(v <= b + 1e-9 * max(1.0, abs(b)) for v, b in zip(vector, bounds, strict=True))


def _pareto(vectors: set[Vector]) -> tuple[Vector, ...]:
    if not vectors:
        return ()
    if len(next(iter(vectors))) <= 1:
        return (min(vectors),)
    kept: list[Vector] = []
    for v in sorted(vectors):
        if not any(all(a <= b for a, b in zip(k, v, strict=True)) for k in kept):
            kept.append(v)
    return tuple(kept)
