"""From a space to a network: the supernet, or the stand-alone network where the space has one point."""

from __future__ import annotations

import inspect
from typing import Any

from torch import nn

from morphogen.catalog import resolve
from morphogen.choice import Choice
from morphogen.nn.mixed import Mixed, MixedOp
from morphogen.space import HYPERPARAMETERS, Space

__all__ = ["choices_read", "network"]


def network(space: Space, skeleton: Any = None, mixed: Mixed = MixedOp) -> nn.Module:
    """Build the network of a space: `network(space.fix(architecture), skeleton)` is the stand-alone network.

    The function (or module class) that the space names is called with the space, and with `skeleton` and
    `mixed` where it has parameters of these names: a model that is all of one piece takes the space
    alone.

    Args:
        space: Only the options that it still has are built.
        skeleton: The hand-made rest, such as `space.skeletons["search"]`.
        mixed: What mixes operations; methods that mix in their own way pass their own.

    Raises:
        ValueError: The space has no network, the network needs a skeleton, or nothing in it reads some
            choice.
        TypeError: What the space names does not give a module.
    """
    if not space.network:
        raise ValueError(f"space '{space.name}' has no network: give it one, Space(..., network='module:function')")
    build = resolve(str(space.network))
    parameters = inspect.signature(build).parameters
    given = {name: value for name, value in (("skeleton", skeleton), ("mixed", mixed)) if name in parameters}
    if skeleton is None and "skeleton" in given and parameters["skeleton"].default is not None:
        presets = ", ".join(space.skeletons) or "none"
        raise ValueError(f"the network {space.network} needs a skeleton; the presets in space.skeletons are: {presets}")
    if mixed is not MixedOp and "mixed" not in given:
        raise ValueError(
            f"the network {space.network} has no parameter 'mixed', so it cannot take another mixed operation"
        )
    built = build(space, **given)
    if not isinstance(built, nn.Module):
        raise TypeError(f"the network {space.network} gave a {type(built).__name__}, expected a torch.nn.Module")
    read = choices_read(built)
    if unread := [c.name for c in space if c.name not in read and not c.name.startswith(HYPERPARAMETERS)]:
        others = f" (nor {len(unread) - 1} others)" if len(unread) > 1 else ""
        raise ValueError(
            f"nothing in the network {space.network} reads choice '{unread[0]}'{others}: give it to a mixing "
            "module or an elastic layer, take it out of the space, or choose a skeleton that has a place for it"
        )
    return built


def choices_read(network: nn.Module) -> dict[str, Choice]:
    """The choices that some module of a network reads: those in the `choices` of its modules, by name."""
    found = (getattr(module, "choices", ()) for module in network.modules())
    choices = (choice for some in found if isinstance(some, tuple) for choice in some)
    return {choice.name: choice for choice in choices if isinstance(choice, Choice)}
