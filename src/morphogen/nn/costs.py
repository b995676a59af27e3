"""What every architecture of a space costs, as sums of terms: read off one supernet on the meta device.

A layer costs what its own sizes say, and is there where the choices around it say so. So parameters and multiply-adds
are sums of terms that a few picks decide, for every space whose layers have sizes of their own; `limited` turns a bound
on them into one that no proposal exceeds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import product
from typing import Protocol, cast, final, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from morphogen.choice import Choice, Pick
from morphogen.limits import Cost, Limit
from morphogen.nn.complexity import complexity
from morphogen.nn.elastic import ElasticConv2d, ElasticLinear
from morphogen.nn.mixed import MixedDepth, MixedInput, MixedOp
from morphogen.nn.mixture import Mixing, bind, key
from morphogen.space import Space

__all__ = ["Costly", "Sometimes", "costs", "costs_where_additive", "limited"]

Literal = tuple[str, str]
Where = tuple[tuple[Literal, ...], ...]
"""Of each choice around a module, the picks with which the module runs."""
MOST = 4096
"""Combinations of picks that one layer may depend on."""
METRICS = ("params", "macs")
CHECKED = 3
"""Stand-alone networks that are compared with the sums."""


@runtime_checkable
class Costly(Protocol):
    """A module with multiply-adds that are not its weights times the positions of its output."""

    choices: tuple[Choice, ...]
    """Those that they depend on."""

    def macs(self, picks: Mapping[str, Pick], output: torch.Size) -> int:
        """Multiply-adds of its own for one image.

        Args:
            picks: An architecture's, as far as the module reads them.
            output: Shape of its output.
        """
        ...


@runtime_checkable
class Sometimes(Protocol):
    """A module that the stand-alone network has only with some picks."""

    def there(self) -> Where:
        """Of each choice that decides, the picks with which it is there.

        Raises:
            ValueError: That cannot be said so.
        """
        ...


def costs(space: Space, build: Callable[[Space], nn.Module], image: tuple[int, int, int]) -> dict[str, Cost]:
    """The costs `params` and `macs` of every architecture of a space, exactly.

    They are read off the supernet, and checked on a few stand-alone networks.

    Args:
        space: Without limits, or with any.
        build: Builds the network of a space, such as `lambda space: network(space, skeleton)`. An auxiliary head, where
            it has one as `auxiliary`, does not count.
        image: Channels, height, width.

    Raises:
        ValueError: The costs do not add up: a layer depends on too many choices, or a network costs something else than
            the sum.
    """
    with torch.device("meta"):
        supernet = build(space)
    found = _sums(space, supernet, image)
    rng = np.random.default_rng(0)
    for _ in range(CHECKED):
        architecture = space.sample(rng)
        with torch.device("meta"):
            counted = complexity(build(space.fix(architecture)), image)
        for metric, cost in found.items():
            if cost(architecture.picks) != getattr(counted, metric):
                raise ValueError(
                    f"{metric} of the space do not add up: the network of {architecture.text} has "
                    f"{getattr(counted, metric)}, the sum of its layers is {cost(architecture.picks):.0f}; "
                    "limit them by rejection"
                )
    return found


def costs_where_additive(
    space: Space, build: Callable[[Space], nn.Module], image: tuple[int, int, int]
) -> dict[str, Cost]:
    """As `costs`; nothing where they do not add up, or where anybody's own network cannot run with everything in it, on
    shapes alone. Then networks are counted one by one, and what is wrong with one is said by its trial.

    Args:
        space: As for `costs`.
        build: Likewise.
        image: Channels, height, width.
    """
    try:
        return costs(space, build, image)
    except (ValueError, RuntimeError):  # the last also by torch: an operation without a rule for shapes
        return {}


def _sums(space: Space, network: nn.Module, image: tuple[int, int, int]) -> dict[str, Cost]:
    shapes = _shapes(space, network, image)
    terms: dict[str, dict[tuple[Literal, ...], float]] = {metric: {} for metric in METRICS}
    for module, where in _walk(network, ()):
        if not module._parameters and not isinstance(module, Costly):
            continue
        own = module.choices if isinstance(module, Mixing | Costly) else ()
        names = {choice.name for choice in own}
        around = [some for some in where if not _implied(some, own)]
        for literals in _combinations(own, around):
            if len({name for name, _ in literals}) < len({*literals}):
                continue  # one choice cannot pick two of its options
            picks = {name: (option,) for name, option in literals if name in names}
            for metric, value in zip(METRICS, _cost(module, picks, shapes.get(module)), strict=True):
                if value:
                    unique = tuple(dict.fromkeys(literals))
                    terms[metric][unique] = terms[metric].get(unique, 0) + value
    # what is due always is a term without literals
    return {metric: Cost(metric, found) for metric, found in terms.items()}


def limited(
    space: Space,
    build: Callable[[Space], nn.Module],
    image: tuple[int, int, int],
    *,
    params: float = math.inf,
    macs: float = math.inf,
) -> Space:
    """The space without the architectures that cost more; no draw and no move leads to one.

    Args:
        space: Without limits, or with others.
        build: Builds the network of a space, such as `lambda space: network(space, skeleton)`.
        image: Channels, height, width.
        params: At most.
        macs: Multiply-adds for one image, at most.

    Raises:
        ValueError: The costs do not add up, or no architecture is within the limits.
    """
    found = costs(space, build, image)
    bounds = {"params": params, "macs": macs}
    limits = (Limit(found[metric], bound) for metric, bound in bounds.items() if bound < math.inf)
    return replace(space, limits=(*space.limits, *limits))


def _walk(module: nn.Module, where: Where) -> Iterator[tuple[nn.Module, Where]]:
    """Every module, with what must be picked for it to run."""
    if isinstance(module, Sometimes):
        where = (*where, *module.there())
    yield module, where
    for name, child in module.named_children():
        if name == "auxiliary":
            continue
        if isinstance(module, MixedOp | MixedInput | MixedDepth) and isinstance(child, nn.ModuleDict | nn.ModuleList):
            (choice,) = module.choices
            for option, inner in child.named_children():
                yield from _walk(inner, (*where, _literals(module, choice, option)))
        else:
            yield from _walk(child, where)


def _literals(module: nn.Module, choice: Choice, child: str) -> tuple[Literal, ...]:
    if isinstance(module, MixedDepth):
        return tuple((choice.name, option) for option in choice.options if int(option) > int(child))
    return tuple((choice.name, option) for option in choice.options if key(option) == child)


def _implied(some: tuple[Literal, ...], own: tuple[Choice, ...]) -> bool:
    """Whether a choice of the layer exists only with these picks."""
    return any(c.when is not None and {(c.when.choice, option) for option in c.when.any_of} <= set(some) for c in own)


def _combinations(own: tuple[Choice, ...], around: list[tuple[Literal, ...]]) -> Iterator[tuple[Literal, ...]]:
    if several := [choice for choice in own if not choice.single]:
        raise ValueError(
            f"costs do not add up: a layer depends on which of choice '{several[0].name}' are picked together; "
            "limit them by rejection"
        )
    axes = [*around, *([(choice.name, option) for option in choice.options] for choice in own)]
    if math.prod(map(len, axes)) > MOST:
        names = ", ".join(choice.name for choice in own[:3])
        raise ValueError(
            f"costs do not add up: a layer depends on {len(axes)} choices at once ({names}, ...); "
            "limit them by rejection"
        )
    return product(*axes)


def _cost(module: nn.Module, picks: Mapping[str, Pick], output: torch.Size | None) -> tuple[int, int]:
    """Parameters and multiply-adds of a module itself."""
    own = {name: p for name, p in module._parameters.items() if p is not None}
    narrow = getattr(module, "narrow", None)
    tensors: Mapping[str, Tensor] = narrow(picks) if narrow is not None else own
    params = sum(tensors[name].numel() for name in own)
    if isinstance(module, Costly):
        return params, 0 if output is None else module.macs(picks, output)
    if output is None or not isinstance(module, nn.Conv2d | nn.Linear | ElasticConv2d | ElasticLinear):
        return params, 0
    channels = output[1] if isinstance(module, nn.Conv2d | ElasticConv2d) else output[-1]
    return params, tensors["weight"].numel() * (output[1:].numel() // channels)


@torch.no_grad()
def _shapes(space: Space, network: nn.Module, image: tuple[int, int, int]) -> dict[nn.Module, torch.Size]:
    """Of every module that runs in evaluation, the shape of its output, where everything is in the mixture."""
    shapes: dict[nn.Module, torch.Size] = {}
    shadow = _Shadow(network)
    one = torch.ones((), device="meta")
    mixture = {choice.name: dict.fromkeys(choice.options, one) for choice in space}

    def note(module: nn.Module, args: object, output: object) -> None:
        if isinstance(output, Tensor):
            shapes[module] = output.shape

    hooks = [module.register_forward_hook(note) for module in network.modules()]
    try:
        with bind(network, mixture):
            shadow(torch.empty(1, *image, device="meta", dtype=shadow.dtype))
    finally:
        for hook in hooks:
            hook.remove()
    return shapes


@final
class _Shadow:
    """The network in evaluation, with its tensors on the meta device while it runs."""

    def __init__(self, network: nn.Module) -> None:
        self._network = network
        tensors = dict([*network.named_parameters(), *network.named_buffers()])
        self._tensors = {name: torch.empty_like(tensor, device="meta") for name, tensor in tensors.items()}
        floating = (t.dtype for t in tensors.values() if t.is_floating_point())
        self.dtype = next(floating, torch.get_default_dtype())

    def __call__(self, x: Tensor) -> Tensor:
        training = [module for module in self._network.modules() if module.training]
        self._network.eval()
        try:
            return cast(Tensor, torch.func.functional_call(self._network, self._tensors, (x,)))
        finally:
            for module in training:
                module.training = True
