"""Trainings of supernets that pause, so that what they would end at can be seen more than once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import final

import numpy as np

from morphogen.trial import FULL, Proposal, Trial

__all__ = ["Pausing"]


@final
@dataclass
class Pausing:
    """Supernets, each trained in one go or in several: after each of its pauses, a supernet names an architecture.

    Every stage is a trial that goes on from the stage before.

    Args:
        supernets: How many.
        pauses: After which epochs, rising; the end is no pause.
    """

    supernets: int
    pauses: Sequence[int] = ()
    told: dict[int, list[Trial]] = field(default_factory=dict, init=False)

    @property
    def trials(self) -> int:
        """How many there will be."""
        return self.supernets * (len(self.pauses) + 1)

    def ask(self, pending: Sequence[Trial], rng: np.random.Generator) -> Proposal | None:
        busy = {trial.proposal.origin["repeat"] for trial in pending}
        for repeat in range(self.supernets):
            stages = self.told.get(repeat, [])
            if repeat in busy or len(stages) > len(self.pauses) or (stages and stages[-1].failed):
                continue
            pause = self.pauses[len(stages)] if len(stages) < len(self.pauses) else None
            return Proposal(
                None,
                FULL if pause is None else {"epochs": float(pause)},
                warm_start=stages[-1].id if stages else None,
                origin={"repeat": repeat},
            )
        return None

    def tell(self, trial: Trial, rng: np.random.Generator) -> None:
        self.told.setdefault(int(trial.proposal.origin["repeat"]), []).append(trial)
