"""Estimators: one file, one way to judge a proposal. A new one is a file and a line of the table."""

from morphogen.catalog import lazy

EXPORTS = {
    "Baselines": "baselines",
    "Combined": "combined",
    "Complexity": "complexity",
    "Function": "function",
    "Latency": "latency",
    "PredictedLatency": "latency_model",
    "SupernetAccuracy": "supernet_accuracy",
    "SupernetTraining": "supernet_training",
    "Tabular": "tabular",
    "TestSplit": "test_split",
    "Training": "training",
    "ZeroCost": "zero_cost",
}
__all__ = list(EXPORTS)
__getattr__, __dir__ = lazy(__name__, EXPORTS)
