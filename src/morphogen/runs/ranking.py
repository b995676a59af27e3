"""How well a strategy's predictor orders architectures that it was not shown: told while a search runs, kept with the run."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any, final

import numpy as np

from morphogen.methods.phases import SEARCH
from morphogen.predictors import Predictive
from morphogen.predictors.validation import Ranked, cross_validated
from morphogen.protocols import Event, Phase
from morphogen.runs.assembly import Parts
from morphogen.runs.whole import write_whole
from morphogen.strategies.acquisition import fullest, squashed
from morphogen.study import Study
from morphogen.trial import Trial

__all__ = ["RANKING", "Ranking"]

RANKING = "ranking.json"
FIRST = 20
"""Trials behind the first number; there is one more each time that they have doubled."""
MOST = 200
"""Of more trials the latest are used: five fits must not keep workers waiting."""


@final
@dataclass
class Ranking:
    """Ranks at 20 trials, and whenever there are twice as many; nothing where the strategy asks no predictor.

    Values are squashed as model-based strategies see them (`strategies/acquisition.py`), which leaves the order as it is.

    Args:
        parts: What runs.
        seed: Of the run: the numbers are a function of it and of the record.
        folder: Of the run, where they are kept.
    """

    parts: Parts
    seed: int
    folder: Path
    found: list[Ranked] = field(default_factory=list)
    _told: int = field(default=0, init=False)
    _worked: list[Trial] = field(default_factory=list, init=False, repr=False)
    _strategy: Predictive | None = field(default=None, init=False, repr=False)
    _begun: bool = field(default=False, init=False)

    def __call__(self, study: Study, event: Event) -> Ranked | None:
        """Look at what was told since the last event; a new number, where there is one."""
        if event.kind != "finished":
            return None
        new, self._told = study.told[self._told :], len(study.told)
        found = [t for t in new if t.phase == SEARCH]
        if found and not self._begun:
            self._begun = True
            phase = next(p for p in self.parts.phases if p.name == SEARCH)
            self._strategy = _predictive(phase, study.told[: study.told.index(found[0])])
        if self._strategy is None:
            return None
        self._worked += [t for t in found if t.architecture is not None and isfinite(t.loss + t.violation)]
        due = FIRST * 2 ** len(self.found)
        if len(self._worked) < due:
            return None
        try:
            self.found.append(self._ranked(self._strategy, self._worked[:due]))
        except (ValueError, ArithmeticError, np.linalg.LinAlgError):  # no run ends for a number beside it
            self._strategy = None
            return None
        self._write()
        return self.found[-1]

    def _ranked(self, strategy: Predictive, trials: list[Trial]) -> Ranked:
        # each once: what is in two folds was shown
        each = {
            self.parts.space.identity(a): t for t in fullest(trials, FIRST // 2) if (a := t.architecture) is not None
        }
        used = list(each.values())[-MOST:]
        architectures = [a for t in used if (a := t.architecture) is not None]
        rng = np.random.default_rng((self.seed, len(trials)))
        found = cross_validated(strategy.surrogate, architectures, squashed(used), rng)
        return Ranked(len(trials), len(used), found.kendall, found.spearman)

    def _write(self) -> None:
        with suppress(OSError):  # a page without it is better than a run that ends here
            write_whole(self.folder / RANKING, json.dumps([asdict(r) for r in self.found]))

    @staticmethod
    def read(folder: Path) -> list[Ranked]:
        """What a run folder has; nothing where there is no such file, or none that can be read."""
        with suppress(OSError, ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
            rows = json.loads((folder / RANKING).read_text(encoding="utf-8"))
            found = [Ranked(int(r["trials"]), int(r["of"]), float(r["kendall"]), float(r["spearman"])) for r in rows]
            if all(isfinite(r.kendall + r.spearman) for r in found):
                return found
        return []


def _predictive(phase: Phase, before: list[Trial]) -> Predictive | None:
    """The strategy of a phase that asks a predictor, be it inside of others; None where there is none."""
    strategy: Any = phase.start(tuple(before))[0]
    while strategy is not None and not isinstance(strategy, Predictive):
        strategy = getattr(strategy, "inner", None) or getattr(strategy, "strategy", None)
    return strategy
