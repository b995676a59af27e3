"""Benchmarks of strategies on tables, in simulated time: what `morphogen bench` does."""

from morphogen.catalog import lazy

EXPORTS = {"Bench": "program", "Job": "replay", "Replay": "replay", "Settings": "program", "bench": "program", "replay": "replay"}
__all__ = list(EXPORTS)  # noqa: PLE0605 - the table is the list
__getattr__, __dir__ = lazy(__name__, EXPORTS)
