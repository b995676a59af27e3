"""Sums of many operations, computed together: the fast path of mixed operations.

A relaxed supernet evaluates the same few operations on every edge of a cell. The sum of a node is the same number
computed in another order, with what can be shared computed once:

- a state goes through a ReLU and through each pooling (and the norm behind it) once, for all edges that leave it,
- equal operations of several edges run side by side, as one operation on more channels,
- the last convolution of all of these, its batch norm, the weights of the mixture and the sum are one product
  (`normalized`), and nothing of it is kept for backward but its input.

A sampled sub-graph, where little is shared, gains by the depthwise convolutions. Parameters, running statistics and
names in the `state_dict` are those of the modules. It serves CPUs, in training mode; an operation of a form that is
not known (see `_stages`) runs as the module that it is. For a kernel of one's own there are two seams: `depthwise`, and
`weighted_sum`, which is all of a node.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from operator import add
from typing import Any, NamedTuple, final

import torch
from torch import Tensor, nn

from morphogen.nn.depthwise import depthwise
from morphogen.nn.normalized import normalized

__all__ = ["States", "Term", "serves", "weighted_sum"]


class Term(NamedTuple):
    """An operation on a tensor, and its weight in a sum (None: one)."""

    op: nn.Module
    x: Tensor
    weight: Tensor | None


@final
class States(list[Tensor]):
    """The states of a cell, and what nodes that read them have computed already.

    A cell that keeps its states in a plain list loses nothing but speed.
    """

    def __init__(self, states: Sequence[Tensor]) -> None:
        super().__init__(states)
        self.shared = Shared()


@final
class Shared:
    """What was computed from tensors, while these are alive."""

    def __init__(self) -> None:
        self._found: dict[tuple[Any, ...], tuple[Sequence[Tensor], Any]] = {}

    def get(self, what: tuple[Any, ...], xs: Sequence[Tensor], compute: Callable[[], Any]) -> Any:
        """The result of `compute`, a function of `what` and the tensors, from the first time that it was asked for."""
        key = (*what, *map(id, xs))
        if key not in self._found:
            self._found[key] = (xs, compute())  # with the tensors, so that no other gets their id
        return self._found[key][1]


LARGE = 2**16
"""So many numbers in a state make up for the calls where nothing is shared."""

SMALL = 15_000
"""So many do where the operations of several edges run side by side."""


def serves(terms: Sequence[Term], fused: bool | None = None) -> bool:
    """Whether a sum is computed here, and not by its modules: of images in float, on a CPU.

    Args:
        terms: Of the sum.
        fused: True: however small it is; None: where that is faster; False: never.
    """
    if fused is False or not terms:
        return False
    x = terms[0].x
    if x.device.type != "cpu" or x.dim() != 4 or not x.is_floating_point() or torch.is_autocast_enabled("cpu"):
        return False
    shared = sum(term.weight is not None for term in terms) > 1
    return fused is True or x.numel() >= (SMALL if shared else LARGE)


def weighted_sum(terms: Sequence[Term], run: Callable[[nn.Module, Tensor], Tensor], shared: Shared) -> Tensor:
    """`sum of weight * op(x)`.

    Args:
        terms: At least one.
        run: Calls a module that is not understood.
        shared: What is remembered; of one forward pass.
    """
    alike: dict[tuple[Any, ...], list[tuple[Term, list[_Stage]]]] = {}
    sums: list[Tensor] = []  # without a weight, or with it inside
    rest: list[tuple[Tensor, Tensor]] = []
    seen = _Statistics()
    for term in terms:
        layers = _layers(term.op)
        stages = None if layers is None else _stages(layers)
        if stages is not None:
            key = (term.x.shape, *(stage.kind for stage in stages))
            alike.setdefault(key, []).append((term, stages))
            continue
        y = None if layers is None else _passed(layers, term.x, shared, seen)
        if y is None:
            y = run(term.op, term.x)
        if term.weight is None:
            sums.append(y)
        else:
            rest.append((y, term.weight))
    sums += [_side_by_side(group, shared, seen) for group in alike.values()]
    seen.update()
    if not rest:
        return reduce(add, sums)
    weights = torch.stack([weight.to(y.dtype) for y, weight in rest])
    total: Tensor = _WeightedSum.apply(weights, *(y for y, _ in rest), *sums)  # type: ignore[no-untyped-call]
    return total


# --- operations of a known form ---------------------------------------------------------------------------------------


class _Stage(NamedTuple):
    """ReLU, a depthwise convolution or none, a pointwise convolution, batch norm."""

    depthwise: nn.Conv2d | None
    pointwise: nn.Conv2d
    norm: nn.BatchNorm2d

    @property
    def kind(self) -> tuple[object, ...]:
        """Equal for stages that can run side by side."""
        d, p = self.depthwise, self.pointwise
        first = None if d is None else (d.kernel_size, d.stride, d.dilation)
        return first, p.in_channels, p.out_channels, self.norm.eps


def _layers(op: nn.Module) -> list[nn.Module] | None:
    """Those of nested `Sequential`s, in the order in which they run; None where somebody listens to one, or has given
    it another `forward`."""
    if (
        op._forward_hooks
        or op._forward_pre_hooks
        or op._backward_hooks
        or op._backward_pre_hooks
        or "forward" in vars(op)
    ):
        return None
    if type(op).forward is not nn.Sequential.forward:  # what derives from it may compute something else
        return [op]
    found: list[nn.Module] = []
    for module in op:  # type: ignore[attr-defined]  # a `Sequential`
        below = _layers(module)
        if below is None:
            return None
        found += below
    return found


def _stages(layers: Sequence[nn.Module]) -> list[_Stage] | None:
    """What layers are, together; None where they are anything else."""
    left, stages = list(layers), []
    while left:
        if len(left) < 3 or type(left.pop(0)) is not nn.ReLU:
            return None
        first = left.pop(0) if _is_depthwise(left[0]) else None
        if len(left) < 2 or not (_is_pointwise(left[0]) and _is_norm(left[1])):
            return None
        stages.append(_Stage(first, left.pop(0), left.pop(0)))  # type: ignore[arg-type]  # just looked at
    return stages or None


def _is_depthwise(m: nn.Module) -> bool:
    if type(m) is not nn.Conv2d or not m.groups == m.in_channels == m.out_channels or m.in_channels == 1:
        return False
    (k, *_), (s, *_), (d, *_) = m.kernel_size, m.stride, m.dilation
    square = (m.kernel_size, m.stride, m.dilation, m.padding) == ((k, k), (s, s), (d, d), (d * (k // 2),) * 2)
    return square and k % 2 == 1 and m.bias is None and m.padding_mode == "zeros"


def _is_pointwise(m: nn.Module) -> bool:
    return (
        type(m) is nn.Conv2d
        and (m.kernel_size, m.stride, m.padding) == ((1, 1), (1, 1), (0, 0))
        and m.groups == 1
        and m.bias is None
    )


def _is_norm(m: nn.Module) -> bool:
    return type(m) is nn.BatchNorm2d and m.training and m.momentum is not None


def _side_by_side(group: Sequence[tuple[Term, list[_Stage]]], shared: Shared, seen: _Statistics) -> Tensor:
    """The weighted sum of equal operations."""
    xs = [term.x for term, _ in group]
    x: Tensor = shared.get(("relu",), xs, lambda: _rectified(xs, shared))
    rows = list(zip(*(stages for _, stages in group), strict=True))
    for number, row in enumerate(rows, start=1):
        first, norm, last = row[0].depthwise, row[0].norm, number == len(rows)
        if first is not None:
            kernels = torch.cat([stage.depthwise.weight for stage in row if stage.depthwise is not None])
            x = depthwise(x, kernels, first.stride[0], first.dilation[0])
        p = torch.stack([stage.pointwise.weight for stage in row])[..., 0, 0]
        scale, shift = (torch.stack(values) for values in zip(*map(_scale_and_shift, row), strict=True))
        if last and any(term.weight is not None for term, _ in group):
            one = scale.new_ones(())
            weights = torch.stack([one if t.weight is None else t.weight.to(x.dtype) for t, _ in group])[:, None]
            scale, shift = weights * scale, weights * shift
        x, mean, variance = normalized(x, p, scale, shift, norm.eps, summed=last)
        seen.add([stage.norm for stage in row], mean, variance, x)
        if not last:
            x = x.relu_()
    return x


def _rectified(xs: Sequence[Tensor], shared: Shared) -> Tensor:
    found = [shared.get(("relu",), [x], lambda x=x: x.relu()) for x in xs]  # type: ignore[misc]
    return found[0] if len(xs) == 1 else torch.cat(found, dim=1)


def _scale_and_shift(stage: _Stage) -> tuple[Tensor, Tensor]:
    norm, like = stage.norm, stage.pointwise.weight
    if norm.affine:
        return norm.weight, norm.bias
    return like.new_ones(norm.num_features), like.new_zeros(norm.num_features)


POOLS: Mapping[type[nn.Module], tuple[str, ...]] = {
    nn.AvgPool2d: ("kernel_size", "stride", "padding", "ceil_mode", "count_include_pad", "divisor_override"),
    nn.MaxPool2d: ("kernel_size", "stride", "padding", "dilation", "ceil_mode"),
}
"""What tells two poolings apart."""


def _passed(layers: Sequence[nn.Module], x: Tensor, shared: Shared, seen: _Statistics) -> Tensor | None:
    """x itself, or its pooling and the norm behind that, where there is one; None for anything else."""
    if all(type(layer) is nn.Identity for layer in layers):
        return x
    pool, *norms = layers
    if type(pool) not in POOLS or getattr(pool, "return_indices", False) or len(norms) > 1:
        return None
    if norms and not (_is_norm(norms[0]) and not norms[0].affine):
        return None
    what = (type(pool), *(str(getattr(pool, name)) for name in POOLS[type(pool)]))
    y: Tensor = shared.get(what, [x], lambda: pool(x))
    if norms:
        (norm,) = norms
        assert isinstance(norm, nn.BatchNorm2d)
        y, mean, inverse = shared.get(
            (*what, norm.eps), [x], lambda: torch.native_batch_norm(y, None, None, None, None, True, 0.0, norm.eps)
        )
        seen.add([norm], mean[None], (inverse**-2 - norm.eps)[None], y)
    return y


@final
class _Statistics:
    """Batch statistics of norms, for their running ones: moved all at once."""

    def __init__(self) -> None:
        self._seen: list[tuple[nn.BatchNorm2d, Tensor, Tensor]] = []

    @torch.no_grad()
    def add(self, norms: Sequence[nn.BatchNorm2d], mean: Tensor, variance: Tensor, y: Tensor) -> None:
        """Means and biased variances `[norms, C]` of what became y."""
        n = y.shape[0] * y.shape[2] * y.shape[3]
        unbiased = variance * (n / max(n - 1, 1))
        self._seen += zip(norms, mean.detach(), unbiased, strict=True)

    @torch.no_grad()
    def update(self) -> None:
        by_momentum: dict[float, tuple[list[Tensor], list[Tensor]]] = {}
        counts = []
        for norm, mean, variance in self._seen:
            if norm.running_mean is None or norm.running_var is None or norm.num_batches_tracked is None:
                continue
            assert norm.momentum is not None
            running, batch = by_momentum.setdefault(norm.momentum, ([], []))
            running += [norm.running_mean, norm.running_var]
            batch += [mean, variance]
            counts.append(norm.num_batches_tracked)
        for momentum, (running, batch) in by_momentum.items():
            torch._foreach_lerp_(running, batch, momentum)
        if counts:
            torch._foreach_add_(counts, 1)


@final
class _WeightedSum(torch.autograd.Function):
    """`sum of w_i x_i`, and of tensors without a weight behind them; keeps the x_i and nothing else."""

    @staticmethod
    def forward(ctx: Any, weights: Tensor, *xs: Tensor) -> Tensor:
        count = len(weights)
        ctx.save_for_backward(weights, *xs[:count])
        y = weights[0] * xs[0]
        for weight, x in zip(weights[1:], xs[1:count], strict=True):
            y.addcmul_(weight, x)
        for x in xs[count:]:
            y.add_(x)
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        weights, *xs = ctx.saved_tensors
        g = gradients[0].contiguous(memory_format=torch.channels_last)
        of_weights, *wanted = ctx.needs_input_grad
        return (
            torch.stack([_dot(g, x) for x in xs]) if of_weights else None,
            *(w * g if want else None for w, want in zip(weights, wanted, strict=False)),
            *(g if want else None for want in wanted[len(xs) :]),
        )


def _dot(a: Tensor, b: Tensor) -> Tensor:
    flat_a, flat_b = (x.permute(0, 2, 3, 1).reshape(-1) for x in (a, b))
    return torch.dot(flat_a, flat_b)
