"""Training-free scores: numbers that foretell, from one batch, how well a network will train.

Each is a function of a network and a batch. The network is not changed: a score works on a copy of it, so weights,
buffers, gradients and training mode stay as they are, and nothing is drawn from torch's own random state. More is
better, as the papers have it, unless the function says otherwise.

A *weight* is a parameter of two or more dimensions, of whatever module: norms' scales and biases do not count. Dropout,
drop path and an auxiliary head do not take part; batch norm uses the statistics of the batch, unless said otherwise.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, final

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from morphogen.nn import complexity
from morphogen.protocols import MorphogenError

__all__ = [
    "SCORES",
    "Batch",
    "Score",
    "fisher",
    "grad_norm",
    "grasp",
    "jacobian_covariance",
    "log_synflow",
    "macs",
    "naswot",
    "params",
    "snip",
    "synflow",
    "zen",
]


class Batch(NamedTuple):
    """Images as the network takes them, `(N, C, H, W)`, and their classes, `(N,)`, or the targets of another task, on the
    network's device; and the loss of outputs for them."""

    images: Tensor
    labels: Tensor
    loss: Callable[[Tensor, Tensor], Tensor] = functional.cross_entropy


Score = Callable[[nn.Module, Batch], float]

aten = torch.ops.aten


# --- without a gradient ---------------------------------------------------------------------------------------------


def params(network: nn.Module, batch: Batch) -> float:
    """Number of parameters, the auxiliary head's left out. A baseline that many scores do not beat."""
    auxiliary = getattr(network, "auxiliary", None)
    extra = sum(p.numel() for p in auxiliary.parameters()) if isinstance(auxiliary, nn.Module) else 0
    return float(sum(p.numel() for p in network.parameters()) - extra)


def macs(network: nn.Module, batch: Batch) -> float:
    """Multiply-adds for one image. A baseline like `params`."""
    channels, height, width = batch.images.shape[1:]
    return float(complexity.complexity(network, (channels, height, width)).macs)


@torch.no_grad()
def naswot(network: nn.Module, batch: Batch) -> float:
    """How different the linear regions are in which the images lie: `log |det K|`, `K_ij` = equal bits of codes i, j.

    Mellor et al. 2021, "Neural Architecture Search without Training" (arXiv:2006.04647, version 3), equation 2.
    The code of an image has a bit for every unit that rectifies: whether its input is above zero. Any real
    number; minus infinity where two images have one code. Grows with the number of images.

    **Differs**: rectifiers are found as operators, so functions count as modules do, and with ReLU also its smooth
    relatives (GELU, SiLU, ...); a rectifier that several paths share counts once.
    """
    with _Rectified() as rectified:
        _scored(network)(batch.images)
    if rectified.kernel is None:
        raise MorphogenError("naswot needs rectifiers (ReLU, GELU, SiLU, ...), and the network has none")
    return float(torch.linalg.slogdet(rectified.kernel)[1])


@torch.no_grad()
def zen(network: nn.Module, batch: Batch, seed: int = 0, draws: int = 4) -> float:
    """How much the features change with the image, for Gaussian weights: the log of the change, norms made up for.

    Lin et al. 2021, "Zen-NAS: A Zero-Shot NAS for High-Performance Image Recognition" (arXiv:2102.01063), algorithm 1,
    with alpha = 0.01 as in the released code. Any real number. Reads only the shape of the batch. The features are what
    the last global average pooling is given, or the output where there is none.

    **Differs**: 4 draws instead of 32, with a seed of their own.
    """
    plain = _scored(network)
    generator = torch.Generator().manual_seed(seed)
    norms = [m for m in plain.modules() if isinstance(getattr(m, "running_var", None), Tensor)]
    scales: list[Tensor] = []

    def watch(module: nn.Module, args: tuple[Any, ...]) -> None:
        x = args[0]
        scales.append(x.var([d for d in range(x.dim()) if d != 1], correction=0).mean().clamp_min(1e-30).log() / 2)

    hooks = [norm.register_forward_pre_hook(watch) for norm in norms]
    found: list[float] = []
    try:
        for _ in range(draws):
            for parameter in plain.parameters():
                parameter.zero_()  # biases
            for weight in _weights(plain):
                weight.copy_(torch.randn(weight.shape, generator=generator))
            for norm in norms:
                if isinstance(scale := getattr(norm, "weight", None), Tensor):
                    scale.fill_(1.0)
            x, noise = (torch.randn(batch.images.shape, generator=generator).to(batch.images) for _ in range(2))
            scales.clear()
            features = _features(plain, x)
            total = float(sum(scales, torch.zeros(())))
            change = (features - _features(plain, x + 0.01 * noise)).abs().flatten(1).sum(1).mean()
            found.append(math.log(max(float(change), 1e-30)) + total)
    finally:
        for hook in hooks:
            hook.remove()
    return sum(found) / draws


