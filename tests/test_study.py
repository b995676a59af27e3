"""The loop, its logical clock, resume, faults, and time."""

from __future__ import annotations

import math
import time
from collections.abc import Collection
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest

from morphogen.estimators.tabular import Tabular
from morphogen.estimators.toy import ToyTable
from morphogen.executors import Inline, Virtual
from morphogen.objective import Objective
from morphogen.protocols import Context, Died, Event, Phase, Stop
from morphogen.record import recorded
from morphogen.store import Memory
from morphogen.strategies import Each, RandomSearch, RegularizedEvolution
from morphogen.study import MAX_DEATHS, Study
from morphogen.testing.executor import SPACE, Calls
from morphogen.testing.strategy import run
from morphogen.trial import Outcome, Proposal, Trial
from probes.asha import Asha

TABLE = ToyTable()


def study(executor=None, store=None, **options) -> Study:
    return Study(TABLE.space, store or Memory(), executor or Inline(), TABLE.objectives, **options)


def random_phase(trials: int, name: str = "search", **stop) -> Phase:
    return Phase(
        name, lambda told: (RandomSearch(TABLE.space), Tabular(TABLE)), lambda told: Stop(trials=trials, **stop)
    )


def test_ids_count_on_from_phase_to_phase_and_a_phase_sees_what_earlier_ones_told() -> None:
    seen: list[int] = []

    def start(told):
        seen.append(len(told))
        return RandomSearch(TABLE.space), Tabular(TABLE)

    s = study()
    s.run([random_phase(5, "first"), Phase("second", start, lambda told: Stop(trials=3))])
    assert [0, 1, 2, 3, 4, 5, 6, 7] == [t.id for t in s.trials]
    assert [5] == seen


def test_no_trial_is_told_before_it_is_in_the_store() -> None:
    store = Memory()

    class Checking:
        def ask(self, pending, rng):
            return Proposal(TABLE.space.sample(rng))

        def tell(self, trial: Trial, rng) -> None:
            assert any(e.kind == "finished" and e.trial == trial.id for e in store.events())

    study(store=store).run([Phase("search", lambda told: (Checking(), Tabular(TABLE)), lambda told: Stop(trials=20))])


def test_proposals_that_follow_one_another_are_made_durable_together_and_before_they_run() -> None:
    """What came back at once is told and followed by new proposals without a commit between them."""
    commits: list[str] = []

    class Counting(Memory):
        def append(self, events):
            super().append(events)
            commits.append(" ".join(e.kind for e in events))

    class InPairs(Inline):
        """Brings two outcomes at a time."""

        def submit(self, estimator, proposal, context):
            assert len(store.events()) == len(begun) + len(finished)
            return super().submit(estimator, proposal, context)

        def wait(self, futures, timeout=None):
            done = super().wait(futures, timeout)
            return done | super().wait(set(futures) - done, timeout) if set(futures) - done else done

    store = Counting()
    begun: list[Event] = []
    finished: list[Event] = []
    s = study(executor=InPairs(), store=store, slots=4, order="finish")
    s.observer = lambda event: (begun if event.kind == "asked" else finished).append(event)
    s.run([random_phase(12)])
    assert commits[0] == "asked asked asked asked"
    assert "asked asked" in commits
    assert commits.count("asked") <= 2
    assert {e.trial for e in begun} == set(range(12)) == {e.trial for e in finished}


def test_pending_trials_hide_outcomes_that_are_there_but_not_told() -> None:
    class Watching:
        def ask(self, pending, rng):
            assert all(t.outcome is None and t.losses == () for t in pending)
            return Proposal(TABLE.space.sample(rng))

        def tell(self, trial, rng) -> None:
            assert trial.outcome is not None

    study(Virtual(8), slots=8).run(
        [Phase("search", lambda told: (Watching(), Tabular(TABLE)), lambda told: Stop(trials=40))]
    )


