"""What was asked, what came back, and the two together."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, final

from morphogen.space import Architecture, Space

__all__ = ["FULL", "Curves", "Fidelity", "Outcome", "Proposal", "Trial"]

Fidelity = Mapping[str, float]
"""How much of the full estimate is wanted: axis -> amount, such as `{"epochs": 3, "images": 10000}`."""

FULL: Fidelity = {}
"""Everything: the estimator's own full amount on every axis."""

_NOTHING: Mapping[str, Any] = {}
"""One for all: a record has a million of them."""

Curves = Mapping[str, Sequence[tuple[float, float]]]
"""What `context.log(step, ...)` wrote: metric -> `(step, value)` pairs."""


@final
@dataclass(frozen=True, slots=True)
class Proposal:
    """What a strategy asks an estimator to judge.

    Args:
        architecture: The point of the space; None stands for the whole space (a supernet).
        fidelity: Amounts below the full ones; an axis that is absent is full.
        warm_start: Id of the trial whose checkpoint the estimate goes on from.
        origin: The strategy's own note, plain JSON: tokens, log-probability, bracket, parents.
    """

    architecture: Architecture | None
    fidelity: Fidelity = field(default_factory=dict)
    warm_start: int | None = None
    origin: Mapping[str, Any] = field(default_factory=dict)

    @property
    def json(self) -> dict[str, Any]:
        """Plain JSON; what is at its default is left out."""
        out: dict[str, Any] = {"architecture": None if self.architecture is None else self.architecture.json}
        if self.fidelity:
            out["fidelity"] = dict(self.fidelity)
        if self.warm_start is not None:
            out["warm_start"] = self.warm_start
        if self.origin:
            out["origin"] = dict(self.origin)
        return out

    @staticmethod
    def from_json(body: Mapping[str, Any], space: Space) -> Proposal:
        """Read what `json` wrote, for the same space."""
        picks = body["architecture"]
        architecture = None if picks is None else space.architecture(picks)
        return Proposal(architecture, body.get("fidelity", FULL), body.get("warm_start"), body.get("origin", _NOTHING))


@final
@dataclass(frozen=True, slots=True)
class Outcome:
    """What an estimator gives back.

    Args:
        metrics: In natural units: `accuracy` 0 to 1, `params`, `macs`, `latency_ms`. Never NaN: a NaN is an error.
        curves: What the estimator logged on its way.
        found: The architecture that a supernet was discretized to.
        seconds: What the estimate took, measured where it ran (on a table, what the table says it took).
        error: Why it failed, in one line first; None where it worked. A failed trial is a result.
    """

    metrics: Mapping[str, float] = field(default_factory=dict)
    curves: Curves = field(default_factory=dict)
    found: Architecture | None = None
    seconds: float = 0.0
    error: str | None = None

    @property
    def json(self) -> dict[str, Any]:
        """Plain JSON; what is at its default is left out. Infinities are text, which JSON has no number for."""
        out: dict[str, Any] = {"metrics": {k: _to_json(v) for k, v in self.metrics.items()}, "seconds": self.seconds}
        if self.curves:
            out["curves"] = {k: [[s, _to_json(v)] for s, v in points] for k, points in self.curves.items()}
        if self.found is not None:
            out["found"] = self.found.json
        if self.error is not None:
            out["error"] = self.error
        return out

    @staticmethod
    def from_json(body: Mapping[str, Any], space: Space) -> Outcome:
        """Read what `json` wrote, for the same space."""
        found = body.get("found")
        return Outcome(
            {k: float(v) for k, v in body["metrics"].items()},
            {k: [(float(s), float(v)) for s, v in points] for k, points in body["curves"].items()}
            if "curves" in body
            else _NOTHING,
            None if found is None else space.architecture(found),
            float(body.get("seconds", 0.0)),
            body.get("error"),
        )


@final
@dataclass(frozen=True, slots=True)
class Trial:
    """A proposal under an id, with its outcome once it has one.

    Args:
        id: Unique in a run, counted from 0 in the order of asking.
        phase: The name of the phase that asked.
        proposal: What was asked.
        outcome: What came back; None while it has not been told.
        losses: One number an objective, all minimized; infinite where the trial failed. Computed by `objective.judge`.
        violation: Total relative excess over the measured limits; 0 where all are met.
    """

    id: int
    phase: str
    proposal: Proposal
    outcome: Outcome | None = None
    losses: tuple[float, ...] = ()
    violation: float = 0.0

    @property
    def architecture(self) -> Architecture | None:
        """What was judged: the architecture found, where the trial was a supernet."""
        found = self.outcome.found if self.outcome is not None else None
        return found if found is not None else self.proposal.architecture

    @property
    def loss(self) -> float:
        """The first objective's loss."""
        return self.losses[0] if self.losses else math.inf

    @property
    def failed(self) -> bool:
        """Whether it is finished and did not work."""
        return self.outcome is not None and self.outcome.error is not None


def _to_json(value: float) -> float | str:
    return value if math.isfinite(value) else str(value)
