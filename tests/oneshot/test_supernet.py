"""The loop: what it leaves alone, and that it goes on as if it had never stopped."""

import math
import time
from dataclasses import replace
from functools import partial

import own_model
import pytest
import regression
import torch

from morphogen.nn.network import network
from morphogen.objective import Objective
from morphogen.oneshot import Controller, Dirichlet, Gumbel, Sandwich, Softmax, Uniform
from morphogen.oneshot.regime import Regime, parts
from morphogen.oneshot.second_order import SecondOrder
from morphogen.oneshot.supernet import learn
from morphogen.protocols import Context, MorphogenError
from morphogen.spaces.darts import SKELETONS, darts
from morphogen.training.data import data
from morphogen.training.recipe import Recipe

DATA = data("digits").limited(48)
SMALL = darts(nodes=2, operations=("none", "skip_connect", "sep_conv_3x3", "max_pool_3x3"))
SKELETON = replace(SKELETONS["search"], image=DATA.image, classes=10, channels=4, cells=2, reductions=(1,))
RECIPE = Recipe(epochs=3, batch_size=12, lr=0.05, nesterov=False, clip=5.0)
MAKES = {
    "softmax": (SMALL, partial(Softmax, lr=0.02)),
    "second-order": (SMALL, partial(Softmax, lr=0.02, gradient=SecondOrder())),
    "gumbel": (SMALL, partial(Gumbel, lr=0.02)),
    "dirichlet": (SMALL, partial(Dirichlet, lr=0.02)),
    "uniform": (SMALL, partial(Uniform, candidates=2)),
    "fair": (SMALL, partial(Uniform, candidates=2, fair=True)),
    "controller": (SMALL, partial(Controller, steps=1, aggregate=2, candidates=2)),
    "sandwich": (own_model.space, partial(Sandwich, candidates=2)),
    "own-softmax": (own_model.space, partial(Softmax, lr=0.02)),
}


class Stop(Exception):
    """The process dies here."""


class Mortal:
    """A distribution that lives for so many steps."""

    def __init__(self, distribution, steps):
        self.inner, self.steps = distribution, steps

    def update(self, step):
        self.steps -= 1
        if self.steps < 0:
            raise Stop
        self.inner.update(step)

    def __getattr__(self, name):
        return getattr(self.inner, name)


def run(name, folder=None, *, steps=None, epochs=None, regime=None, warm_start=None, deadline=None):
    space, make = MAKES[name]
    torch.manual_seed(0)
    supernet = network(space, SKELETON)
    distribution = make(space, generator=torch.Generator().manual_seed(1), device=torch.device("cpu"))
    alive = distribution if steps is None else Mortal(distribution, steps)
    context = Context(seed=5, folder=folder, warm_start=warm_start, deadline=deadline)
    learned = learn(supernet, alive, space, DATA, regime or Regime(RECIPE, calibration=24), context, epochs=epochs)
    return learned, supernet.state_dict(), distribution


def same(a, b):
    (_, weights_a, distribution_a), (_, weights_b, distribution_b) = a, b
    logits = getattr(distribution_a, "logits", {})
    return all(torch.equal(weights_a[k], weights_b[k]) for k in weights_a) and all(
        torch.equal(logits[k], distribution_b.logits[k]) for k in logits
    )


@pytest.mark.parametrize("name", MAKES)
def test_killed_in_any_epoch_it_goes_on_bit_for_bit(name, tmp_path):
    straight = run(name)
    for steps in (3, 3):  # in the second epoch of two steps, and in the third
        with pytest.raises(Stop):
            run(name, tmp_path, steps=steps)
    resumed = run(name, tmp_path)
    assert same(straight, resumed)
    assert straight[0].found == resumed[0].found
    assert straight[0].metrics == resumed[0].metrics
    assert straight[0].curves == resumed[0].curves


