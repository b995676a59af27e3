"""What a benchmark gave: the runs of every strategy on every table, and the measures of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, final

import numpy as np

from morphogen.bench import measures
from morphogen.bench.measures import Band, Significance
from morphogen.bench.replaying import Known, Replay
from morphogen.bench.settings import Settings
from morphogen.predictors.validation import RankCorrelation

__all__ = ["RANDOM", "Bench", "OnTable"]

RANDOM = "random-search"
"""What everything is compared with; it is always run."""
CHECKPOINTS = (20, 50, 100, 150, 300)
PLACES = 101
"""Of the curves over simulated time."""


@final
@dataclass(frozen=True)
class OnTable:
    """The runs of all strategies on one table.

    Args:
        name: What a person called it.
        table: It.
        budget: Queries.
        replays: Strategy -> its runs, by seed.
        refused: Strategy -> why it does not go with the table.
        predictors: Predictor -> its cross-validated rank correlation, the best first; empty where not wanted.
    """

    name: str
    table: Known
    budget: int
    replays: Mapping[str, Sequence[Replay]]
    refused: Mapping[str, str]
    predictors: Mapping[str, RankCorrelation] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """The name without folder and ending, where it is a file."""
        return Path(self.name).stem if self.name.endswith(".toml") else self.name

    @property
    def metric(self) -> str:
        """The first objective."""
        return self.table.objectives[0].metric

    @property
    def span(self) -> float:
        """The regret of the worst."""
        return abs(self.table.optimum - self.table.worst)

    @cached_property
    def bands(self) -> Mapping[str, Band]:
        """Regret after each query."""
        return {s: measures.band(measures.by_queries(rs, self.budget, self.span)) for s, rs in self.replays.items()}

    @cached_property
    def seconds(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        """The places of `bands_over_time`: up to where random search is at its end, on average."""
        ends = [r.clock[-1] for r in self.replays[RANDOM] if r.clock]
        return np.linspace(0.0, float(np.mean(ends)) if ends else 1.0, PLACES)

    @cached_property
    def bands_over_time(self) -> Mapping[str, Band]:
        """Regret at simulated seconds."""
        return {s: measures.band(measures.by_seconds(rs, self.seconds, self.span)) for s, rs in self.replays.items()}

    @cached_property
    def significance(self) -> Mapping[str, Mapping[str, Significance]]:
        """Against random search: by the regret at the `end`, and by the mean regret over all queries of a run (`anytime`)."""
        regrets = {s: measures.by_queries(rs, self.budget, self.span) for s, rs in self.replays.items()}
        return {
            "end": measures.significance({s: r[:, -1].tolist() for s, r in regrets.items()}, RANDOM),
            "anytime": measures.significance({s: r.mean(axis=1).tolist() for s, r in regrets.items()}, RANDOM),
        }

    @property
    def checkpoints(self) -> list[int]:
        """The numbers of queries that tables show."""
        return sorted({*(c for c in CHECKPOINTS if c < self.budget), self.budget})

    @cached_property
    def ranks(self) -> Mapping[str, float]:
        """By mean regret at the end."""
        return measures.ranks({s: float(b.mean[-1]) for s, b in self.bands.items()})

    def row(self, strategy: str) -> dict[str, Any]:
        """The measures of one strategy, as plain JSON."""
        replays, band = self.replays[strategy], self.bands[strategy]
        random = self.bands[RANDOM]
        reported = [r.reported for r in replays if r.reported is not None]
        return {
            "strategy": strategy,
            "seeds": len(replays),
            "regret": {str(q): band.at(q - 1) for q in self.checkpoints},
            "relative": {
                str(q): float(band.mean[q - 1] / random.mean[q - 1]) if random.mean[q - 1] > 0 else None
                for q in self.checkpoints
            },
            "queries": measures.queries(replays, self.budget),
            "rank": self.ranks[strategy],
            "against_random": None
            if strategy == RANDOM
            else {k: asdict(v[strategy]) for k, v in self.significance.items()},
            "simulated_seconds": float(np.mean([r.clock[-1] if r.clock else 0.0 for r in replays])),
            "utilization": float(np.mean([r.utilization for r in replays])),
            "failed": sum(r.failed for r in replays),
            "ask_ms": 1000 * float(np.mean([r.asking for r in replays])),
            "reported": {"mean": float(np.mean(reported)), "sd": float(np.std(reported))} if reported else None,
        }

    @property
    def json(self) -> dict[str, Any]:
        """Plain JSON: rows, and the curves."""
        return {
            "table": self.name,
            "metric": self.metric,
            "optimum": self.table.optimum,
            "worst": self.table.worst,
            "report": getattr(self.table, "report", None),
            "rows": [self.row(s) for s in self.replays],
            "refused": dict(self.refused),
            "predictors": {name: asdict(found) for name, found in self.predictors.items()},
            "curves": {s: b.json for s, b in self.bands.items()},
            "curves_over_time": {
                "seconds": self.seconds.tolist(),
                **{s: b.json for s, b in self.bands_over_time.items()},
            },
        }


@final
@dataclass(frozen=True)
class Bench:
    """What a benchmark gave."""

    settings: Settings
    tables: Sequence[OnTable]

    @property
    def mean_ranks(self) -> dict[str, float]:
        """Over the tables, of the strategies that every table serves, the best first."""
        names = [s for s in self.tables[0].replays if all(s in t.replays for t in self.tables)]
        # ranks among those only: a strategy that one table refuses would shift the others
        each = [measures.ranks({s: float(t.bands[s].mean[-1]) for s in names}) for t in self.tables]
        means = {s: float(np.mean([ranks[s] for ranks in each])) for s in names}
        return dict(sorted(means.items(), key=lambda item: item[1]))

    @property
    def relative(self) -> dict[str, float | None]:
        """The regret at the end over that of random search, averaged over the tables; None where random has none left."""
        found: dict[str, float | None] = {}
        for name in self.mean_ranks:
            ratios = [
                t.bands[name].mean[-1] / t.bands[RANDOM].mean[-1] for t in self.tables if t.bands[RANDOM].mean[-1] > 0
            ]
            found[name] = float(np.mean(ratios)) if ratios else None
        return found

    @property
    def json(self) -> dict[str, Any]:
        """Plain JSON."""
        return {
            "settings": {
                **asdict(self.settings),
                "tables": list(self.settings.tables),
                "strategies": list(self.settings.strategies),
            },
            "tables": [t.json for t in self.tables],
            "mean_ranks": self.mean_ranks,
            "relative": self.relative,
        }
