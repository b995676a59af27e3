"""Search strategies: one file, one strategy. A new one is a file and a line of the table."""

from morphogen.catalog import lazy

EXPORTS = {
    "Deduplicated": "deduplicated",
    "Each": "each",
    "Ppo": "ppo",
    "Progressive": "progressive",
    "RandomSearch": "random_search",
    "RegularizedEvolution": "regularized_evolution",
    "Reinforce": "reinforce",
}
__all__ = list(EXPORTS)  # noqa: PLE0605 - the table is the list
__getattr__, __dir__ = lazy(__name__, EXPORTS)
