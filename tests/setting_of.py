"""What methods are given, for tests that run nothing."""

from morphogen.estimators import Training
from morphogen.estimators.complexity import suited_skeleton
from morphogen.methods.black_box import Judges, Plan
from morphogen.methods.one_shot import Setting
from morphogen.training.data import data

DATA = data("digits").limited(48)


def setting_of(space, trials=64):
    """A space on a few digits."""
    skeletons = {name: suited_skeleton(space, name, DATA.image, DATA.classes) for name in ("search", "final")}
    return Setting(space, DATA, skeletons, Judges(search=Training(space, DATA)), Plan(trials=trials))


def strategy_of(phases):
    """The strategy of the phase that searches."""
    (phase,) = [phase for phase in phases if phase.name == "search"]
    return phase.start([])[0]
