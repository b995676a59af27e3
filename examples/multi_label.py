"""Several labels for an image: is a handwritten digit even, above four, does it have a loop?

    cd examples && morphogen search --data multi_label:data --trials 8 --set training.epochs=4

`accuracy` is the share of labels that are right, `exact` the share of images of which all three are.
"""

from __future__ import annotations

import numpy as np

from morphogen.training.data import Data
from morphogen.training.data import data as find_data
from morphogen.training.task import MultiLabel

QUESTIONS = ("even", "above-four", "loop")
LOOPS = (0, 4, 6, 8, 9)


def data() -> Data:
    """Digits with three answers each, `(N, 3)` of 0 and 1; the splits are those of digits."""
    digits = find_data("digits")
    parts = {"train": digits.train, "valid": digits.valid, "test": digits.open_test()}
    arrays = {}
    for split, images in parts.items():
        label = images.labels.numpy()
        arrays[f"x_{split}"] = images.images
        arrays[f"y_{split}"] = np.stack([label % 2 == 0, label > 4, np.isin(label, LOOPS)], axis=1)
    return Data.from_arrays(
        **arrays, name="digits-questions", class_names=QUESTIONS, augment=digits.augment, task=MultiLabel()
    )
