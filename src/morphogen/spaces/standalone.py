"""For spaces whose networks share no weights."""

from __future__ import annotations

from morphogen.nn.mixed import Mixed, MixedOp
from morphogen.space import Space

__all__ = ["require_one_point"]


def require_one_point(space: Space, mixed: Mixed, because: str) -> None:
    """Refuse to build a supernet.

    Args:
        space: What a network is built from.
        mixed: What should mix operations.
        because: Why there is no supernet, as the beginning of a sentence.

    Raises:
        ValueError: A choice of the space is open, or `mixed` is another than `MixedOp`.
    """
    for choice in space:
        if choice.bounds != (len(choice.options),) * 2:
            raise ValueError(
                f"{because}, and choice '{choice.name}' is open ({len(choice.options)} options): build from "
                "space.fix(architecture), and search with a strategy whose architectures are trained one by one"
            )
    if mixed is not MixedOp:
        raise ValueError(f"{because}, so nothing mixes its operations: leave out `mixed`")
