"""The training loop: it learns, it continues bit for bit, it says what goes wrong."""

import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from morphogen.nn.drop_path import DropPath
from morphogen.protocols import Context, MorphogenError
from morphogen.training.augment import Augment
from morphogen.training.checkpoint import CHECKPOINT, PREVIOUS
from morphogen.training.data import Data
from morphogen.training.fit import Fit, evaluate, fit, train
from morphogen.training.recipe import Recipe

RECIPE = Recipe(epochs=9, batch_size=16, lr=0.05, warmup=1.0, label_smoothing=0.1, clip=1.0)


def problem(count: int = 100) -> Data:
    """Which half is brighter: easy, with some noise."""
    rng = np.random.default_rng(0)
    y = np.arange(count) % 2
    x = rng.integers(0, 150, (count, 6, 6))
    x[y == 0, :, :3] += 100
    x[y == 1, :, 3:] += 100
    return Data.from_arrays(x, y, name="halves", augment=Augment(shift=1, cutout=2))


DATA = problem()


def small() -> nn.Module:
    """With everything that has a state or draws: batch norm, dropout, drop path."""
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        DropPath(0.1),
        nn.Dropout(0.1),
        nn.Flatten(),
        nn.Linear(8 * 36, 2),
    )


def run(context: Context, epochs: int | None = None, recipe: Recipe = RECIPE, **more: Any) -> tuple[nn.Module, Fit]:
    return train(small, DATA, recipe, context, epochs=epochs, **more)


def same(a: tuple[nn.Module, Fit], b: tuple[nn.Module, Fit]) -> bool:
    """Weights, statistics, metrics and curves are equal to the last bit."""
    states = zip(a[0].state_dict().values(), b[0].state_dict().values(), strict=True)
    return all(torch.equal(x, y) for x, y in states) and (a[1].metrics, a[1].curves) == (b[1].metrics, b[1].curves)


STRAIGHT = run(Context(seed=7))


def test_it_learns() -> None:
    curves = STRAIGHT[1].curves
    assert curves["loss"][-1][1] < curves["loss"][0][1] / 2
    assert STRAIGHT[1].metrics["accuracy"] > 0.9
    assert {"accuracy", "loss", "train_loss", "lr"} == set(curves)
    assert list(map(float, range(1, 10))) == [step for step, _ in curves["accuracy"]]


def test_the_same_seed_gives_the_same_network_and_another_seed_another() -> None:
    assert same(STRAIGHT, run(Context(seed=7)))
    assert not same(STRAIGHT, run(Context(seed=8)))


def test_random_state_outside_neither_matters_nor_changes() -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    assert same(STRAIGHT, run(Context(seed=7)))
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("optimizer", ["sgd", "adamw", "rmsprop"])
def test_three_epochs_and_then_nine_are_nine_straight(tmp_path: Path, optimizer: str) -> None:
    recipe = replace(RECIPE, optimizer=optimizer, lr=0.01)
    straight = run(Context(seed=7), recipe=recipe)
    three = run(Context(seed=7, folder=tmp_path / "a"), 3, recipe)
    assert three[1].epochs == 3
    assert not same(straight, three)
    assert same(straight, run(Context(seed=7, folder=tmp_path / "b", warm_start=tmp_path / "a"), 9, recipe))


def test_without_the_checkpoint_to_go_on_from_the_result_is_the_same(tmp_path: Path) -> None:
    assert same(STRAIGHT, run(Context(seed=7, warm_start=tmp_path / "missing")))


class Killed(BaseException):
    """Not an error: what a kill looks like from inside."""


class Breaks(nn.Module):
    """A network that dies in a forward pass of training."""

    def __init__(self, inner: nn.Module, calls: int) -> None:
        super().__init__()
        self.inner, self.calls = inner, calls

    def forward(self, x: Tensor) -> Tensor:
        self.calls -= self.training
        if self.calls < 0:
            raise Killed
        return self.inner(x)  # type: ignore[no-any-return]


@pytest.mark.parametrize("step", [0, 3, 4, 9, 33])
def test_an_attempt_that_died_in_any_epoch_is_gone_on_with(tmp_path: Path, step: int) -> None:
    def breaking(calls: int) -> nn.Module:
        return Breaks(small(), calls)

    straight = train(lambda: breaking(1000), DATA, RECIPE, Context(seed=7))
    with pytest.raises(Killed):
        train(lambda: breaking(step), DATA, RECIPE, Context(seed=7, folder=tmp_path))
    resumed = train(lambda: breaking(1000), DATA, RECIPE, Context(seed=7, folder=tmp_path))
    assert same(straight, resumed)


SCRIPT = """
import sys, os, signal, pathlib
sys.path.insert(0, sys.argv[1])
import test_fit
def log(epoch, metrics):
    if epoch == 5:
        os.kill(os.getpid(), signal.SIGKILL)
test_fit.run(test_fit.Context(seed=7, folder=pathlib.Path(sys.argv[2]), log=log))
"""