def test_telling_follows_the_declared_costs_and_ties_the_lower_id() -> None:
    @dataclass
    class Declared:
        measured: frozenset[str] = frozenset()

        def __call__(self, proposal: Proposal, context: Context) -> Outcome:
            return Outcome({"accuracy": 0.5}, seconds=1.0)

        def cost(self, proposal: Proposal) -> float:
            return proposal.origin["cost"]

    costs = [4.0, 1.0, 1.0, 5.0, 1.0]
    a = TABLE.space.sample(np.random.default_rng(0))
    proposals = [Proposal(a, origin={"cost": c}) for c in costs]
    s = study(slots=3)
    told = s.run_phase(Phase("search", lambda told: (Each(proposals), Declared())))
    # slots 0..2 hold costs 4, 1, 1; trial 3 (5) starts at 1 and ends at 6; trial 4 (1) starts at 1 and ends at 2
    assert [1, 2, 4, 0, 3] == [t.id for t in told]


def test_more_workers_than_slots_change_nothing() -> None:
    one, many = (run(RegularizedEvolution(TABLE.space, 10, 3), TABLE, 50, workers=w, slots=3) for w in (1, 16))
    assert [t.proposal for t in one.trials] == [t.proposal for t in many.trials]


def test_a_continued_trial_has_the_seed_of_its_first() -> None:
    seeds: dict[int, int] = {}

    @dataclass
    class Recording:
        measured: frozenset[str] = frozenset()

        def __call__(self, proposal: Proposal, context: Context) -> Outcome:
            seeds[len(seeds)] = context.seed
            return Outcome({"accuracy": 0.5})

        def cost(self, proposal: Proposal) -> float:
            return 1.0

    a = TABLE.space.sample(np.random.default_rng(0))
    chain = [Proposal(a, {"epochs": 3}), Proposal(a, {"epochs": 9}, 0), Proposal(a, {}, 1), Proposal(a)]
    study(slots=1).run([Phase("search", lambda told: (Each(chain), Recording()))])
    assert seeds[0] == seeds[1] == seeds[2] != seeds[3]


@dataclass
class Fragile:
    """An executor whose workers die as often as it was told to."""

    deaths: dict[int, int]
    workers: int = 2
    queue: list = field(default_factory=list)
    submitted: int = 0

    def submit(self, estimator, proposal, context) -> Future[Outcome]:
        future: Future[Outcome] = Future()
        self.queue.append((future, estimator, proposal, context))
        return future

    def wait(self, futures: Collection[Future[Outcome]], timeout=None) -> set[Future[Outcome]]:
        future, _estimator, proposal, _context = self.queue.pop(0)
        id = proposal.origin["n"]
        if self.deaths.get(id, 0) > 0:
            self.deaths[id] -= 1
            future.set_exception(Died("killed by signal 9"))
        else:
            future.set_result(Outcome({"accuracy": 0.5}))
        return {future}

    def close(self) -> None: ...


def numbered(count: int) -> Each:
    a = TABLE.space.sample(np.random.default_rng(0))
    return Each([Proposal(a, origin={"n": n}) for n in range(count)])


def test_a_trial_whose_worker_died_is_tried_again_under_its_id_and_failed_after_three_deaths() -> None:
    store = Memory()
    s = study(Fragile({1: MAX_DEATHS - 1, 2: MAX_DEATHS}), store)
    s.run([Phase("search", lambda told: (numbered(4), Tabular(TABLE)))])
    assert [False, False, True, False] == [s.trials[i].failed for i in range(4)]
    assert "died 3 times" in s.trials[2].outcome.error
    assert 2 * MAX_DEATHS - 1 == sum(e.kind == "died" for e in store.events())


def test_deaths_before_a_resume_count() -> None:
    store = Memory()
    s = study(Fragile({0: 99}), store)
    s.run([Phase("search", lambda told: (numbered(1), Tabular(TABLE)))])
    events = [e for e in store.events() if e.kind != "finished"]
    again = Memory()
    again.append(events[:-1])  # two of the three deaths are on record
    resumed = study(Fragile({0: 1}), again)
    resumed.run([Phase("search", lambda told: (numbered(1), Tabular(TABLE)))])
    assert resumed.trials[0].failed


def test_a_phase_stops_after_the_seconds_it_was_given() -> None:
    s = study(slots=1)
    told = s.run_phase(random_phase(1000, seconds=500.0))
    spent = [sum(t.outcome.seconds for t in told[:n]) for n in (len(told) - 1, len(told))]
    assert spent[0] < 500.0 <= spent[1]


