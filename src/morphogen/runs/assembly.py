"""From a configuration to parts that work together, or a reason why they do not."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast, final

from morphogen.catalog import component, nearest, resolve
from morphogen.config import Config, objective
from morphogen.estimators import Tabular
from morphogen.estimators.tabular import Table
from morphogen.methods import METHODS
from morphogen.methods.black_box import Judges, Plan, black_box
from morphogen.objective import Objective
from morphogen.protocols import Executor, Phase, Strategy
from morphogen.runs import earlier
from morphogen.space import Space
from morphogen.spaces import space as find_space
from morphogen.spaces.skeleton import Skeleton
from morphogen.strategies import Deduplicated
from morphogen.trial import FULL, Fidelity

if TYPE_CHECKING:
    from morphogen.training.data import Data

__all__ = ["Parts", "assemble", "strategy", "table"]

TABLES = {"toy": "morphogen.estimators.toy:ToyTable"}


@final
@dataclass(frozen=True)
class Parts:
    """What a run is made of.

    Args:
        space: Where to search.
        objectives: What is sought.
        phases: The method.
        judges: The estimators.
        plan: How much of everything.
        executor: Makes the place where trials run.
        device: Where networks train.
        data: The data set; None on a table.
        skeletons: The hand-made rest of the network, in the search and in the end.
    """

    space: Space
    objectives: tuple[Objective, ...]
    phases: list[Phase]
    judges: Judges
    plan: Plan
    executor: Callable[[], Executor]
    device: str
    data: Data | None = None
    skeletons: Mapping[str, Any] | None = None


def assemble(
    config: Config, space: Space | None = None, data: Data | None = None, strategy: Callable[[Space], Any] | None = None
) -> Parts:
    """Construct every part; objects stand in for what the configuration would name.

    Raises:
        ValueError: Something that does not exist, or does not go with the rest.
    """
    for key, name, given in (
        ("space", config.space, space),
        ("data", config.data, data),
        ("strategy", config.strategy, strategy),
    ):
        if given is None and name is not None and name.startswith(NAMELESS):
            raise ValueError(
                f"the run was begun in Python with a {key} that has no name, {name}: give it again, morphogen.resume(folder, {key}=...)"
            )
    judged = _on_a_table(config) if config.table is not None else _on_data(config, space, data)
    found, objectives, judges, data, skeletons = judged
    if config.objectives is not None:
        objectives = tuple(objective(o) for o in config.objectives)
    plan = Plan(
        trials=config.trials if config.trials is not None or config.budget is not None else 64,
        budget=config.budget,
        control=config.control,
        finalists=config.final.finalists,
        seeds=config.final.seeds,
    )
    if strategy is None and config.strategy in METHODS:
        if config.start or config.from_run:
            raise ValueError(
                f"method '{config.strategy}' takes no start and learns nothing from an earlier run; strategies do"
            )
        phases = _method(config, found, judges, plan, data, skeletons)
    else:
        make = (
            strategy
            if strategy is not None
            else _strategy(config.strategy, config.strategy_options, config.seed, judges.full)
        )
        told = [] if config.from_run is None else earlier.load(Path(config.from_run), found, objectives)
        make = earlier.begun(make, found, config.start, told, config.seed)
        make(found)  # a strategy that cannot serve the space says so now
        phases = black_box(make, found, judges, plan)
    return Parts(found, objectives, phases, judges, plan, _executor(config), _device(config), data, skeletons)


NAMELESS = "<"


def nameless(thing: object) -> str:
    """What a configuration says of an object that no name leads to."""
    return f"{NAMELESS}{getattr(thing, 'name', None) or getattr(thing, '__name__', None) or type(thing).__name__}>"


T = TypeVar("T")
Judged = tuple[Space, tuple[Objective, ...], Judges, "Data | None", "Mapping[str, Any] | None"]


def _method(
    config: Config, space: Space, judges: Judges, plan: Plan, data: Data | None, skeletons: Mapping[str, Any] | None
) -> list[Phase]:
    """The phases of a method of the literature."""
    from morphogen.methods.one_shot import Setting

    if data is None or skeletons is None:
        raise ValueError(f"method '{config.strategy}' trains networks and needs data; on a table, name a strategy")
    method = resolve(METHODS[config.strategy])
    _check_options(
        f"method '{config.strategy}'", config.strategy_options, list(inspect.signature(method).parameters)[1:]
    )
    phases: list[Phase] = method(Setting(space, data, skeletons, judges, plan), **config.strategy_options)
    return phases


def _check_options(what: str, options: Mapping[str, Any], allowed: Sequence[str]) -> None:
    for key in options:
        if key not in allowed:
            raise ValueError(
                f"{what} has no option '{key}'{nearest(key, allowed)}; it has {', '.join(allowed) or 'none'}"
            )


def _on_a_table(config: Config) -> Judged:
    found = table(str(config.table))
    estimator = Tabular(found)
    return found.space, found.objectives, Judges(estimator, final=estimator, full=found.full), None, None


def _on_data(config: Config, space: Space | None, data: Data | None) -> Judged:
    from morphogen.estimators import Baselines, TestSplit, Training
    from morphogen.training.data import data as find_data
    from morphogen.training.data import mapped
    from morphogen.training.recipe import recipe_for

    space = space if space is not None else find_space(config.space)
    if config.data is None and data is None:
        raise ValueError("no data: name a data set, a file, or a table")
    data = data if data is not None else find_data(str(config.data), split_seed=config.split_seed)
    data = mapped(data)
    skeletons = {
        name: _skeleton(space, name, data, {**config.skeleton, **(config.final.skeleton if name == "final" else {})})
        for name in ("search", "final")
    }
    full = recipe_for(data)
    # rank by a third of the training, announce by all of it
    recipe = settings(recipe_for(data, max(1, full.epochs // 3)), config.training, "training")
    last = settings(
        full, {**{k: v for k, v in config.training.items() if k != "epochs"}, **config.final.training}, "final.training"
    )
    judges = Judges(
        search=Training(space, data, recipe, skeletons["search"]),
        final=Training(space, data, last, skeletons["final"]),
        baselines=Baselines(data, last),
        test=TestSplit(space, data, skeletons["final"]),
        full={"epochs": recipe.epochs, "images": len(data.train)},
    )
    return space, (Objective("accuracy", maximize=True),), judges, data, skeletons


def _skeleton(space: Space, name: str, data: Data, options: Mapping[str, Any]) -> Any:
    """A preset of the space, for the images and classes of the data, with what a person changed."""
    from morphogen.estimators.complexity import suited_skeleton

    preset = suited_skeleton(space, name if name in space.skeletons else None, data.image, data.classes)
    if isinstance(preset, Skeleton) and max(data.image[1:]) <= TINY_PIXELS:
        tiny = replace(preset, **TINY)
        # a space whose choices are its layers has no other depth
        preset = tiny if _builds(space, tiny) else replace(tiny, cells=preset.cells)
    return settings(preset, options, "skeleton")


def _builds(space: Space, skeleton: Any) -> bool:
    import torch

    from morphogen.nn.network import network

    try:
        with torch.device("meta"):
            network(space.fix(next(space.enumerate())), skeleton)
    except ValueError:
        return False
    return True


TINY_PIXELS = 16
TINY: Mapping[str, Any] = {"channels": 8, "cells": 3, "auxiliary": False, "drop_path": 0.0}
"""For images of a few pixels: the presets of the papers are for larger ones, for days of a GPU, and regularize as much."""


def settings(preset: T, options: Mapping[str, Any], what: str) -> T:
    """A dataclass with some of its fields changed by a person."""
    assert is_dataclass(preset)
    assert not isinstance(preset, type)
    known = [f.name for f in fields(preset)]
    for key, value in options.items():
        if key not in known:
            raise ValueError(f"{what}: there is no setting '{key}'{nearest(key, known)}; there are {', '.join(known)}")
        old = getattr(preset, key)
        if isinstance(old, bool) != isinstance(value, bool) or (
            isinstance(old, int | float) and not isinstance(value, int | float)
        ):
            raise ValueError(f"{what}: {key} = {value!r} does not fit; it is like {old!r}")
    changed = {k: tuple(v) if isinstance(v, list) else v for k, v in options.items()}
    return cast(T, replace(preset, **changed))


def _strategy(
    name: str, options: Mapping[str, Any], seed: int, full: Fidelity, inside: bool = False
) -> Callable[[Space], Strategy]:
    """What makes the strategy that a person names; without repetitions, unless it learns from its own samples only.

    The option `strategy` of one that goes around another names that one. A strategy with parameters draws their first
    values from the seed of the run, and one that grows a fidelity grows it to the estimator's full amount.
    """
    try:
        made = component("morphogen.strategies", name, "strategy")
    except ValueError as error:
        if ":" in name:
            raise
        close = nearest(name, METHODS)
        raise ValueError(f"{error}; or one of the methods {', '.join(METHODS)}{close}") from None
    parameters = inspect.signature(made).parameters
    _check_options(f"strategy '{name}'", options, [p for p in parameters if p != "space"])
    given = dict(options)
    if "seed" in parameters:
        given.setdefault("seed", seed)
    if "full" in parameters and (axis := given.get("axis", parameters["axis"].default)) in full:
        given.setdefault("full", full[axis])
    inner = given.pop("strategy", None)
    around = None if inner is None else _strategy(str(inner), {}, seed, full, inside=True)
    if inside and getattr(made, "on_policy", False):
        raise ValueError(f"strategy '{name}' learns from its own samples only: nothing can go around it")

    def make(space: Space) -> Strategy:
        strategy: Strategy = made(space, **given) if around is None else made(space, strategy=around(space), **given)
        # one that learns from several fidelities has to be seen as such by what goes around it
        bare = getattr(made, "on_policy", False) or (inside and getattr(made, "multi_fidelity", False))
        return strategy if bare else Deduplicated(strategy, space)

    return make


def table(name: str) -> Table:
    """A table by its name, by the TOML file of its own that says what is in it, or by `package.module:Name`."""
    from morphogen.estimators.tables import is_table_file, load

    found: Table
    if name not in TABLES and is_table_file(name):
        found = load(name)
        return found
    if name not in TABLES and ":" not in name:
        raise ValueError(
            f"there is no table '{name}'{nearest(name, TABLES)}; there are {', '.join(TABLES)}, and your own as a TOML file"
        )
    found = resolve(TABLES.get(name, name))()
    return found


def _device(config: Config) -> str:
    if config.table is not None:
        return "cpu"
    from morphogen.training.device import torch_device

    return str(torch_device(config.device))


def _executor(config: Config) -> Callable[[], Executor]:
    """What makes the place where the trials of a run work."""
    # looking a number up is no work for a process of its own
    name = config.executor or ("processes" if config.table is None else "inline")
    made = component("morphogen.executors", name, "executor")
    options = {"workers": config.workers, "preload": PRELOAD}
    parameters = inspect.signature(made).parameters
    return partial(made, **{key: value for key, value in options.items() if key in parameters})


PRELOAD = ("torch", "torch._dynamo", "morphogen.estimators.training")
"""What every trial imports, imported once: counting multiply-adds alone makes PyTorch import its compiler."""


def strategy(name: str, options: Mapping[str, Any], space: Space, seed: int = 0, full: Fidelity = FULL) -> Strategy:
    """The strategy that a person names, for a space."""
    return _strategy(name, options, seed, full)(space)
