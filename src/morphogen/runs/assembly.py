"""From a configuration to parts that work together, or a reason why they do not."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from morphogen.catalog import component, resolve
from morphogen.config import Config
from morphogen.methods import METHODS
from morphogen.methods.black_box import Judges, Plan, black_box
from morphogen.objective import MeasuredLimit, Objective
from morphogen.protocols import Executor, Phase
from morphogen.runs import earlier, nameless
from morphogen.runs.judging import judged
from morphogen.runs.options import checked
from morphogen.runs.strategies import strategy_maker
from morphogen.space import Space

if TYPE_CHECKING:
    from morphogen.training.data import Data

__all__ = ["Parts", "assemble"]


@final
@dataclass(frozen=True)
class Parts:
    """What a run is made of.

    Args:
        space: Where to search.
        objectives: What is sought.
        limits: The most that measured metrics may be; those that are exact are the space's own.
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
    limits: tuple[MeasuredLimit, ...]
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
    nameless.check("strategy", config.strategy, strategy)
    found, objectives, limits, judges, data, skeletons = judged(config, space, data)
    budget = seconds(config)
    plan = Plan(
        trials=config.trials if config.trials is not None or budget is not None else 64,
        budget=budget,
        control=config.control,
        finalists=config.final.finalists,
        seeds=config.final.seeds,
    )
    if strategy is None and config.strategy in METHODS:
        if config.start or config.from_run:
            raise ValueError(
                f"method '{config.strategy}' takes no start and learns nothing from an earlier run; strategies do"
            )
        phases = _method(config, found, judges, plan, data, skeletons, objectives)
    else:
        make = (
            strategy
            if strategy is not None
            else strategy_maker(config.strategy, config.strategy_options, config.seed, judges.full)
        )
        told = [] if config.from_run is None else earlier.load(Path(config.from_run), found, objectives)
        make = earlier.begun(make, found, config.start, told, config.seed)
        make(found)  # a strategy that cannot serve the space says so now
        phases = black_box(make, found, judges, plan)
    return Parts(found, objectives, limits, phases, judges, plan, _executor(config), _device(config), data, skeletons)


def seconds(config: Config) -> float | None:
    """Of the whole run, by `budget` and by `core_hours` of all workers together; None where neither is given."""
    if config.core_hours is None:
        return config.budget
    of_all = 3600 * config.core_hours / (config.workers * max(config.trial_cpus, 1.0))
    return of_all if config.budget is None else min(config.budget, of_all)


def _method(
    config: Config,
    space: Space,
    judges: Judges,
    plan: Plan,
    data: Data | None,
    skeletons: Mapping[str, Any] | None,
    objectives: Sequence[Objective],
) -> list[Phase]:
    """The phases of a method of the literature."""
    from morphogen.methods.one_shot import Setting

    if data is None or skeletons is None:
        raise ValueError(f"method '{config.strategy}' trains networks and needs data; on a table, name a strategy")
    method = resolve(METHODS[config.strategy])
    options = checked(f"method '{config.strategy}'", method, config.strategy_options, frozenset({"setting"}))
    phases: list[Phase] = method(Setting(space, data, skeletons, judges, plan, objectives), **options)
    return phases


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
    options = {"workers": config.workers, "preload": PRELOAD, "address": config.ray_address}
    parameters = inspect.signature(made).parameters
    if config.ray_address is not None and "address" not in parameters:
        raise ValueError(f"ray_address={config.ray_address!r} is for the executor 'ray'; this run has '{name}'")
    return partial(made, **{key: value for key, value in options.items() if key in parameters})


PRELOAD = ("torch", "torch._dynamo", "morphogen.estimators.training")
"""What every trial imports, imported once: counting multiply-adds alone makes PyTorch import its compiler."""
