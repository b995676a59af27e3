"""Drop path: regularization of cells by leaving out operations at random."""

from __future__ import annotations

from typing import final

from torch import Tensor, nn

__all__ = ["DropPath", "advance"]


@final
class DropPath(nn.Module):
    """Drop the whole input of some images, and scale the others to keep the mean.

    The probability grows linearly over training: Zoph et al. 2018 (arXiv:1707.07012), ScheduledDropPath;
    Liu et al. 2019 (arXiv:1806.09055), appendix A.2. It starts at zero, and `advance` moves it.

    Args:
        final: The probability at the end of training.
    """

    def __init__(self, final: float) -> None:
        super().__init__()
        self.final = final
        self.progress = 0.0

    def forward(self, x: Tensor) -> Tensor:
        keep = 1.0 - self.final * self.progress
        if not self.training or keep == 1.0:
            return x
        return x * x.new_empty(x.shape[0], *[1] * (x.dim() - 1)).bernoulli_(keep).div_(keep)

    def extra_repr(self) -> str:
        return f"final={self.final}"


def advance(network: nn.Module, progress: float) -> None:
    """Say how much of the training is done, 0 to 1, to every drop path of a network."""
    for module in network.modules():
        if isinstance(module, DropPath):
            module.progress = progress
