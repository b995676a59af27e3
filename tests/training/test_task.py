"""Classification as a task."""

import pytest
import torch
from torch.nn import functional

from morphogen.training.task import Classification

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
