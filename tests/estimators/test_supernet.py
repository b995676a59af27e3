"""The estimators of supernets."""

from dataclasses import replace
from functools import partial

import numpy as np
import own_model
import pytest
import torch

from morphogen.estimators import SupernetAccuracy, SupernetTraining
from morphogen.nn.inherit import inherit
from morphogen.nn.network import network
from morphogen.oneshot import Softmax, Uniform
from morphogen.oneshot.regime import Regime
from morphogen.oneshot.second_order import SecondOrder, second_order_exact
from morphogen.oneshot.sub_graphs import calibration
from morphogen.protocols import Context, MorphogenError
from morphogen.spaces.darts import SKELETONS, darts
from morphogen.testing import EstimatorSuite
from morphogen.training import checkpoint
from morphogen.training.batchnorm import recalibrate
from morphogen.training.data import data
from morphogen.training.fit import evaluate
from morphogen.training.recipe import Recipe
from morphogen.trial import Proposal

DATA = data("digits").limited(48)
SMALL = darts(nodes=2, operations=("none", "skip_connect", "sep_conv_3x3"))
SKELETON = replace(SKELETONS["search"], channels=4, cells=2, reductions=(1,))
RECIPE = Recipe(epochs=2, batch_size=12, nesterov=False)


SOFTMAX = partial(Softmax, lr=0.01)


def training(make=SOFTMAX, **changes):
    return SupernetTraining(SMALL, DATA, make, SKELETON, Regime(RECIPE, calibration=24, **changes))


class TestSupernetTraining(EstimatorSuite):
    def make(self):
        return training()

    def proposal(self):
        return Proposal(None)


class TestUniformSupernetTraining(EstimatorSuite):
    def make(self):
        return training(partial(Uniform, candidates=2), share=0.0)

    def proposal(self):
        return Proposal(None)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("supernet")
    outcome = training()(Proposal(None), Context(seed=3, folder=folder))
    return folder, outcome


def test_sub_graph_accuracy_is_that_of_the_network_alone_with_the_same_weights(trained):
    folder, outcome = trained
    estimator = SupernetAccuracy(SMALL, DATA, SKELETON, images=24, batch_size=12)
    found = estimator(Proposal(outcome.found, warm_start=0), Context(seed=0, warm_start=folder))
    assert outcome.metrics["accuracy"] == found.metrics["accuracy"]
    assert {k: outcome.metrics[k] for k in ("params", "macs")} == {k: found.metrics[k] for k in ("params", "macs")}
    supernet = network(SMALL, estimator.skeleton)
    supernet.load_state_dict(checkpoint.load(folder)["network"])
    alone = network(SMALL.fix(outcome.found), estimator.skeleton)
    inherit(supernet, alone, outcome.found)
    recalibrate(alone, calibration(DATA, 24, 12, torch.device("cpu")))
    assert pytest.approx(evaluate(alone, DATA, DATA.valid)) == {k: found.metrics[k] for k in ("accuracy", "loss")}


def test_an_outcome_so_far_equals_going_on_from_it(trained, tmp_path):
    _, whole = trained
    half = training()(Proposal(None, {"epochs": 1}), Context(seed=3, folder=tmp_path))
    assert 1 == len(half.curves["accuracy"])
    rest = training()(Proposal(None), Context(seed=3, folder=tmp_path))
    assert whole.curves == rest.curves
    assert (whole.found, whole.metrics) == (rest.found, rest.metrics)


def test_what_cannot_be_judged_is_refused():
    with pytest.raises(ValueError, match="SupernetTraining trains a whole space"):
        training()(Proposal(SMALL.sample(np.random.default_rng(0))), Context(seed=0))
    with pytest.raises(ValueError, match="SupernetTraining has no fidelity axis 'images'"):
        training().cost(Proposal(None, {"images": 3}))
    with pytest.raises(ValueError, match="fidelity epochs=3: it must be a whole number from 1 to 2"):
        training().cost(Proposal(None, {"epochs": 3}))
    with pytest.raises(ValueError, match="SupernetAccuracy judges one architecture"):
        SupernetAccuracy(SMALL, DATA, SKELETON)(Proposal(None), Context(seed=0))


def test_weights_that_are_gone_are_an_error(tmp_path):
    proposal = Proposal(SMALL.sample(np.random.default_rng(0)), warm_start=7)
    with pytest.raises(MorphogenError, match="the weights of the supernet, trial 7, are gone or damaged"):
        SupernetAccuracy(SMALL, DATA, SKELETON)(proposal, Context(seed=0, warm_start=tmp_path))


def test_only_what_learns_logits_has_a_sharpness(tmp_path):
    paths = partial(Uniform, candidates=2)
    assert training().relaxes()
    assert not training(paths).relaxes()
    with pytest.raises(ValueError, match="Uniform learns no logits: there is no sharpness to record"):
        training(paths, share=0.0, sharpness=True)
    with pytest.raises(ValueError, match="Uniform learns no logits: it has no sharpness"):
        training(paths).sharpness(Context(seed=0, folder=tmp_path), print)
    with pytest.raises(MorphogenError, match="has no checkpoint of a supernet"):
        training().sharpness(Context(seed=0, folder=tmp_path), lambda text: None)


def test_what_would_fail_in_the_first_step_is_refused():
    nesterov = Regime(replace(RECIPE, nesterov=True))
    for gradient in (SecondOrder(), second_order_exact):
        with pytest.raises(ValueError, match="nesterov off"):
            SupernetTraining(SMALL, DATA, partial(Softmax, gradient=gradient), SKELETON, nesterov)
    with pytest.raises(ValueError, match="leave out recompute"):
        training(partial(Softmax, gradient=second_order_exact), recompute=True)
    with pytest.raises(ValueError, match="has no module list 'cells'"):
        SupernetTraining(own_model.space, DATA, SOFTMAX, None, Regime(RECIPE, recompute=True))


def test_sub_graphs_have_no_fidelity(trained):
    architecture = SMALL.sample(np.random.default_rng(0))
    judge = SupernetAccuracy(SMALL, DATA, SKELETON)
    with pytest.raises(ValueError, match="has no fidelity axis 'epochs'"):
        judge(Proposal(architecture, {"epochs": 1.0}, warm_start=0), Context(seed=0, warm_start=trained[0]))
