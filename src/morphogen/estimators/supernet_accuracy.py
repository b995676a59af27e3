"""Judge an architecture by the weights that a supernet trained for all."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, final

from morphogen.estimators.complexity import suited_skeleton
from morphogen.estimators.supernet_training import counted
from morphogen.nn.mixed import Mixed, MixedOp
from morphogen.nn.mixture import picks_to_mixture
from morphogen.nn.network import network
from morphogen.oneshot.sub_graphs import calibration, judge
from morphogen.protocols import Context, MorphogenError
from morphogen.space import Space
from morphogen.training import checkpoint
from morphogen.training.data import Data
from morphogen.training.device import torch_device
from morphogen.trial import Outcome, Proposal

__all__ = ["SupernetAccuracy"]


@final
@dataclass(frozen=True)
class SupernetAccuracy:
    """The accuracy of a sub-graph with the weights of a trained supernet, running statistics computed anew for it.

    Guo et al. 2020, "Single Path One-Shot Neural Architecture Search with Uniform Sampling" (arXiv:1904.00420), section
    3.2. A proposal's `warm_start` names the trial of the supernet, of which only the weights are read. Metrics:
    those of the data's task (`accuracy`, `loss`) on the validation split, `params` and `macs` of the stand-alone network.

    Args:
        space: Of the supernet.
        data: Statistics are computed on `train`, the accuracy on `valid`.
        skeleton: That the supernet was trained with.
        images: How many training images the statistics are computed on.
        batch_size: In batches of how many.
        mixed: That the supernet was trained with.
    """

    space: Space
    data: Data
    skeleton: Any = None
    images: int = 256
    batch_size: int = 64
    mixed: Mixed = MixedOp

    def __post_init__(self) -> None:
        skeleton = suited_skeleton(self.space, self.skeleton, self.data.image, self.data.classes)
        object.__setattr__(self, "skeleton", skeleton)

    @property
    def measured(self) -> frozenset[str]:
        return frozenset({"seconds"})

    def __call__(self, proposal: Proposal, context: Context) -> Outcome:
        started = time.monotonic()
        if proposal.architecture is None:
            raise ValueError("SupernetAccuracy judges one architecture, but the whole space was proposed")
        if proposal.fidelity:
            raise ValueError(
                f"SupernetAccuracy trains nothing: it has no fidelity axis '{next(iter(proposal.fidelity))}'"
            )
        trained = None if context.warm_start is None else checkpoint.load(context.warm_start)
        if trained is None:
            raise MorphogenError(f"the weights of the supernet, trial {proposal.warm_start}, are gone or damaged")
        device = torch_device(context.device)
        supernet = network(self.space, self.skeleton, self.mixed)
        supernet.load_state_dict(trained["network"])
        supernet.to(device)
        batches = calibration(self.data, self.images, self.batch_size, device)
        metrics = judge(supernet, picks_to_mixture(proposal.architecture), self.data, batches, context.device)
        metrics.update(counted(self.space, self.skeleton, proposal.architecture))
        return Outcome(metrics, seconds=time.monotonic() - started)

    def cost(self, proposal: Proposal) -> float:
        return 1.0
