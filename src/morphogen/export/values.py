"""Traced values, and what Python may know of them.

Where Python needs a number or a truth (a branch, a loop, `int(...)`), the value is computed on meta tensors, once for a
batch of 2 images and once for 3. Both must give the same: then it follows from the architecture and the image size.
Otherwise it depends on the data or the batch size, and is refused.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, Protocol, final

import torch
from torch import Tensor, fx, nn
from torch.fx.proxy import Attribute

__all__ = ["BATCHES", "TRAINING", "Refused", "Value", "evaluate", "nested"]

BATCHES = (2, 3)
KEEP_SHAPE = (nn.ReLU, nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.GroupNorm, nn.LayerNorm, nn.Dropout)
"""Layers that need not run to know what comes out; norms on the meta device are slow."""


class Refused(Exception):
    """Something that source text cannot say.

    Args:
        what: Follows the name of the module.
        instead: What to do about it.
    """

    def __init__(self, what: str, instead: str) -> None:
        super().__init__(what)
        self.what, self.instead = what, instead


@final
class Training(int):
    """`self.training` while tracing: false, and where it is handed on it still reads `self.training`."""

    def __repr__(self) -> str:
        return "self.training"


TRAINING = Training(0)


class Recorder(Protocol):
    """What a value needs of the tracer that made it."""

    def create_proxy(self, kind: str, target: Any, args: Any, kwargs: Any) -> Any: ...

    def untraced(self) -> AbstractContextManager[None]: ...


class Value(fx.Proxy):
    """A traced value that can say what Python needs to know of it, where that follows from shapes alone."""

    tracer: Any

    def __getitem__(self, index: Any) -> Any:
        return self.tracer.create_proxy("call_function", operator.getitem, (self, index), {})

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if callable(getattr(torch.Tensor, name, None)) or not hasattr(torch.Tensor, name):
            return Attribute(self, name)
        return self.tracer.create_proxy("call_function", getattr, (self, name), {})

    def __setitem__(self, index: Any, value: Any) -> None:
        raise Refused("it assigns to items of a tensor", "build the tensor with torch.cat, torch.where or masked_fill")

    def __iadd__(self, other: Any) -> Any:
        return self._in_place("add", other)

    def __isub__(self, other: Any) -> Any:
        return self._in_place("sub", other)

    def __imul__(self, other: Any) -> Any:
        return self._in_place("mul", other)

    def __itruediv__(self, other: Any) -> Any:
        return self._in_place("div", other)

    def _in_place(self, name: str, other: Any) -> Any:
        if isinstance(evaluate(self.node, self.tracer)[0], Tensor):
            return self.tracer.create_proxy("call_method", f"{name}_", (self, other), {})
        function = operator.truediv if name == "div" else getattr(operator, name)
        return self.tracer.create_proxy("call_function", function, (self, other), {})

    def __bool__(self) -> bool:
        return bool(self._known("branches on"))

    def __int__(self) -> int:
        return int(self._known("needs as a number"))

    def __index__(self) -> int:
        return int(self._known("needs as a number"))

    def __float__(self) -> float:
        return float(self._known("needs as a number"))

    def __len__(self) -> int:
        sizes = [_length(v) for v in evaluate(self.node, self.tracer)]
        if sizes[0] is None or sizes[0] != sizes[1]:
            raise Refused("its forward loops over a tensor whose length is not fixed", "use whole-tensor operations")
        return sizes[0]

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(len(self)))

    def _known(self, what: str) -> Any:
        found, other = evaluate(self.node, self.tracer)
        if found is None or isinstance(found, Tensor):
            raise Refused(
                f"its forward {what} a value that only the data gives ('{self.node.name}')",
                "decide it in the constructor, or compute both cases and choose with torch.where",
            )
        if found != other:
            raise Refused(
                f"its forward {what} a value that depends on the batch size ('{self.node.name}')",
                "use tensor methods that need no number, such as flatten(1)",
            )
        return found


def _length(value: Any) -> int | None:
    return len(value) if isinstance(value, tuple | list) or (isinstance(value, Tensor) and value.dim()) else None


def evaluate(node: fx.Node, tracer: Recorder) -> tuple[Any, Any]:
    """What a node is for each of `BATCHES`, with meta tensors; None where that needs data.

    `node.meta["values"]` keeps it; `node.meta["is"]` is the node of another graph that this one stands for.
    """
    pending = [node]
    while pending:
        top = pending[-1]
        sources = [top.meta["is"]] if "is" in top.meta else top.all_input_nodes
        unknown = [n for n in sources if "values" not in n.meta]
        if unknown:
            pending += unknown
            continue
        pending.pop()
        if "is" in top.meta:
            top.meta["values"] = top.meta["is"].meta["values"]
        elif "values" not in top.meta:
            top.meta["values"] = tuple(_run(top, i, tracer) for i in range(len(BATCHES)))
    found, other = node.meta["values"]
    return found, other


def _run(node: fx.Node, i: int, tracer: Recorder) -> Any:
    target: Any = node.target
    try:
        args: Any = fx.node.map_aggregate(node.args, partial(_concrete, i=i))
        kwargs: Any = fx.node.map_aggregate(node.kwargs, partial(_concrete, i=i))
        with torch.no_grad(), tracer.untraced():
            if node.op == "call_module":
                module = node.meta["module"]
                return args[0] if isinstance(module, KEEP_SHAPE) else module.forward(*args, **kwargs)
            if node.op == "call_method":
                return getattr(args[0], target)(*args[1:], **kwargs)
            return target(*args, **kwargs)
    except Exception:
        # no value without data, or an error that the network itself reports when it runs
        return None


def _concrete(value: Any, i: int) -> Any:
    if isinstance(value, fx.Node):
        known = value.meta["values"][i]
        if known is None:
            raise LookupError(value.name)
        return known
    return bool(value) if isinstance(value, Training) else value


def nested(value: Any, f: Callable[[Any], Any]) -> Any:
    """The same structure of tuples, lists and dicts, with `f` of every traced value in it."""
    if isinstance(value, fx.Proxy):
        return f(value)
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(nested(v, f) for v in value))
    if type(value) in (tuple, list):
        return type(value)(nested(v, f) for v in value)
    return {k: nested(v, f) for k, v in value.items()} if type(value) is dict else value
