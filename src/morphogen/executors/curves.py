"""What a trial logs on its way: curves of bounded length."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import final

from morphogen.trial import Curves

__all__ = ["MAX_METRICS", "MAX_POINTS", "Recorder", "thin"]

MAX_POINTS = 1000
"""A curve is thinned out to stay below this many points."""
MAX_METRICS = 100
"""Further metrics of a trial are dropped: a name with a step in it would make one a step."""


@final
class Recorder:
    """A `context.log` that keeps curves, and passes on what it keeps.

    A full curve loses every second point, and from then on takes every second one only; so a curve always covers the
    whole training, evenly, and what is kept depends on nothing but the calls.

    Args:
        forward: The `log` of the context that the executor was given.
    """

    def __init__(self, forward: Callable[[float, Mapping[str, float]], None]) -> None:
        self._forward = forward
        self._points: dict[str, list[tuple[float, float]]] = {}
        self._calls: dict[str, int] = {}
        self._stride: dict[str, int] = {}

    def __call__(self, step: float, metrics: Mapping[str, float]) -> None:
        kept = {name: float(value) for name, value in metrics.items() if self._wants(name)}
        for name, value in kept.items():
            points = self._points[name]
            points.append((float(step), value))
            if len(points) >= MAX_POINTS:
                del points[1::2]
                self._stride[name] *= 2
        if kept:
            self._forward(float(step), kept)

    @property
    def curves(self) -> Curves:
        """The curves so far: metric -> `(step, value)` pairs."""
        return {name: list(points) for name, points in self._points.items() if points}

    def _wants(self, name: str) -> bool:
        if name not in self._points:
            if len(self._points) >= MAX_METRICS:
                return False
            self._points[name], self._calls[name], self._stride[name] = [], 0, 1
        call = self._calls[name]
        self._calls[name] = call + 1
        return call % self._stride[name] == 0


def thin(curve: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """A curve with at most `MAX_POINTS` points, evenly spaced."""
    return [(float(step), float(value)) for step, value in curve[:: -(-len(curve) // MAX_POINTS) or 1]]
