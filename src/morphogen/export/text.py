"""Source text: expressions that break over lines, and names that are safe whatever they were made of."""

from __future__ import annotations

import builtins
import keyword
import math
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import nn

__all__ = ["WIDTH", "Expression", "camel", "identifier", "literal", "render", "unique"]

WIDTH = 100
"""No line is longer, except where one name or number is."""

RESERVED = {"self", "torch", "nn", "F", "Model", *keyword.kwlist, *keyword.softkwlist, *dir(builtins)}


@final
@dataclass(frozen=True, slots=True)
class Expression:
    """`head` + items, separated by commas + `tail`; without items, an atom that stays on one line.

    Args:
        head: Such as `nn.Conv2d(`, or the whole text.
        items: What stands between head and tail.
        tail: Such as `)`.
        level: How tightly it binds, for parentheses: 10 for calls and names, less for operators.
        depth: How many calls are nested in it.
    """

    head: str
    items: tuple[Expression, ...] = ()
    tail: str = ""
    level: int = 10
    depth: int = 0

    def __str__(self) -> str:
        return self.head + ", ".join(map(str, self.items)) + self.tail

    def inside(self, level: int) -> str:
        """The text, in parentheses where it binds less tightly than `level`."""
        return f"({self})" if self.level < level else str(self)


def render(expression: Expression, before: str = "", after: str = "", indent: int = 0) -> Iterator[str]:
    """The lines of `before + expression + after`, broken item by item where it is too long for one."""
    flat = f"{' ' * indent}{before}{expression}{after}"
    if len(flat) <= WIDTH or not expression.items:
        yield flat
        return
    yield f"{' ' * indent}{before}{expression.head}"
    row = f"{' ' * (indent + 4)}{', '.join(map(str, expression.items))}"
    if len(row) <= WIDTH and not any(item.items for item in expression.items):
        yield row
        yield f"{' ' * indent}{expression.tail}{after}"
        return
    for item in expression.items:
        yield from render(item, after=",", indent=indent + 4)
    yield f"{' ' * indent}{expression.tail}{after}"


def identifier(name: object, reserved: Collection[str] = RESERVED) -> str:
    """A Python identifier that looks like `name`: ASCII letters, digits, underscores, and nothing of `reserved`."""
    safe = re.sub(r"_+", "_", re.sub(r"[^0-9A-Za-z_]", "_", str(name)[:60])).strip("_")
    if not safe or safe[0].isdigit():
        safe = f"m{safe}"
    return f"{safe}_" if safe in reserved else safe


MODULE_NAMES = {*dir(nn.Module()), *keyword.kwlist}
"""What an attribute of a module must not be called."""


def camel(name: object) -> str:
    """A class name: `sep_conv_3x3` becomes `SepConv3x3`."""
    words = re.sub(r"[^0-9A-Za-z]+", " ", str(name)[:60]).split()
    joined = ""
    for word in words:
        # two numbers are not one: conv_1x7_7x1 becomes Conv1x7_7x1
        joined += ("_" if joined[-1:].isdigit() and word[0].isdigit() else "") + word[0].upper() + word[1:]
    return identifier(joined)


def unique(name: str, taken: Collection[str]) -> str:
    """`name`, with a number behind it where it is taken."""
    number, candidate = 2, name
    while candidate in taken:
        candidate = f"{name}{'_' if name[-1].isdigit() else ''}{number}"
        number += 1
    return candidate


def literal(value: Any) -> str | None:
    """The source of a constant; None where it has none (arrays, objects)."""
    if isinstance(value, bool | None.__class__ | str) and type(value) in (bool, type(None), str):
        return (
            repr(value).replace("'", '"') if isinstance(value, str) and not set(value) & set("'\"\\") else repr(value)
        )
    if type(value) is int or (type(value) is float and math.isfinite(value)):
        return repr(value)
    if type(value) is float:
        return f'float("{value}")'
    if value is ...:
        return "..."
    if isinstance(value, torch.dtype | torch.memory_format):
        return str(value)
    if isinstance(value, torch.device):
        return f'torch.device("{value}")'
    if isinstance(value, tuple):
        parts = [literal(v) for v in value]
        return None if None in parts else f"({', '.join(map(str, parts))}{',' if len(parts) == 1 else ''})"
    return None
