"""Which network of a run is the one to keep, and which arm found it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from morphogen.methods.phases import RANDOM, RETRAIN, SEARCH, means
from morphogen.objective import best
from morphogen.protocols import MorphogenError
from morphogen.trial import Trial

__all__ = ["ARMS", "arm_of", "has_weights", "winning"]

ARMS = {SEARCH: "search", RANDOM: "random arm"}


def winning(trials: Sequence[Trial]) -> Trial:
    """The best training of the finalist with the best mean, of either arm; without retraining, the best trial."""
    groups = [group for arm in ARMS for group in means(trials, arm)[:1]]
    if groups:
        chosen = min(
            groups, key=lambda ts: (sum(t.violation for t in ts) / len(ts), sum(t.loss for t in ts) / len(ts), ts[0].id)
        )
        winner = best(chosen)
    else:
        winner = best(t for t in trials if t.phase == SEARCH)
    if winner is None:
        raise MorphogenError("no trial worked yet: there is nothing to conclude")
    return winner


def has_weights(folder: Path, winner: Trial) -> bool:
    """Whether it was trained in full: as a finalist, or at least, where time was too short for those, in the search."""
    return winner.phase == RETRAIN or (
        not winner.proposal.fidelity and any((folder / "trials" / str(winner.id)).glob("*.pt"))
    )


def arm_of(trial: Trial) -> str:
    """The arm that proposed its architecture; of a trial that no arm did, its phase."""
    return str(trial.proposal.origin.get("arm", trial.phase))
