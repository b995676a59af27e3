"""An architecture as a sequence of decisions, each among what can still be completed: what a policy is a
product of."""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from functools import cached_property
from operator import add, sub
from typing import NamedTuple, final

from morphogen.choice import Choice, Pick
from morphogen.completions import Completions
from morphogen.frontier import Node
from morphogen.limits import Vector
from morphogen.space import Space

__all__ = ["Decision", "Decisions"]


class Decision(NamedTuple):
    """One decision: which option of a choice, or whether a subset has an option.

    Args:
        choice: The choice that is decided.
        option: None: one of the options is picked. An option: whether the subset has it.
        allowed: What can be answered: indices of options, or of `(0, 1)`.
        log_odds: For a subset, the log of the number of subsets with the option over that without it; a
            policy adds it to its own logit, so that a logit of zero means that every subset is equally
            likely. Zero where any subset may be picked, and where only one answer is allowed.
    """

    choice: Choice
    option: str | None
    allowed: tuple[int, ...]
    log_odds: float = 0.0


@final
@dataclass(frozen=True)
class Decisions:
    """The decisions of a space, in the order of its choices; subsets are decided option by option.

    The probabilities that a policy gives to the allowed answers multiply to a distribution over exactly
    the architectures of the space: answers that no completion within the limits has are not offered, and
    every architecture has one path.

    Args:
        space: What is decided.
    """

    space: Space

    def __reduce__(self) -> tuple[type[Decisions], tuple[Space]]:
        return Decisions, (self.space,)

    def path(self) -> Generator[Decision, int, dict[str, Pick]]:
        """Yields decisions, is sent one of the allowed answers each time, and returns the picks."""
        program, graph = self._program, self._program.graph
        picks: dict[str, Pick] = {}
        node, spent = program.start
        for (i, _), option in zip(graph.steps, graph.names, strict=True):
            moves = graph.moves(node)
            answer = next(iter(moves))
            if node.active:
                choice = self.space.choices[i]
                have = picks.get(choice.name, ())
                if program.room:
                    moves = {
                        value: move for value, move in moves.items() if self._affordable(move.after, spent, move.cost)
                    }
                if option != "":  # a subset of no options needs no decision
                    allowed = tuple(moves)
                    odds = _log_odds(choice, option, len(have)) if option is not None and len(allowed) == 2 else 0.0
                    answer = yield Decision(choice, option, allowed, odds)
                if option is None:
                    have = (choice.options[answer],)
                elif answer:
                    have = (*have, option)
                picks[choice.name] = have
            move = moves[answer]
            node, spent = move.after, _sum(spent, move.cost)
        return picks

    def answers(self, picks: Mapping[str, Pick]) -> list[tuple[Decision, int]]:
        """The path that leads to given picks.

        Raises:
            ValueError: The picks are no architecture of this space.
        """
        path = self.path()
        trail: list[tuple[Decision, int]] = []
        try:
            decision = next(path)
            while True:
                answer = _answer(decision, picks)
                trail.append((decision, answer))
                decision = path.send(answer)
        except StopIteration:
            return trail

    @cached_property
    def _program(self) -> Completions:
        return Completions(self.space.choices, self.space.limits)

    def _affordable(self, after: Node, spent: Vector, cost: Vector) -> bool:
        front = self._program.fronts[after]
        return front is not None and front.fits(tuple(map(sub, self._program.room, _sum(spent, cost))))


def _sum(spent: Vector, cost: Vector) -> Vector:
    return tuple(map(add, spent, cost)) if cost else spent  # a move that costs nothing has no numbers


def _answer(decision: Decision, picks: Mapping[str, Pick]) -> int:
    choice, option = decision.choice, decision.option
    picked = picks.get(choice.name)
    if picked is not None:
        if option is not None:
            answer = int(option in picked)
        else:
            answer = choice.options.index(picked[0]) if picked[0] in choice.options else -1
        if answer in decision.allowed:
            return answer
    raise ValueError(f"choice '{choice.name}' picks {picked or 'nothing'}, which this space does not allow there")


def _log_odds(choice: Choice, option: str, have: int) -> float:
    low, high = choice.bounds
    if (low, high) == (0, len(choice.pickable)):
        return 0.0
    left = len(choice.pickable) - 1 - choice.pickable.index(option)
    return math.log(_ways(left, low - have - 1, high - have - 1)) - math.log(_ways(left, low - have, high - have))


def _ways(left: int, low: int, high: int) -> int:
    return sum(math.comb(left, k) for k in range(max(0, low), min(left, high) + 1))
