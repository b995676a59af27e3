"""Every method from a configuration to retrained networks, on a few images."""

import own_model
import pytest

from morphogen import config as configuration
from morphogen.executors import Inline
from morphogen.methods.one_shot import architecture_lr, recipe
from morphogen.oneshot.regime import Regime
from morphogen.runs.assembly import assemble
from morphogen.spaces.darts import darts
from morphogen.spaces.enas_micro import enas_micro
from morphogen.store import Memory
from morphogen.study import Study
from morphogen.training.data import data

METHODS = ("darts", "darts-second-order", "drnas", "gdas", "pc-darts", "single-path")
DATA = data("digits").limited(48)
SMALL = darts(nodes=2, operations=("none", "skip_connect", "sep_conv_3x3", "max_pool_3x3"))
TINY = {
    "skeleton": {"channels": 8, "cells": 2, "reductions": [1]},
    "training": {"epochs": 1},
    "final": {"finalists": 1, "seeds": 1, "training": {"epochs": 1}, "skeleton": {"auxiliary": False}},
    "trials": 3,
    "slots": 2,
}


def parts(method, space=SMALL, control=False, settings=TINY, **options):
    config = configuration.parse(
        {**settings, "strategy": method, "control": control, "strategy_options": {"epochs": 1, **options}}, "test"
    )
    return assemble(config, space=space, data=DATA)


def run(made, folder, store=None):
    """Up to the retraining: what follows is the same for all."""
    study = Study(made.space, store or Memory(), Inline(), made.objectives, folder=folder, slots=2)
    study.run(phase for phase in made.phases if phase.name not in ("baselines", "test"))
    failures = [t.outcome.error for t in study.told if t.failed]
    assert not failures
    return study.told


def named(told, phase):
    return [t for t in told if t.phase == phase]


@pytest.mark.parametrize("method", METHODS)
def test_a_method_searches_and_retrains(method, tmp_path):
    told = run(parts(method), tmp_path)
    assert ["supernet", "search", "retrain"] == list(dict.fromkeys(t.phase for t in told))
    (supernet,) = named(told, "supernet")
    assert supernet.proposal.architecture is None
    assert {"accuracy", "loss", "supernet_accuracy", "params", "macs"} == set(supernet.outcome.metrics)
    searched, retrained = named(told, "search"), named(told, "retrain")
    assert (3 if method == "single-path" else 1) == len(searched)
    assert all(t.architecture.space == SMALL for t in searched)
    assert [min(searched, key=lambda t: t.loss).architecture] == [t.architecture for t in retrained]
    if method != "single-path":
        assert supernet.outcome.found == searched[0].architecture


@pytest.mark.parametrize("method", [m for m in METHODS if m != "single-path"])
def test_every_gradient_method_can_record_the_sharpness(method):
    training = parts(method, sharpness=True).phases[0].start(())[1]
    assert training.regime.sharpness


OWN = {key: value for key, value in TINY.items() if key != "skeleton"} | {
    "final": {"finalists": 1, "seeds": 1, "training": {"epochs": 1}}
}


@pytest.mark.parametrize("method", [m for m in METHODS if m != "pc-darts"])
def test_a_model_of_ones_own_is_searched_by_every_method(method, tmp_path):
    told = run(parts(method, own_model.space, settings=OWN), tmp_path)
    assert {"supernet", "search", "retrain"} == {t.phase for t in told}


def test_partial_channels_refuse_a_model_without_a_place_for_them():
    with pytest.raises(ValueError, match="has no parameter 'mixed'"):
        parts("pc-darts", own_model.space, settings=OWN)


@pytest.mark.parametrize(("channels", "k"), [(16, 4), (12, 3), (8, 2), (4, 2), (36, 4)])
def test_partial_channels_leave_four_to_compute_on(channels, k):
    skeleton = {**TINY["skeleton"], "channels": channels}
    training = parts("pc-darts", settings={**TINY, "skeleton": skeleton}).phases[0].start(())[1]
    assert k == training.mixed.k


def test_the_random_arm_spends_what_supernet_and_search_spent(tmp_path):
    told = run(parts("gdas", control=True), tmp_path)
    spent = sum(t.outcome.seconds for t in named(told, "supernet") + named(told, "search"))
    arm = named(told, "random")
    assert sum(t.outcome.seconds for t in arm) > 0.5 * spent
    assert sum(t.outcome.seconds for t in arm[:-2]) < spent  # the last slots may overshoot
    assert {"search", "random"} == {t.proposal.origin["arm"] for t in named(told, "retrain")}


def test_of_several_seeds_every_architecture_found_is_trained(tmp_path):
    told = run(parts("darts", seeds=2), tmp_path)
    supernets = named(told, "supernet")
    assert 2 == len(supernets)
    assert {t.architecture for t in supernets} == {t.architecture for t in named(told, "search")}
    assert supernets[0].outcome.curves != supernets[1].outcome.curves


def test_what_a_supernet_would_end_at_after_its_last_epochs_is_trained(tmp_path):
    told = run(parts("gdas", epochs=3, shortlist=2, arch_lr=1.0), tmp_path)
    paused, ended = named(told, "supernet")
    assert ({"epochs": 2}, None) == (paused.proposal.fidelity, paused.proposal.warm_start)
    assert ({}, paused.id) == (ended.proposal.fidelity, ended.proposal.warm_start)
    assert [2, 3] == [len(t.outcome.curves["entropy"]) for t in (paused, ended)]
    assert paused.outcome.curves["entropy"] == ended.outcome.curves["entropy"][:2]
    assert paused.architecture != ended.architecture
    assert [ended.architecture, paused.architecture] == [t.architecture for t in named(told, "search")]