def test_what_is_pending_is_reckoned_when_seconds_run_out() -> None:
    s = study(Virtual(16), slots=16)
    told = s.run_phase(random_phase(1000, seconds=3000.0))
    assert sum(t.outcome.seconds for t in told) == pytest.approx(3000.0, rel=0.15)


def test_a_budgeted_phase_is_a_prefix_of_the_unlimited_one() -> None:
    short, long = (study(slots=3) for _ in range(2))
    short.run_phase(random_phase(1000, seconds=500.0))
    long.run_phase(random_phase(40))
    assert [t.proposal for t in short.trials] == [t.proposal for t in long.trials[: len(short.trials)]]


def test_past_its_time_a_phase_gives_up_what_runs() -> None:
    s = study(Virtual(2), slots=2)
    told = s.run_phase(random_phase(1000, until=0.0))
    assert [] == told
    assert [] == s.trials


@dataclass
class Stuck:
    """Finishes so many trials; the others it never does."""

    finishes: int
    workers: int = 2
    given: list[Future[Outcome]] = field(default_factory=list)

    def submit(self, estimator: Calls, proposal: Proposal, context: Context) -> Future[Outcome]:
        self.given.append(Future())
        if len(self.given) <= self.finishes:
            self.given[-1].set_result(Outcome({"accuracy": 0.5}, seconds=1.0))
        return self.given[-1]

    def wait(self, futures: Collection[Future[Outcome]], timeout: float | None = None) -> set[Future[Outcome]]:
        return {f for f in futures if f.done()}

    def close(self) -> None: ...


@dataclass
class Declared:
    """The first trial is the longest on the logical clock."""

    measured: frozenset[str] = frozenset()

    def __call__(self, proposal: Proposal, context: Context) -> Outcome:
        raise AssertionError("the executor answers")

    def cost(self, proposal: Proposal) -> float:
        return 10.0 - float(proposal.origin["place"])


def test_what_is_finished_when_time_runs_out_counts_whatever_is_waited_for_on_the_logical_clock() -> None:
    proposals = [Proposal(TABLE.space.sample(np.random.default_rng(i)), origin={"place": i}) for i in range(3)]
    phase = Phase("search", lambda told: (Each(proposals), Declared()), lambda told: Stop(until=0.2))
    store = Memory()
    s = study(Stuck(finishes=1), store, slots=3)
    assert [0] == [t.id for t in s.run_phase(phase)]
    assert {"search"} == s.stopped_early
    again = study(Stuck(finishes=0), store, slots=3)
    assert [0] == [t.id for t in again.run_phase(phase)]


def test_a_phase_may_wait_longer_for_its_first_trial_and_then_gives_up_what_runs() -> None:
    s = study(Virtual(2), slots=2)
    assert 1 == len(s.run_phase(random_phase(1000, until=0.0, first=600.0)))
    assert [] == study(Virtual(2), slots=2).run_phase(random_phase(1000, until=0.0, first=0.0))


@pytest.mark.parametrize(
    ("stop", "cut"), [({"until": 50.0}, None), ({"until": 50.0, "partial": True}, 50.0), ({"until": 50.0, "first": 90.0}, 90.0),
        ({"until": 50.0, "first": 90.0, "partial": True}, 50.0)],
)  # fmt: skip
def test_a_trial_that_time_would_cut_short_is_told_when_to_come_back(stop, cut) -> None:
    given: list[float | None] = []

    @dataclass
    class Asks(Declared):
        def __call__(self, proposal: Proposal, context: Context) -> Outcome:
            given.append(context.deadline)
            return Outcome({"accuracy": 0.5}, seconds=1.0)

    proposals = [Proposal(TABLE.space.sample(np.random.default_rng(0)), origin={"place": 0})]
    began = time.monotonic()
    study().run_phase(Phase("search", lambda told: (Each(proposals), Asks()), lambda told: Stop(**stop)))
    assert [None if cut is None else pytest.approx(began + cut, abs=10.0)] == given


