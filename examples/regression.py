"""Numbers for an image: where is the middle of the ink of a handwritten digit?

    cd examples && morphogen search --data regression:data --trials 8 --set training.epochs=4

What is sought is the task's first metric, `mae`: the mean absolute error, here in standard deviations of the training
split. The augmentation of digits shifts images, which would move their middle: it is left out.
"""

from __future__ import annotations

import numpy as np

from morphogen.training.augment import Augment
from morphogen.training.data import Data
from morphogen.training.data import data as find_data
from morphogen.training.task import Regression


def data() -> Data:
    """Digits with the row and the column of the middle of their ink, `(N, 2)`; the splits are those of digits."""
    digits = find_data("digits")
    parts = {"train": digits.train, "valid": digits.valid, "test": digits.open_test()}
    middles = {split: _middle(images.images.double().numpy()[:, 0]) for split, images in parts.items()}
    mean, deviation = middles["train"].mean(axis=0), middles["train"].std(axis=0)
    arrays = {}
    for split, images in parts.items():
        arrays[f"x_{split}"] = images.images
        arrays[f"y_{split}"] = (middles[split] - mean) / deviation
    return Data.from_arrays(
        **arrays, name="digits-middle", class_names=("row", "column"), augment=Augment(), task=Regression()
    )


def _middle(ink: np.ndarray) -> np.ndarray:
    total = ink.sum(axis=(1, 2))
    rows = (ink.sum(axis=2) * np.arange(ink.shape[1])).sum(axis=1) / total
    columns = (ink.sum(axis=1) * np.arange(ink.shape[2])).sum(axis=1) / total
    return np.stack([rows, columns], axis=1)
