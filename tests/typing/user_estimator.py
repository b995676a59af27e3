"""A user's own estimators: a class, and one that keeps its table in a frozen dataclass."""

from collections.abc import Mapping
from dataclasses import dataclass

from morphogen import Context, Outcome, Proposal
from morphogen.protocols import Estimator


class Train:
    """`measured` may be a plain attribute."""

    measured = frozenset({"seconds"})

    def __call__(self, proposal: Proposal, context: Context) -> Outcome:
        if proposal.architecture is None:
            return Outcome(error="it judges architectures, not whole spaces")
        context.log(1, {"accuracy": 0.5})
        if context.folder is not None:
            (context.folder / "note.txt").write_text(proposal.architecture.text)
        return Outcome({"accuracy": 0.9}, curves={"accuracy": [(1.0, 0.5)]}, seconds=1.0)

    def cost(self, proposal: Proposal) -> float:
        return proposal.fidelity.get("epochs", 10)


@dataclass(frozen=True)
class Table:
    rows: Mapping[str, float]

    @property
    def measured(self) -> frozenset[str]:
        return frozenset()

    def __call__(self, proposal: Proposal, context: Context) -> Outcome:
        return (
            Outcome({"error": self.rows[proposal.architecture.text]})
            if proposal.architecture
            else Outcome(error="none")
        )

    def cost(self, proposal: Proposal) -> float:
        return 1.0


estimators: tuple[Estimator, ...] = (Train(), Table({}))
