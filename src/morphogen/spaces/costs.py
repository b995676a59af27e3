"""What the architectures of a published space cost in one of its skeletons, where that adds up; see `nn.costs`."""

from __future__ import annotations

import math
from typing import Any

from morphogen.limits import Cost
from morphogen.nn import costs as additive
from morphogen.nn.network import network
from morphogen.space import Space

__all__ = ["costs", "limited"]


def costs(space: Space, skeleton: Any = None) -> dict[str, Cost]:
    """`params` and `macs` of every architecture, as sums of terms of a few picks each; exact.

    Args:
        space: Of `mobilenet`, `pnas` or `vit`, or another whose costs add up.
        skeleton: By default the space's preset `search`.

    Raises:
        ValueError: They do not add up.
    """
    skeleton = space.skeletons["search"] if skeleton is None else skeleton
    return additive.costs(space, lambda some: network(some, skeleton), skeleton.image)


def limited(space: Space, skeleton: Any = None, *, params: float = math.inf, macs: float = math.inf) -> Space:
    """The space without the architectures that have more parameters or multiply-adds in a skeleton.

    Args:
        space: As for `costs`.
        skeleton: Likewise.
        params: At most.
        macs: Multiply-adds for one image, at most.

    Raises:
        ValueError: They do not add up, or no architecture is within the limits.
    """
    skeleton = space.skeletons["search"] if skeleton is None else skeleton
    return additive.limited(space, lambda some: network(some, skeleton), skeleton.image, params=params, macs=macs)
