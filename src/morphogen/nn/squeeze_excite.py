"""Squeeze-and-excite: channels that are weighted by what is seen in all of the image."""

from __future__ import annotations

from typing import final

from torch import Tensor, nn

from morphogen.nn.elastic import ElasticConv2d
from morphogen.nn.mixture import Mixture, run
from morphogen.nn.sizes import Product, Size

__all__ = ["SqueezeExcite"]


@final
class SqueezeExcite(nn.Module):
    """Averages over the image, two 1x1 convolutions, and a hard sigmoid that multiplies each channel.

    Hu et al. 2018 (arXiv:1709.01507); as in Howard et al. 2019, "MobileNetV3" (arXiv:1905.02244), section 5.3: a
    quarter of the channels between the two, rounded to a multiple of 8.

    Args:
        channels: As of its input; may be a choice.
    """

    def __init__(self, channels: Size) -> None:
        super().__init__()
        middle = Product(channels.factors if isinstance(channels, Product) else (channels,), divisor=4, multiple=8)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.reduce, self.expand = ElasticConv2d(channels, middle, 1), ElasticConv2d(middle, channels, 1)
        self.relu, self.gate = nn.ReLU(), nn.ReLU6()

    def forward(self, x: Tensor, mixture: Mixture | None = None) -> Tensor:
        """`[B, C, H, W]` -> the same shape."""
        y = self.relu(run(self.reduce, self.pool(x), mixture))
        # the hard sigmoid, written out: torch cannot differentiate its own twice
        weight: Tensor = self.gate(run(self.expand, y, mixture) + 3) / 6
        return x * weight