@pytest.mark.parametrize("steps", range(1, 6))
def test_killed_at_any_step_it_goes_on_bit_for_bit(steps, tmp_path):
    straight = run("softmax")
    with pytest.raises(Stop):
        run("softmax", tmp_path, steps=steps)
    assert same(straight, run("softmax", tmp_path))


def test_recomputation_changes_no_bit():
    plain, again = run("softmax"), run("softmax", regime=Regime(RECIPE, calibration=24, recompute=True))
    assert same(plain, again)
    assert plain[0].curves == again[0].curves


@pytest.mark.parametrize("name", ["softmax", "gumbel", "dirichlet"])
def test_recording_the_sharpness_changes_nothing_else(name, tmp_path):
    plain, recorded = run(name), run(name, tmp_path, regime=Regime(RECIPE, calibration=24, sharpness=True))
    assert same(plain, recorded)
    curve = recorded[0].curves.pop("sharpness")
    assert plain[0].curves == recorded[0].curves
    assert [1.0, 2.0, 3.0] == [epoch for epoch, _ in curve]
    assert 3 == len({value for _, value in curve})


def test_more_epochs_of_another_trial_equal_going_straight_through(tmp_path):
    first, second = tmp_path / "a", tmp_path / "b"
    run("softmax", first, epochs=1)
    assert same(run("softmax"), run("softmax", second, warm_start=first))


def test_candidates_are_drawn_anew_after_every_epoch(tmp_path):
    space, make = MAKES["uniform"]
    judged = []

    class Recording:
        def __init__(self):
            self.inner = make(space)

        def derive(self, score, generator):
            return self.inner.derive(lambda a: judged.append(a) or score(a), generator)

        def __getattr__(self, name):
            return getattr(self.inner, name)

    def end(epochs, folder):
        learn(
            network(space, SKELETON), Recording(), space, DATA, Regime(RECIPE), Context(5, folder=folder), epochs=epochs
        )
        drawn = judged.copy()
        judged.clear()
        return drawn

    after_one = end(1, tmp_path)
    assert 2 == len(after_one)
    assert after_one == end(1, tmp_path)
    assert not set(after_one) & set(end(2, tmp_path))


def test_outcomes_have_an_architecture_metrics_and_curves():
    learned, _, distribution = run("softmax")
    assert distribution.likeliest() == learned.found
    assert {"accuracy", "loss", "supernet_accuracy"} == set(learned.metrics)
    assert {"accuracy", "loss", "train_loss", "lr", "skip_share", "none_weight", "entropy"} == set(learned.curves)
    assert all([1.0, 2.0, 3.0] == [s for s, _ in points] for points in learned.curves.values())
    assert all(math.isfinite(v) for points in learned.curves.values() for _, v in points)


def test_architecture_and_weights_learn_from_different_images():
    weights, architecture = parts(DATA.train, 0.5, DATA.split_seed)
    assert len(DATA.train) == len(weights) + len(architecture) == 2 * len(weights)
    rows = {tuple(image.flatten().tolist()) for image in weights.images}
    assert not rows & {tuple(image.flatten().tolist()) for image in architecture.images}
    assert (DATA.train, DATA.train) == parts(DATA.train, 0.0, 0)
    with pytest.raises(ValueError, match="48 training images cannot be divided"):
        parts(DATA.train, 0.999, 0)


def test_it_starts_to_learn_the_architecture_late():
    _, _, distribution = run("softmax", epochs=1, regime=Regime(RECIPE, start=0.4, calibration=24))
    fresh = MAKES["softmax"][1](SMALL, generator=torch.Generator().manual_seed(1), device=torch.device("cpu"))
    assert all(torch.equal(fresh.logits[k], v) for k, v in distribution.logits.items())
    _, _, distribution = run("softmax", regime=Regime(RECIPE, start=0.4, calibration=24))
    assert not any(torch.equal(fresh.logits[k], v) for k, v in distribution.logits.items())


