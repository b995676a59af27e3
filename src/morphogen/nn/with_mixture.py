"""Blocks of several layers as options of a mixing module."""

from __future__ import annotations

from typing import final

from torch import Tensor, nn

from morphogen.nn.mixture import Mixing, Mixture

__all__ = ["WithMixture"]


@final
class WithMixture(Mixing):
    """Hands the mixture on to a module that contains mixing modules, and is none itself.

    A mixing module gives the mixture only to mixing modules. In an exported network, the module inside is a class of
    its own, and this is nothing.

    Args:
        module: Its `forward` takes a tensor and a mixture.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor, mixture: Mixture | None = None) -> Tensor:
        y: Tensor = self.module(x, self.bound if mixture is None else mixture)
        return y
