"""The layers of `torch.nn` that a `model.py` may contain, with the constructor arguments that torch 2.6 knows."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, final

from torch import nn

from morphogen.export.text import literal

__all__ = ["LAYERS", "Argument", "Call", "Unsupported", "layer"]


class Unsupported(Exception):
    """A layer or a value that source text cannot express; the message says which."""


class _Required:
    """The default of an argument that has none."""


REQUIRED = _Required()


@final
@dataclass(frozen=True, slots=True)
class Argument:
    """An argument of a constructor: a call, or a constant that is left out where it is the default."""

    name: str
    value: Any
    default: Any = REQUIRED
    positional: bool = False


@final
@dataclass(frozen=True, slots=True)
class Call:
    """A constructor call. `listed`: its arguments are one list, as those of `nn.ModuleList`."""

    callee: str
    arguments: tuple[Argument, ...] = ()
    listed: bool = False


def _table(text: str) -> dict[type[nn.Module], dict[str, Any]]:
    """Read lines of `Name[1d 2d 3d]: argument argument=default`."""
    table: dict[type[nn.Module], dict[str, Any]] = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        names, _, signature = line.partition(":")
        arguments: dict[str, Any] = {}
        for word in signature.split():
            name, equals, default = word.partition("=")
            arguments[name] = ast.literal_eval(default) if equals else REQUIRED
        for name in names.split():
            for dimensions in "123" if name.endswith("Nd") else " ":
                found = getattr(nn, name.replace("Nd", f"{dimensions}d"), None)
                if found is not None:
                    table[found] = arguments
    return table


LAYERS: Mapping[type[nn.Module], Mapping[str, Any]] = _table("""
    ConvNd: in_channels out_channels kernel_size stride=1 padding=0 dilation=1 groups=1 bias=True padding_mode='zeros'
    ConvTransposeNd: in_channels out_channels kernel_size stride=1 padding=0 output_padding=0 groups=1 bias=True \
        dilation=1 padding_mode='zeros'
    Linear: in_features out_features bias=True
    Bilinear: in1_features in2_features out_features bias=True
    Embedding: num_embeddings embedding_dim padding_idx=None max_norm=None norm_type=2.0 \
        scale_grad_by_freq=False sparse=False
    MultiheadAttention: embed_dim num_heads dropout=0.0 bias=True add_bias_kv=False add_zero_attn=False \
        kdim=None vdim=None batch_first=False
    BatchNormNd: num_features eps=1e-05 momentum=0.1 affine=True track_running_stats=True
    InstanceNormNd: num_features eps=1e-05 momentum=0.1 affine=False track_running_stats=False
    GroupNorm: num_groups num_channels eps=1e-05 affine=True
    LayerNorm: normalized_shape eps=1e-05 elementwise_affine=True bias=True
    RMSNorm: normalized_shape eps=None elementwise_affine=True
    LocalResponseNorm: size alpha=0.0001 beta=0.75 k=1.0
    MaxPoolNd: kernel_size stride=None padding=0 dilation=1 return_indices=False ceil_mode=False
    AvgPool1d: kernel_size stride=None padding=0 ceil_mode=False count_include_pad=True
    AvgPool2d AvgPool3d: kernel_size stride=None padding=0 ceil_mode=False count_include_pad=True divisor_override=None
    LPPoolNd: norm_type kernel_size stride=None ceil_mode=False
    AdaptiveAvgPoolNd: output_size
    AdaptiveMaxPoolNd: output_size return_indices=False
    ZeroPadNd ReflectionPadNd ReplicationPadNd CircularPadNd: padding
    ConstantPadNd: padding value
    Upsample: size=None scale_factor=None mode='nearest' align_corners=None recompute_scale_factor=None
    UpsamplingNearest2d UpsamplingBilinear2d: size=None scale_factor=None
    PixelShuffle: upscale_factor
    PixelUnshuffle: downscale_factor
    ChannelShuffle: groups
    Flatten: start_dim=1 end_dim=-1
    Unflatten: dim unflattened_size
    Unfold: kernel_size dilation=1 padding=0 stride=1
    Fold: output_size kernel_size dilation=1 padding=0 stride=1
    Identity Sigmoid Tanh Tanhshrink Softsign LogSigmoid Softmax2d:
    Dropout DropoutNd AlphaDropout FeatureAlphaDropout: p=0.5 inplace=False
    ReLU ReLU6 SELU SiLU Mish Hardswish Hardsigmoid: inplace=False
    ELU CELU: alpha=1.0 inplace=False
    LeakyReLU: negative_slope=0.01 inplace=False
    RReLU: lower=0.125 upper=0.3333333333333333 inplace=False
    Hardtanh: min_val=-1.0 max_val=1.0 inplace=False
    Threshold: threshold value inplace=False
    Softplus: beta=1.0 threshold=20.0
    Softshrink Hardshrink: lambd=0.5
    PReLU: num_parameters=1 init=0.25
    GELU: approximate='none'
    GLU: dim=-1
    Softmax LogSoftmax: dim=None
    CosineSimilarity: dim=1 eps=1e-08
