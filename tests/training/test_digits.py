"""The embedded data set."""

import torch

from morphogen.training.augment import Augment
from morphogen.training.data import data


def test_digits_are_split_60_20_20_every_class_alike() -> None:
    digits = data("digits")
    splits = digits.train, digits.valid, digits.open_test()
    assert sum(map(len, splits)) == 1797
    assert (digits.image, digits.classes) == ((1, 8, 8), 10)
    for split, share in zip(splits, (0.6, 0.2, 0.2), strict=True):
        assert abs(len(split) - 1797 * share) <= 5
        counts = torch.bincount(split.labels, minlength=10)
        assert int(counts.max() - counts.min()) <= 0.1 * len(split) / 10 + 1
    assert (int(digits.train.images.min()), int(digits.train.images.max())) == (0, 255)
    assert Augment(shift=1) == digits.augment