def test_the_checkpoints_of_all_but_the_best_trials_are_dropped(tmp_path: Path) -> None:
    @dataclass
    class Saving:
        measured: frozenset[str] = frozenset()

        def __call__(self, proposal: Proposal, context: Context) -> Outcome:
            context.folder.mkdir(parents=True, exist_ok=True)
            (context.folder / "checkpoint.pt").write_text("weights")
            return Tabular(TABLE)(proposal, context)

        def cost(self, proposal: Proposal) -> float:
            return 1.0

    s = study(folder=tmp_path)
    s.run([Phase("search", lambda told: (RandomSearch(TABLE.space), Saving()), lambda told: Stop(trials=20), keep=4)])
    kept = {int(p.parent.name) for p in tmp_path.glob("trials/*/checkpoint.pt")}
    assert {t.id for t in sorted(s.told, key=lambda t: (t.losses, t.id))[:4]} == kept


def test_a_record_is_read_without_a_strategy() -> None:
    s = run(RandomSearch(TABLE.space), TABLE, 30)
    assert s.trials == recorded(s.store.events(), TABLE.space, TABLE.objectives)


@pytest.mark.parametrize("bad", [{"slots": 0}, {"order": "random"}])
def test_settings_that_cannot_be_are_refused(bad) -> None:
    with pytest.raises(ValueError, match=next(iter(bad))):
        study(**bad)


def test_an_objective_that_the_estimator_does_not_give_is_named() -> None:
    s = Study(TABLE.space, Memory(), Inline(), (Objective("latency_ms"),))
    with pytest.raises(KeyError, match=r"latency_ms.*accuracy"):
        s.run([random_phase(1)])


def utilization(order, error: float, workers: int = 64, trials: int = 2000) -> float:
    """Busy share of simulated workers, from the first to the last dispatch."""

    @dataclass
    class Misjudged:
        """Durations off from the declared costs by a lognormal factor."""

        table: Tabular
        measured: frozenset[str] = frozenset()

        def __call__(self, proposal: Proposal, context: Context) -> Outcome:
            outcome = self.table(proposal, context)
            factor = np.random.default_rng(context.seed).lognormal(0.0, error)
            return replace(outcome, seconds=outcome.seconds * factor)

        def cost(self, proposal: Proposal) -> float:
            return self.table.cost(proposal)

    executor = Virtual(workers)
    s = Study(TABLE.space, Memory(), executor, TABLE.objectives, slots=2 * workers, order=order)
    s.run(
        [Phase("search", lambda told: (Asha(TABLE.space), Misjudged(Tabular(TABLE))), lambda told: Stop(trials=trials))]
    )
    last = max(span.start for span in executor.spans.values())
    busy = sum(min(span.finish, last) - span.start for span in executor.spans.values())
    return busy / (workers * last)


def test_the_logical_clock_keeps_workers_busy() -> None:
    finish, known, misjudged = utilization("finish", 0.3), utilization("logical", 0.0), utilization("logical", 0.3)
    assert known >= 0.95 * utilization("finish", 0.0)
    assert misjudged >= 0.80 * finish


def test_what_a_trial_logs_is_heard_with_its_id() -> None:
    heard = []

    def judge(proposal, context):
        context.log(1, {"loss": 0.5})
        return Outcome({"loss": 0.25})

    study = Study(SPACE, Memory(), Inline(), [Objective("loss")], listener=lambda *said: heard.append(said))
    study.run_phase(Phase("all", lambda told: (RandomSearch(SPACE), Calls(judge)), lambda told: Stop(trials=2)))
    assert [(0, 1.0, {"loss": 0.5}), (1, 1.0, {"loss": 0.5})] == heard


def test_a_phase_aside_may_lack_what_is_sought() -> None:
    sought = [Objective("loss"), Objective("latency_ms")]
    judge = Calls(lambda proposal, context: Outcome({"loss": 0.25}))

    def trials(aside):
        study = Study(SPACE, Memory(), Inline(), sought)
        start = (RandomSearch(SPACE), judge)
        return study.run_phase(Phase("all", lambda told: start, lambda told: Stop(trials=1), aside=aside))

    assert [(0.25, math.inf)] == [trial.losses for trial in trials(aside=True)]
    with pytest.raises(KeyError, match="no metric 'latency_ms'"):
        trials(aside=False)