""")
"""Type -> argument -> default, in the order of the constructor. A literal table, not the signatures of the installed
torch: what a newer one added (`bias` of the norms) would be refused by an older one."""

INTERNAL = {
    "self",
    "args",
    "kwargs",
    "device",
    "dtype",
    "_weight",
    "_freeze",
    "_random_samples",
    "min_value",
    "max_value",
}
"""Parameters of installed constructors that no module remembers, or that only repeat others."""

PER_DIMENSION = {
    "kernel_size",
    "stride",
    "padding",
    "dilation",
    "output_padding",
    "output_size",
    "size",
    "scale_factor",
}
"""Arguments for which `3` means `(3, 3)`."""


def layer(module: nn.Module) -> Call | None:
    """The constructor call that gives a layer like this one; None where its type is not in `LAYERS`.

    Raises:
        Unsupported: It has an argument that torch 2.6 does not know, or a value that is no constant.
    """
    kind = type(module)
    if kind not in LAYERS:
        return None
    _refuse_newer(module)
    return Call(f"nn.{kind.__name__}", tuple(_arguments(module)))


def _arguments(module: nn.Module) -> Iterator[Argument]:
    for name, default in LAYERS[type(module)].items():
        value = _value(module, name)
        if name == "stride" and default is None:
            # a pool's stride is its kernel size by default, and that is what it remembers
            default = _short("stride", module.kernel_size)
        if literal(value) is None:
            raise Unsupported(f"the argument {name}={value!r} of nn.{type(module).__name__} is no constant")
        yield Argument(name, value, default, positional=default is REQUIRED)


def _value(module: nn.Module, name: str) -> Any:
    if isinstance(module, nn.MultiheadAttention):
        if name == "bias":
            return module.in_proj_bias is not None
        if name == "add_bias_kv":
            return module.bias_k is not None
        if name in ("kdim", "vdim"):
            return None if getattr(module, name) == module.embed_dim else getattr(module, name)
    if name == "bias":
        # without a weight there is no bias, whatever the argument was
        return getattr(module, "bias", None) is not None or not getattr(module, "elementwise_affine", True)
    return _short(name, getattr(module, name))


def _short(name: str, value: Any) -> Any:
    """`(3, 3)` as `3` where that is the same."""
    if isinstance(value, list):
        value = tuple(value)
    if isinstance(value, tuple):
        value = tuple(value)  # a torch.Size is a tuple that prints differently
        if (
            value
            and (name in PER_DIMENSION or (name == "normalized_shape" and len(value) == 1))
            and len(set(value)) == 1
        ):
            return value[0]
    return value


def _refuse_newer(module: nn.Module) -> None:
    kind = type(module)
    for name, parameter in inspect.signature(kind.__init__).parameters.items():
        if name in INTERNAL or name in LAYERS[kind]:
            continue
        value = getattr(module, name, parameter.default)
        if name == "bias":
            value = (value is not None) == (getattr(module, "weight", None) is not None)
        if value != parameter.default:
            raise Unsupported(f"nn.{kind.__name__} has {name}={value!r}, an argument that torch 2.6 does not know")
