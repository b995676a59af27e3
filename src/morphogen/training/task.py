"""What a network is trained for: a loss, and metrics of its output."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, final

from torch import Tensor
from torch.nn import functional

__all__ = ["Classification", "Task"]


class Task(Protocol):
    """A loss to fit and metrics to report."""

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        """The mean over a batch that training minimizes, a scalar."""
        ...

    def sums(self, output: Tensor, target: Tensor) -> Mapping[str, Tensor]:
        """Per metric, the sum over the images of a batch, a scalar; the mean over a split is what is reported."""
        ...


@final
@dataclass(frozen=True)
class Classification:
    """Cross entropy; `accuracy` and `loss`. Output: logits `(N, classes)`; target: labels `(N,)`.

    Args:
        label_smoothing: Share of the target spread evenly over the classes, in training only (Szegedy et al. 2016,
            arXiv:1512.00567, section 7). The `loss` that is reported is without it.
    """

    label_smoothing: float = 0.0

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        return functional.cross_entropy(output.float(), target, label_smoothing=self.label_smoothing)

    def sums(self, output: Tensor, target: Tensor) -> Mapping[str, Tensor]:
        loss = functional.cross_entropy(output.float(), target, reduction="sum")
        return {"accuracy": (output.argmax(1) == target).sum(), "loss": loss}
