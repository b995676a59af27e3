"""What there is, and what goes with what."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from morphogen.catalog import kebab, nearest, resolve
from morphogen.config import Config

__all__ = ["check", "explain", "rows", "show"]

Rows = list[dict[str, Any]]


def rows(what: str) -> Rows:
    """The names of one kind, each with one line of its documentation.

    Raises:
        ValueError: No such kind.
    """
    kinds: dict[str, Callable[[], Rows]] = {
        "spaces": _spaces,
        "strategies": lambda: _classes("morphogen.strategies"),
        "methods": _methods,
        "estimators": lambda: _classes("morphogen.estimators"),
        "executors": lambda: _classes("morphogen.executors"),
        "data": _data,
        "tables": _tables,
        "zoo": _zoo,
    }
    if what not in kinds:
        raise ValueError(
            f"there is nothing to list called '{what}'{nearest(what, kinds)}; there are {', '.join(kinds)}"
        )
    return kinds[what]()


def show(rows: Rows, console: Console) -> None:
    """For a terminal."""
    table = Table(*(rows[0] if rows else ()), box=None)
    for row in rows:
        table.add_row(*(escape(str(v)) for v in row.values()))
    console.print(table)


def check(config: Config) -> dict[str, Any]:
    """Construct everything, ask once, and price the proposal.

    Raises:
        ValueError: What does not go together, and why.
    """
    from morphogen.runs.assembly import assemble

    parts = assemble(config)
    strategy, estimator = parts.phases[0].start(())
    proposal = strategy.ask([], np.random.default_rng((config.seed, 0, 0)))
    return {
        "space": parts.space.name,
        "architectures": str(parts.space.size),
        "strategy": config.strategy,
        "phases": [phase.name for phase in parts.phases],
        "first": None if proposal is None or proposal.architecture is None else proposal.architecture.text,
        "declared_cost": None if proposal is None else estimator.cost(proposal),
    }


def explain(checked: dict[str, Any]) -> str:
    """For a person."""
    return (
        f"{checked['strategy']} on {checked['space']} ({float(checked['architectures']):.3g} architectures): everything goes together.\n"
        f"phases: {', '.join(checked['phases'])}\nfirst proposal: {checked['first']}"
    )


def _first_line(thing: object) -> str:
    return (thing.__doc__ or "").strip().splitlines()[0] if thing.__doc__ else ""


def _classes(package: str) -> Rows:
    module = importlib.import_module(package)
    return [{"name": kebab(name), "what": _first_line(getattr(module, name))} for name in sorted(module.__all__)]


def _methods() -> Rows:
    from morphogen.methods import METHODS, SPACE, SPACES

    return [
        {"name": name, "space": SPACES.get(name, SPACE), "what": _first_line(resolve(path))}
        for name, path in METHODS.items()
    ]


def _spaces() -> Rows:
    from morphogen.spaces import SPACES, space

    found = {name: space(name) for name in SPACES}
    return [
        {
            "name": name,
            "architectures": f"{float(s.size):.3g}",
            "choices": len(s.choices),
            "skeletons": ", ".join(s.skeletons),
        }
        for name, s in found.items()
    ]


def _data() -> Rows:
    from morphogen.training.data import SOURCES

    return [{"name": name, "what": _first_line(resolve(path))} for name, path in SOURCES.items()]


def _tables() -> Rows:
    from morphogen.estimators.tables import SHIPPED, load
    from morphogen.runs.tables import TABLES

    made = [{"name": name, "what": _first_line(resolve(path))} for name, path in TABLES.items()]
    return [*made, *({"name": name, "what": load(path).about} for name, path in SHIPPED.items())]


def _zoo() -> Rows:
    from morphogen.spaces.zoo import PRESETS

    return [
        {
            "name": f"zoo:{name}",
            "image": "x".join(map(str, preset.skeleton.image)),
            "classes": preset.skeleton.classes,
            "cells": preset.skeleton.cells,
            "channels": preset.skeleton.channels,
        }
        for name, preset in PRESETS.items()
    ]
