"""Weights of a supernet for a stand-alone network."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain

import torch
from torch import nn

from morphogen.choice import Pick
from morphogen.space import Architecture

__all__ = ["inherit"]


@torch.no_grad()
def inherit(supernet: nn.Module, standalone: nn.Module, architecture: Architecture) -> None:
    """Copy what the supernet has learned into the stand-alone network of one architecture, parameters and
    buffers.

    Both are built from one skeleton. A module of the supernet that has `narrow(picks)`, such as an
    elastic layer, is asked for its part; all others give their tensors as they are.

    Raises:
        ValueError: The stand-alone network has something that the supernet has not, or in another shape.
    """
    _copy(supernet, standalone, architecture.picks, "")


def _copy(source: nn.Module, target: nn.Module, picks: Mapping[str, Pick], path: str) -> None:
    narrow = getattr(source, "narrow", None)
    if narrow is not None:
        target.load_state_dict(narrow(picks))
        return
    given = {**source._parameters, **source._buffers}
    for name, tensor in chain(target._parameters.items(), target._buffers.items()):
        if tensor is None:
            continue
        found = given.get(name)
        if found is None or found.shape != tensor.shape:
            has = "nothing of that name" if found is None else f"one of shape {tuple(found.shape)}"
            raise ValueError(
                f"the stand-alone network has a tensor '{path}{name}' of shape {tuple(tensor.shape)}, "
                f"the supernet has {has}: build both with the same skeleton"
            )
        tensor.copy_(found)
    children = dict(source.named_children())
    for name, child in target.named_children():
        if name not in children:
            raise ValueError(
                f"the stand-alone network has a module '{path}{name}', the supernet has none: build both with the same "
                "skeleton, and the stand-alone network from space.fix(architecture) of the supernet's space"
            )
        _copy(children[name], child, picks, f"{path}{name}.")
