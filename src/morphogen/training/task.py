"""What a network is trained for: a loss, metrics of its output, and what its targets look like."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol, final

from torch import Tensor
from torch.nn import functional

from morphogen.training.images import as_labels, as_targets

__all__ = ["Classification", "MultiLabel", "Regression", "Task", "smoothed"]


class Task(Protocol):
    """A loss to fit and metrics to report. A frozen dataclass, at the top of a module: it is saved by its name."""

    @property
    def metrics(self) -> tuple[str, ...]:
        """What `sums` gives; the first is what is sought unless somebody says otherwise."""
        ...

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        """The mean over a batch that training minimizes, a scalar."""
        ...

    def sums(self, output: Tensor, target: Tensor) -> Mapping[str, Tensor]:
        """Per metric, the sum over the images of a batch, a scalar; the mean over a split is what is reported."""
        ...

    def targets(self, values: Any, name: str, images: int, outputs: int | None = None) -> Tensor:
        """What somebody gives as targets, checked: `(N,)` int64 for labels, or `(N, outputs)` float32.

        Raises:
            ValueError: Another shape, type or range, or not one for each image.
        """
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

    @property
    def metrics(self) -> tuple[str, ...]:
        return ("accuracy", "loss")

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        return functional.cross_entropy(output.float(), target, label_smoothing=self.label_smoothing)

    def sums(self, output: Tensor, target: Tensor) -> Mapping[str, Tensor]:
        loss = functional.cross_entropy(output.float(), target, reduction="sum")
        return {"accuracy": (output.argmax(1) == target).sum(), "loss": loss}

    def targets(self, values: Any, name: str, images: int, outputs: int | None = None) -> Tensor:
        return as_labels(values, name, images, outputs)


@final
@dataclass(frozen=True)
class MultiLabel:
    """Any number of labels for an image. Output: logits `(N, labels)`; target: 0 or 1, `(N, labels)`.

    The loss is the binary cross entropy, its mean over labels. `accuracy` is the share of labels that are right (a logit
    above 0 says yes), `exact` the share of images of which all are.
    """

    @property
    def metrics(self) -> tuple[str, ...]:
        return ("accuracy", "exact", "loss")

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        return functional.binary_cross_entropy_with_logits(output.float(), target)

    def sums(self, output: Tensor, target: Tensor) -> Mapping[str, Tensor]:
        right = (output > 0) == (target > 0.5)
        loss = functional.binary_cross_entropy_with_logits(output.float(), target, reduction="none")
        return {"accuracy": right.double().mean(1).sum(), "exact": right.all(1).sum(), "loss": loss.mean(1).sum()}

    def targets(self, values: Any, name: str, images: int, outputs: int | None = None) -> Tensor:
        found = as_targets(values, name, images, outputs)
        if not ((found == 0) | (found == 1)).all():
            raise ValueError(
                f"{name} has values from {float(found.min()):g} to {float(found.max()):g}, "
                "expected 0 or 1 for each label of each image"
            )
        return found


@final
@dataclass(frozen=True)
class Regression:
    """Numbers for an image. Output and target: `(N, numbers)`.

    The loss is the squared error and `mae` the absolute one, their means over numbers. Numbers of mean 0 and standard
    deviation 1 suit the learning rates of the recipes.
    """

    @property
    def metrics(self) -> tuple[str, ...]:
        return ("mae", "loss")

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        return functional.mse_loss(output.float(), target)

    def sums(self, output: Tensor, target: Tensor) -> Mapping[str, Tensor]:
        off = output.float() - target
        return {"mae": off.abs().mean(1).sum(), "loss": off.square().mean(1).sum()}

    def targets(self, values: Any, name: str, images: int, outputs: int | None = None) -> Tensor:
        return as_targets(values, name, images, outputs)


def smoothed(task: Task, label_smoothing: float) -> Task:
    """The task as a recipe trains for it: with its label smoothing, where it is classification."""
    if isinstance(task, Classification):
        return replace(task, label_smoothing=label_smoothing or task.label_smoothing)
    return task
