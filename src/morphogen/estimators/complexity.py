"""Judge an architecture by what it costs, without training it."""

from __future__ import annotations

from dataclasses import dataclass, is_dataclass, replace
from typing import Any, final

import torch

from morphogen.nn.complexity import complexity
from morphogen.nn.network import network
from morphogen.protocols import Context
from morphogen.space import Space
from morphogen.spaces.skeleton import Skeleton
from morphogen.trial import Outcome, Proposal

__all__ = ["Complexity", "suited_skeleton"]


@final
@dataclass(frozen=True)
class Complexity:
    """Parameters and multiply-adds of the stand-alone network: metrics `params` and `macs`.

    Built on the meta device, so no memory is needed for weights. What counts is what `morphogen.nn.complexity` counts.

    Args:
        space: Where architectures are from.
        skeleton: The hand-made rest, or the name of a preset of the space; its `image` is what multiply-adds are for.
            By default the preset `search`.
    """

    space: Space
    skeleton: Any = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "skeleton", suited_skeleton(self.space, self.skeleton))

    @property
    def measured(self) -> frozenset[str]:
        return frozenset()

    def __call__(self, proposal: Proposal, context: Context) -> Outcome:
        if proposal.architecture is None:
            raise ValueError("the complexity of a whole space was asked for; an architecture is needed")
        with torch.device("meta"):
            built = network(self.space.fix(proposal.architecture), self.skeleton)
        found = complexity(built, self.skeleton.image)
        return Outcome({"params": found.params, "macs": found.macs})

    def cost(self, proposal: Proposal) -> float:
        return 1.0


def suited_skeleton(space: Space, skeleton: Any, image: tuple[int, int, int] | None = None, classes: int = 0) -> Any:
    """The skeleton that is meant, with the image size and the number of classes of a data set.

    Args:
        space: Has presets.
        skeleton: One that is given, the name of a preset, or None: the preset `search`, else the first, else a default.
        image: Channels, height and width, where the skeleton should be adapted.
        classes: Likewise.

    Raises:
        ValueError: There is no such preset.
    """
    presets = space.skeletons
    if skeleton is None:
        skeleton = presets.get("search", next(iter(presets.values()), None)) or Skeleton()
    elif isinstance(skeleton, str):
        if skeleton not in presets:
            known = ", ".join(presets) or "none"
            raise ValueError(f"space '{space.name}' has no skeleton preset '{skeleton}'; it has {known}")
        skeleton = presets[skeleton]
    if image is not None and is_dataclass(skeleton) and hasattr(skeleton, "image") and hasattr(skeleton, "classes"):
        return replace(skeleton, image=image, classes=classes)  # type: ignore[type-var]  # an instance, see above
    return skeleton
