"""Whoever names a metric gets the estimator that gives it."""

from pathlib import Path

import numpy as np
import pytest

import morphogen
from morphogen import config as configuration
from morphogen.estimators import Combined, Complexity, Latency, Training, ZeroCost
from morphogen.estimators.energy import Meter
from morphogen.estimators.latency_model import LatencyModel, PredictedLatency
from morphogen.limits import Cost
from morphogen.nn.complexity import complexity
from morphogen.nn.network import network
from morphogen.runs.assembly import assemble
from morphogen.runs.judging import trained_by
from morphogen.runs.latencies import built_around
from morphogen.runs.reading import read

QUICK = {"training": {"epochs": 1}, "final": {"finalists": 1, "seeds": 1, "training": {"epochs": 1}}}


def parts_of(**settings):
    return assemble(configuration.parse({"space": "darts", "data": "digits", **settings}, "test"))


def kinds(estimator):
    return [type(part) for part in estimator.estimators] if isinstance(estimator, Combined) else [type(estimator)]


def test_accuracy_alone_is_a_training_alone():
    judges = parts_of().judges
    assert [Training] == kinds(judges.search) == kinds(judges.final)


def test_a_time_and_a_score_are_measured_before_the_training():
    judges = parts_of(objectives=["accuracy", "latency_ms", "naswot"]).judges
    assert [ZeroCost, Latency, Training] == kinds(judges.search) == kinds(judges.final)
    assert judges.search.estimators[-1] is trained_by(judges.search)


def test_a_metric_that_nothing_gives_is_refused_by_name():
    with pytest.raises(ValueError, match="metric 'latency', did you mean 'latency_ms'"):
        parts_of(objectives=["accuracy", "latency"])
    with pytest.raises(ValueError, match="metric 'para'"):
        parts_of(limits={"para": 3})


def test_a_limit_on_parameters_binds_every_proposal_in_its_final_network():
    free, bound = parts_of(), 12_000
    parts = parts_of(limits={"params": bound})
    assert () == parts.limits
    build = parts.skeletons["final"]
    rng = np.random.default_rng(0)

    def counts(space):
        drawn = [space.fix(space.sample(rng)) for _ in range(20)]
        return [complexity(network(fixed, build), parts.data.image).params for fixed in drawn]

    assert max(counts(free.space)) > bound >= max(counts(parts.space))


def test_a_limit_that_nothing_meets_is_refused():
    with pytest.raises(ValueError, match="no architecture of the space is within its limits"):
        parts_of(limits={"params": 100})


def test_what_does_not_add_up_is_counted_before_it_is_trained():
    parts = parts_of(space="nas-rl", limits={"macs": 1e5})
    assert ["macs"] == [limit.metric for limit in parts.limits]
    assert [Complexity, Training] == kinds(parts.judges.search)


def test_a_measured_limit_is_not_for_finalists():
    parts = parts_of(limits={"latency_ms": 5.0})
    assert parts.limits == parts.judges.search.limits
    assert () == parts.judges.final.limits


def test_a_run_with_several_objectives_ends_with_a_test_and_an_export(few_images, tmp_path):
    result = morphogen.search(
        "darts", few_images, strategy="nsga2", out=tmp_path / "run", trials=3, slots=2, executor="inline",
        objectives=["accuracy", "params", "latency_ms"], limits={"latency_ms": 1000.0}, **QUICK,
    )  # fmt: skip
    assert result.exported
    _, _, told = read(tmp_path / "run")
    assert [] == [t.outcome.error for t in told if t.failed]
    assert {"search", "random", "baselines", "retrain", "test"} == {t.phase for t in told}
    searched = next(t for t in told if t.phase == "search")
    assert {"accuracy", "params", "latency_ms"} <= set(searched.outcome.metrics)
    assert 3 == len(searched.losses)


def test_a_supernet_need_not_give_every_objective(few_images, tmp_path):
    result = morphogen.search(
        "darts", few_images, strategy="darts", out=tmp_path / "run", slots=2, executor="inline", control=False,
        strategy_options={"epochs": 1}, objectives=["accuracy", "latency_ms"], **QUICK,
    )  # fmt: skip
    assert result.exported


