"""Search strategies: one file, one strategy. A new one is a file and a line of the table."""

from morphogen.catalog import lazy

EXPORTS = {
    "Asha": "asha",
    "Bananas": "bananas",
    "Bayesian": "bayesian",
    "CurveStopping": "curve_stopping",
    "Deduplicated": "deduplicated",
    "Each": "each",
    "Ehvi": "ehvi",
    "Genetic": "genetic",
    "Grid": "grid",
    "HillClimbing": "hill_climbing",
    "Hyperband": "hyperband",
    "LocalSearch": "local_search",
    "Nsga2": "nsga2",
    "Ppo": "ppo",
    "Progressive": "progressive",
    "RandomSearch": "random_search",
    "RegularizedEvolution": "regularized_evolution",
    "Reinforce": "reinforce",
    "Screening": "screening",
    "Tpe": "tpe",
}
__all__ = list(EXPORTS)
__getattr__, __dir__ = lazy(__name__, EXPORTS)
