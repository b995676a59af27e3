"""Learning rates and drop-path probabilities over the course of training.

Time is `epoch`, a number that rises from 0 to `epochs`, the full horizon: also where only a part of it is trained, so
that training goes on as if it had never stopped. Between whole epochs it is the share of steps done.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol, final

__all__ = [
    "Constant",
    "Cosine",
    "Exponential",
    "PerEpoch",
    "Restarts",
    "Schedule",
    "Steps",
    "darts_drop_path",
    "enas_keep",
    "scheduled_keep",
    "scheduled_keep_by_depth",
    "warm_up",
]


class Schedule(Protocol):
    """The learning rate at a time, from the initial one."""

    def __call__(self, lr: float, epoch: float, epochs: int) -> float: ...


@final
@dataclass(frozen=True)
class Constant:
    """The initial learning rate, always."""

    def __call__(self, lr: float, epoch: float, epochs: int) -> float:
        return lr


@final
@dataclass(frozen=True)
class Cosine:
    """One half period of a cosine over the full horizon.

    Loshchilov and Hutter 2017 (arXiv:1608.03983), eq. (5) without restarts: what NASNet, PNASNet and DARTS train with.

    Args:
        floor: The learning rate at the end; 0.001 in the search of DARTS.
    """

    floor: float = 0.0

    def __call__(self, lr: float, epoch: float, epochs: int) -> float:
        return self.floor + (lr - self.floor) * (1 + math.cos(math.pi * min(epoch / epochs, 1.0))) / 2


@final
@dataclass(frozen=True)
class Restarts:
    """Cosines that start again, each cycle longer than the one before: SGDR.

    Loshchilov and Hutter 2017 (arXiv:1608.03983), eq. (5); ENAS trains with `first=10, factor=2`.
    **Differs** from the code of ENAS, which for one step after a restart uses the old place in the new cycle.

    Args:
        first: Epochs of the first cycle, T_0.
        factor: How much longer each further one is, T_mul.
        floor: The learning rate at the end of a cycle.
    """

    first: int = 10
    factor: int = 2
    floor: float = 0.0

    def __call__(self, lr: float, epoch: float, epochs: int) -> float:
        start, length = 0, self.first
        while epoch >= start + length:
            start, length = start + length, length * self.factor
        return Cosine(self.floor)(lr, epoch - start, length)


@final
@dataclass(frozen=True)
class Exponential:
    """The learning rate times `factor` every so many epochs, in steps.

    DARTS on ImageNet: 0.97 every epoch. NASNet on ImageNet: 0.97 every 2.4 epochs.
    """

    factor: float = 0.97
    every: float = 1.0

    def __call__(self, lr: float, epoch: float, epochs: int) -> float:
        return float(lr * self.factor ** math.floor(epoch / self.every))


@final
@dataclass(frozen=True)
class Steps:
    """The learning rate times `factor` at each of some shares of the horizon.

    Huang et al. 2017 (arXiv:1608.06993), section 4.2: 0.1 at 50 % and 75 %. Zoph and Le 2017 follow it.
    """

    at: tuple[float, ...] = (0.5, 0.75)
    factor: float = 0.1

    def __call__(self, lr: float, epoch: float, epochs: int) -> float:
        return float(lr * self.factor ** sum(epoch >= share * epochs for share in self.at))


@final
@dataclass(frozen=True)
class PerEpoch:
    """Another schedule, moved on only between epochs, as the code of DARTS and ENAS does."""

    schedule: Schedule

    def __call__(self, lr: float, epoch: float, epochs: int) -> float:
        return self.schedule(lr, math.floor(epoch), epochs)


def warm_up(epoch: float, warmup: float) -> float:
    """The factor of a linear warm-up that lasts `warmup` epochs (Goyal et al. 2017, arXiv:1706.02677, section 2.2).

    **Differs**: it multiplies a schedule that spans the whole horizon, instead of delaying it.
    """
    return min(1.0, epoch / warmup) if warmup > 0 else 1.0


def darts_drop_path(probability: float, epoch: float, epochs: int) -> float:
    """The probability of dropping a path: linear in time, from 0.

    Liu et al. 2019 (arXiv:1806.09055), section 3.2: 0.2 on CIFAR-10. `DropPath` in `nn` computes the same.
    """
    return probability * epoch / epochs


def scheduled_keep(progress: float, final_keep: float) -> float:
    """The probability of keeping a path: linear in time, from 1 to `final_keep`.

    Zoph et al. 2018 (arXiv:1707.07012), ScheduledDropPath as in the text; called v1 in code. `progress` is the share of
    training that is done; more than 1 counts as 1.
    """
    return 1 - min(1.0, progress) * (1 - final_keep)


def scheduled_keep_by_depth(progress: float, cell: int, cells: int, final_keep: float) -> float:
    """The probability of keeping a path of cell `cell` of `cells`: linear in time and depth.

    The released NASNet (slim), v3: `cells` counts the reduction cells and, on ImageNet, the two of the stem.
    """
    return 1 - min(1.0, progress) * (cell + 1) / cells * (1 - final_keep)


def enas_keep(step: int, steps: int, layer: int, layers: int, final_keep: float) -> float:
    """The probability of keeping a path in layer `layer` of `layers` + 2 (Pham et al. 2018, arXiv:1802.03268, code)."""
    return 1 - min(1.0, (step + 1) / steps) * (layer + 1) / (layers + 2) * (1 - final_keep)