def test_after_a_real_kill_the_result_is_the_same(tmp_path: Path) -> None:
    arguments = [sys.executable, "-c", SCRIPT, str(Path(__file__).parent), str(tmp_path)]
    killed = subprocess.run(arguments, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert (tmp_path / CHECKPOINT).exists()
    assert same(STRAIGHT, run(Context(seed=7, folder=tmp_path)))


@pytest.mark.parametrize("damaged", [[CHECKPOINT], [CHECKPOINT, PREVIOUS]])
def test_a_corrupt_checkpoint_costs_time_and_changes_nothing(tmp_path: Path, damaged: list[str]) -> None:
    run(Context(seed=7, folder=tmp_path), 5)
    for name in damaged:
        content = bytearray((tmp_path / name).read_bytes())
        content[len(content) // 2] ^= 255
        (tmp_path / name).write_bytes(content)
    logged: list[float] = []
    again = run(Context(seed=7, folder=tmp_path, log=lambda epoch, _: logged.append(epoch)))
    assert same(STRAIGHT, again)
    assert list(range(5 if len(damaged) == 1 else 1, 10)) == logged


def test_a_finished_training_is_not_repeated(tmp_path: Path) -> None:
    run(Context(seed=7, folder=tmp_path))

    def log(epoch: float, metrics: Mapping[str, float]) -> None:
        raise AssertionError("trained again")

    assert same(STRAIGHT, run(Context(seed=7, folder=tmp_path, log=log)))


def test_seconds_are_the_trials_own_over_all_its_attempts(tmp_path: Path) -> None:
    first = run(Context(seed=7, folder=tmp_path / "a"), 3)[1].seconds
    assert run(Context(seed=7, folder=tmp_path / "a"), 4)[1].seconds > first > 0
    assert run(Context(seed=7, warm_start=tmp_path / "a"), 4)[1].seconds == 0


def test_an_own_checkpoint_of_another_network_or_number_of_images_is_refused_in_one_line(tmp_path: Path) -> None:
    run(Context(seed=7, folder=tmp_path), 1)
    context = Context(seed=7, folder=tmp_path)
    with pytest.raises(MorphogenError, match="of another network or optimizer") as caught:
        train(lambda: nn.Sequential(nn.Flatten(), nn.Linear(36, 2)), DATA, RECIPE, context)
    assert "\n" not in str(caught.value)
    with pytest.raises(MorphogenError, match="trained on 60 images and it trains on 30 images"):
        run(context, images=30)


def test_on_other_images_training_starts_again_from_the_weights_of_the_trial_before(tmp_path: Path) -> None:
    before, _ = run(Context(seed=7, folder=tmp_path), 2, images=30)
    network, fitted = run(Context(seed=7, warm_start=tmp_path), 1)
    assert (1, 60, 1.0) == (fitted.epochs, fitted.images, fitted.inherited)
    assert 1 == len(fitted.curves["accuracy"])
    _, anew = run(Context(seed=7), 1)
    assert anew.curves["train_loss"] != fitted.curves["train_loss"]
    assert not torch.equal(before.state_dict()["0.weight"], network.state_dict()["0.weight"])


def test_of_another_network_the_weights_that_fit_are_taken(tmp_path: Path) -> None:
    def wider() -> nn.Module:
        layers = list(small().children())
        layers[0], layers[1] = nn.Conv2d(1, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)
        layers[-1] = nn.Linear(8 * 36, 2)
        return nn.Sequential(*layers[:3], nn.Conv2d(8, 8, 1), *layers[3:])

    run(Context(seed=7, folder=tmp_path), 2)
    _, fitted = train(wider, DATA, RECIPE, Context(seed=7, warm_start=tmp_path), epochs=1)
    assert 1 == fitted.epochs
    assert 0 < fitted.inherited < 1


def test_images_are_resized_and_augmentation_with_them(tmp_path: Path) -> None:
    def tiny() -> nn.Module:
        return nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(8 * 9, 2))

    _, fitted = train(tiny, DATA, RECIPE, Context(seed=7), image_size=(3, 3))
    assert fitted.metrics["accuracy"] > 0.9
    assert (3, 3) == fitted.image_size
    _, one = train(tiny, DATA, RECIPE, Context(seed=7, folder=tmp_path), epochs=4, image_size=(3, 3))
    _, two = train(tiny, DATA, RECIPE, Context(seed=7, warm_start=tmp_path), image_size=(3, 3))
    assert fitted.curves == two.curves
    assert one.epochs == 4


class Hungry(nn.Module):
    """Has memory for so many images."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self.room = room

    def forward(self, x: Tensor) -> Tensor:
        if self.training and len(x) > self.room:
            raise RuntimeError(
                "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 byte"
            )
        return x


def test_where_memory_is_not_enough_batches_are_halved_once_and_gradients_added_up(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def linear(room: int) -> nn.Module:
        return nn.Sequential(Hungry(room), nn.Flatten(), nn.Linear(36, 2))

    whole, fitted = train(lambda: linear(16), DATA, RECIPE, Context(seed=7), epochs=2)
    assert 1 == fitted.pieces
    halved, fitted = train(lambda: linear(8), DATA, RECIPE, Context(seed=7), epochs=2)
    assert 2 == fitted.pieces
    assert [(1.0, 2.0), (2.0, 2.0)] == fitted.curves["pieces"]
    assert 1 == len(caplog.records)
    assert "gradients of two halves" in caplog.text
    for a, b in zip(whole.parameters(), halved.parameters(), strict=True):
        assert torch.allclose(a, b, atol=1e-5)
    with pytest.raises(RuntimeError, match="can't allocate"):
        train(lambda: linear(4), DATA, RECIPE, Context(seed=7), epochs=2)


def test_a_deadline_ends_training_between_epochs_with_what_there_is() -> None:
    _, late = run(Context(seed=7, deadline=time.monotonic()))
    assert late.epochs == 1
    assert STRAIGHT[1].curves["accuracy"][:1] == late.curves["accuracy"]
    assert {"accuracy", "loss"} == set(late.metrics)
    assert run(Context(seed=7, deadline=time.monotonic() + 1000))[1].epochs == 9


def test_every_epoch_is_logged_once_as_it_ends(tmp_path: Path) -> None:
    logged: list[tuple[float, Mapping[str, float]]] = []
    _, fitted = run(Context(seed=7, log=lambda step, metrics: logged.append((step, metrics))), 3)
    assert [step for step, _ in logged] == [1, 2, 3]
    assert fitted.curves == {name: [(float(s), m[name]) for s, m in logged] for name in logged[0][1]}


class Spoils(nn.Module):
    """A network whose output is spoiled from some training step on."""

    def __init__(self, calls: int, value: float) -> None:
        super().__init__()
        self.inner, self.calls, self.value = small(), calls, value

    def forward(self, x: Tensor) -> Tensor:
        self.calls -= self.training
        return self.inner(x) + (self.value if self.calls < 0 else 0.0)  # type: ignore[no-any-return]


@pytest.mark.parametrize(("value", "kind"), [(math.nan, "NaN"), (math.inf, "NaN")])
def test_a_loss_that_is_not_finite_is_an_error_with_its_place(value: float, kind: str) -> None:
    # 60 images in batches of 15: 4 steps an epoch
    with pytest.raises(
        MorphogenError, match=f"the loss became {kind} in epoch 3 step 2; a lower learning rate"
    ) as caught:
        train(lambda: Spoils(9, value), DATA, RECIPE, Context(seed=7))
    assert "\n" not in str(caught.value)


def test_a_learning_rate_that_is_far_too_high_is_told() -> None:
    with pytest.raises(MorphogenError, match="lower learning rate"):
        run(Context(seed=7), recipe=replace(RECIPE, lr=1e30, clip=None, warmup=0.0))


class Two(nn.Module):
    """A network with an auxiliary head in training, and a branch that depends on values."""

    def __init__(self) -> None:
        super().__init__()
        self.flat, self.head, self.auxiliary = nn.Flatten(), nn.Linear(36, 2), nn.Linear(36, 2)

    def forward(self, x: Tensor) -> Any:
        x = self.flat(x)
        x = x * 2 if x.sum() > 0 else x
        return (self.head(x), self.auxiliary(x)) if self.training else self.head(x)


def test_an_auxiliary_head_is_trained_by_its_weight() -> None:
    def moved(weight: float) -> bool:
        network, _ = train(
            Two, DATA, replace(RECIPE, auxiliary_weight=weight, weight_decay=0.0), Context(seed=0), epochs=1
        )
        fresh, _ = train(Two, DATA, RECIPE, Context(seed=0), epochs=0)
        return not torch.equal(network.auxiliary.weight, fresh.auxiliary.weight)  # type: ignore[union-attr,arg-type]

    assert moved(0.4)
    assert not moved(0.0)


def test_drop_path_follows_the_full_horizon() -> None:
    network, _ = run(Context(seed=7), 4)
    assert network[3].progress == 3 / 9  # type: ignore[index]


def test_learning_rates_follow_the_full_horizon() -> None:
    _, fitted = run(Context(seed=7), 4)
    assert STRAIGHT[1].curves["lr"][:4] == fitted.curves["lr"]
    assert STRAIGHT[1].curves["lr"][-1][1] < 0.01 < fitted.curves["lr"][-1][1]


def test_fewer_images_are_the_first_of_a_fixed_permutation() -> None:
    assert run(Context(seed=7), 1, images=30)[1].images == 30


def test_a_recipes_augmentation_replaces_that_of_the_data() -> None:
    plain = run(Context(seed=7), recipe=replace(RECIPE, augment=Augment()))
    assert not same(STRAIGHT, plain)
    assert same(STRAIGHT, run(Context(seed=7), recipe=replace(RECIPE, augment=DATA.augment)))


def test_weights_are_in_channels_last() -> None:
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Conv2d(4, 4, 3), nn.Flatten(), nn.Linear(16, 2))
    fit(network, DATA, RECIPE, Context(seed=0), epochs=1)
    assert network[1].weight.is_contiguous(memory_format=torch.channels_last)  # type: ignore[operator,union-attr]


def test_evaluation_leaves_the_network_as_it_was() -> None:
    network = small().train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    first = evaluate(network, DATA, DATA.valid)
    assert first == evaluate(network, DATA, DATA.valid)
    assert network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
