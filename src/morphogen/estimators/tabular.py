"""Look an architecture up instead of training it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, final

from morphogen.objective import Objective
from morphogen.protocols import Context
from morphogen.space import Architecture, Space
from morphogen.trial import Curves, Fidelity, Outcome, Proposal

__all__ = ["Entry", "Table", "Tabular"]


@final
@dataclass(frozen=True, slots=True)
class Entry:
    """What a table knows of an architecture: what training it gave, how long that took, and why it failed if it did."""

    metrics: Mapping[str, float]
    seconds: float
    curves: Curves
    error: str | None = None


class Table(Protocol):
    """Recorded results for the architectures of a space."""

    @property
    def space(self) -> Space:
        """The space that the table covers."""
        ...

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """What is sought unless a person says otherwise."""
        ...

    @property
    def full(self) -> Fidelity:
        """The full amount on every fidelity axis that the table has."""
        ...

    def entry(self, architecture: Architecture, fidelity: Fidelity, seed: int) -> Entry:
        """One training run, a function of its arguments.

        Raises:
            LookupError: The table does not have it.
        """
        ...

    def cost(self, architecture: Architecture, fidelity: Fidelity) -> float:
        """The declared duration, known before the result is."""
        ...


@final
@dataclass(frozen=True)
class Tabular:
    """Answers from a table; `Outcome.seconds` is what the table says that the training took.

    Args:
        table: The table.
    """

    table: Table

    @property
    def measured(self) -> frozenset[str]:
        return frozenset()

    def __call__(self, proposal: Proposal, context: Context) -> Outcome:
        if proposal.architecture is None:
            raise ValueError("a table has no supernet: it was asked for the whole space")
        if unknown := set(proposal.fidelity) - set(self.table.full):
            raise ValueError(
                f"the table has no fidelity axis '{min(unknown)}'; it has {', '.join(self.table.full) or 'none'}"
            )
        entry = self.table.entry(proposal.architecture, proposal.fidelity, context.seed)
        return Outcome(entry.metrics, entry.curves, seconds=entry.seconds, error=entry.error)

    def cost(self, proposal: Proposal) -> float:
        assert proposal.architecture is not None
        return self.table.cost(proposal.architecture, proposal.fidelity)
