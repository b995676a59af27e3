"""What a benchmark runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, final

__all__ = ["Settings"]


@final
@dataclass(frozen=True)
class Settings:
    """What is run.

    Args:
        tables: Names, or TOML files.
        strategies: Names; `all`: every one that the table can serve.
        budget: Queries.
        seeds: How many runs of each.
        slots: Virtual workers of the logical clock.
        workers: Simulated ones; None: as many as slots.
        seconds: Simulated seconds after which nothing counts.
        first_seed: The seeds count from here.
        options: Of strategies: name -> option -> value.
        repeats: Whether strategies may propose an architecture again, as those of the papers do.
        predictors: On how many architectures of each table predictors are cross-validated; 0: not at all.
    """

    tables: Sequence[str]
    strategies: Sequence[str] = ("all",)
    budget: int = 200
    seeds: int = 20
    slots: int = 1
    workers: int | None = None
    seconds: float | None = None
    first_seed: int = 0
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    repeats: bool = False
    predictors: int = 0

    def __post_init__(self) -> None:
        if self.predictors < 0 or 0 < self.predictors < 10:
            raise ValueError(f"predictors={self.predictors}: cross-validation needs 10 architectures or more")
        for name in ("budget", "seeds", "slots"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)}: at least one is needed")
        if not self.tables or not self.strategies:
            raise ValueError("name a table and a strategy at least")
        if len(set(self.tables)) != len(self.tables):
            raise ValueError(f"a table is named twice: {', '.join(self.tables)}")