@pytest.mark.parametrize("shortlist", [0, 3])
def test_a_shortlist_has_an_architecture_for_each_epoch_that_teaches_one(shortlist):
    with pytest.raises(ValueError, match=f"shortlist={shortlist}: expected 1 to 2, the epochs in which"):
        parts("darts", epochs=4, start=0.5, shortlist=shortlist)


def test_sub_graphs_are_judged_with_the_weights_of_the_supernet(tmp_path):
    told = run(parts("single-path", fair=True, strategy="local-search"), tmp_path)
    (supernet,) = named(told, "supernet")
    assert {supernet.id} == {t.proposal.warm_start for t in named(told, "search")}
    assert 3 == len({t.architecture for t in named(told, "search")})
    assert (tmp_path / "trials" / str(supernet.id) / "checkpoint.pt").is_file()


def test_sub_graphs_are_judged_by_all_that_is_sought(tmp_path):
    settings = {**TINY, "objectives": ["accuracy", "latency_ms"], "limits": {"log_synflow": 1e9}}
    made = parts("single-path", settings=settings, strategy="nsga2", options={"population_size": 2})
    for trial in named(run(made, tmp_path), "search"):
        assert {"accuracy", "latency_ms", "log_synflow"} <= trial.outcome.metrics.keys()
        assert trial.losses == (-trial.outcome.metrics["accuracy"], trial.outcome.metrics["latency_ms"])


@pytest.mark.parametrize("strategy", ["asha", "hyperband", "curve-stopping", "screening", "each"])
def test_a_strategy_that_sub_graphs_are_nothing_for_is_refused(strategy):
    with pytest.raises(ValueError, match=f"strategy '{strategy}' (decides how long|needs proposals)"):
        parts("single-path", strategy=strategy)


def test_limits_that_do_not_add_up_are_kept_by_what_is_derived(tmp_path):
    space = enas_micro(2)
    config = configuration.parse(
        {**TINY, "strategy": "enas", "control": False, "skeleton": {"channels": 4, "cells": 2}, "limits": {"macs": 30_000},
         "final": {"finalists": 1, "seeds": 1, "training": {"epochs": 1}, "skeleton": {"auxiliary": False}},
         "strategy_options": {"epochs": 1, "steps": 1, "aggregate": 1, "candidates": 2}},
        "test",
    )  # fmt: skip
    made = assemble(config, space=space, data=DATA)
    assert () == made.space.limits
    (searched,) = named(run(made, tmp_path), "search")
    assert searched.outcome.metrics["macs"] <= 30_000


def test_cells_that_run_again_learn_the_same(tmp_path):
    plain, again = (
        named(run(parts("darts", epochs=2, recompute=recompute), tmp_path / str(recompute)), "supernet")[0]
        for recompute in (False, True)
    )
    assert plain.outcome.found == again.outcome.found
    assert plain.outcome.curves == again.outcome.curves


@pytest.mark.parametrize(("method", "options"), [("single-path", {}), ("darts", {"epochs": 2, "shortlist": 2})])
def test_a_run_resumes_to_the_same_trials(method, options, tmp_path):
    store = Memory()
    whole = run(parts(method, **options), tmp_path, store)
    for cut in (1, 4, 7):
        again = Memory()
        again.append(store.events()[:cut])
        resumed = run(parts(method, **options), tmp_path, again)
        assert [t.proposal for t in whole] == [t.proposal for t in resumed]
        assert [t.losses for t in whole] == [t.losses for t in resumed]


def test_a_supernet_that_fails_leaves_the_random_arm(tmp_path):
    made = parts("darts", control=True, lr=1e30)
    study = Study(made.space, Memory(), Inline(), made.objectives, folder=tmp_path, slots=2)
    study.run(made.phases[:2])
    (supernet,) = study.told
    assert "learning rate" in supernet.outcome.error
    assert [] == made.phases[1].start(study.told)[0].proposals


def test_fewer_steps_get_a_higher_rate():
    long = Regime(recipe(DATA, 19550 // 2, 12, 0.1))
    assert pytest.approx(3e-4, rel=1e-3) == architecture_lr(3e-4, DATA, long)
    assert pytest.approx(6e-4, rel=1e-3) == architecture_lr(3e-4, DATA, Regime(recipe(DATA, 19550 // 4, 12, 0.1)))
    assert pytest.approx(0.05) == architecture_lr(3e-4, DATA, Regime(recipe(DATA, 1, 12, 0.1)))


def test_options_and_names_that_are_not_there_are_told_with_the_nearest():
    with pytest.raises(ValueError, match=r"method 'darts' has no option 'epoch', did you mean 'epochs'\?"):
        parts("darts", epoch=3)
    with pytest.raises(ValueError, match=r"there is no strategy 'dart'.*did you mean 'darts'"):
        parts("dart")
    with pytest.raises(ValueError, match="fair and sandwich are two ways"):
        parts("single-path", fair=True, sandwich=True)
    with pytest.raises(ValueError, match="there is no strategy 'nothing'"):
        parts("single-path", strategy="nothing")
    with pytest.raises(ValueError, match="method 'darts' trains networks and needs data"):
        assemble(configuration.parse({"table": "toy", "strategy": "darts"}, "test"))
