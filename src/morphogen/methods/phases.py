"""What methods are made of: the phases of a run."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from morphogen.methods.pausing import Pausing
from morphogen.objective import best
from morphogen.protocols import Estimator, Phase, Stop, Strategy
from morphogen.space import Space
from morphogen.strategies import Deduplicated, Each, RandomSearch
from morphogen.trial import Proposal, Trial

__all__ = [
    "BASELINES",
    "RANDOM",
    "RETRAIN",
    "SEARCH",
    "SUPERNET",
    "TEST",
    "baselines",
    "finalists",
    "found",
    "means",
    "random_arm",
    "retrain",
    "search",
    "supernet",
    "test",
    "trained",
]

SUPERNET, SEARCH, RANDOM, RETRAIN, BASELINES, TEST = "supernet", "search", "random", "retrain", "baselines", "test"


def search(
    strategy: Callable[[Space], Strategy],
    space: Space,
    estimator: Estimator,
    trials: int | None,
    until: float | None = None,
    first: float | None = None,
) -> Phase:
    """The search arm: a strategy until it has its trials, or its time is over; `first` is that of the first trial."""
    return Phase(
        SEARCH, lambda told: (strategy(space), estimator), lambda told: Stop(trials=trials, until=until, first=first)
    )


def supernet(
    estimator: Estimator,
    seeds: int = 1,
    until: float | None = None,
    first: float | None = None,
    pauses: Sequence[int] = (),
) -> Phase:
    """Train supernets of the whole space, one a seed, with pauses after these epochs, each of which names an
    architecture as the end does; what time cuts short counts with what it has."""
    return Phase(
        SUPERNET,
        lambda told: (Pausing(seeds, pauses), estimator),
        lambda told: Stop(until=until, first=first, partial=True),
        keep=seeds,
        aside=True,
    )


def found(estimator: Estimator, until: float | None = None, first: float | None = None) -> Phase:
    """The search arm of a method whose supernets name architectures: these, each once, judged on their own; what was
    trained longest first."""

    def start(told: Sequence[Trial]) -> tuple[Strategy, Estimator]:
        named = _different(sorted(_arm(told, SUPERNET), key=lambda t: (t.violation, -trained(t), t.losses, t.id)))
        return Each([Proposal(t.architecture, origin={"supernet": t.id}) for t in named]), estimator

    return Phase(SEARCH, start, lambda told: Stop(until=until, first=first))


def random_arm(space: Space, estimator: Estimator, until: float | None = None) -> Phase:
    """Random search until it has spent the seconds that the search spent, its supernets included: the equal-budget
    control of every search."""

    def stop(told: Sequence[Trial]) -> Stop:
        spent = {
            p: [t.outcome.seconds for t in told if t.phase == p and t.outcome is not None] for p in (SUPERNET, SEARCH)
        }
        # a search of many slots and few trials, as of short ones by rungs, would else be outspent by the first round
        each = max(max(spent[SEARCH], default=0.0), _whole(told, estimator))
        return Stop(seconds=sum(map(sum, spent.values())), until=until, each=each)

    return Phase(RANDOM, lambda told: (Deduplicated(RandomSearch(space), space), estimator), stop)


def _whole(told: Sequence[Trial], estimator: Estimator) -> float:
    """Seconds of a trial at the full fidelity, by what those of the search took that began anew; 0: not known."""
    fresh = [
        (t.outcome.seconds, t.proposal)
        for t in told
        if t.phase == SEARCH and t.outcome is not None and t.architecture is not None and t.proposal.warm_start is None
    ]
    if not fresh:
        return 0.0
    cost = math.fsum(estimator.cost(proposal) for _, proposal in fresh)
    full = math.fsum(estimator.cost(Proposal(proposal.architecture)) for _, proposal in fresh)
    return math.fsum(seconds for seconds, _ in fresh) * full / cost / len(fresh)


def finalists(told: Sequence[Trial], phase: str, count: int) -> list[Trial]:
    """The best full-fidelity trials of an arm, each architecture once."""
    arm = _arm(told, phase)
    full = [t for t in arm if not t.proposal.fidelity] or arm
    return _different(sorted(full, key=lambda t: (t.violation, t.losses, t.id)))[:count]


def _arm(told: Sequence[Trial], phase: str) -> list[Trial]:
    """The trials of a phase that came to an architecture."""
    return [t for t in told if t.phase == phase and not t.failed and t.architecture is not None]


def _different(trials: Sequence[Trial]) -> list[Trial]:
    """Each architecture once."""
    found: dict[bytes, Trial] = {}
    for trial in trials:
        assert trial.architecture is not None
        found.setdefault(trial.architecture.space.identity(trial.architecture), trial)
    return list(found.values())


def retrain(
    estimator: Estimator,
    arms: Sequence[str],
    count: int,
    seeds: int,
    until: Callable[[], float | None] = lambda: None,
) -> Phase:
    """Train the finalists of each arm with several seeds; a seed of all of them before the next seed of any.

    `until` is asked when the phase begins: by then it is known better what comes after it.

    The best of many noisy trials is biased upwards; what is compared and announced is the mean of fresh trainings.
    """

    def start(told: Sequence[Trial]) -> tuple[Strategy, Estimator]:
        # the winners of all arms first: time may not be enough for everyone
        chosen = [
            (arm, t) for rank in range(count) for arm in arms for t in finalists(told, arm, count)[rank : rank + 1]
        ]
        proposals = [
            Proposal(t.architecture, origin={"arm": arm, "finalist": t.id, "repeat": repeat})
            for repeat in range(seeds)
            for arm, t in chosen
        ]
        return Each(proposals), estimator

    return Phase(RETRAIN, start, lambda told: Stop(until=until(), partial=True), keep=count * seeds * len(arms))


def means(told: Sequence[Trial], arm: str) -> list[list[Trial]]:
    """The retrained trials of an arm, one list a finalist, by their mean loss.

    What time cut short counts only where its finalist has nothing better: half a training says little about a whole one.
    """
    groups: dict[int, list[Trial]] = {}
    for trial in told:
        finished = trial.outcome is not None and not trial.failed
        if finished and trial.phase == RETRAIN and trial.proposal.origin.get("arm") == arm:
            groups.setdefault(int(trial.proposal.origin["finalist"]), []).append(trial)
    longest = [[t for t in group if trained(t) == max(map(trained, group))] for group in groups.values()]
    return sorted(longest, key=lambda ts: (sum(t.violation for t in ts), sum(t.loss for t in ts) / len(ts), ts[0].id))


def trained(trial: Trial) -> float:
    """How many epochs the curves of a trial reach; 0 where it has none."""
    curves = trial.outcome.curves.values() if trial.outcome is not None else ()
    return max((points[-1][0] for points in curves if points), default=0.0)


def baselines(estimator: Estimator, names: Sequence[str], until: float | None = None) -> Phase:
    """Plain networks trained by the same recipe, for a person to compare with."""
    proposals = [Proposal(None, origin={"baseline": name}) for name in names]
    return Phase(
        BASELINES,
        lambda told: (Each(proposals), estimator),
        lambda told: Stop(until=until, partial=True),
        keep=len(names),
        aside=True,
    )


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

    return Phase(TEST, start, aside=True)
