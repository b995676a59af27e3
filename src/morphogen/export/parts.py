"""What a network is made of, on its way to source text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

from torch import Tensor, nn

from morphogen.export.layers import Call

__all__ = ["Block", "Forward", "Layer", "Part", "Use"]


@final
@dataclass(frozen=True, slots=True)
class Layer:
    """A layer of torch.nn: what constructs it, and the module (with its weights) that it stands for."""

    call: Call
    module: nn.Module


@final
@dataclass(frozen=True, slots=True)
class Forward:
    """The source of a forward.

    Args:
        text: Lines from `def forward` on, without indentation.
        parts: Attribute -> part.
        chain: The parts in order, where they simply run one after another; None where they do not.
    """

    text: str
    parts: Mapping[str, Part]
    chain: tuple[Part, ...] | None


@final
@dataclass(frozen=True, slots=True)
class Block:
    """A module that is made of others.

    Args:
        name: Of its class; for a plain `nn.Sequential`, of the place where it stands.
        forward: What it computes, as source, and the parts that the source speaks of.
        sequential: Whether it runs its parts by the forward of `nn.Sequential`.
        plain: Whether it was an `nn.Sequential` itself, which needs no class.
    """

    name: str
    forward: Forward
    sequential: bool = False
    plain: bool = False


Part = Block | Layer | Tensor | tuple["Part", ...]
"""What an attribute of a class stands for: a tuple is an `nn.ModuleList`."""


@final
@dataclass(frozen=True, slots=True)
class Use:
    """Something that a forward speaks of, at a path below the module."""

    path: str
    part: Part
