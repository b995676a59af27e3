"""Neural architecture search for PyTorch.

Say once what may vary in a network (a search space), pick a search strategy and a performance estimation strategy, and get
a trained, exported network that needs nothing of ours, with an honest account of whether the search was worth it.
"""

from typing import TYPE_CHECKING

from morphogen.catalog import lazy

if TYPE_CHECKING:
    from morphogen.choice import Choice as Choice
    from morphogen.choice import When as When
    from morphogen.limits import Cost as Cost
    from morphogen.limits import Limit as Limit
    from morphogen.objective import MeasuredLimit as MeasuredLimit
    from morphogen.objective import Objective as Objective
    from morphogen.protocols import Context as Context
    from morphogen.protocols import MorphogenError as MorphogenError
    from morphogen.protocols import Phase as Phase
    from morphogen.protocols import Resources as Resources
    from morphogen.protocols import Stop as Stop
    from morphogen.runs.run import resume as resume
    from morphogen.runs.run import search as search
    from morphogen.space import Architecture as Architecture
    from morphogen.space import Space as Space
    from morphogen.study import Study as Study
    from morphogen.trial import Outcome as Outcome
    from morphogen.trial import Proposal as Proposal
    from morphogen.trial import Trial as Trial

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
__all__ = list(EXPORTS)
__version__ = "0.1.0"
__getattr__, __dir__ = lazy(__name__, EXPORTS)
