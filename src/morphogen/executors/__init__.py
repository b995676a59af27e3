"""Executors: places where estimators run. They know neither strategies nor stores."""

from morphogen.catalog import lazy

EXPORTS = {"Inline": "inline", "Processes": "processes", "Ray": "ray", "Virtual": "virtual"}
__all__ = list(EXPORTS)
__getattr__, __dir__ = lazy(__name__, EXPORTS)
