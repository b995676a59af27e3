"""One-shot methods: distributions over architectures, learned together with the weights of a supernet.

A distribution draws mixtures, learns from batches, and ends at an architecture; the network only reads
mixtures.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from morphogen.catalog import lazy

if TYPE_CHECKING:
    from morphogen.oneshot.controller import Controller as Controller
    from morphogen.oneshot.dirichlet import Dirichlet as Dirichlet
    from morphogen.oneshot.distribution import Distribution as Distribution
    from morphogen.oneshot.distribution import Step as Step
    from morphogen.oneshot.gumbel import Gumbel as Gumbel
    from morphogen.oneshot.sandwich import Sandwich as Sandwich
    from morphogen.oneshot.softmax import Softmax as Softmax
    from morphogen.oneshot.uniform import Uniform as Uniform

_EXPORTS = {
    "Controller": "controller",
    "Dirichlet": "dirichlet",
    "Gumbel": "gumbel",
    "Sandwich": "sandwich",
    "Softmax": "softmax",
    "Uniform": "uniform",
}
_PROTOCOL = {"Distribution": "distribution", "Step": "distribution"}

__all__ = ["Controller", "Dirichlet", "Gumbel", "Sandwich", "Softmax", "Uniform"]
__getattr__, __dir__ = lazy(__name__, _EXPORTS | _PROTOCOL)
