"""From data or a table, objectives and limits to the estimators of a run: a metric that is named gets the estimator that gives it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar, cast

from morphogen.catalog import nearest
from morphogen.config import Config
from morphogen.methods.black_box import Judges
from morphogen.objective import MeasuredLimit, Objective, objective
from morphogen.protocols import Estimator
from morphogen.runs import nameless, tables
from morphogen.space import Cost, Limit, Space
from morphogen.spaces import space as find_space
from morphogen.spaces.skeleton import Skeleton

if TYPE_CHECKING:
    from morphogen.estimators import Training
    from morphogen.estimators.latency_model import LatencyModel
    from morphogen.training.data import Data
    from morphogen.training.recipe import Recipe

__all__ = ["Judged", "judged", "settings", "trained_by"]

COUNTED = ("params", "macs")
TIMED = ("latency_ms", "latency_iqr_ms", "peak_memory_mb", "energy_mj")

Judged = tuple[
    Space, tuple[Objective, ...], tuple[MeasuredLimit, ...], Judges, "Data | None", "Mapping[str, Any] | None"
]
"""Space, objectives, measured limits, estimators, data, skeletons."""


def judged(config: Config, space: Space | None = None, data: Data | None = None) -> Judged:
    """What a run seeks and what judges it; objects stand in for what the configuration would name.

    Raises:
        ValueError: Something that does not exist, or does not go with the rest.
    """
    nameless.check("space", config.space, space)
    nameless.check("data", config.data, data)
    return _on_a_table(config) if config.table is not None else _on_data(config, space, data)


def _on_a_table(config: Config) -> Judged:
    from morphogen.estimators import Tabular

    found = tables.table(str(config.table))
    estimator = Tabular(found)
    objectives = found.objectives if config.objectives is None else tuple(objective(o) for o in config.objectives)
    limits = tuple(MeasuredLimit(metric, bound) for metric, bound in config.limits.items())
    return found.space, objectives, limits, Judges(estimator, final=estimator, full=found.full), None, None


def _on_data(config: Config, space: Space | None, data: Data | None) -> Judged:
    """What judges stand-alone networks, in the search and in the end.

    A limit on `params` or `macs` is one of the space, where these add up: nothing above it is ever proposed. It is then
    one of the final network. So is one on `latency_ms`, where a `latency_model` tells what it is. Any other is measured in
    every phase, before the training: what is above it is not trained.
    """
    from morphogen.estimators import Baselines, TestSplit, Training
    from morphogen.training.data import data as find_data
    from morphogen.training.data import mapped
    from morphogen.training.recipe import recipe_for

    space = space if space is not None else find_space(config.space)
    if config.data is None and data is None:
        raise ValueError("no data: name a data set, a file, or a table")
    if data is None:
        data = find_data(str(config.data), split_seed=config.split_seed, **config.data_options)
    data = mapped(data)
    objectives = tuple(objective(o) for o in config.objectives or data.task.metrics[:1])
    metrics = [*(o.metric for o in objectives), *config.limits]
    _known(metrics, data)
    skeletons = {
        name: _skeleton(space, name, data, {**config.skeleton, **(config.final.skeleton if name == "final" else {})})
        for name in ("search", "final")
    }
    model = None if config.latency_model is None else _model(config.latency_model, space, skeletons, data)
    space, limits = _limited(space, skeletons["final"], data, config.limits, model)
    full = recipe_for(data)
    # rank by a third of the training, announce by all of it
    recipe = settings(recipe_for(data, max(1, full.epochs // 3)), config.training, "training")
    last = settings(
        full, {**{k: v for k, v in config.training.items() if k != "epochs"}, **config.final.training}, "final.training"
    )

    def judge(recipe: Recipe, skeleton: Any, limits: Sequence[MeasuredLimit] = ()) -> Estimator:
        return _together(metrics, Training(space, data, recipe, skeleton), limits, model)

    judges = Judges(
        search=judge(recipe, skeletons["search"], limits),
        final=judge(last, skeletons["final"]),  # a finalist is trained whatever it measures this time
        baselines=Baselines(data, last),
        test=TestSplit(space, data, skeletons["final"]),
        full=Training(space, data, recipe, skeletons["search"]).full,
    )
    return space, objectives, limits, judges, data, skeletons


def trained_by(estimator: Estimator | None) -> Training | None:
    """The training among what an estimator consists of; None where nothing is trained."""
    from morphogen.estimators import Combined, Training

    parts = estimator.estimators if isinstance(estimator, Combined) else (estimator,)
    return next((part for part in parts if isinstance(part, Training)), None)


def _together(
    metrics: Sequence[str], training: Training, limits: Sequence[MeasuredLimit], model: LatencyModel | None
) -> Estimator:
    """A training, after all that is cheaper and wanted."""
    from morphogen.estimators import Combined, Complexity, Latency, ZeroCost
    from morphogen.estimators.latency_model import PredictedLatency
    from morphogen.estimators.scores import SCORES

    space, skeleton, data = training.space, training.skeleton, training.data
    together: list[Estimator] = []
    if any(limit.metric in COUNTED for limit in limits):
        together.append(Complexity(space, skeleton))
    if scores := [metric for metric in dict.fromkeys(metrics) if metric in SCORES and metric not in COUNTED]:
        together.append(ZeroCost(space, data, scores, skeleton, images=min(16, len(data.train))))
    if model is not None and "latency_ms" in metrics:
        together.append(PredictedLatency(space, model))
        metrics = [metric for metric in metrics if metric != "latency_ms"]
    if any(metric in TIMED for metric in metrics):
        together.append(Latency(space, skeleton, image=data.image))
    if not together:
        return cast(Estimator, training)
    return cast(Estimator, Combined(*together, training, limits=limits))


def _known(metrics: Iterable[str], data: Data) -> None:
    from morphogen.estimators.energy import Meter
    from morphogen.estimators.scores import SCORES

    known = list(dict.fromkeys([*data.task.metrics, *COUNTED, *TIMED, *SCORES]))
    for metric in metrics:
        if metric not in known:
            raise ValueError(
                f"nothing gives the metric '{metric}'{nearest(metric, known)}; there are {', '.join(known)}"
            )
        if metric == "energy_mj" and Meter.find() is None:
            raise ValueError(
                "energy_mj: this machine does not tell its energy (/sys/class/powercap has no intel-rapl counter that may "
                "be read; many systems let only root read it)"
            )


def _model(path: str, space: Space, skeletons: Mapping[str, Any], data: Data) -> LatencyModel:
    """The latency model of a configuration, of networks of the size that this run builds."""
    from morphogen.estimators.latency_model import LatencyModel
    from morphogen.runs.latencies import built_around

    model = LatencyModel.load(path)
    model.check(space)
    sizes = {name: built_around(skeleton, data.image) for name, skeleton in skeletons.items()}
    of = {key: model.measured.get(key) for key in ("image", "skeleton")}
    for size in sizes.values():
        size["skeleton"].pop("classes", None)
    if isinstance(of["skeleton"], dict):
        of["skeleton"] = {k: v for k, v in of["skeleton"].items() if k != "classes"}
    if of not in sizes.values():
        raise ValueError(
            f"{path} was measured on networks of another size ({of}) than those of this run ({sizes['search']}, in the "
            f"end {sizes['final']}): measure again, `morphogen profile --space {space.name} --data ... --measure 100`"
        )
    return model


def _limited(
    space: Space, skeleton: Any, data: Data, bounds: Mapping[str, float], model: LatencyModel | None = None
) -> tuple[Space, tuple[MeasuredLimit, ...]]:
    """The space within those bounds that are exact on it, and the rest as limits on what is measured."""
    from morphogen.nn.costs import costs_where_additive
    from morphogen.nn.network import network

    exact: dict[str, Cost] = {}
    if any(metric in COUNTED for metric in bounds):
        exact = costs_where_additive(space, lambda varying: network(varying, skeleton), data.image)
    if model is not None:
        exact = {**exact, "latency_ms": model.cost}
    limits = tuple(Limit(exact[metric], bound) for metric, bound in bounds.items() if metric in exact)
    measured = tuple(MeasuredLimit(metric, bound) for metric, bound in bounds.items() if metric not in exact)
    return replace(space, limits=(*space.limits, *limits)) if limits else space, measured


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

T = TypeVar("T")


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
