"""A table whose trials take a moment, so that there is time to disturb a run."""

import time
from collections.abc import Sequence

from morphogen.estimators.tabular import Entry
from morphogen.estimators.toy import ToyTable
from morphogen.objective import Objective
from morphogen.space import Architecture
from morphogen.trial import Fidelity


class Slow:
    def __init__(self) -> None:
        self.table = ToyTable()
        self.space = self.table.space
        self.objectives: Sequence[Objective] = self.table.objectives
        self.full: Fidelity = self.table.full

    def entry(self, architecture: Architecture, fidelity: Fidelity, seed: int) -> Entry:
        time.sleep(0.03)
        return self.table.entry(architecture, fidelity, seed)

    def cost(self, architecture: Architecture, fidelity: Fidelity) -> float:
        return self.table.cost(architecture, fidelity)
