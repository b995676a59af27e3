"""A supernet of uniform single paths, then any strategy on its weights."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, final

import numpy as np

from morphogen.catalog import component
from morphogen.estimators.combined import Combined
from morphogen.estimators.supernet_accuracy import SupernetAccuracy
from morphogen.estimators.supernet_training import SupernetTraining
from morphogen.methods.black_box import EARLY, conclusion
from morphogen.methods.one_shot import Setting, recipe
from morphogen.methods.phases import SEARCH, SUPERNET, supernet
from morphogen.objective import best
from morphogen.oneshot import Sandwich, Uniform
from morphogen.oneshot.distribution import Make
from morphogen.oneshot.regime import Regime
from morphogen.protocols import Estimator, Phase, Stop, Strategy
from morphogen.strategies import Deduplicated, Each
from morphogen.trial import Proposal, Trial

__all__ = ["OnSupernet", "single_path"]

CANDIDATES = 4
"""Sub-graphs that the supernet's own trial scores: a first look at how good its weights are."""


def single_path(
    setting: Setting,
    *,
    epochs: int | None = None,
    batch_size: int | None = None,
    lr: float = 0.025,
    fair: bool = False,
    sandwich: bool = False,
    strategy: str = "regularized-evolution",
    options: Mapping[str, Any] | None = None,
) -> list[Phase]:
    """A supernet trained on one random path a step; then a strategy that judges sub-graphs by its weights.

    Guo et al. 2020, "Single Path One-Shot Neural Architecture Search with Uniform Sampling" (arXiv:1904.00420). All of
    the training split is for the weights.

    Args:
        setting: What it is given; its plan says how many sub-graphs are judged.
        epochs: Of the supernet; by default three times those of a full training, for every step trains a part only.
        batch_size: Of the weights.
        lr: Of the weights, at the beginning.
        fair: Whether every step trains all options of a choice alike (FairNAS).
        sandwich: Whether every step trains the largest and the smallest network too (for elastic spaces).
        strategy: Which strategy searches; **differs** from the paper's own evolution.
        options: Of the strategy.

    Raises:
        ValueError: No such strategy, one that decides about trainings, or both `fair` and `sandwich`.
    """
    if fair and sandwich:
        raise ValueError("fair and sandwich are two ways to draw the paths of a step: choose one")
    space, data, plan = setting.space, setting.data, setting.plan
    make: Make = (
        partial(Sandwich, candidates=CANDIDATES) if sandwich else partial(Uniform, candidates=CANDIDATES, fair=fair)
    )
    weights = recipe(data, epochs, batch_size, lr)
    if epochs is None:
        weights = replace(weights, epochs=3 * weights.epochs)
    training = SupernetTraining(
        space, data, make, setting.skeletons["search"], Regime(weights, share=0.0), sought=setting.sought
    )
    judged: Estimator = SupernetAccuracy(space, data, setting.skeletons["search"], batch_size=weights.batch_size)
    alone = setting.judges.search
    if isinstance(alone, Combined):  # what else is sought, or limited, is measured of sub-graphs, too
        judged = alone.ending_with(judged)
    searcher = component("morphogen.strategies", strategy, "strategy")
    taken = inspect.signature(searcher).parameters
    if "lowest" in taken:
        raise ValueError(
            f"strategy '{strategy}' decides how long a network is trained, but sub-graphs are judged without a training: "
            "name one that decides architectures only, such as regularized-evolution"
        )
    if needs := [n for n, p in taken.items() if n != "space" and p.default is p.empty and n not in (options or {})]:
        raise ValueError(f"strategy '{strategy}' needs {needs[0]}, which nothing here gives: name another one")
    searcher(space, **(options or {}))  # one that cannot serve the space says so now

    def start(told: Sequence[Trial]) -> tuple[Strategy, Estimator]:
        trained = best(t for t in told if t.phase == SUPERNET)
        if trained is None:
            return Each([]), judged
        inner: Strategy = searcher(space, **(options or {}))
        if not getattr(searcher, "on_policy", False):
            inner = Deduplicated(inner, space)
        return OnSupernet(inner, trained.id), judged

    return [
        supernet(training, until=plan.searching(0.7), first=plan.first(EARLY)),
        Phase(SEARCH, start, lambda told: Stop(trials=plan.trials, until=plan.searching(), first=plan.first())),
        *conclusion(space, setting.judges, plan),
    ]


@final
@dataclass
class OnSupernet:
    """Any strategy; its proposals are judged with the weights of a supernet's trial, of which it knows nothing.

    Args:
        strategy: Proposes architectures at full fidelity.
        supernet: Id of the trial.
    """

    strategy: Strategy
    supernet: int

    def ask(self, pending: Sequence[Trial], rng: np.random.Generator) -> Proposal | None:
        proposal = self.strategy.ask([_alone(t) for t in pending], rng)
        return None if proposal is None else replace(proposal, warm_start=self.supernet)

    def tell(self, trial: Trial, rng: np.random.Generator) -> None:
        self.strategy.tell(_alone(trial), rng)


def _alone(trial: Trial) -> Trial:
    return replace(trial, proposal=replace(trial.proposal, warm_start=None))
