"""Weights that timm publishes, under the names of our networks.

timm 1.0 (Apache-2.0), `nasnetalarge` and `pnasnet5large`: the weights of the papers' authors, trained with
TensorFlow.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from morphogen.protocols import MorphogenError
from morphogen.spaces.nasnet_cell import Cell, Halve, Squeeze
from morphogen.spaces.nasnet_network import Network

__all__ = ["cell_weights", "network_weights"]

NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
SQUEEZE = ("conv.weight", *(f"bn.{name}" for name in NORM))
HALVE = ("path_1.conv.weight", "path_2.conv.weight", *(f"final_path_bn.{name}" for name in NORM))
SEPARABLE = tuple(
    name
    for i in (1, 2)
    for name in (
        f"separable_{i}.depthwise_conv2d.weight",
        f"separable_{i}.pointwise_conv2d.weight",
        *(f"bn_sep_{i}.{name}" for name in NORM),
    )
)
SIDES = {"a": "left", "b": "right"}
Pairs = Iterator[tuple[str, str]]
"""Our name and timm's, of one tensor."""


def network_weights(given: Mapping[str, Tensor], network: Network) -> dict[str, Tensor]:
    """The `state_dict` of a network of ours without auxiliary head, from that of timm's.

    Args:
        given: What `state_dict()` of timm's network gives, or the file of its published weights.
        network: One with the same cells; on the meta device is enough.

    Raises:
        MorphogenError: Something is missing, left over, or has another shape.
    """
    return _taken(given, network, _of_network(given, network))


def cell_weights(given: Mapping[str, Tensor], cell: Cell) -> dict[str, Tensor]:
    """The `state_dict` of one cell, likewise."""
    return _taken(given, cell, _of_cell(given, cell, ""))


def _taken(given: Mapping[str, Tensor], module: nn.Module, pairs: Pairs) -> dict[str, Tensor]:
    wanted, found, used = module.state_dict(), {}, set()
    for ours, theirs in pairs:
        if theirs not in given and theirs.endswith(NORM[-1]):
            found[ours] = torch.zeros((), dtype=torch.long)  # files of before torch 0.4 have none
            continue
        if theirs not in given:
            raise MorphogenError(f"timm's weights have no '{theirs}', which our '{ours}' needs: is it another network?")
        if given[theirs].shape != wanted[ours].shape:
            raise MorphogenError(
                f"timm's '{theirs}' has the shape {tuple(given[theirs].shape)}, "
                f"our '{ours}' has {tuple(wanted[ours].shape)}: is it another network, or another number of classes?"
            )
        found[ours] = given[theirs]
        used.add(theirs)
    if left := [name for name in given if name not in used]:
        raise MorphogenError(
            f"timm's weights have {len(left)} tensors that our network has no place for, such as '{left[0]}'"
        )
    if missing := [name for name in wanted if name not in found]:
        raise MorphogenError(
            f"timm's weights have nothing for our '{missing[0]}': build the network with auxiliary=False"
        )
    return found


def _of_network(given: Mapping[str, Tensor], network: Network) -> Pairs:
    first = "conv_0." if "conv_0.conv.weight" in given else "conv0."
    yield from _zipped(network.stem, "stem.", first, SQUEEZE)
    stems = normals = reductions = 0
    for i, (place, cell) in enumerate(zip(network.places, network.cells, strict=True)):
        assert isinstance(cell, Cell)
        # a reduction among the cells of PNASNet has a number among them, one of NASNet's its own
        if i < 2:
            stems, name = stems + 1, f"cell_stem_{stems}"
        elif place.reduces and any(key.startswith(f"reduction_cell_{reductions}.") for key in given):
            reductions, name = reductions + 1, f"reduction_cell_{reductions}"
        else:
            normals, name = normals + 1, f"cell_{normals}"
        for ours, theirs in _of_cell(given, cell, f"{name}."):
            yield f"cells.{i}.{ours}", theirs
    yield from ((f"classifier.{name}", f"last_linear.{name}") for name in ("weight", "bias"))


def _of_cell(given: Mapping[str, Tensor], cell: Cell, theirs: str) -> Pairs:
    if isinstance(cell.adjust0, Halve):
        # in PNASNet a module of its own
        inside = f"{theirs}conv_prev_1x1."
        prefix = inside if f"{inside}{HALVE[0]}" in given else theirs
        yield from _zipped(cell.adjust0, "adjust0.", prefix, HALVE)
    elif isinstance(cell.adjust0, Squeeze):
        yield from _zipped(cell.adjust0, "adjust0.", f"{theirs}conv_prev_1x1.", SQUEEZE)
    yield from _zipped(cell.adjust1, "adjust1.", f"{theirs}conv_1x1.", SQUEEZE)
    for number, block in enumerate(cell.blocks):
        for side, called in SIDES.items():
            module = getattr(block, side)
            separable = any("sep_conv" in name for name in module.state_dict())
            prefix = f"{theirs}comb_iter_{number}_{called}."
            yield from _zipped(module, f"blocks.{number}.{side}.", prefix, SEPARABLE if separable else SQUEEZE)


def _zipped(module: nn.Module, ours: str, theirs: str, names: tuple[str, ...]) -> Pairs:
    """The tensors of a module in their order, which is that of `names`; none, where it has none."""
    for mine, name in zip(module.state_dict(), names, strict=False):
        yield f"{ours}{mine}", f"{theirs}{name}"
