"""The splits of a data set, and how one is cut into them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

__all__ = ["SPLITS", "cut"]

SPLITS = ("train", "valid", "test")


def cut(labels: np.ndarray[Any, Any], shares: Sequence[float], seed: int) -> list[np.ndarray[Any, Any]]:
    """Indices of what stays and of each share, every class alike, in random order."""
    rng = np.random.default_rng(seed)
    parts: list[list[np.ndarray[Any, Any]]] = [[] for _ in range(len(shares) + 1)]
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        ends = np.round(np.cumsum(shares) * len(members)).astype(int)
        *cut, rest = np.split(members, ends)
        for part, indices in zip(parts, (rest, *cut), strict=True):
            part.append(indices)
    return [rng.permutation(np.concatenate(part)) for part in parts]