def test_a_deadline_ends_it_after_a_whole_epoch(tmp_path):
    learned, _, _ = run("uniform", tmp_path, deadline=time.monotonic())
    assert 1 == learned.epochs
    assert learned.found is not None


def test_it_stops_before_a_cell_is_all_skips(tmp_path):
    def collapse(distribution):
        with torch.no_grad():
            for name, logits in distribution.logits.items():
                logits[list(SMALL[name].options).index("skip_connect")] = 5.0

    class Collapsing(Mortal):
        def update(self, step):
            if step.epoch == 1:
                collapse(self.inner)

    space, make = MAKES["softmax"]
    torch.manual_seed(0)
    distribution = make(space, generator=torch.Generator().manual_seed(1), device=torch.device("cpu"))
    with torch.no_grad():
        for name, logits in distribution.logits.items():
            logits[list(SMALL[name].options).index("sep_conv_3x3")] = 1.0
    healthy = distribution.likeliest()
    regime = Regime(RECIPE, most_skips=3, calibration=24)
    context = Context(seed=5, folder=tmp_path)
    learned = learn(network(space, SKELETON), Collapsing(distribution, 0), space, DATA, regime, context)
    assert (2, True, healthy) == (learned.epochs, learned.stopped, learned.found)
    assert [0.0, 1.0] == [v for _, v in learned.curves["skip_share"]]
    again = learn(network(space, SKELETON), Collapsing(distribution, 0), space, DATA, regime, context)
    assert (2, True, healthy, learned.metrics) == (again.epochs, again.stopped, again.found, again.metrics)


def test_a_loss_that_diverges_is_an_error():
    with pytest.raises(MorphogenError, match=r"loss of the supernet became .* in epoch 1"):
        run("softmax", regime=Regime(replace(RECIPE, lr=1e30, clip=None)))


def test_torch_draws_of_the_loop_do_not_depend_on_the_state_outside(tmp_path):
    first = run("gumbel")
    torch.rand(7)
    assert same(first, run("gumbel"))


@pytest.mark.parametrize("change", [{"share": 1.0}, {"start": -0.1}, {"most_skips": 0}])
def test_regimes_that_cannot_be_are_refused(change):
    with pytest.raises(ValueError, match=next(iter(change))):
        Regime(RECIPE, **change)


MIDDLES = regression.data().limited(48)


@pytest.mark.parametrize("name", [name for name, (space, _) in MAKES.items() if space is SMALL])
def test_numbers_of_an_image_are_learned_as_classes_are(name):
    space, make = MAKES[name]
    torch.manual_seed(0)
    supernet = network(space, replace(SKELETON, classes=2))
    distribution = make(space, generator=torch.Generator().manual_seed(1))
    learned = learn(supernet, distribution, space, MIDDLES, Regime(RECIPE), Context(5))
    assert {"mae", "loss", "supernet_mae"} == set(learned.metrics)
    first, *_, last = [loss for _, loss in learned.curves["train_loss"]]
    assert 0 < last < first
    assert learned.curves.get("reward", [(0, -1.0)])[-1][1] < 0


def test_the_architecture_kept_is_the_best_by_what_is_sought():
    space, make = MAKES["uniform"]
    values = {}

    class Recording:
        def __init__(self):
            self.inner = make(space)

        def derive(self, score, generator):
            return self.inner.derive(lambda a: values.setdefault(a, score(a)), generator)

        def __getattr__(self, name):
            return getattr(self.inner, name)

    for sought in (None, Objective("loss"), Objective("loss", maximize=True)):
        values.clear()
        supernet = network(space, replace(SKELETON, classes=2))
        learned = learn(supernet, Recording(), space, MIDDLES, Regime(RECIPE), Context(5), sought=sought)
        metric = "mae" if sought is None else sought.metric
        best = max(values, key=values.get)
        assert best == learned.found
        sign = 1 if sought is not None and sought.maximize else -1
        assert pytest.approx(sign * learned.metrics[metric]) == values[best]
        assert f"supernet_{metric}" in learned.metrics
