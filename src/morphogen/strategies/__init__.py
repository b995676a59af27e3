"""Search strategies: one file, one strategy. A new one is a file and a line of the table."""

from morphogen.catalog import lazy

EXPORTS = {
    "Asha": "asha",
    "Bananas": "bananas",
    "Bayesian": "bayesian",
    "Deduplicated": "deduplicated",
    "Each": "each",
    "Genetic": "genetic",
    "Grid": "grid",
    "Hyperband": "hyperband",
    "LocalSearch": "local_search",
    "Nsga2": "nsga2",
    "Ppo": "ppo",
    "Progressive": "progressive",
    "RandomSearch": "random_search",
    "RegularizedEvolution": "regularized_evolution",
    "Reinforce": "reinforce",
    "Tpe": "tpe",
}
__all__ = list(EXPORTS)
__getattr__, __dir__ = lazy(__name__, EXPORTS)
