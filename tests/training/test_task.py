"""What networks are trained for."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from morphogen.protocols import Context
from morphogen.training.augment import Augment
from morphogen.training.data import Data
from morphogen.training.fit import train
from morphogen.training.recipe import Recipe
from morphogen.training.task import Classification, MultiLabel, Regression, Task

LOGITS = torch.tensor([[4.0, 0.0, 0.0], [0.0, 3.0, 0.0], [0.0, 2.0, 1.0]])
LABELS = torch.tensor([0, 1, 2])


def test_sums_divided_by_the_images_are_accuracy_and_cross_entropy() -> None:
    sums = Classification(0.1).sums(LOGITS, LABELS)
    assert int(sums["accuracy"]) == 2
    assert pytest.approx(float(functional.cross_entropy(LOGITS, LABELS))) == float(sums["loss"]) / 3


def test_smoothing_mixes_in_the_uniform_distribution() -> None:
    logs = LOGITS.log_softmax(1)
    expected = -(0.9 * logs[range(3), LABELS] + 0.1 * logs.mean(1)).mean()
    assert pytest.approx(float(expected)) == float(Classification(0.1).loss(LOGITS, LABELS))


def test_half_precision_logits_are_summed_in_full() -> None:
    assert torch.float32 == Classification().loss(LOGITS.bfloat16(), LABELS).dtype


def test_several_labels_are_counted_one_by_one_and_together() -> None:
    logits = torch.tensor([[2.0, -1.0], [1.0, 3.0]])
    target = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    sums = MultiLabel().sums(logits, target)
    assert 1.5 == float(sums["accuracy"])
    assert 1 == int(sums["exact"])
    assert pytest.approx(float(MultiLabel().loss(logits, target))) == float(sums["loss"]) / 2
    assert set(MultiLabel().metrics) == set(sums)


def test_numbers_are_off_by_the_mean_over_them() -> None:
    sums = Regression().sums(torch.tensor([[1.0, 2.0], [0.0, 0.0]]), torch.tensor([[0.0, 0.0], [0.0, 2.0]]))
    assert (2.5, 4.5) == (float(sums["mae"]), float(sums["loss"]))
    assert set(Regression().metrics) == set(sums)


@pytest.mark.parametrize(
    ("task", "values", "message"),
    [
        (MultiLabel(), [[0, 2]], "values from 0 to 2, expected 0 or 1"),
        (Regression(), [[0.0, float("nan")]], "NaN or infinite values, first for image 0"),
        (Regression(), [[0.0], [1.0]], "has 2 rows for 1 images"),
        (Regression(), [["a"]], "expected numbers"),
        (MultiLabel(), [[0, 1, 1]], "has 3 numbers for each image, expected 2"),
    ],
)
def test_targets_that_cannot_be_are_refused(task: Task, values: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        task.targets(np.array(values), "y", 1, 2)


PIXELS = np.random.default_rng(0).random((90, 4, 4)).astype(np.float32)
BRIGHT = np.stack([PIXELS[:, :2].mean((1, 2)), PIXELS[:, 2:].mean((1, 2))], axis=1)


@pytest.mark.parametrize("task", [MultiLabel(), Regression()])
def test_a_task_is_trained_and_comes_back_from_files(task: Task, tmp_path: Path) -> None:
    targets = BRIGHT > 0.5 if task == MultiLabel() else (BRIGHT - BRIGHT.mean(0)) / BRIGHT.std(0)
    made = Data.from_arrays(PIXELS, targets, name="bright", class_names=("top", "bottom"), task=task, augment=Augment())
    saved = made.save(tmp_path)
    assert task == saved.task
    assert (made.digest, 2) == (saved.digest, saved.classes)
    assert torch.equal(made.valid.labels, saved.valid.labels)
    recipe = Recipe(epochs=12, batch_size=16, lr=0.1)
    _, fitted = train(lambda: nn.Sequential(nn.Flatten(), nn.Linear(16, 2)), saved, recipe, Context(seed=0))
    first, last = (fitted.curves[task.metrics[0]][i][1] for i in (0, -1))
    assert set(task.metrics) == set(fitted.metrics)
    assert last > first if task == MultiLabel() else last < first / 2


def test_datasets_of_pytorch_may_give_several_numbers() -> None:
    pairs = [(torch.from_numpy(x[None]), torch.from_numpy(y)) for x, y in zip(PIXELS, BRIGHT, strict=True)]
    made = Data.from_datasets(pairs, task=Regression())  # type: ignore[arg-type]  # a list is a map-style dataset
    assert (2, Regression()) == (made.classes, made.task)
