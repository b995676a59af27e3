"""Parameters and multiply-adds of a network, without running it: only shapes are computed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

__all__ = ["Complexity", "Layer", "complexity", "layers"]

Image = tuple[int, int, int]
"""Channels, height, width."""


@final
@dataclass(frozen=True, slots=True)
class Complexity:
    """What a network costs.

    Args:
        params: Parameters, without those of the auxiliary head: the number that papers report.
        params_auxiliary: Parameters of the auxiliary head, which only training has.
        macs: Multiply-adds of convolutions, linear layers and matrix products for one image, in evaluation.
    """

    params: int
    params_auxiliary: int
    macs: int


@final
@dataclass(frozen=True, slots=True)
class Layer:
    """One row of the table of layers: a module with parameters or multiply-adds of its own.

    Args:
        name: Path of the module in the network.
        kind: Name of its class.
        output: Shape of its output, without the batch; empty where it gives something else than a tensor.
        params: Parameters of its own, not of modules inside it.
        macs: Multiply-adds of its own.
    """

    name: str
    kind: str
    output: tuple[int, ...]
    params: int
    macs: int


def complexity(network: nn.Module, image: Image) -> Complexity:
    """Count, on shapes alone: the network may be on any device, `meta` among them, and stays as it is.

    Args:
        network: Stand-alone, or with a mixture bound (then `params` are still those of the whole supernet).
            Its auxiliary head, where it has one, is its attribute `auxiliary`.
        image: Channels, height, width.
    """
    auxiliary = getattr(network, "auxiliary", None)
    extra = _params(auxiliary.parameters()) if isinstance(auxiliary, nn.Module) else 0
    with _Counter() as counter:
        _forward(network, image)
    return Complexity(_params(network.parameters()) - extra, extra, counter.macs)


def layers(network: nn.Module, image: Image) -> list[Layer]:
    """The table of layers, in the order in which they finish. A module that runs twice has one row.

    Args:
        network: As for `complexity`; what does not run in evaluation has no row.
        image: Channels, height, width.
    """
    names = {module: name for name, module in network.named_modules()}
    inside: list[int] = [0]  # multiply-adds of the modules that ran within the current one, by nesting
    starts: list[int] = []
    rows: dict[nn.Module, Layer] = {}
    counter = _Counter()

    def before(module: nn.Module, args: object) -> None:
        starts.append(counter.macs)
        inside.append(0)

    def after(module: nn.Module, args: object, output: object) -> None:
        total = counter.macs - starts.pop()
        own = total - inside.pop()
        inside[-1] += total
        shape = tuple(output.shape[1:]) if isinstance(output, Tensor) else ()
        params = _params(module.parameters(recurse=False))
        earlier = rows.get(module)
        if own or params:
            macs = own + (earlier.macs if earlier is not None else 0)
            rows[module] = Layer(names[module], type(module).__name__, shape, params, macs)

    hooks = [module.register_forward_pre_hook(before) for module in names]
    hooks += [module.register_forward_hook(after) for module in names]
    try:
        with counter:
            _forward(network, image)
    finally:
        for hook in hooks:
            hook.remove()
    return list(rows.values())


@final
class _Counter(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch has no types for it
    """Adds up the multiply-adds of every operator that is called, by the formulas of
    `torch.utils.flop_counter`."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.macs = 0

    def __torch_dispatch__(
        self, func: Any, types: Iterable[type], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func is torch.ops.aten.native_batch_norm.default:
            # its shapes are trivial, and to compute them as torch does takes most of the time
            return torch.empty_like(args[0]), args[0].new_empty(0), args[0].new_empty(0)
        out = func(*args, **(kwargs or {}))
        formula = flop_registry.get(func._overloadpacket)
        if formula is not None:
            # the formulas count a multiply-add as two
            self.macs += formula(*args, **(kwargs or {}), out_val=out) // 2
        return out


@torch.no_grad()
def _forward(network: nn.Module, image: Image) -> None:
    tensors = dict([*network.named_parameters(), *network.named_buffers()])
    shapes = {name: torch.empty_like(tensor, device="meta") for name, tensor in tensors.items()}
    dtype = next((t.dtype for t in tensors.values() if t.is_floating_point()), None)
    training = [module for module in network.modules() if module.training]
    network.eval()
    try:
        functional_call(network, shapes, (torch.empty(1, *image, dtype=dtype, device="meta"),))
    finally:
        for module in training:
            module.training = True


def _params(parameters: Iterable[nn.Parameter]) -> int:
    return sum(p.numel() for p in parameters)
