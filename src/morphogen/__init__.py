"""Neural architecture search for PyTorch.

Say once what may vary in a network (a search space), pick a search strategy and a performance estimation strategy, and get
a trained, exported network that needs nothing of ours, with an honest account of whether the search was worth it.
"""

from morphogen.catalog import lazy

EXPORTS = {
    "Architecture": "space",
    "Choice": "choice",
    "Context": "protocols",
    "Cost": "limits",
    "Limit": "limits",
    "MeasuredLimit": "objective",
    "MorphogenError": "protocols",
    "Objective": "objective",
    "Outcome": "trial",
    "Phase": "protocols",
    "Proposal": "trial",
    "Resources": "protocols",
    "Space": "space",
    "Stop": "protocols",
    "Study": "study",
    "Trial": "trial",
    "When": "choice",
    "resume": "runs.run",
    "search": "runs.run",
}
__all__ = list(EXPORTS)  # noqa: PLE0605 - the table is the list
__version__ = "0.1.0"
__getattr__, __dir__ = lazy(__name__, EXPORTS)
