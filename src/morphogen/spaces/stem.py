"""What is in front of the cells, where a paper trains on small images only."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from morphogen.spaces.skeleton import Skeleton

__all__ = ["stem"]


def stem(skeleton: Skeleton, c: int, norm: Callable[[int], nn.Module]) -> tuple[nn.Sequential, tuple[int, int]]:
    """A 3x3 convolution and its norm; or, as `imagenet`, three of stride 2 with ReLU between them, as in DARTS.

    **Differs**: ENAS and the NAS-Benches have no network for large images. Theirs would run at the full resolution;
    this is what takes their cells there.

    Args:
        skeleton: Image and stem.
        c: Channels of what it gives.
        norm: Makes the norm of so many channels.

    Returns:
        The stem, and the height and width of what it gives.
    """
    c_in, height, width = skeleton.image
    if skeleton.stem == "cifar":
        return nn.Sequential(nn.Conv2d(c_in, c, 3, padding=1, bias=False), norm(c)), (height, width)
    layers: list[nn.Module] = []
    for c_out in (max(c // 2, 1), c, c):
        layers += [nn.ReLU()] if layers else []
        layers += [nn.Conv2d(c_in, c_out, 3, stride=2, padding=1, bias=False), norm(c_out)]
        c_in, height, width = c_out, -(-height // 2), -(-width // 2)
    return nn.Sequential(*layers), (height, width)
