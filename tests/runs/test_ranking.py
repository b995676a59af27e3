"""How well a strategy's predictor orders what it was not shown, while it searches."""

import io
import json
from dataclasses import dataclass

import numpy as np
import pytest
from rich.console import Console

import morphogen
from morphogen.predictors.validation import Ranked
from morphogen.report.page import render
from morphogen.runs.ranking import RANKING, Ranking
from morphogen.runs.status import status

SMALL = {"control": False, "final": {"finalists": 1, "seeds": 1}}


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ranking") / "run"
    return morphogen.search(data=None, table="toy", strategy="bayesian", trials=46, out=folder, **SMALL)


def test_it_is_measured_each_time_that_trials_have_doubled(searched):
    found = Ranking.read(searched.folder)
    assert [(20, 20), (40, 40)] == [(r.trials, r.of) for r in found]
    assert all(0 < r.kendall <= r.spearman <= 1 for r in found)


def test_terminal_page_and_json_say_it(searched):
    last = Ranking.read(searched.folder)[-1]
    for shown in (status(searched.folder), searched):
        said = io.StringIO()
        shown.show(Console(file=said, width=300))
        assert last.text in said.getvalue()
        assert last.kendall == shown.json["predictor"][-1]["kendall"]
    assert f"{last.kendall:.2f}" in render(searched.record).partition('id="predictor"')[2].partition("</section>")[0]


@pytest.mark.parametrize("lost", [False, True])
def test_a_resumed_search_goes_on_to_the_same_numbers_even_where_the_earlier_ones_were_lost(searched, tmp_path, lost):
    def interrupt(study, event):
        if event is not None and len(study.told) == 30:
            raise KeyboardInterrupt

    folder = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        morphogen.search(data=None, table="toy", strategy="bayesian", trials=46, out=folder, watch=interrupt, **SMALL)
    assert 1 == len(Ranking.read(folder))
    if lost:
        (folder / RANKING).write_text("[{")
    morphogen.resume(folder)
    assert Ranking.read(searched.folder) == Ranking.read(folder)


def test_a_number_that_is_due_with_the_last_trial_is_not_lost_to_the_phase_that_follows(tmp_path):
    folder = tmp_path / "run"
    morphogen.search(data=None, table="toy", strategy="bayesian", trials=20, out=folder, final=SMALL["final"])
    assert [20] == [r.trials for r in Ranking.read(folder)]


@pytest.mark.parametrize(("strategy", "ranks"), [("random-search", 0), ("regularized-evolution", 0), ("bananas", 1)])
def test_only_a_strategy_with_a_predictor_has_numbers(tmp_path, strategy, ranks):
    folder = tmp_path / "run"
    morphogen.search(data=None, table="toy", strategy=strategy, trials=26, out=folder, **SMALL)
    assert ranks == len(Ranking.read(folder))


@pytest.mark.parametrize(
    "body",
    [
        "",
        "{",
        "[1]",
        '[{"trials": "x"}]',
        "[" * 10**5,
        json.dumps([{"trials": 1, "of": 1, "kendall": float("nan"), "spearman": 0}]),
    ],
)
def test_what_cannot_be_read_is_as_if_it_was_not_there(tmp_path, body):
    (tmp_path / RANKING).write_text(body)
    assert [] == Ranking.read(tmp_path)


def test_the_sentence_says_what_the_number_means():
    assert "tau 0.52 (1: as measured, 0: no relation)" in Ranked(40, 30, 0.521, 0.7).text


@dataclass
class Refusing:
    """Random search that says it asks a predictor, which learns nothing."""

    space: morphogen.Space

    def surrogate(self):
        return self

    def fit(self, architectures, values, rng):
        raise np.linalg.LinAlgError("singular")

    def predict(self, architectures):
        raise ValueError("nothing was fitted")

    def ask(self, pending, rng):
        return morphogen.Proposal(self.space.sample(rng))

    def tell(self, trial, rng): ...


def test_a_predictor_that_fails_ends_no_run(tmp_path):
    folder = tmp_path / "run"
    found = morphogen.search(data=None, table="toy", strategy=Refusing, trials=46, out=folder, **SMALL)
    assert [] == Ranking.read(folder)
    assert 46 == len(found.record.phases["search"])
