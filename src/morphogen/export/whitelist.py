"""What a `model.py` may contain, checked on its syntax tree.

Names come from `text.identifier` and constants from `text.literal`; this is the second lock. Whatever modules and
options were called, no code of theirs gets into the file.
"""

from __future__ import annotations

import ast
import string
from collections.abc import Iterator

import torch

from morphogen.export.functions import functions
from morphogen.export.layers import LAYERS
from morphogen.protocols import MorphogenError

__all__ = ["check"]

IMPORTS = {"import torch", "import torch.nn.functional as F", "from torch import nn"}
BASES = {"nn.Module", "nn.Sequential"}
DOTTED = {*string.ascii_letters, *string.digits, "_", "."}
MODULES = {"Module", "ModuleList", "Parameter", "Sequential"}
NODES = (
    *(
        ast.Assign,
        ast.Attribute,
        ast.BinOp,
        ast.Call,
        ast.Compare,
        ast.Constant,
        ast.Expr,
        ast.List,
        ast.Name,
        ast.Return,
    ),
    *(ast.Slice, ast.Subscript, ast.Tuple, ast.UnaryOp, ast.arg, ast.arguments, ast.keyword),
    *(ast.operator, ast.unaryop, ast.cmpop, ast.expr_context),
)


def check(text: str) -> None:
    """Check that a source file only defines modules made of torch.

    Raises:
        MorphogenError: It contains anything else. This is never the network's fault, and nothing was run.
    """
    tree = ast.parse(text)
    classes = {node.name for node in tree.body if isinstance(node, ast.ClassDef)}
    for wrong in _wrong(tree, classes):
        raise MorphogenError(
            f"model.py would have {ast.unparse(wrong)[:60]!r} in line {getattr(wrong, 'lineno', 0)}, "
            "which no network needs; nothing was written: please report this network"
        )


def _wrong(tree: ast.Module, classes: set[str]) -> Iterator[ast.AST]:
    for i, node in enumerate(tree.body):
        if i == 0 and _is_text(node):
            continue
        if isinstance(node, ast.Import | ast.ImportFrom):
            if ast.unparse(node) not in IMPORTS:
                yield node
        elif (
            isinstance(node, ast.ClassDef)
            and [ast.unparse(b) for b in node.bases] in [[b] for b in BASES]
            and not _extras(node)
        ):
            for method in node.body:
                if (
                    isinstance(method, ast.FunctionDef)
                    and method.name in ("__init__", "forward")
                    and not _extras(method)
                ):
                    yield from _wrong_in(method, classes)
                else:
                    yield method
        else:
            yield node


def _wrong_in(method: ast.FunctionDef, classes: set[str]) -> Iterator[ast.AST]:
    arguments = method.args
    if arguments.defaults or arguments.kwonlyargs or arguments.vararg or arguments.kwarg or arguments.posonlyargs:
        yield arguments
    local = {a.arg for a in arguments.args}
    local |= {n.id for n in ast.walk(method) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    known = local | classes | {"torch", "nn", "F", "super", "float"}
    tensor = set(dir(torch.Tensor))
    for statement in method.body:
        for node in ast.walk(statement):
            match node:
                case ast.Name():
                    right = node.id in known
                case ast.keyword():
                    right = node.arg is not None
                case ast.Attribute():
                    right = not node.attr.startswith("_") or ast.unparse(node) == "super().__init__"
                case ast.Call():
                    right = _callable(node.func, classes, tensor)
                case _:
                    right = isinstance(node, NODES)
            if not right:
                yield node


def _callable(function: ast.expr, classes: set[str], tensor: set[str]) -> bool:
    name = ast.unparse(function)
    root, _, rest = name.partition(".")
    if isinstance(function, ast.Name):
        return name in classes or name in ("super", "float")
    if root == "nn" and set(name) <= DOTTED:
        return rest in MODULES or any(rest == kind.__name__ for kind in LAYERS)
    if root in ("torch", "F") and set(name) <= DOTTED:
        return name in functions().values() or name == "torch.device"
    if root == "self" or name == "super().__init__":
        # a part of the network, or a method of one of its tensors
        return True
    return isinstance(function, ast.Attribute) and function.attr in tensor


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _extras(node: ast.ClassDef | ast.FunctionDef) -> bool:
    return bool(
        node.decorator_list or (isinstance(node, ast.ClassDef) and node.keywords) or getattr(node, "type_params", None)
    )
