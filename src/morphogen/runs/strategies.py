"""The strategy that a person names."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from morphogen.catalog import component, nearest
from morphogen.methods import METHODS
from morphogen.protocols import Strategy
from morphogen.runs.options import checked
from morphogen.space import Space
from morphogen.strategies import Deduplicated
from morphogen.trial import Fidelity

__all__ = ["strategy_maker"]


def strategy_maker(
    name: str, options: Mapping[str, Any], seed: int, full: Fidelity, inside: bool = False
) -> Callable[[Space], Strategy]:
    """What makes the strategy that a person names; without repetitions, unless it learns from its own samples only.

    The option `strategy` of one that goes around another names that one. A strategy with parameters draws their first
    values from the seed of the run, and one that grows a fidelity grows it to the estimator's full amount.

    Args:
        name: Of `morphogen list strategies`, or `package.module:Name`.
        options: Its arguments.
        seed: Of the run.
        full: The full amounts of the estimator.
        inside: Whether another strategy goes around it.

    Raises:
        ValueError: There is none, or it has no such option; the message has the nearest name.
    """
    try:
        made = component("morphogen.strategies", name, "strategy")
    except ValueError as error:
        if ":" in name:
            raise
        close = nearest(name, METHODS)
        raise ValueError(f"{error}; or one of the methods {', '.join(METHODS)}{close}") from None
    parameters = inspect.signature(made).parameters
    # the option `strategy` is the name of one
    named = {key: value for key, value in options.items() if key == "strategy" and key in parameters}
    rest = {key: value for key, value in options.items() if key not in named}
    given = {**checked(f"strategy '{name}'", made, rest, frozenset({"space"})), **named}
    if "seed" in parameters:
        given.setdefault("seed", seed)
    if "full" in parameters and (axis := given.get("axis", parameters["axis"].default)) in full:
        given.setdefault("full", full[axis])
    inner = given.pop("strategy", None)
    around = None if inner is None else strategy_maker(str(inner), {}, seed, full, inside=True)
    if inside and "inherit" in parameters:
        given["inherit"] = False  # what goes around it says what goes on from what
    if inside and getattr(made, "on_policy", False):
        raise ValueError(f"strategy '{name}' learns from its own samples only: nothing can go around it")

    def make(space: Space) -> Strategy:
        strategy: Strategy = made(space, **given) if around is None else made(space, strategy=around(space), **given)
        # one that learns from several fidelities has to be seen as such by what goes around it
        bare = getattr(made, "on_policy", False) or (inside and getattr(made, "multi_fidelity", False))
        return strategy if bare else Deduplicated(strategy, space)

    return make
