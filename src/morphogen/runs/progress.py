"""What a person sees while a run goes on: the phase, how far, the best so far, the rate and the time left."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import final

from rich.console import Console
from rich.markup import escape
from rich.status import Status

from morphogen.objective import best
from morphogen.predictors.validation import Ranked
from morphogen.protocols import Event
from morphogen.runs.assembly import Parts
from morphogen.study import Study
from morphogen.trial import Trial

__all__ = ["Progress", "clock"]


def clock(seconds: float) -> str:
    """`45 s`, `3 min 20 s`, `2 h 05 min`."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


@final
@dataclass
class Progress:
    """One live line on a terminal; elsewhere a line every `every` seconds.

    Args:
        console: Where to write.
        parts: What runs.
        every: Seconds between lines where the output is no terminal.
    """

    console: Console
    parts: Parts
    every: float = 5.0
    _phase: str = field(default="", init=False)
    _finished: int = field(default=0, init=False)
    _failed: int = field(default=0, init=False)
    _since: float = field(default=0.0, init=False)
    _last: float = field(default=0.0, init=False)
    _status: Status | None = field(default=None, init=False)
    _heard: float = field(default=0.0, init=False)
    _last_end: float = field(default=0.0, init=False)
    _told: int = field(default=0, init=False)
    _best: Trial | None = field(default=None, init=False)
    _begun: bool = field(default=False, init=False)

    def __call__(self, study: Study, event: Event | None) -> None:
        if event is None and not self._begun:
            self._begun = True
            if study.trials:
                self._say(f"{len(study.trials)} trials are recorded; going on from there")
            return
        if event is None:
            self.close()
            self._say("exporting the winner, proving it, and writing the page")
            return
        phase = study.trials[event.trial].phase
        if phase != self._phase:
            self.close()
            self._phase, self._finished, self._failed, self._since = phase, 0, 0, time.monotonic()
            self._last = self._since
        if event.kind == "died":
            self._say(f"[yellow]trial {event.trial}: {escape(str(event.body.get('reason')))}; trying again[/yellow]")
        if event.kind == "finished":
            self._finished += 1
            if error := event.body.get("error"):
                self._failed += 1
                self._say(f"[yellow]trial {event.trial} failed: {escape(str(error).splitlines()[0])}[/yellow]")
            self._last_end = time.monotonic()
            self._write(self._line(study))

    def hear(self, trial: int, step: float, metrics: Mapping[str, float]) -> None:
        """What a trial logs on its way is of interest where nothing ends for a while: in a supernet, a long training."""
        now = time.monotonic()
        if now - max(self._heard, self._last_end) < self.every:
            return
        self._heard = now
        told = ", ".join(f"{escape(name)} {value:.4g}" for name, value in list(metrics.items())[:4])
        self._write(f"[bold]{escape(self._phase or 'trial')}[/bold] · trial {trial}, epoch {step:g}: {told}")

    def ranked(self, found: Ranked) -> None:
        """How well the predictor does is said whenever there is news of it."""
        self._say(escape(found.text))

    def _write(self, line: str) -> None:
        if self.console.is_terminal:
            if self._status is None:
                self._status = self.console.status(line)
                self._status.start()
            self._status.update(line)
        elif time.monotonic() - self._last >= self.every:
            self._last = time.monotonic()
            self._say(line)

    def _line(self, study: Study) -> str:
        spent = max(time.monotonic() - self._since, 1e-9)
        total = self.parts.plan.trials if self._phase == "search" else None
        words = [f"[bold]{escape(self._phase)}[/bold] {self._finished}" + (f"/{total}" if total else "")]
        if self._failed:
            words.append(f"{self._failed} failed")
        # only what is new: in a long run, all of it would take longer than the trial
        new, self._told = study.told[self._told :], len(study.told)
        incumbent = self._best = best(t for t in (self._best, *new) if t is not None and t.phase == self._phase)
        if incumbent is not None:
            first = self.parts.objectives[0]
            words.append(f"best {escape(first.metric)} {first.metric_value(incumbent.loss):.4f} (trial {incumbent.id})")
        words.append(f"{60 * self._finished / spent:.1f} trials/min")
        left = []
        if total:
            left.append((total - self._finished) * spent / self._finished)
        if self.parts.plan.budget is not None:
            left.append(self.parts.plan.budget - study.elapsed)
        if left:
            words.append(f"{clock(max(0.0, min(left)))} left" + (" of the budget" if not total else ""))
        return " · ".join(words)

    def close(self) -> None:
        """Take the live line away."""
        if self._status is not None:
            self._status.stop()
            self._status = None
        if self._phase and self._finished:
            failed = f", {self._failed} failed" if self._failed else ""
            self._say(
                f"{escape(self._phase)}: {self._finished} trials in {clock(time.monotonic() - self._since)}{failed}"
            )
            self._finished = 0

    def _say(self, text: str) -> None:
        self.console.print(text, soft_wrap=not self.console.is_terminal)  # a line of a log is one line
