"""What methods are made of: the phases of a run."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from morphogen.objective import best
from morphogen.protocols import Estimator, Phase, Stop, Strategy
from morphogen.space import Space
from morphogen.strategies import Deduplicated, Each, RandomSearch
from morphogen.trial import Proposal, Trial

__all__ = ["BASELINES", "RANDOM", "RETRAIN", "SEARCH", "TEST", "baselines", "finalists", "means", "random_arm", "retrain", "search", "test"]

SEARCH, RANDOM, RETRAIN, BASELINES, TEST = "search", "random", "retrain", "baselines", "test"


def search(
    strategy: Callable[[Space], Strategy], space: Space, estimator: Estimator, trials: int | None, until: float | None = None
) -> Phase:
    """The search arm: a strategy until it has its trials, or its time is over."""
    return Phase(SEARCH, lambda told: (strategy(space), estimator), lambda told: Stop(trials=trials, until=until))


def random_arm(space: Space, estimator: Estimator, until: float | None = None) -> Phase:
    """Random search until it has spent the seconds that the search spent: the equal-budget control of every search."""

    def stop(told: Sequence[Trial]) -> Stop:
        return Stop(seconds=sum(t.outcome.seconds for t in told if t.phase == SEARCH and t.outcome is not None), until=until)

    return Phase(RANDOM, lambda told: (Deduplicated(RandomSearch(space), space), estimator), stop)


def finalists(told: Sequence[Trial], phase: str, count: int) -> list[Trial]:
    """The best full-fidelity trials of an arm, each architecture once."""
    found: dict[bytes, Trial] = {}
    arm = [t for t in told if t.phase == phase and not t.failed and t.architecture is not None]
    full = [t for t in arm if not t.proposal.fidelity] or arm
    for trial in sorted(full, key=lambda t: (t.violation, t.losses, t.id)):
        assert trial.architecture is not None
        found.setdefault(trial.architecture.space.identity(trial.architecture), trial)
    return list(found.values())[:count]


def retrain(estimator: Estimator, arms: Sequence[str], count: int, seeds: int, until: float | None = None) -> Phase:
    """Train the finalists of each arm with several seeds; a seed of all of them before the next seed of any.

    The best of many noisy trials is biased upwards; what is compared and announced is the mean of fresh trainings.
    """

    def start(told: Sequence[Trial]) -> tuple[Strategy, Estimator]:
        chosen = [(arm, t) for arm in arms for t in finalists(told, arm, count)]
        proposals = [
            Proposal(t.architecture, origin={"arm": arm, "finalist": t.id, "repeat": repeat})
            for repeat in range(seeds)
            for arm, t in chosen
        ]
        return Each(proposals), estimator

    return Phase(RETRAIN, start, lambda told: Stop(until=until, partial=True), keep=count * seeds * len(arms))


def means(told: Sequence[Trial], arm: str) -> list[list[Trial]]:
    """The retrained trials of an arm, one list a finalist, by their mean loss."""
    groups: dict[int, list[Trial]] = {}
    for trial in told:
        if trial.phase == RETRAIN and trial.proposal.origin.get("arm") == arm and not trial.failed:
            groups.setdefault(int(trial.proposal.origin["finalist"]), []).append(trial)
    return sorted(groups.values(), key=lambda ts: (sum(t.violation for t in ts), sum(t.loss for t in ts) / len(ts), ts[0].id))


def baselines(estimator: Estimator, names: Sequence[str], until: float | None = None) -> Phase:
    """Plain networks trained by the same recipe, for a person to compare with."""
    proposals = [Proposal(None, origin={"baseline": name}) for name in names]
    return Phase(BASELINES, lambda told: (Each(proposals), estimator), lambda told: Stop(until=until), keep=len(names))


def test(estimator: Estimator, arms: Sequence[str]) -> Phase:
    """Open the test split, once: the best training of each arm's winner, and the baselines."""

    def start(told: Sequence[Trial]) -> tuple[Strategy, Estimator]:
        proposals = []
        for arm in arms:
            for trials in means(told, arm)[:1]:
                winner = best(trials)
                assert winner is not None
                proposals.append(Proposal(winner.architecture, warm_start=winner.id, origin={"arm": arm}))
        for trial in told:
            if trial.phase == BASELINES and not trial.failed:
                proposals.append(Proposal(None, warm_start=trial.id, origin=dict(trial.proposal.origin)))
        return Each(proposals), estimator

    return Phase(TEST, start)
