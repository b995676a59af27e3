"""What a search begins with: seed architectures (`--start`), and what an earlier run found (`--from`)."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from morphogen.methods.phases import RANDOM, SEARCH
from morphogen.objective import Objective, judge
from morphogen.protocols import MorphogenError, Strategy
from morphogen.runs.folder import EARLIER, read_config, trials
from morphogen.runs.judging import judged
from morphogen.runs.whole import write_whole
from morphogen.space import Space
from morphogen.spaces.reading import read
from morphogen.strategies.started import Started
from morphogen.trial import Outcome, Proposal, Trial

__all__ = ["EARLIER", "begun", "copy", "load"]

FROM = 3
"""What randomness is for, beside those of `study`: telling a strategy of an earlier run."""


def begun(
    make: Callable[[Space], Strategy], space: Space, start: Sequence[str], earlier: Sequence[Trial], seed: int
) -> Callable[[Space], Strategy]:
    """A strategy that is told of earlier trials, and proposes some architectures first.

    Args:
        make: Makes the strategy.
        space: What architectures are read as points of.
        start: Architectures, as `spaces.reading.read` reads them.
        earlier: What is told before the first `ask`, with negative ids: their checkpoints are not in this run.
        seed: Of the run.

    Raises:
        ValueError: A text is no architecture of the space, or the strategy learns from its own samples only.
    """
    proposals = [Proposal(read(text, space), origin={"start": i}) for i, text in enumerate(start)]

    def start_with(space: Space) -> Strategy:
        strategy = make(space)
        on_policy = bool(getattr(strategy, "on_policy", False))
        if earlier and on_policy:
            raise ValueError(
                f"{type(strategy).__name__} learns from its own samples only: what an earlier run found is of no use to it"
            )
        for trial in earlier:
            strategy.tell(trial, np.random.default_rng((seed, trial.id + len(earlier), FROM)))
        return Started(strategy, proposals, on_policy) if proposals else strategy

    return start_with if proposals or earlier else make


def copy(source: Path, to: Path) -> None:
    """Keep what an earlier run found in the folder of a new one.

    Raises:
        MorphogenError: It is no run, or has nothing to learn from.
    """
    write_whole(to / EARLIER, json.dumps({"from": str(source.resolve()), "trials": _rows(source)}))


def load(source: Path, space: Space, objectives: Sequence[Objective]) -> list[Trial]:
    """The finished, full trials of another run's search and random arm, with negative ids, in their order.

    Args:
        source: The run folder, or the copy that a run keeps.
        space: That of this search; the other run's must be the same.
        objectives: Likewise.

    Raises:
        MorphogenError: It is no run, of another space or other objectives, or the copy is gone or damaged.
    """
    if source.name != EARLIER:
        searched, sought, *_ = judged(read_config(source))
        if (searched.choices, searched.limits) != (space.choices, space.limits):
            raise MorphogenError(
                f"{source} searched the space '{searched.name}', which is not the space '{space.name}' of this search"
            )
        if sought != tuple(objectives):
            mine, theirs = (", ".join(o.metric for o in os) for os in (objectives, sought))
            raise MorphogenError(
                f"{source} sought {theirs}, this search seeks {mine}: what it found cannot be told to this one"
            )
    try:
        rows = _rows(source)
        return [_trial(row, i - len(rows), space, objectives) for i, row in enumerate(rows)]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MorphogenError(f"{source}, what the earlier run found, is gone or damaged: {error}") from None


def _rows(source: Path) -> list[dict[str, Any]]:
    """Trial, proposal and outcome as JSON, of a run folder or of a copy."""
    if source.name == EARLIER:
        rows: list[dict[str, Any]] = json.loads(source.read_text(encoding="utf-8"))["trials"]
        return rows
    config = read_config(source)
    searched, sought, limits, *_ = judged(config)
    found = trials(source, config, searched, sought, limits)
    kept = [t for t in found if t.phase in (SEARCH, RANDOM) and _plain(t.proposal)]
    rows = [
        {"trial": t.id, "proposal": t.proposal.json, "outcome": t.outcome.json} for t in kept if t.outcome is not None
    ]
    if not rows:
        raise MorphogenError(f"{source} has no finished trial at full fidelity that a search could learn from")
    return rows


def _trial(row: dict[str, Any], id: int, space: Space, objectives: Sequence[Objective]) -> Trial:
    proposal = Proposal.from_json(row["proposal"], space)
    proposal = replace(proposal, origin={"earlier": row["trial"]})
    return judge(Trial(id, "earlier", proposal), Outcome.from_json(row["outcome"], space), objectives)


def _plain(proposal: Proposal) -> bool:
    """On its own and in full: nothing that refers to a checkpoint or a rung of the other run."""
    return proposal.architecture is not None and not proposal.fidelity and proposal.warm_start is None
