"""One supernet trained by several processes, each on its part of every batch: data parallelism under `torchrun`.

Where `torch.distributed` is initialized, every process (rank) runs the same loop with the same seed, so that all draw
the same batches and the same mixtures; each computes on its part, and gradients are averaged before every step, those
of the distribution too. Weights, logits and controllers are then the same bits everywhere. With one process nothing of
this does anything.

Norms see a rank's own part, as they do in `DistributedDataParallel`; running statistics are averaged after each epoch.
A second-order gradient is the mean over the ranks, each of which takes the virtual step of its own part.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch import Tensor

from morphogen.oneshot.distribution import Batch
from morphogen.protocols import MorphogenError

__all__ = ["alike", "average", "barrier", "decided", "mean_number", "part", "rank", "world"]


def world() -> int:
    """How many ranks there are."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Which one this process is, counted from 0."""
    return dist.get_rank() if world() > 1 else 0


def part(batch: Batch) -> Batch:
    """This rank's part of a batch; parts differ by one image at most, and count the same.

    Raises:
        MorphogenError: There are fewer images than ranks.
    """
    if world() == 1:
        return batch
    images, classes = batch
    if len(classes) < world():
        raise MorphogenError(
            f"a batch of {len(classes)} images cannot be divided among {world()} processes: take larger batches, or "
            "fewer processes"
        )
    return images[rank() :: world()], classes[rank() :: world()]


@torch.no_grad()
def average(tensors: Sequence[Tensor | None]) -> None:
    """Make tensors the means over all ranks, in place. Those that are None are so on every rank."""
    found = [t for t in tensors if t is not None]
    if world() == 1 or not found:
        return
    flat = torch.cat([t.reshape(-1) for t in found])
    dist.all_reduce(flat)
    flat /= world()
    for tensor, mean in zip(found, torch.split(flat, [t.numel() for t in found]), strict=True):
        tensor.copy_(mean.view(tensor.shape))


def mean_number(value: float) -> float:
    """The mean of a number over all ranks."""
    if world() == 1:
        return value
    tensor = torch.tensor(value, dtype=torch.float64)
    average([tensor])
    return float(tensor)


def decided(yes: bool) -> bool:
    """What the first rank says: clocks differ, and either all go on or none does."""
    return _first(yes) == 1.0 if world() > 1 else yes


def alike(number: int) -> bool:
    """Whether all ranks have the number that the first one has."""
    return world() == 1 or mean_number(float(_first(number) == number)) == 1.0


def _first(number: float) -> float:
    word = torch.tensor(float(number), dtype=torch.float64)
    dist.broadcast(word, 0)
    return float(word)


def barrier() -> None:
    """Wait for the others."""
    if world() > 1:
        dist.barrier()
