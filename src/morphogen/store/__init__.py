"""Stores: the append-only record of a run. `store.open(path)` is the one that a run folder has."""

from morphogen.catalog import lazy

EXPORTS = {"Memory": "memory", "Sql": "sql", "open": "opening"}
__all__ = list(EXPORTS)
__getattr__, __dir__ = lazy(__name__, EXPORTS)
