"""The training estimator, on a space of two decisions and images of two halves."""

import math
import pickle
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from morphogen.estimators import Training
from morphogen.nn.mixed import MixedOp
from morphogen.protocols import Context
from morphogen.space import Architecture, Choice, Space
from morphogen.spaces.skeleton import Skeleton
from morphogen.training.augment import Augment
from morphogen.training.data import Data
from morphogen.training.fit import evaluate
from morphogen.training.recipe import Recipe, recipe_for
from morphogen.trial import Proposal


class Broken(nn.Module):
    """An operation that cannot be built, as somebody's own may be."""

    def __init__(self) -> None:
        super().__init__()
        raise KeyError("no such layer\nand more")


class Nan(nn.Module):
    """An operation that diverges."""

    def forward(self, x: Tensor) -> Tensor:
        return x * math.nan


class Branch(nn.Module):
    """An operation with a branch that depends on values."""

    def forward(self, x: Tensor) -> Tensor:
        return x * 2 if x.sum() > 0 else x


class Huge(nn.Module):
    """An operation with more weights than any memory holds."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(2**50))


def operation(name: str) -> nn.Module:
    if name.startswith("conv"):
        size = int(name[-1])
        return nn.Sequential(nn.Conv2d(1, 4, size, padding=size // 2, bias=False), nn.BatchNorm2d(4), nn.ReLU())
    return {"broken": Broken, "nan": Nan, "branch": Branch, "huge": Huge, "skip": nn.Identity}[name]()


class Network(nn.Module):
    """One operation, dropout, a linear head."""

    def __init__(self, space: Space, skeleton: Skeleton) -> None:
        super().__init__()
        channels, height, width = skeleton.image
        self.op = MixedOp(space["op"], operation)
        features = (4 if space["op"].options[0].startswith("conv") else channels) * height * width
        self.head = nn.Sequential(nn.Flatten(), nn.Dropout(0.1), nn.Linear(features, skeleton.classes))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.op(x))  # type: ignore[no-any-return]


OPERATIONS = ("conv1", "conv3", "skip", "broken", "nan", "branch", "huge")
SPACE = Space((Choice("op", OPERATIONS),), network=Network, name="tiny")
RECIPE = Recipe(epochs=6, batch_size=16, lr=0.05)


def problem() -> Data:
    """Which half is brighter."""
    rng = np.random.default_rng(0)
    y = np.arange(100) % 2
    x = rng.integers(0, 150, (100, 6, 6))
    x[y == 0, :, :3] += 100
    x[y == 1, :, 3:] += 100
    return Data.from_arrays(x, y, name="halves", augment=Augment(shift=1))


DATA = problem()
JUDGE = Training(SPACE, DATA, RECIPE)


def architecture(op: str, space: Space = SPACE, **more: str) -> Architecture:
    return space.architecture({"op": op, **more})


def test_it_gives_accuracy_loss_parameters_and_multiply_adds() -> None:
    outcome = JUDGE(Proposal(architecture("conv3")), Context(seed=3))
    assert outcome.error is None
    assert {"accuracy", "loss", "params", "macs"} == set(outcome.metrics)
    assert outcome.metrics["accuracy"] > 0.9
    assert outcome.metrics["params"] == 36 + 8 + 4 * 36 * 2 + 2
    assert outcome.metrics["macs"] == 36 * 36 + 4 * 36 * 2
    assert len(outcome.curves["accuracy"]) == 6
    assert outcome.curves["accuracy"][-1] == (6.0, outcome.metrics["accuracy"])
    assert outcome.seconds > 0


def test_an_outcome_is_a_function_of_proposal_and_seed() -> None:
    a, b, c = (JUDGE(Proposal(architecture("conv1")), Context(seed=seed)) for seed in (3, 3, 4))
    assert (a.metrics, a.curves) == (b.metrics, b.curves)
    assert a.curves != c.curves


def test_it_pickles_and_judges_the_same_in_small(tmp_path: Path) -> None:
    saved = Training(SPACE, DATA.save(tmp_path), RECIPE)
    saved.cost(Proposal(architecture("skip")))
    content = pickle.dumps(saved)
    assert len(content) < 6000
    proposal, context = Proposal(architecture("skip"), {"epochs": 1}), Context(seed=0)
    assert JUDGE(proposal, context).metrics == pickle.loads(content)(proposal, context).metrics


def test_two_rungs_are_one_straight_training(tmp_path: Path) -> None:
    straight = JUDGE(Proposal(architecture("conv3")), Context(seed=3))
    low = JUDGE(Proposal(architecture("conv3"), {"epochs": 2}), Context(seed=3, folder=tmp_path / "0"))
    context = Context(seed=3, folder=tmp_path / "1", warm_start=tmp_path / "0")
    high = JUDGE(Proposal(architecture("conv3"), warm_start=0), context)
    assert (straight.metrics, straight.curves) == (high.metrics, high.curves)
    assert straight.curves["accuracy"][:2] == low.curves["accuracy"]


def test_weights_stay_in_the_folder_after_the_full_horizon(tmp_path: Path) -> None:
    JUDGE(Proposal(architecture("conv3"), {"epochs": 2}), Context(seed=3, folder=tmp_path))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["checkpoint.previous.pt", "checkpoint.pt", "lineage.json"]
    outcome = JUDGE(Proposal(architecture("conv3")), Context(seed=3, folder=tmp_path))
    network = JUDGE._build(architecture("conv3"), JUDGE.skeleton)
    network.load_state_dict(safetensors.torch.load_file(tmp_path / "weights.safetensors"))
    assert outcome.metrics["accuracy"] == evaluate(network, DATA, DATA.valid)["accuracy"]


def test_fewer_images_can_be_asked_for() -> None:
    few = JUDGE(Proposal(architecture("skip"), {"epochs": 2, "images": 20}), Context(seed=0))
    assert few.metrics != JUDGE(Proposal(architecture("skip"), {"epochs": 2}), Context(seed=0)).metrics


@pytest.mark.parametrize(
    ("fidelity", "message"),
    [
        ({"width": 4}, "no fidelity axis 'width'; it has epochs, images, image_size, channels, cells"),
        ({"image_size": 7}, "image_size=7: it must be a whole number from 1 to 6"),
        ({"epochs": 7}, "epochs=7: it must be a whole number from 1 to 6"),
        ({"epochs": 2.5}, "epochs=2.5: it must be a whole number"),
        ({"images": 0}, "images=0: it must be a whole number from 1 to 60"),
    ],
)
def test_other_fidelities_are_refused_before_anything_runs(fidelity: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        JUDGE.cost(Proposal(architecture("skip"), fidelity))
    with pytest.raises(ValueError, match=message):
        JUDGE(Proposal(architecture("skip"), fidelity), Context(seed=0))


def test_a_whole_space_is_refused() -> None:
    with pytest.raises(ValueError, match="trains one architecture"):
        JUDGE.cost(Proposal(None))


def test_cost_is_epochs_times_images_times_multiply_adds() -> None:
    macs = 36 * 36 + 4 * 36 * 2
    assert 6 * macs == JUDGE.cost(Proposal(architecture("conv3")))
    assert 3 * macs == JUDGE.cost(Proposal(architecture("conv3"), {"epochs": 3}))
    assert 2 * macs == JUDGE.cost(Proposal(architecture("conv3"), {"images": 20}))


def test_pricing_draws_nothing_and_what_cannot_be_priced_costs_its_epochs() -> None:
    before = torch.get_rng_state()
    fresh = Training(SPACE, DATA, RECIPE)
    assert fresh.cost(Proposal(architecture("broken"))) == 6
    assert fresh.cost(Proposal(architecture("branch"), {"epochs": 4})) == 4
    fresh.cost(Proposal(architecture("conv3")))
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(
    ("op", "reason"),
    [
        ("broken", "the network cannot be built: KeyError: 'no such layer"),
        ("nan", "the loss became NaN in epoch 1 step 1; a lower learning rate"),
        ("huge", "the network does not fit in memory: "),
    ],
)
def test_a_network_that_does_not_work_is_a_failed_trial_with_its_reason(op: str, reason: str) -> None:
    outcome = JUDGE(Proposal(architecture(op)), Context(seed=0))
    assert outcome.error is not None
    assert outcome.error.splitlines()[0].startswith(reason)
    assert outcome.metrics == {}


def test_what_could_not_be_built_keeps_its_traceback() -> None:
    error = JUDGE(Proposal(architecture("broken")), Context(seed=0)).error
    assert error is not None
    assert "Traceback" in error
    assert "Broken" in error or "raise KeyError" in error


def test_other_errors_are_not_swallowed() -> None:
    class Cuts:
        def __getattr__(self, name: str) -> Any:
            raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        Training(SPACE, DATA, RECIPE)(Proposal(architecture("skip")), Context(seed=0, log=lambda *_: Cuts().x))


def test_a_branch_that_depends_on_values_trains() -> None:
    outcome = JUDGE(Proposal(architecture("branch")), Context(seed=0))
    assert outcome.error is None
    assert outcome.metrics["accuracy"] > 0.9
    assert outcome.metrics["params"] == 74
    assert "macs" not in outcome.metrics


def test_a_deadline_gives_the_outcome_so_far() -> None:
    outcome = JUDGE(Proposal(architecture("skip")), Context(seed=0, deadline=time.monotonic()))
    assert outcome.error is None
    assert len(outcome.curves["accuracy"]) == 1


def test_recipe_and_skeleton_are_those_of_the_data_unless_given() -> None:
    default = Training(SPACE, DATA)
    assert recipe_for(DATA) == default.recipe
    assert Skeleton(image=(1, 6, 6), classes=2) == default.skeleton
    presets = {"final": Skeleton(channels=8), "search": Skeleton(channels=4)}
    space = Space(SPACE.choices, network=Network, skeletons=presets)
    assert Skeleton((1, 6, 6), 2, channels=4) == Training(space, DATA).skeleton
    assert Skeleton((1, 6, 6), 2, channels=8) == Training(space, DATA, skeleton="final").skeleton
    assert Skeleton((1, 6, 6), 2, channels=5) == Training(space, DATA, skeleton=Skeleton(channels=5)).skeleton


def test_hyperparameters_of_the_space_replace_numbers_of_the_recipe() -> None:
    choices = (
        Choice("train/lr", ("0.001", "0.05"), ordered=True),
        Choice("train/batch_size", ("8", "16"), ordered=True),
    )
    space = SPACE | Space(choices)
    judge = Training(space, DATA, RECIPE)
    same = architecture("skip", space, **{"train/lr": "0.05", "train/batch_size": "16"})
    slow = architecture("skip", space, **{"train/lr": "0.001", "train/batch_size": "16"})
    expected = JUDGE(Proposal(architecture("skip")), Context(seed=0))
    assert expected.metrics == judge(Proposal(same), Context(seed=0)).metrics
    assert judge(Proposal(slow), Context(seed=0)).metrics["loss"] > expected.metrics["loss"]


def test_a_hyperparameter_that_nothing_reads_is_refused() -> None:
    with pytest.raises(ValueError, match=r"nothing reads choice 'train/lrr'; training reads one option of .*train/lr"):
        Training(SPACE | Space((Choice("train/lrr", ("0.1", "0.2")),)), DATA)


def test_what_was_priced_is_not_counted_again_in_another_process(monkeypatch: pytest.MonkeyPatch) -> None:
    judge = Training(SPACE, DATA, RECIPE)
    cost = judge.cost(Proposal(architecture("conv3")))
    copy = pickle.loads(pickle.dumps(judge))

    def refuse(*arguments: object) -> None:
        raise AssertionError("counted again")

    monkeypatch.setattr("morphogen.estimators.training.complexity", refuse)
    assert cost == copy.cost(Proposal(architecture("conv3")))
    assert "macs" in copy(Proposal(architecture("conv3"), {"epochs": 1}), Context(seed=0)).metrics


def trained_in(
    folder: Path, op: str, warm_start: Path | None = None, epochs: int | None = None, judge: Training = JUDGE
) -> Any:
    fidelity = {} if epochs is None else {"epochs": float(epochs)}
    proposal = Proposal(architecture(op), fidelity, warm_start=None if warm_start is None else 0)
    return judge(proposal, Context(seed=3, folder=folder, warm_start=warm_start))


def test_a_larger_kernel_begins_with_the_weights_of_the_smaller_one_and_is_the_same_function(tmp_path: Path) -> None:
    trained_in(tmp_path / "0", "conv1")
    child = trained_in(tmp_path / "1", "conv3", tmp_path / "0")
    fresh = JUDGE(Proposal(architecture("conv3")), Context(seed=3))
    assert 1 == child.metrics["preserved"]
    assert 0.5 < child.metrics["inherited"] < 1
    assert child.curves["train_loss"][0][1] < fresh.curves["train_loss"][0][1]
    assert 6 == len(child.curves["accuracy"])


def test_another_function_inherits_what_fits_and_says_so(tmp_path: Path) -> None:
    trained_in(tmp_path / "0", "conv3")
    child = trained_in(tmp_path / "1", "conv1", tmp_path / "0")
    assert (0, 1) == (child.metrics["preserved"], child.metrics["inherited"])
    other = trained_in(tmp_path / "2", "skip", tmp_path / "0")
    assert other.metrics["preserved"] == 0


def test_after_the_last_epoch_the_same_network_trains_again_from_its_weights(tmp_path: Path) -> None:
    first = trained_in(tmp_path / "0", "conv3")
    again = trained_in(tmp_path / "1", "conv3", tmp_path / "0")
    assert (1, 1) == (again.metrics["preserved"], again.metrics["inherited"])
    assert first.curves["lr"] == again.curves["lr"]
    assert again.curves["train_loss"][-1][1] < first.curves["train_loss"][-1][1]


def test_a_child_that_was_interrupted_goes_on_as_if_it_had_not_been(tmp_path: Path) -> None:
    trained_in(tmp_path / "0", "conv1")
    straight = trained_in(tmp_path / "1", "conv3", tmp_path / "0")
    trained_in(tmp_path / "2", "conv3", tmp_path / "0", epochs=2)
    in_the_same_folder = trained_in(tmp_path / "2", "conv3", tmp_path / "0")
    assert (straight.metrics, straight.curves) == (in_the_same_folder.metrics, in_the_same_folder.curves)


def test_two_rungs_of_a_child_are_one_straight_training(tmp_path: Path) -> None:
    trained_in(tmp_path / "0", "conv1")
    straight = trained_in(tmp_path / "1", "conv3", tmp_path / "0")
    trained_in(tmp_path / "2", "conv3", tmp_path / "0", epochs=2)
    high = trained_in(tmp_path / "3", "conv3", tmp_path / "2")
    assert straight.curves == high.curves
    assert "inherited" not in high.metrics


def test_only_new_weights_are_warmed_up_also_over_two_rungs(tmp_path: Path) -> None:
    judge = Training(SPACE, DATA, replace(RECIPE, warmup=4.0))
    first = trained_in(tmp_path / "0", "conv1", judge=judge)
    straight = trained_in(tmp_path / "1", "conv3", tmp_path / "0", judge=judge)
    assert first.curves["lr"][0][1] < RECIPE.lr / 2
    assert straight.curves["lr"] == trained_in(tmp_path / "2", "conv3").curves["lr"]
    trained_in(tmp_path / "3", "conv3", tmp_path / "0", epochs=2, judge=judge)
    high = trained_in(tmp_path / "4", "conv3", tmp_path / "3", judge=judge)
    assert straight.curves == high.curves
    gone = trained_in(tmp_path / "5", "conv1", tmp_path / "missing", judge=judge)
    assert first.curves == gone.curves


def test_where_the_weights_are_gone_training_begins_anew(tmp_path: Path) -> None:
    child = trained_in(tmp_path / "1", "conv3", tmp_path / "0")
    assert child.metrics == JUDGE(Proposal(architecture("conv3")), Context(seed=3)).metrics
