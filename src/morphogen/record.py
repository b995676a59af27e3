"""Trials out of the events of a record."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import final

from morphogen.objective import MeasuredLimit, Objective, judge
from morphogen.protocols import Event, MorphogenError
from morphogen.space import Space
from morphogen.trial import Outcome, Proposal, Trial

__all__ = ["Readable", "outcome_of", "recorded", "trial_of"]

UNREADABLE = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""What reading an event raises that is not what was recorded."""


def trial_of(event: Event, space: Space) -> Trial:
    """The trial that was asked. What names a folder is a number, whatever somebody has put into the record."""
    proposal, phase = Proposal.from_json(event.body["proposal"], space), event.body["phase"]
    warm = proposal.warm_start
    if warm is not None and (type(warm) is not int or not 0 <= warm < event.trial):
        raise ValueError("it continues no earlier trial")
    if not (isinstance(phase, str) and isinstance(proposal.fidelity, dict) and isinstance(proposal.origin, dict)):
        raise TypeError("its phase, fidelity or origin is none")
    if proposal.fidelity and not all(isinstance(amount, int | float) for amount in proposal.fidelity.values()):
        raise TypeError("its fidelity is no number")
    return Trial(event.trial, phase, proposal)


def outcome_of(event: Event, space: Space) -> Outcome:
    """What a trial came to."""
    outcome = Outcome.from_json(event.body, space)
    if outcome.error is not None and not isinstance(outcome.error, str):
        raise TypeError("its error is no text")
    return outcome


@final
@dataclass(frozen=True, slots=True)
class Readable:
    """A `with` that says of what cannot be read which event it is; a generator would cost more than the reading."""

    event: Event

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if error is not None and isinstance(error, UNREADABLE):
            raise MorphogenError(
                f"the record cannot be read: '{self.event.kind}' of trial {self.event.trial} is not what this run "
                f"would have recorded ({error}). Nothing was changed; restore a copy of it"
            ) from None


def recorded(
    events: Iterable[Event], space: Space, objectives: Sequence[Objective], limits: Sequence[MeasuredLimit] = ()
) -> list[Trial]:
    """The trials of a record, or of its end, by id; judged where they are finished."""
    trials: dict[int, Trial] = {}
    for event in events:
        if event.kind == "asked":
            with Readable(event):
                trials[event.trial] = trial_of(event, space)
        elif event.kind == "finished" and event.trial in trials:
            with Readable(event):
                outcome = outcome_of(event, space)
            # no phase is known here; what may not be missing has stopped the run
            trials[event.trial] = judge(trials[event.trial], outcome, objectives, limits, aside=True)
    return list(trials.values())