@pytest.fixture
def model_file(tmp_path):
    """A latency model of the networks that a search on digits builds: 1 ms, and 1 ms for each 5x5 convolution."""
    parts = parts_of()
    terms = {
        ((choice.name, option),): 1.0 for choice in parts.space for option in choice.options if option.endswith("5x5")
    }
    path = tmp_path / "latency.json"
    around = built_around(parts.skeletons["search"], parts.data.image)
    LatencyModel("darts", Cost("latency_ms", terms, 1.0), around).save(path)
    return str(path)


def test_a_latency_model_stands_for_the_measurement_and_binds_every_proposal(model_file):
    parts = parts_of(latency_model=model_file, objectives=["accuracy", "latency_ms"], limits={"latency_ms": 2.0})
    assert [PredictedLatency, Training] == kinds(parts.judges.search) == kinds(parts.judges.final)
    assert () == parts.limits
    rng = np.random.default_rng(0)
    for _ in range(10):
        picked = [o for options in parts.space.sample(rng).picks.values() for o in options]
        assert sum(option.endswith("5x5") for option in picked) <= 1
    also = parts_of(latency_model=model_file, objectives=["accuracy", "latency_ms", "peak_memory_mb"])
    assert [PredictedLatency, Latency, Training] == kinds(also.judges.search)


def test_a_latency_model_of_other_networks_is_refused(model_file):
    with pytest.raises(ValueError, match="is of the space 'darts', not of 'nasbench201'"):
        parts_of(space="nasbench201", latency_model=model_file)
    with pytest.raises(ValueError, match="was measured on networks of another size"):
        parts_of(latency_model=model_file, skeleton={"channels": 24})


@pytest.mark.skipif(Meter.find() is not None, reason="this machine tells its energy")
def test_energy_is_refused_where_the_machine_does_not_tell_it():
    with pytest.raises(ValueError, match="does not tell its energy"):
        parts_of(objectives=["accuracy", "energy_mj"])


def test_the_fidelity_axes_of_a_training_are_those_of_its_network():
    assert {"epochs", "images", "image_size", "channels", "cells"} == set(parts_of().judges.full)


@pytest.mark.parametrize(("name", "metrics"), [("multi_label", {"exact"}), ("regression", {"mae"})])
def test_another_task_is_searched_from_one_end_to_the_other(name, metrics, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "examples")
    result = morphogen.search(
        "darts", f"{name}:data", strategy="random-search", out=tmp_path / "run", trials=1, slots=1, executor="inline",
        **QUICK,
    )  # fmt: skip
    assert result.exported
    assert metrics <= set(result.winner.outcome.metrics)
    assert (tmp_path / "run" / "report.html").exists()


def test_core_hours_are_shared_by_the_workers():
    assert 1800.0 == parts_of(core_hours=1, workers=2).plan.budget
    assert 600.0 == parts_of(core_hours=1, workers=2, budget="10m").plan.budget
    assert parts_of(core_hours=1).plan.fills
    assert parts_of().plan.budget is None


def test_an_address_of_ray_is_for_ray():
    with pytest.raises(ValueError, match="is for the executor 'ray'"):
        parts_of(ray_address="127.0.0.1:6379")


def test_a_password_is_not_written_into_a_run_folder():
    with pytest.raises(ValueError, match=r"~/\.pgpass") as raised:
        parts_of(store="postgresql://me:secret@host/runs?study=one")
    assert "secret" not in str(raised.value)


def test_the_record_of_another_run_is_not_taken_over(tmp_path):
    settings = {"table": "toy", "strategy": "random-search", "trials": 3}
    address = f"sqlite:///{tmp_path / 'shared.sqlite'}"
    first = morphogen.search(out=tmp_path / "one", store=address, **settings)
    assert not (tmp_path / "one" / "trials.sqlite").exists()
    with pytest.raises(morphogen.MorphogenError, match="has trials already"):
        morphogen.search(out=tmp_path / "two", store=address, **settings)
    assert morphogen.resume(tmp_path / "one").winner.id == first.winner.id
