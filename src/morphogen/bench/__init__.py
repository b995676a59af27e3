"""Benchmarks of strategies on tables, in simulated time: what `morphogen bench` does."""

from morphogen.catalog import lazy

EXPORTS = {
    "Bench": "program",
    "Job": "replaying",
    "Replay": "replaying",
    "Settings": "program",
    "bench": "program",
    "replay": "replaying",
}
__all__ = list(EXPORTS)
__getattr__, __dir__ = lazy(__name__, EXPORTS)