# --- with the gradient of a path through all weights ------------------------------------------------------------------


def synflow(network: nn.Module, batch: Batch) -> float:
    """Sum of `|weight * gradient|` of the sum of the logits, for an image of ones and positive weights, without norms.

    Tanaka et al. 2020, "Pruning neural networks without any data by iteratively conserving synaptic flow"
    (arXiv:2006.05467), equation 1; as a score Abdelfattah et al. 2021 (arXiv:2101.08134). 0 or more; spans tens
    of orders of magnitude, infinite only beyond 1e308. Reads only the shape of the batch.
    """
    return _flow(network, batch, lambda gradient: gradient)


def log_synflow(network: nn.Module, batch: Batch) -> float:
    """As `synflow`, with `log(1 + gradient)`: depth does not drown the rest.

    Cavagnero et al. 2023, "FreeREA: Training-Free Evolution-based Architecture Search" (arXiv:2207.05135), equation 2.
    0 or more.
    """
    return _flow(network, batch, torch.log1p)


def _flow(network: nn.Module, batch: Batch, of: Callable[[Tensor], Tensor]) -> float:
    plain = _scored(network).double().eval()
    with torch.no_grad():
        for tensor in plain.parameters():
            tensor.abs_()
        for module in plain.modules():
            _neutralize(module)
    ones = torch.ones_like(batch.images[:1], dtype=torch.float64)
    weights = _weights(plain)
    gradients = torch.autograd.grad(_logits(plain(ones)).sum(), weights, allow_unused=True)
    return _total((w * of(g)).abs() for w, g in zip(weights, gradients, strict=True) if g is not None)


# --- with the gradient of the loss ------------------------------------------------------------------------------------


def grad_norm(network: nn.Module, batch: Batch) -> float:
    """Sum over the weights, tensor by tensor, of the L2 norm of the gradient of the loss. 0 or more.

    Abdelfattah et al. 2021, "Zero-Cost Proxies for Lightweight NAS" (arXiv:2101.08134), section 3.1.
    """
    return _total(g.norm() for _, g in _gradients(_scored(network), batch))


def snip(network: nn.Module, batch: Batch) -> float:
    """Sum of `|weight * gradient|` of the loss: what leaving weights out would change. 0 or more.

    Lee et al. 2019, "SNIP: Single-shot Network Pruning based on Connection Sensitivity" (arXiv:1810.02340), equation 4,
    not normalized; as a score Abdelfattah et al. 2021 (arXiv:2101.08134).
    """
    return _total((w * g).abs() for w, g in _gradients(_scored(network), batch))


def grasp(network: nn.Module, batch: Batch) -> float:
    """Sum of `-weight * (Hessian times gradient)`: whether the gradient flow would shrink without the weights.

    Wang et al. 2020, "Picking Winning Tickets Before Training by Preserving Gradient Flow" (arXiv:2002.07376),
    equation 8; as a score Abdelfattah et al. 2021 (arXiv:2101.08134). Any real number.
    """
    plain = _scored(network)
    weights = _weights(plain)
    gradients = torch.autograd.grad(_loss(plain, batch), weights, create_graph=True, allow_unused=True)
    flow = torch.stack([(g * g.detach()).sum() for g in gradients if g is not None]).sum()
    if not flow.requires_grad:
        return 0.0
    products = torch.autograd.grad(flow, weights, allow_unused=True)
    return _total(-w * h for w, h in zip(weights, products, strict=True) if h is not None)


def fisher(network: nn.Module, batch: Batch) -> float:
    """Sum over the channels of layers with weights of `1/2 mean_n (sum_xy activation * gradient)^2`. 0 or more.

    Theis et al. 2018 (arXiv:1801.05787), equation 10; Turner et al. 2020, "BlockSwap" (arXiv:1906.04113), section
    3; as a score Abdelfattah et al. 2021 (arXiv:2101.08134). The gradients are of the mean loss.
    """
    plain = _scored(network)
    parts: list[Tensor] = []

    def watch(module: nn.Module, args: object, output: object) -> None:
        if isinstance(output, Tensor) and output.requires_grad:
            activation = output.detach().clone()  # something behind it may work in place

            def look(gradient: Tensor) -> None:
                products = (activation * gradient).double()
                channels = products.flatten(2).sum(2) if products.dim() > 2 else products
                parts.append(channels.square().mean(0).sum() / 2)

            output.register_hook(look)  # type: ignore[no-untyped-call]

    for module in plain.modules():
        if any(p.dim() > 1 for p in module.parameters(recurse=False)):
            module.register_forward_hook(watch)
    _gradients(plain, batch)
    return _total(parts)


