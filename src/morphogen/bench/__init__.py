"""Benchmarks of strategies on tables, in simulated time: what `morphogen bench` does."""

from morphogen.catalog import lazy

EXPORTS = {
    "Bench": "results",
    "Job": "replaying",
    "Replay": "replaying",
    "Settings": "settings",
    "bench": "program",
    "replay": "replaying",
}
__all__ = list(EXPORTS)
__getattr__, __dir__ = lazy(__name__, EXPORTS)
