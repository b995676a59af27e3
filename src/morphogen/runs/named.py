"""A network that a person names: of the zoo, of a genotype, or of an architecture of a space."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, final

import torch
from torch import nn

from morphogen.estimators.complexity import suited_skeleton
from morphogen.nn.network import network
from morphogen.space import Space
from morphogen.spaces import darts_genotype, zoo
from morphogen.spaces import space as find_space
from morphogen.spaces.darts import SKELETONS as DARTS_SKELETONS
from morphogen.spaces.genotype import Genotype
from morphogen.spaces.reading import read
from morphogen.spaces.skeleton import Skeleton
from morphogen.training.device import seeded

__all__ = ["Named", "Sizes", "export_named", "named", "resized"]

ZOO, GENOTYPE = "zoo:", "Genotype("


@final
@dataclass(frozen=True, slots=True)
class Sizes:
    """What a person may change in the hand-made rest of a network; None leaves it as it is.

    Args:
        repeats: N of the paper; for DARTS the number of cells.
        channels: F of the paper.
        classes: How many.
        image_size: Height and width.
        stem_multiplier: Of the stem's channels.
        auxiliary: Whether there is an auxiliary head.
    """

    repeats: int | None = None
    channels: int | None = None
    classes: int | None = None
    image_size: int | None = None
    stem_multiplier: int | None = None
    auxiliary: bool | None = None

    @property
    def given(self) -> dict[str, Any]:
        """What is not None."""
        return {f.name: value for f in fields(self) if (value := getattr(self, f.name)) is not None}


@final
@dataclass(frozen=True)
class Named:
    """A network before it is built.

    Args:
        text: What the person wrote.
        build: Builds it with new weights, on the device of the context.
        image: Channels, height, width.
        classes: How many.
        architecture: Plain JSON, where it is of a space or of cells.
    """

    text: str
    build: Callable[[], nn.Module]
    image: tuple[int, int, int]
    classes: int
    architecture: Mapping[str, Any] | None = None


def named(text: str, space: Space | None = None, sizes: Sizes | None = None, skeleton: str | None = None) -> Named:
    """The network that a person names.

    Args:
        text: `zoo:darts-v2-cifar`; `Genotype(...)`, with DARTS's operations unless a space says otherwise; or, with a
            space, an architecture of it in any form that `spaces.reading.read` reads.
        space: Of the architecture.
        sizes: What changes in the skeleton.
        skeleton: Name of a preset of the space; by default `final`, or what the space has.

    Raises:
        ValueError: It names nothing, or a size that the network has no place for.
    """
    text, sizes = text.strip(), sizes or Sizes()
    if space is not None:
        architecture = read(text, space)
        preset = skeleton if skeleton is not None else "final" if "final" in space.skeletons else None
        found = resized(suited_skeleton(space, preset), sizes)
        image, classes = _head(found)
        return Named(text, lambda: network(space.fix(architecture), found), image, classes, architecture.json)
    if skeleton is not None:
        raise ValueError(f"skeleton '{skeleton}' is a preset of a space: say which space")
    if text.startswith(ZOO):
        preset = text.removeprefix(ZOO)
        found = zoo.skeleton(preset, **sizes.given)
        return Named(text, lambda: zoo.build(preset, **sizes.given), *_head(found))
    if text.startswith(GENOTYPE):
        genotype = Genotype.parse(text)
        around: Skeleton = resized(DARTS_SKELETONS["final"], sizes)
        build = darts_genotype.genotype_network
        return Named(text, lambda: build(genotype, around), around.image, around.classes, genotype.json)
    raise ValueError(
        f"architecture '{text[:60]}': write zoo:NAME, Genotype(...), or the architecture of a space and which space"
    )


def resized(skeleton: Any, sizes: Sizes) -> Any:
    """The skeleton with other sizes.

    Raises:
        ValueError: One of them is none of its settings.
    """
    changes = sizes.given
    repeats, size = changes.pop("repeats", None), changes.pop("image_size", None)
    if repeats is not None and isinstance(skeleton, Skeleton):
        skeleton = skeleton.repeated(repeats)
    elif repeats is not None:
        changes["repeats"] = repeats
    if size is not None:
        changes["image"] = (*_head(skeleton)[0][:1], size, size)
    if not changes:
        return skeleton
    known = [f.name for f in fields(skeleton)] if is_dataclass(skeleton) else []
    for name in changes:
        if name not in known:
            raise ValueError(f"the skeleton has no setting '{name}'; it has {', '.join(known) or 'none'}")
    return replace(skeleton, **changes)


def _head(skeleton: Any) -> tuple[tuple[int, int, int], int]:
    """The image size and the number of classes that a network is for."""
    image, classes = getattr(skeleton, "image", None), getattr(skeleton, "classes", None)
    if image is None or classes is None:
        raise ValueError(f"{type(skeleton).__name__} says no image size and no number of classes")
    return image, classes


def export_named(
    text: str,
    to: Path,
    *,
    space: str | None = None,
    sizes: Sizes | None = None,
    skeleton: str | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Write a network with new weights as files that need nothing of ours; the card says that they are untrained.

    Args:
        text: As for `named`.
        to: The folder.
        space: Name of the space, where the architecture is a point of one.
        sizes: What changes in the skeleton.
        skeleton: Name of a preset of the space.
        seed: Of the weights.

    Raises:
        ValueError: It names nothing, or the folder has something else in it.
        MorphogenError: The network cannot be written as source.
    """
    from morphogen.export import export

    found = named(text, None if space is None else find_space(space), sizes, skeleton)
    with seeded(seed, torch.device("cpu")):
        built = found.build()
    card = {"name": text.strip(), "weights": f"untrained, drawn with seed {seed}"}
    exported = export(built, to, image=found.image, architecture=found.architecture, card=card)
    return {"folder": str(to), "files": [str(path) for path in exported.paths.values()], "trained": False}
