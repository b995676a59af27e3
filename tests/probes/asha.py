"""A probe of the laws: successive halving as a strategy. Fidelity is a proposal, continuation a warm start."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from morphogen.space import Space
from morphogen.trial import Proposal, Trial


@dataclass
class Asha:
    """Li et al. 2020 (arXiv:1810.05934), Algorithm 2, on epochs 3, 9, 27: promote the best third of a rung, else draw."""

    space: Space
    rungs: tuple[int, ...] = (3, 9, 27)
    eta: int = 3
    told: list[list[Trial]] = field(default_factory=lambda: [[], [], []])
    promoted: set[int] = field(default_factory=set)

    def ask(self, pending: Sequence[Trial], rng: np.random.Generator) -> Proposal | None:
        promoted = self.promoted | {t.proposal.warm_start for t in pending if t.proposal.warm_start is not None}
        for rung in reversed(range(len(self.rungs) - 1)):
            ranked = sorted(self.told[rung], key=lambda t: (t.losses, t.id))
            for trial in ranked[: len(ranked) // self.eta]:
                if trial.id not in promoted and not trial.failed:
                    return Proposal(trial.architecture, self._fidelity(rung + 1), warm_start=trial.id)
        return Proposal(self.space.sample(rng), self._fidelity(0))

    def tell(self, trial: Trial, rng: np.random.Generator) -> None:
        rung = self.rungs.index(int(trial.proposal.fidelity.get("epochs", self.rungs[-1])))
        self.told[rung].append(trial)
        if trial.proposal.warm_start is not None:
            self.promoted.add(trial.proposal.warm_start)

    def _fidelity(self, rung: int) -> dict[str, float]:
        return {} if rung == len(self.rungs) - 1 else {"epochs": float(self.rungs[rung])}
