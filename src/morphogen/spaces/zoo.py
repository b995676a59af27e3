"""The zoo: published cells in the networks that they were published in, at any size.

`build("nasnet-a-mobile")` is the network of the paper; `repeats`, `channels`, `classes`, ... change it. The cells
are in `GENOTYPES`, the networks in `PRESETS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal, final

import torch
from torch import Tensor, nn

from morphogen.catalog import nearest
from morphogen.protocols import MorphogenError
from morphogen.spaces import darts_genotype, enas_macro, enas_micro, nasnet, pnas
from morphogen.spaces.darts import SKELETONS as DARTS_SKELETONS
from morphogen.spaces.nasnet_network import Network
from morphogen.spaces.published import GENOTYPES
from morphogen.spaces.skeleton import Skeleton
from morphogen.spaces.timm_weights import network_weights

__all__ = ["GENOTYPES", "PRESETS", "Preset", "build", "find", "from_timm", "skeleton"]


@final
@dataclass(frozen=True)
class Preset:
    """A network as it was published.

    Args:
        network: Builds it.
        skeleton: What surrounds its cells.
        variants: Other rules by which somebody else builds it: name -> what changes in the skeleton.
    """

    network: Callable[[Skeleton], nn.Module]
    skeleton: Skeleton
    variants: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def _nasnet(cells: str, skeleton: Skeleton, **changes: Any) -> Preset:
    network = partial(nasnet.genotype_network, GENOTYPES[cells])
    return Preset(network, replace(skeleton, **changes), {"timm": TIMM})


def _pnas(skeleton: Skeleton) -> Preset:
    return Preset(partial(pnas.genotype_network, GENOTYPES["pnasnet-5"]), skeleton, {"timm": TIMM})


def _darts(cells: str, skeleton: Skeleton) -> Preset:
    return Preset(partial(darts_genotype.genotype_network, GENOTYPES[cells]), skeleton)


TIMM = {"pool_zeros": True, "auxiliary": False}
LARGE = replace(
    nasnet.SKELETONS["imagenet"],
    image=(3, 331, 331),
    channels=168,
    cells=18,
    stem_multiplier=3,
    skip_reduction_input=True,
    drop_path=0.3,
    drop_path_by_depth=True,
)
PNAS_LARGE = replace(
    pnas.SKELETONS["imagenet"],
    image=(3, 331, 331),
    channels=216,
    cells=12,
    stem_multiplier=3,
    drop_path=0.4,
    drop_path_by_depth=True,
)
# AmoebaNet's paths drop alike at every depth, up to 0.3: the TPU models' "v1"
AMOEBA = {"drop_path": 0.3, "drop_path_by_depth": False}

PRESETS: Mapping[str, Preset] = {
    "nasnet-a-large": _nasnet("nasnet-a", LARGE),
    "nasnet-a-mobile": _nasnet("nasnet-a", nasnet.SKELETONS["imagenet"]),
    "nasnet-a-cifar": _nasnet("nasnet-a", nasnet.SKELETONS["final"]),
    "pnasnet-5-large": _pnas(PNAS_LARGE),
    "pnasnet-5-mobile": _pnas(pnas.SKELETONS["imagenet"]),
    "pnasnet-5-cifar": _pnas(pnas.SKELETONS["final"]),
    "amoebanet-a-mobile": _nasnet("amoebanet-a", nasnet.SKELETONS["imagenet"], channels=50, **AMOEBA),
    "amoebanet-a-cifar": _nasnet("amoebanet-a", nasnet.SKELETONS["final"], channels=36, **AMOEBA),
    "darts-v1-cifar": _darts("darts-v1", DARTS_SKELETONS["final"]),
    "darts-v1-imagenet": _darts("darts-v1", DARTS_SKELETONS["imagenet"]),
    "darts-v2-cifar": _darts("darts-v2", DARTS_SKELETONS["final"]),
    "darts-v2-imagenet": _darts("darts-v2", DARTS_SKELETONS["imagenet"]),
    # NASNet-A and AmoebaNet-A as the code of DARTS has them: other cells, in its own network
    "darts-nasnet-cifar": _darts("darts-nasnet", DARTS_SKELETONS["final"]),
    "darts-nasnet-imagenet": _darts("darts-nasnet", DARTS_SKELETONS["imagenet"]),
    "darts-amoebanet-cifar": _darts("darts-amoebanet", DARTS_SKELETONS["final"]),
    "darts-amoebanet-imagenet": _darts("darts-amoebanet", DARTS_SKELETONS["imagenet"]),
    "enas-micro-cifar": Preset(
        partial(enas_micro.genotype_network, GENOTYPES["enas-micro"]), enas_micro.SKELETONS["final"]
    ),
    "enas-macro-cifar": Preset(enas_macro.published_network, enas_macro.published().space.skeletons["final"]),
}
"""What the command line calls a published network -> how it is built."""


def find(preset: str) -> Preset:
    """The preset that a person names.

    Raises:
        ValueError: There is none; the message has the nearest name.
    """
    if preset not in PRESETS:
        raise ValueError(f"there is no '{preset}' in the zoo{nearest(preset, PRESETS)}; there are {', '.join(PRESETS)}")
    return PRESETS[preset]


def skeleton(
    preset: str,
    *,
    repeats: int | None = None,
    channels: int | None = None,
    classes: int | None = None,
    image_size: int | tuple[int, int] | None = None,
    stem_multiplier: int | None = None,
    auxiliary: bool | None = None,
    variant: Literal["timm"] | None = None,
) -> Skeleton:
    """The skeleton of a preset, with what is given changed; the arguments are those of `build`."""
    known = find(preset)
    found = known.skeleton
    if variant is not None:
        if variant not in known.variants:
            others = ", ".join(known.variants) or "none"
            raise ValueError(f"'{preset}' has no variant '{variant}'; its variants: {others}")
        found = replace(found, **known.variants[variant])
    if repeats is not None:
        found = found.repeated(repeats)
    size = (image_size, image_size) if isinstance(image_size, int) else image_size
    changes = {
        "channels": channels,
        "classes": classes,
        "image": None if size is None else (found.image[0], *size),
        "stem_multiplier": stem_multiplier,
        "auxiliary": auxiliary,
    }
    return replace(found, **{name: value for name, value in changes.items() if value is not None})  # type: ignore[arg-type]  # each is what its field holds


def build(
    preset: str,
    repeats: int | None = None,
    channels: int | None = None,
    classes: int | None = None,
    image_size: int | tuple[int, int] | None = None,
    stem_multiplier: int | None = None,
    auxiliary: bool | None = None,
    variant: Literal["timm"] | None = None,
) -> nn.Module:
    """A published network, with new weights.

    What is not given is as it was published.

    Args:
        preset: One of `PRESETS`.
        repeats: N of the paper; for DARTS the number of cells.
        channels: F of the paper: of the first cells' operations.
        classes: How many.
        image_size: Height and width; one number: both.
        stem_multiplier: Of the stem's channels.
        auxiliary: Whether it has an auxiliary head.
        variant: `timm`: as timm builds it, which has no auxiliary head (unless `auxiliary`), and in average
            pooling with stride 2 counts zeros beyond the border. `from_timm` gives its weights.

    Raises:
        ValueError: There is no such preset or variant, or a size that cannot be.
    """
    changed = skeleton(
        preset,
        repeats=repeats,
        channels=channels,
        classes=classes,
        image_size=image_size,
        stem_multiplier=stem_multiplier,
        auxiliary=auxiliary,
        variant=variant,
    )
    return find(preset).network(changed)


def from_timm(state_dict: Mapping[str, Tensor], preset: str) -> dict[str, Tensor]:
    """The weights that timm publishes for `nasnetalarge` or `pnasnet5large`, under our names.

    `build(preset, variant="timm").load_state_dict(from_timm(weights, preset))` gives timm's logits. The number of
    classes is that of the weights.

    Args:
        state_dict: Of timm's network.
        preset: `nasnet-a-large` or `pnasnet-5-large`.

    Raises:
        ValueError: timm has no network of that preset.
        MorphogenError: The weights are those of another network.
    """
    if preset not in ("nasnet-a-large", "pnasnet-5-large"):
        raise ValueError(f"timm publishes weights for nasnet-a-large and pnasnet-5-large, not for '{preset}'")
    head = state_dict.get("last_linear.weight")
    if head is None:
        raise MorphogenError("timm's weights have no 'last_linear.weight': is it a network without a classifier?")
    with torch.device("meta"):
        network = build(preset, classes=head.shape[0], variant="timm")
    assert isinstance(network, Network)
    return network_weights(state_dict, network)
