"""Architectures as people and papers write them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from morphogen.catalog import nearest, resolve
from morphogen.space import Architecture, Space

__all__ = ["read"]

ZOO, GENOTYPE, CELL = "zoo:", "Genotype(", "|"


def read(text: str, space: Space) -> Architecture:
    """The architecture of a space that a text stands for.

    Args:
        text: `choice=option choice=option`, the JSON of an architecture, `Genotype(...)`, the name of a published one
            as `zoo:darts-v2`, or NAS-Bench-201's `|op~0|+|op~0|op~1|+...`. The last three where the module of the space's
            network has `from_genotype` or `from_string`.
        space: What it is read as a point of.

    Raises:
        ValueError: It is no architecture of the space; the message says why.
    """
    text = text.strip()
    if text.startswith((ZOO, GENOTYPE)):
        from morphogen.spaces.genotype import Genotype

        genotype = _published(text.removeprefix(ZOO)) if text.startswith(ZOO) else Genotype.parse(text)
        return _mapped(space, "from_genotype", "genotypes")(genotype, space)
    if text.startswith(CELL):
        return _mapped(space, "from_string", "cells as text")(text, space)
    return space.parse(text)


def _published(name: str) -> Any:
    """The cells of a published network: `darts-v2`, or `darts-v2-cifar` as the zoo calls it in a network."""
    from morphogen.spaces.published import GENOTYPES

    found = [known for known in GENOTYPES if name == known or name.startswith(f"{known}-")]
    if not found:
        raise ValueError(f"the zoo has no cells '{name}'{nearest(name, GENOTYPES)}; it has {', '.join(GENOTYPES)}")
    return GENOTYPES[max(found, key=len)]


def _mapped(space: Space, name: str, what: str) -> Callable[[Any, Space], Architecture]:
    """`from_genotype` or `from_string` of the module that has the space's network."""
    module = str(space.network).partition(":")[0]
    try:
        found: Callable[[Any, Space], Architecture] = resolve(f"{module}:{name}")
    except ValueError:
        raise ValueError(
            f"space '{space.name}' does not map {what}; write the architecture as choice=option choice=option"
        ) from None
    return found
