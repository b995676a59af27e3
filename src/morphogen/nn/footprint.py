"""What a network keeps in memory while it runs, without running it: only shapes are computed."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

__all__ = ["MEGABYTE", "Footprint", "Live", "footprint"]

Image = tuple[int, int, int]
"""Channels, height, width."""

MEGABYTE = 1 << 20
aten = torch.ops.aten


@final
@dataclass(frozen=True, slots=True)
class Footprint:
    """What a network keeps in memory.

    Args:
        activations: Elements of all outputs of convolutions, linear layers and matrix products for one image, in
            evaluation: Radosavovic et al. 2020, "Designing Network Design Spaces" (arXiv:2003.13678), section 4, where
            it foretells the run time better than multiply-adds do.
        inference_mb: Peak of all tensors of an evaluation without gradients: weights, images, what is alive of the
            activations. In 2**20 bytes.
        training_mb: Peak of a training step with SGD and momentum: the same, with gradients, momentum, and what the
            backward pass needs. None where training cannot do without values.
        batch_size: Images that both peaks are for.
    """

    activations: int
    inference_mb: float
    training_mb: float | None
    batch_size: int


def footprint(network: nn.Module, image: Image, batch_size: int = 1, *, training: bool = True) -> Footprint:
    """Estimate, on shapes alone: the network may be on any device, `meta` among them, and stays as it is.

    The peaks are those of the tensors of an eager run in the network's own precision. What is not in them: workspaces
    of kernels, fragmentation of the allocator, and the process itself (some 300 MB for PyTorch on a CPU).

    Args:
        network: Stand-alone, or with a mixture bound.
        image: Channels, height, width.
        batch_size: Images at a time.
        training: Whether a training step is wanted as well, which takes most of the time.
    """
    with torch.no_grad(), _shapes(network, training=False) as (forward, own):
        # outputs scale with the batch, so one pass gives both
        live = Live(own)
        with live:
            forward(batch_size, image)
    return Footprint(
        activations=live.activations // batch_size,
        inference_mb=live.peak / MEGABYTE,
        training_mb=_training_step(network, image, batch_size) if training else None,
        batch_size=batch_size,
    )


def _training_step(network: nn.Module, image: Image, batch_size: int) -> float | None:
    try:
        with torch.enable_grad(), _shapes(network, training=True) as (forward, own):
            live = Live(own)
            live.held += sum(_size(t) for t in own if t.requires_grad)  # momentum
            with live:
                output = forward(batch_size, image)
                outputs = [t for t in tree_leaves(output) if isinstance(t, Tensor) and t.requires_grad]
                del output
                loss = sum((t.float().log_softmax(-1).mean() for t in outputs), torch.zeros((), device="meta"))
                del outputs
                loss.backward()  # type: ignore[no-untyped-call]
            return live.peak / MEGABYTE
    except (RuntimeError, TypeError, ValueError):  # somebody's forward may need values in training
        return None


@final
class Live(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch has no types for it
    """Adds up the memory of the tensors that are alive, and counts outputs of convolutions and matrix products.

    Args:
        own: Tensors that are alive from the beginning, such as weights.
    """

    def __init__(self, own: Iterable[Tensor] = ()) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.activations = 0
        self.held = 0
        """Bytes now."""
        self.peak = 0
        """Bytes at most."""
        self._alive: dict[int, weakref.ref[Any]] = {}
        for tensor in own:
            self._see(tensor)

    def __torch_dispatch__(
        self, func: Any, types: Iterable[type], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        packet = func._overloadpacket
        out = _quick(packet, args)
        if out is None:
            out = func(*args, **(kwargs or {}))
        outputs = [t for t in (out if isinstance(out, tuple | list) else (out,)) if isinstance(t, Tensor)]
        if packet in flop_registry:
            self.activations += outputs[0].numel()
        for tensor in outputs:
            self._see(tensor)
        return out

    def _see(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self._alive:
            return
        size = storage.nbytes()

        def gone(_: object) -> None:
            self._alive.pop(key, None)
            self.held -= size

        self._alive[key] = weakref.ref(storage, gone)
        self.held += size
        self.peak = max(self.peak, self.held)


def _quick(packet: Any, args: tuple[Any, ...]) -> Any:
    """What the commonest operators give on the meta device; None for others.

    Their shapes are trivial, and to compute them as torch does takes most of the time.
    """
    first = args[0] if args else None
    if not isinstance(first, Tensor) or not first.is_meta:
        return None
    if packet is aten.native_batch_norm:
        return _like(first), first.new_empty(first.shape[1]), first.new_empty(first.shape[1])
    if packet is aten.native_batch_norm_backward:
        weight = args[2]
        return _like(first), *(None if weight is None else _like(weight) for _ in range(2))
    if packet in (aten.relu, aten.threshold_backward):
        return _like(first)
    if packet is aten.add and isinstance(args[1], Tensor) and _kind(args[1]) == _kind(first):
        return _like(first)
    return None


def _like(tensor: Tensor) -> Tensor:
    return torch.empty(tensor.shape, dtype=tensor.dtype, device="meta")


def _kind(tensor: Tensor) -> tuple[torch.Size, torch.dtype, bool]:
    return tensor.shape, tensor.dtype, tensor.is_meta


@contextmanager
def _shapes(network: nn.Module, *, training: bool) -> Iterator[tuple[Any, list[Tensor]]]:
    """Inside, a forward pass of the network on the meta device, and the tensors that stand for its own."""
    tensors = dict([*network.named_parameters(), *network.named_buffers()])
    own = {name: _like(t).requires_grad_(t.requires_grad) for name, t in tensors.items()}
    dtype = next((t.dtype for t in tensors.values() if t.is_floating_point()), None)
    before = {module: module.training for module in network.modules()}

    def forward(batch: int, image: Image) -> Any:
        return functional_call(network, own, (torch.empty(batch, *image, dtype=dtype, device="meta"),))

    try:
        network.train(training)
        yield forward, list(own.values())
    finally:
        for module, was in before.items():
            module.training = was


def _size(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()
