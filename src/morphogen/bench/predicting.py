"""How well predictors order the architectures of a table, of which they are shown a part."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from morphogen import predictors
from morphogen.bench.replaying import Known
from morphogen.catalog import kebab
from morphogen.predictors.validation import RankCorrelation, cross_validated
from morphogen.space import Architecture

__all__ = ["PREDICTORS", "predictions", "some"]

PREDICTORS = ("GaussianProcess", "MlpEnsemble", "Forest")
ATTEMPTS = 20


def some(table: Known, count: int, rng: np.random.Generator) -> dict[Architecture, float]:
    """So many different architectures that work, with their values without noise; fewer, where there are few."""
    found: dict[bytes, tuple[Architecture, float]] = {}
    for _ in range(ATTEMPTS * count):
        if len(found) == count:
            break
        architecture = table.space.sample(rng)
        identity = table.space.identity(architecture)
        if identity not in found and (value := table.truth(architecture)) is not None:
            found[identity] = architecture, value
    return dict(found.values())


def predictions(table: Known, count: int, seed: int = 0) -> Mapping[str, RankCorrelation]:
    """Predictor -> its rank correlation in five-fold cross-validation over so many architectures, the best first.

    A function of its arguments. Nothing where fewer than ten architectures can be had.
    """
    drawn = some(table, count, np.random.default_rng((seed, count)))
    if len(drawn) < 10:
        return {}
    values = np.array(list(drawn.values()))
    found = {}
    for name in PREDICTORS:
        made: Any = getattr(predictors, name)
        rng = np.random.default_rng((seed, count, 1))
        found[kebab(name)] = cross_validated(partial(made, table.space), list(drawn), values, rng)
    return dict(sorted(found.items(), key=lambda item: -item[1].kendall))
