"""The laws that every estimator keeps."""

from __future__ import annotations

import json
import math
import pickle
from abc import ABC, abstractmethod
from pathlib import Path

from morphogen.protocols import Context, Estimator
from morphogen.trial import Outcome, Proposal

__all__ = ["EstimatorSuite"]


class EstimatorSuite(ABC):
    """Subclass; say how to make the estimator and a proposal that it can judge."""

    @abstractmethod
    def make(self) -> Estimator:
        """The estimator."""

    @abstractmethod
    def proposal(self) -> Proposal:
        """Something that it can judge, quickly."""

    def test_equal_runs_give_equal_metrics_except_the_measured_ones(self, tmp_path: Path) -> None:
        outcomes = [self._judge(self.make(), tmp_path / str(i)) for i in range(2)]
        measured = self.make().measured
        first, second = ({k: v for k, v in o.metrics.items() if k not in measured} for o in outcomes)
        assert first == second

    def test_it_pickles_and_judges_the_same(self, tmp_path: Path) -> None:
        copy: Estimator = pickle.loads(pickle.dumps(self.make()))
        original, copied = self._judge(self.make(), tmp_path / "a"), self._judge(copy, tmp_path / "b")
        assert set(original.metrics) == set(copied.metrics)

    def test_metrics_are_finite_numbers_and_the_outcome_is_plain_json(self, tmp_path: Path) -> None:
        outcome = self._judge(self.make(), tmp_path)
        assert outcome.error is None
        assert outcome.metrics
        assert all(math.isfinite(v) for v in outcome.metrics.values())
        json.dumps(outcome.json, allow_nan=False)

    def test_the_declared_cost_is_positive_and_fixed(self) -> None:
        estimator = self.make()
        cost = estimator.cost(self.proposal())
        assert cost > 0
        assert cost == self.make().cost(self.proposal())

    def _judge(self, estimator: Estimator, folder: Path) -> Outcome:
        folder.mkdir(exist_ok=True, parents=True)
        return estimator(self.proposal(), Context(seed=7, folder=folder))
