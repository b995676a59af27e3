"""The functions that a `model.py` may call, and how they are written."""

from __future__ import annotations

import builtins
import operator
import types
from collections.abc import Mapping
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F

__all__ = ["BINARY", "IN_PLACE", "UNARY", "function_name", "functions"]

BINARY: Mapping[Any, tuple[str, int]] = {
    operator.pow: ("**", 9),
    operator.mul: ("*", 7),
    operator.truediv: ("/", 7),
    operator.floordiv: ("//", 7),
    operator.mod: ("%", 7),
    operator.matmul: ("@", 7),
    operator.add: ("+", 6),
    operator.sub: ("-", 6),
    operator.and_: ("&", 4),
    operator.xor: ("^", 3),
    operator.or_: ("|", 2),
    operator.eq: ("==", 1),
    operator.ne: ("!=", 1),
    operator.lt: ("<", 1),
    operator.le: ("<=", 1),
    operator.gt: (">", 1),
    operator.ge: (">=", 1),
}
UNARY: Mapping[Any, str] = {operator.neg: "-", operator.invert: "~"}
IN_PLACE: Mapping[Any, str] = {
    operator.iadd: "add_",
    operator.isub: "sub_",
    operator.imul: "mul_",
    operator.itruediv: "div_",
    operator.abs: "abs",
    builtins.abs: "abs",
}
"""Functions that are written as a method of their first argument."""


def function_name(target: Any) -> str | None:
    """How a function is called in source, such as `F.relu`; None where it is no public function of torch."""
    if target in BINARY or target in UNARY or target in IN_PLACE or target in (operator.getitem, getattr):
        return str(target.__name__)
    return functions().get(target)


@cache
def functions() -> Mapping[Any, str]:
    """The functions that a `model.py` may call, with their names."""
    found: dict[Any, str] = {}
    for prefix, namespace in (
        ("F", F),
        ("torch", torch),
        ("torch.linalg", torch.linalg),
        ("torch.special", torch.special),
        ("torch.fft", torch.fft),
    ):
        for name in sorted(dir(namespace)):
            function = getattr(namespace, name)
            public = isinstance(function, types.BuiltinFunctionType) or (
                isinstance(function, types.FunctionType)
                and function.__module__ in ("torch.nn.functional", "torch.functional", "torch._jit_internal")
            )
            if public and not name.startswith("_") and not name.endswith(("torch_function", "_dispatch")):
                found.setdefault(function, f"{prefix}.{name}")
    return found
