"""The embedded default: scikit-learn's handwritten digits."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from morphogen.training.augment import Augment
from morphogen.training.dataset import Data

__all__ = ["digits"]


def digits(root: Path, split_seed: int, download: bool) -> Data:
    """1797 digits of 8x8 pixels, split 60/20/20, every class alike; nothing is read from `root` or fetched.

    Alpaydin and Kaynak 1998, "Optical Recognition of Handwritten Digits" (UCI), its test part, with writers unknown: so
    images of one writer are in several splits.
    """
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    # 17 shades, 0 to 16
    pixels = np.round(images.reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)
    return Data.from_arrays(
        pixels, labels.astype(np.int64), name="digits", augment=Augment(shift=1), split_seed=split_seed
    )