def jacobian_covariance(network: nn.Module, batch: Batch) -> float:
    """How uncorrelated the gradients of the logits are between images: `-sum(log(v + k) + 1 / (v + k))`.

    v are the eigenvalues of the correlations of the gradients with respect to the images, k = 1e-5. Mellor et al.
    2020 (arXiv:2006.04647, version 1), section 3. Negative; the best is minus the number of images, where nothing
    correlates.
    """
    images = batch.images.detach().clone().requires_grad_()
    total = _logits(_scored(network)(images)).sum()
    (gradient,) = torch.autograd.grad(total, images, allow_unused=True, materialize_grads=True)
    correlations = torch.corrcoef(gradient.flatten(1).double()).nan_to_num()  # an image without gradient has none
    values = torch.linalg.eigvalsh(correlations).clamp_min(0) + 1e-5
    return -float((values.log() + 1 / values).sum())


SCORES: Mapping[str, Score] = {
    "fisher": fisher,
    "grad_norm": grad_norm,
    "grasp": grasp,
    "jacobian_covariance": jacobian_covariance,
    "log_synflow": log_synflow,
    "macs": macs,
    "naswot": naswot,
    "params": params,
    "snip": snip,
    "synflow": synflow,
    "zen": zen,
}
"""By name; `-` is as good as `_`."""


# --- what they share --------------------------------------------------------------------------------------------------


def _scored(network: nn.Module) -> nn.Module:
    """A copy whose batch norms use the statistics of the batch and in which all else is as in evaluation."""
    try:
        copied: nn.Module = copy.deepcopy(network)
    except RuntimeError as error:
        raise MorphogenError(
            f"the network cannot be copied: {error}; let no module keep tensors of its last forward"
        ) from error
    copied.eval().requires_grad_()
    copied.zero_grad()
    for module in copied.modules():
        if isinstance(getattr(module, "running_mean", None), Tensor):
            module.training = True
    return copied


def _neutralize(module: nn.Module) -> None:
    """Make a batch norm the identity."""
    if not isinstance(getattr(module, "num_batches_tracked", None), Tensor):
        return
    for name, value in (("running_mean", 0.0), ("running_var", 1.0), ("weight", 1.0), ("bias", 0.0)):
        if isinstance(tensor := getattr(module, name, None), Tensor):
            tensor.fill_(value)
    module.eps = 0.0  # type: ignore[assignment]  # a number of every batch norm


def _weights(network: nn.Module) -> list[nn.Parameter]:
    auxiliary = getattr(network, "auxiliary", None)
    left_out = {id(p) for p in auxiliary.parameters()} if isinstance(auxiliary, nn.Module) else set()
    return [p for p in network.parameters() if p.dim() > 1 and id(p) not in left_out]


def _logits(output: Any) -> Tensor:
    logits: Tensor = output[0] if isinstance(output, tuple | list) else output
    return logits


def _loss(network: nn.Module, batch: Batch) -> Tensor:
    return batch.loss(_logits(network(batch.images)), batch.labels)


def _gradients(network: nn.Module, batch: Batch) -> list[tuple[Tensor, Tensor]]:
    """Weights and gradients of the loss; weights that do not take part are left out."""
    weights = _weights(network)
    gradients = torch.autograd.grad(_loss(network, batch), weights, allow_unused=True)
    return [(w.detach(), g) for w, g in zip(weights, gradients, strict=True) if g is not None]


def _total(parts: Iterable[Tensor]) -> float:
    return math.fsum(float(part.detach().double().sum()) for part in parts)


def _features(network: nn.Module, x: Tensor) -> Tensor:
    with _Pooled() as pooled:
        output = _logits(network(x))
    return output if pooled.last is None else pooled.last


RECTIFIERS = frozenset(
    {
        aten.relu, aten.relu_, aten.leaky_relu, aten.leaky_relu_, aten.hardtanh, aten.hardtanh_, aten.clamp_min,
        aten.clamp_min_, aten.gelu, aten.silu, aten.silu_, aten.hardswish, aten.hardswish_, aten.elu, aten.elu_,
        aten.mish, aten.mish_,
    }
)  # fmt: skip


@final
class _Rectified(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch has no types for it
    """Adds up, over everything that is rectified, in how many units two images agree: `kernel[i, j]`."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.kernel: Tensor | None = None

    def __torch_dispatch__(
        self, func: Any, types: Iterable[type], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func._overloadpacket in RECTIFIERS:
            signs = (args[0].flatten(1) > 0).float() * 2 - 1
            # products of signs are 1 where bits agree and -1 where not; their sums are exact up to 2**24
            agree = ((signs @ signs.T).double() + signs.shape[1]) / 2
            self.kernel = agree if self.kernel is None else self.kernel + agree
        return func(*args, **(kwargs or {}))


@final
class _Pooled(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch has no types for it
    """Keeps what the last average over height and width was given."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.last: Tensor | None = None

    def __torch_dispatch__(
        self, func: Any, types: Iterable[type], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        packet = func._overloadpacket
        if packet is aten._adaptive_avg_pool2d or (packet is aten.mean and args[0].dim() == 4):
            self.last = args[0]
        return func(*args, **(kwargs or {}))
