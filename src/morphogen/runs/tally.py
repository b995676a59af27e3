"""How far a run is, counted while it goes on: the record of a long one takes a minute to read."""

from __future__ import annotations

import json
import math
import time
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, final

from morphogen.objective import MeasuredLimit, Objective
from morphogen.protocols import Event, Store
from morphogen.record import Readable
from morphogen.runs.whole import write_whole
from morphogen.trial import Outcome

__all__ = ["TALLY", "Count", "Tally"]

TALLY = "tally.json"
VERSION = 1


@final
@dataclass
class Count:
    """Of one phase."""

    first: int
    """The id of its first trial: the phases of a run come one after another."""
    asked: int = 0
    finished: int = 0
    failed: int = 0
    seconds: float = 0.0
    best: dict[str, Any] | None = None
    """Id and metrics of the best trial, as `objective.best` has it."""
    rank: tuple[float, float] = (math.inf, math.inf)
    """Its violation and loss."""


@final
@dataclass
class Tally:
    """Counts of the first so many events of a record, kept in a file beside it.

    What the file says is only a beginning: `catch_up` counts on from there, and from nothing where the file is missing,
    unreadable, or of another record.

    Args:
        objectives: What is sought.
        limits: What must be met.
    """

    objectives: Sequence[Objective]
    limits: Sequence[MeasuredLimit] = ()
    phases: dict[str, Count] = field(default_factory=dict)
    events: int = 0
    last: tuple[str, int] | None = None
    """Kind and trial of the last event that was counted."""

    def add(self, event: Event) -> None:
        """Count the next event."""
        with Readable(event):
            self._add(event)

    def _add(self, event: Event) -> None:
        self.events += 1
        self.last = event.kind, event.trial
        if event.kind == "asked":
            self.phases.setdefault(str(event.body.get("phase")), Count(event.trial)).asked += 1
        elif event.kind == "finished" and (count := self._phase_of(event.trial)) is not None:
            metrics = {name: float(value) for name, value in event.body.get("metrics", {}).items()}
            outcome = Outcome(metrics, error=event.body.get("error"))
            count.finished += 1
            count.seconds += float(event.body.get("seconds", 0.0))
            if outcome.error is not None:
                count.failed += 1
                return
            known = self.objectives[0].metric in metrics
            rank = sum(x.excess(outcome) for x in self.limits), self.objectives[0].loss(outcome) if known else math.inf
            before = math.inf if count.best is None else count.best["id"]
            if (*rank, event.trial) < (*count.rank, before):
                count.rank = rank
                count.best = {"id": event.trial, **outcome.json["metrics"]}

    def catch_up(self, store: Store) -> Tally:
        """Count what is recorded and not counted yet; itself."""
        if self.events:
            before = next(iter(store.stream(self.events - 1)), None)
            if before is None or (before.kind, before.trial) != self.last:  # it was counted in another record
                self.phases, self.events, self.last = {}, 0, None
        for event in store.stream(self.events):
            self.add(event)
        return self

    def read(self, folder: Path) -> Tally:
        """Begin with what the file of a run folder says, where there is one; itself."""
        with suppress(OSError, ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
            body = json.loads((folder / TALLY).read_text(encoding="utf-8"))
            if body["version"] == VERSION:
                kind, trial = body["last"]
                phases = {str(name): _count(count) for name, count in body["phases"].items()}
                self.phases, self.events, self.last = phases, int(body["events"]), (kind, trial)
        return self

    def write(self, folder: Path) -> None:
        """Keep the counts in a run folder. Where that cannot be, they are counted again."""
        phases = {name: {**asdict(count), "rank": list(map(str, count.rank))} for name, count in self.phases.items()}
        body = {"version": VERSION, "events": self.events, "last": self.last, "phases": phases}
        with suppress(OSError):
            write_whole(folder / TALLY, json.dumps(body))

    def keeping(self, folder: Path, every: float = 5.0) -> Callable[[Event], None]:
        """Something that counts events and keeps the counts, at most so often in seconds."""
        written = time.monotonic()

        def add(event: Event) -> None:
            nonlocal written
            self.add(event)
            if time.monotonic() - written >= every:
                self.write(folder)
                written = time.monotonic()

        return add

    def _phase_of(self, trial: int) -> Count | None:
        counts = list(self.phases.values())
        at = bisect_right(counts, trial, key=lambda count: count.first)
        return counts[at - 1] if at else None


def _count(body: Mapping[str, Any]) -> Count:
    violation, loss = map(float, body["rank"])
    best = body["best"]
    if best is not None:
        metrics = {str(name): float(value) for name, value in best.items() if name != "id"}
        best = {"id": int(best["id"]), **Outcome(metrics).json["metrics"]}
    numbers = {key: int(body[key]) for key in ("first", "asked", "finished", "failed")}
    return Count(**numbers, seconds=float(body["seconds"]), best=best, rank=(violation, loss))
