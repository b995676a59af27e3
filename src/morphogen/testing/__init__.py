"""Conformance suites: what every plug-in inherits, yours too.

Subclass a suite in a test module, say how to make the part, and pytest runs its laws:

    from morphogen.testing import StrategySuite

    class TestMine(StrategySuite):
        def make(self, space):
            return MyStrategy(space)
"""

from morphogen.catalog import lazy

EXPORTS = {
    "DistributionSuite": "distribution",
    "EstimatorSuite": "estimator",
    "ExecutorSuite": "executor",
    "SpaceSuite": "space",
    "StoreSuite": "store",
    "StrategySuite": "strategy",
}
__all__ = list(EXPORTS)
__getattr__, __dir__ = lazy(__name__, EXPORTS)
