"""How much of a full training is wanted: epochs, images, smaller images, fewer channels, fewer cells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, is_dataclass, replace
from typing import Any, final

from morphogen.training.data import Data
from morphogen.trial import Fidelity

__all__ = ["Amounts", "full_amounts"]

SKELETON = ("channels", "cells")
"""Axes that are numbers of the skeleton (F and N of the papers), where it has them."""


def full_amounts(epochs: int, data: Data, skeleton: Any) -> dict[str, int]:
    """Every axis of a training with its full amount.

    `image_size` is the height of an image; the width follows. `channels` and `cells` are there where the skeleton has them.
    """
    full = {"epochs": epochs, "images": len(data.train), "image_size": data.image[1]}
    for axis in SKELETON:
        if type(amount := getattr(skeleton, axis, None)) is int:
            full[axis] = amount
    return full


@final
@dataclass(frozen=True)
class Amounts:
    """What a proposal asks of a training.

    Args:
        epochs: Up to which epoch of the horizon.
        images: Of the training split, the first of a fixed permutation.
        image_size: Height and width, where they are other than the data's.
        skeleton: The hand-made rest, in the asked size.
        reduced: Whether the network is another one than that of full fidelity.
    """

    epochs: int
    images: int
    image_size: tuple[int, int] | None
    skeleton: Any
    reduced: bool

    @staticmethod
    def of(fidelity: Fidelity, full: Mapping[str, int], data: Data, skeleton: Any) -> Amounts:
        """Read a fidelity.

        Raises:
            ValueError: An unknown axis, an amount that there is not, or a skeleton that cannot be so small.
        """
        if unknown := sorted(set(fidelity) - set(full)):
            raise ValueError(f"Training has no fidelity axis '{unknown[0]}'; it has {', '.join(full)}")
        amount = {axis: _amount(fidelity, axis, most) for axis, most in full.items()}
        channels, height, width = data.image
        smaller = amount["image_size"] < height
        size = (amount["image_size"], max(1, round(width * amount["image_size"] / height)))
        changed: dict[str, Any] = {axis: amount[axis] for axis in SKELETON if amount.get(axis) != full.get(axis)}
        if smaller and is_dataclass(skeleton) and hasattr(skeleton, "image"):
            changed["image"] = (channels, *size)
        return Amounts(
            amount["epochs"],
            amount["images"],
            size if smaller else None,
            replace(skeleton, **changed) if changed else skeleton,
            bool(changed) or smaller,
        )


def _amount(fidelity: Fidelity, axis: str, most: int) -> int:
    amount = fidelity.get(axis, most)
    if amount != int(amount) or not 1 <= amount <= most:
        raise ValueError(f"fidelity {axis}={amount:g}: it must be a whole number from 1 to {most}, the full amount")
    return int(amount)
