"""The laws that every strategy keeps."""

from __future__ import annotations

import json
import pickle
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from morphogen.estimators.tabular import Table, Tabular
from morphogen.estimators.toy import ToyTable
from morphogen.executors import Virtual
from morphogen.objective import judge
from morphogen.predictors import Predictive
from morphogen.protocols import Context, Event, Phase, Stop, Strategy
from morphogen.space import Space
from morphogen.store import Memory
from morphogen.study import Study
from morphogen.trial import Outcome, Proposal, Trial

__all__ = ["StrategySuite", "run"]


def run(
    strategy: Strategy,
    table: Table,
    trials: int,
    *,
    workers: int = 1,
    slots: int = 4,
    seed: int = 0,
    events: Sequence[Event] = (),
    order: Any = "logical",
) -> Study:
    """Run a strategy on a table in memory; `events` of an earlier run are resumed."""
    store = Memory()
    store.append(events)
    study = Study(table.space, store, Virtual(workers), table.objectives, seed=seed, slots=slots, order=order)
    study.run([Phase("search", lambda told: (strategy, Tabular(table)), lambda told: Stop(trials=trials))])
    return study


class StrategySuite(ABC):
    """Subclass and say how to make the strategy.

    `trials` is how many a run asks for (a strategy may end earlier), `table` what they are judged on.
    """

    trials = 60
    table: Table = ToyTable()

    @abstractmethod
    def make(self, space: Space) -> Strategy:
        """A new strategy for a space."""

    def test_two_runs_with_the_same_seed_are_equal(self) -> None:
        first, again = (self._proposals(self._run(seed=0)) for _ in range(2))
        assert first == again

    def test_the_number_of_workers_changes_nothing(self) -> None:
        runs = [self._run(workers=w, slots=8) for w in (1, 2, 4, 8)]
        assert all(self._proposals(runs[0]) == self._proposals(r) for r in runs)
        assert all([t.losses for t in runs[0].told] == [t.losses for t in r.told] for r in runs)

    def test_ask_is_pure(self) -> None:
        strategy = self._taught()
        asked = [strategy.ask([], np.random.default_rng(5)) for _ in range(2)]
        assert asked[0] == asked[1]

    def test_pickling_changes_no_proposal(self) -> None:
        strategy = self._taught()
        copy: Strategy = pickle.loads(pickle.dumps(strategy))
        assert strategy.ask([], np.random.default_rng(5)) == copy.ask([], np.random.default_rng(5))

    def test_state_is_the_fold_of_tell(self) -> None:
        told = self._run().told
        asked, silent = self.make(self.table.space), self.make(self.table.space)
        for n, trial in enumerate(told):
            asked.ask([], np.random.default_rng(n))  # an extra question leaves no trace
            for strategy in (asked, silent):
                strategy.tell(trial, np.random.default_rng((0, trial.id, 1)))
        assert asked.ask([], np.random.default_rng(9)) == silent.ask([], np.random.default_rng(9))

    def test_a_run_cut_anywhere_resumes_to_the_same_trials(self) -> None:
        whole = self._run()
        events = list(whole.store.events())
        for cut in np.linspace(0, len(events), 8, dtype=int):
            resumed = self._run(events=events[:cut])
            assert self._proposals(whole) == self._proposals(resumed)
            assert [t.losses for t in whole.told] == [t.losses for t in resumed.told]

    def test_telling_in_finish_order_resumes_exactly(self) -> None:
        whole = self._run(workers=3, order="finish")
        events = list(whole.store.events())
        for cut in np.linspace(0, len(events), 4, dtype=int):
            resumed = self._run(workers=3, order="finish", events=events[:cut])
            replayed = {e.trial for e in events[:cut] if e.kind == "finished"}
            assert [t.id for t in whole.told if t.id in replayed] == [t.id for t in resumed.told if t.id in replayed]

    def test_proposals_are_points_of_the_space_and_plain_json(self) -> None:
        space = self.table.space
        for trial in self._run().trials:
            text = json.dumps(trial.proposal.json, allow_nan=False)
            assert trial.proposal == Proposal.from_json(json.loads(text), space)

    def test_what_it_asks_about_architectures_can_be_asked_alone(self) -> None:
        strategy, told = self.make(self.table.space), self._run().told
        if not isinstance(strategy, Predictive):
            return
        architectures = list(dict.fromkeys(a for t in told if (a := t.architecture) is not None))
        losses = {t.architecture: t.loss for t in told}
        values, model = np.array([losses[a] for a in architectures]), strategy.surrogate()
        model.fit(architectures, values, np.random.default_rng(0))
        mean, deviation = model.predict(architectures)
        assert np.isfinite(mean).all()
        assert (deviation >= 0).all()

    def test_failed_trials_do_not_stop_it(self) -> None:
        strategy = self.make(self.table.space)
        told: list[Trial] = []
        for id in range(self.trials):
            proposal = strategy.ask([], np.random.default_rng((0, id, 0)))
            if proposal is None:
                break
            outcome = Outcome(error="diverged") if id % 2 == 0 else Tabular(self.table)(proposal, Context(seed=0))
            told.append(judge(Trial(id, "search", proposal), outcome, self.table.objectives))
            strategy.tell(told[-1], np.random.default_rng((0, id, 1)))
        assert told

    def test_all_trials_failing_do_not_stop_it(self) -> None:
        strategy = self.make(self.table.space)
        for id in range(min(self.trials, 30)):
            proposal = strategy.ask([], np.random.default_rng((0, id, 0)))
            if proposal is None:
                break
            trial = replace(Trial(id, "search", proposal), outcome=Outcome(error="diverged"), losses=(float("inf"),))
            strategy.tell(trial, np.random.default_rng((0, id, 1)))
        assert self.make(self.table.space).ask([], np.random.default_rng(0)) is not None

    def test_many_pending_trials_are_served(self) -> None:
        study = self._run(workers=8, slots=16)
        assert len(study.told) == len(study.trials) > 0

    # --- inside ---------------------------------------------------------------------------------------------------

    def _run(self, **options: Any) -> Study:
        return run(self.make(self.table.space), self.table, self.trials, **options)

    def _taught(self) -> Strategy:
        strategy = self.make(self.table.space)
        for trial in self._run().told:
            strategy.tell(trial, np.random.default_rng((0, trial.id, 1)))
        return strategy

    @staticmethod
    def _proposals(study: Study) -> list[Proposal]:
        return [t.proposal for t in study.trials]
