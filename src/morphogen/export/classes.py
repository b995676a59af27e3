"""From blocks to the text of `model.py`: equal classes become one, classes that differ in numbers get parameters."""

from __future__ import annotations

import string
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, final

import torch
from torch import Tensor, nn

from morphogen.export.layers import REQUIRED, Argument, Call
from morphogen.export.parts import Block, Layer, Part
from morphogen.export.text import RESERVED, Expression, camel, identifier, literal, render, unique

__all__ = ["source", "weights"]

MOST_PARAMETERS = 6
"""A class with more constructor parameters than this is not read more easily than several classes."""
SHORT = 72
"""An `nn.Sequential` of no more characters than this needs no class."""

HEADER = '''"""{title}, found by morphogen: plain PyTorch that imports nothing but torch.

    from safetensors.torch import load_file

    model = Model()
    model.load_state_dict(load_file("weights.safetensors"))
    logits = model.eval()(images)  # float32, [batch, {image}], normalized as card.json says
"""

import torch
{functional}from torch import nn
'''


def source(network: Block, image: Sequence[int]) -> str:
    """The text of `model.py`. The same network gives the same text.

    Args:
        network: The whole network.
        image: Channels, height, width.
    """
    classes = _Classes(network)
    body = "\n\n\n".join(classes.texts)
    functional = "import torch.nn.functional as F\n" if "F." in body else ""
    head = HEADER.format(title=camel(network.name), image=", ".join(map(str, image)), functional=functional)
    if "torch." not in body:
        head = head.replace("import torch\nfrom torch", "from torch")
    return f"{head}\n\n{body}\n"


def weights(network: Block) -> dict[str, Tensor]:
    """Key of `Model().state_dict()` -> the tensor of the network. A parameter that is shared stands at every key."""
    return dict(_tensors(network, ""))


def _tensors(part: Part, prefix: str) -> Iterator[tuple[str, Tensor]]:
    if isinstance(part, Tensor):
        yield prefix, part
    elif isinstance(part, Layer):
        persistent = part.module.state_dict().keys()
        for members in (part.module.named_parameters, part.module.named_buffers):
            yield from ((f"{prefix}.{k}", t) for k, t in members(remove_duplicate=False) if k in persistent)
    else:
        for name, child in _children(part):
            yield from _tensors(child, f"{prefix}.{name}".lstrip("."))


def _children(part: Part) -> Iterator[tuple[str, Part]]:
    """What is in a block or a list, by name in a state_dict."""
    if isinstance(part, Block):
        yield from _chained(part) or part.forward.parts.items()
    elif isinstance(part, tuple):
        yield from ((str(i), child) for i, child in enumerate(part))


def _chained(block: Block) -> list[tuple[str, Part]]:
    """The parts of a block that is an `nn.Sequential`."""
    return [(str(i), p) for i, p in enumerate(block.forward.chain)] if block.sequential and block.forward.chain else []


@final
@dataclass
class _Group:
    """Blocks of one class: equal but for the constants in their constructor calls."""

    name: str
    blocks: list[Block] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)

    def add(self, block: Block, call: Call) -> None:
        self.blocks.append(block)
        self.calls.append(call)


@final
class _Classes:
    """Names and writes the classes, innermost first."""

    def __init__(self, network: Block) -> None:
        self.texts: list[str] = []
        self._names: set[str] = {*RESERVED}
        self._calls: dict[int, Call] = {}
        self._network = network
        by_height: dict[int, dict[int, Block]] = {}
        _heights(network, by_height)
        for height in sorted(by_height):
            groups: dict[Any, _Group] = {}
            for block in by_height[height].values():
                call = self._body(block)
                name = "Model" if block is network else camel(block.name)
                # the parts of a sequence need no forward; everything else is told apart by it
                text = "" if _chained(block) else block.forward.text
                groups.setdefault((name, text, _skeleton(call)), _Group(name)).add(block, call)
            for group in groups.values():
                if not self._inline(group):
                    self._write(group)

    def _body(self, block: Block) -> Call:
        """Everything in the constructor, as one call with an argument for each attribute."""
        return Call("", tuple(Argument(name, self._part(child)) for name, child in _children(block)))

    def _part(self, part: Part) -> Call:
        if isinstance(part, Layer):
            return part.call
        if isinstance(part, Block):
            return self._calls[id(part)]
        if isinstance(part, Tensor):
            return _tensor(part)
        return Call(
            "nn.ModuleList", tuple(Argument("", self._part(child), positional=True) for child in part), listed=True
        )

    def _inline(self, group: _Group) -> bool:
        """Write an `nn.Sequential` where it is used, if it is short or used once. Says whether it did."""
        first = group.blocks[0]
        if first is self._network or not (first.plain and _chained(first)):
            return False
        calls = [Call("nn.Sequential", tuple(replace(a, positional=True) for a in c.arguments)) for c in group.calls]
        if len(calls) > 1 and len(str(_expression(calls[0]))) > SHORT:
            return False
        self._calls.update((id(b), c) for b, c in zip(group.blocks, calls, strict=True))
        return True

    def _write(self, group: _Group) -> None:
        """Write the class of a group, and how each of its blocks is constructed."""
        parameters = _parameters(group.calls)
        if len({parameter for _, parameter in parameters.values()}) > MOST_PARAMETERS:
            apart: dict[str, _Group] = {}
            for block, call in zip(group.blocks, group.calls, strict=True):
                apart.setdefault(str(_expression(call)), _Group(group.name)).add(block, call)
            for same in apart.values():
                self._write(same)
            return
        first = group.blocks[0]
        name = "Model" if first is self._network else unique(group.name, self._names)
        self._names.add(name)
        columns = {parameter: column for column, parameter in parameters.values()}
        counter = _Counter({i: parameter for i, (_, parameter) in parameters.items()})
        self.texts.append("\n".join(self._class(name, list(columns), first, group.calls[0], counter)))
        for i, block in enumerate(group.blocks):
            arguments = (Argument(parameter, column[i][1], positional=True) for parameter, column in columns.items())
            self._calls[id(block)] = Call(name, tuple(arguments))

    def _class(
        self, name: str, parameters: Sequence[str], block: Block, body: Call, counter: _Counter
    ) -> Iterator[str]:
        attributes = [(a.name, a.value.callee, _expression(a.value, counter)) for a in body.arguments]
        sequence = bool(_chained(block))
        yield f"class {name}({'nn.Sequential' if sequence else 'nn.Module'}):"
        if attributes:
            yield f"    def __init__({', '.join(['self', *parameters])}):"
            inside = tuple(expression for *_, expression in attributes) if sequence else ()
            yield from render(Expression("super().__init__(", inside, ")"), indent=8)
        for attribute, callee, expression in () if sequence else attributes:
            if callee.startswith("torch."):
                buffer = Expression(f'self.register_buffer("{attribute}", ', (expression,), ")")
                yield from render(buffer, indent=8)
            else:
                yield from render(expression, f"self.{attribute} = ", indent=8)
        if block is self._network:
            yield from (f"        {line}" for line in _ties(block))
        if not sequence:
            yield from ("",) if attributes else ()
            yield from (f"    {line}" for line in block.forward.text.splitlines())


def _ties(network: Block) -> Iterator[str]:
    """Statements that make one parameter of those that were one in the network."""
    first: dict[int, str] = {}
    for key, tensor in weights(network).items():
        if not isinstance(tensor, nn.Parameter):
            continue
        if id(tensor) in first:
            yield f"{_address(key)} = {_address(first[id(tensor)])}  # shared"
        first.setdefault(id(tensor), key)


def _address(key: str) -> str:
    return "self" + "".join(f"[{s}]" if s.isdecimal() else f".{s}" for s in key.split("."))


def _heights(part: Part, by_height: dict[int, dict[int, Block]]) -> int:
    """Sort blocks by how many are nested in them."""
    height = max((_heights(child, by_height) for _, child in _children(part)), default=0)
    if isinstance(part, Block):
        height += 1
        by_height.setdefault(height, {})[id(part)] = part
    return height


def _tensor(tensor: Tensor) -> Call:
    sizes = tuple(Argument("size", n, positional=True) for n in tensor.shape)
    if not sizes:
        sizes = (Argument("size", (), positional=True),)
    dtype = Argument("dtype", tensor.dtype, torch.float32)
    zeros = Call("torch.zeros", (*sizes, dtype))
    if not isinstance(tensor, nn.Parameter):
        return zeros
    return Call(
        "nn.Parameter", (Argument("", zeros, positional=True), Argument("requires_grad", tensor.requires_grad, True))
    )


# --- constants of constructor calls -----------------------------------------------------------------------------------


def _skeleton(call: Call) -> Any:
    return call.callee, tuple(
        (a.name, _skeleton(a.value) if isinstance(a.value, Call) else None) for a in call.arguments
    )


def _constants(call: Call) -> Iterator[Argument]:
    for argument in call.arguments:
        if isinstance(argument.value, Call):
            yield from _constants(argument.value)
        else:
            yield argument


Column = tuple[tuple[str, Any], ...]
"""A constant in every call of a group: its text (True is not 1) and its value."""


def _parameters(calls: Sequence[Call]) -> dict[int, tuple[Column, str]]:
    """Position of a constant that differs -> its column, and the parameter that gives it. Equal columns share one."""
    columns = [
        tuple((str(literal(a.value)), a.value) for a in row)
        for row in zip(*(_constants(c) for c in calls), strict=True)
    ]
    names = [a.name for a in _constants(calls[0])]
    varying = {i: column for i, column in enumerate(columns) if len({text for text, _ in column}) > 1}
    given: dict[Column, str] = {}
    for column in varying.values():
        if column not in given:
            name = _parameter([names[i].rstrip(string.digits) for i, c in varying.items() if c == column])
            given[column] = unique(identifier(name), {*given.values(), *RESERVED})
    return {i: (column, given[column]) for i, column in varying.items()}


def _parameter(names: Sequence[str]) -> str:
    """What a parameter is called that gives arguments of these names."""
    # what a norm or a depthwise convolution has to repeat says less than the rest
    telling = [n for n in dict.fromkeys(names) if n not in ("groups", "num_features", "num_channels")]
    if not telling:
        return "channels" if len(set(names)) > 1 or names[0] == "num_features" else names[0]
    return telling[0] if len(telling) == 1 or not all("channels" in n for n in telling) else "channels"


@final
class _Counter:
    """Counts the constants of a call while it is written, to know which are parameters."""

    def __init__(self, holes: Mapping[int, str]) -> None:
        self._holes, self._at = holes, -1

    def next(self) -> str | None:
        self._at += 1
        return self._holes.get(self._at)


def _expression(call: Call, counter: _Counter | None = None) -> Expression:
    """The call as source; constants at their default are left out."""
    counter = counter or _Counter({})
    items: list[Expression] = []
    by_position = True
    for argument in call.arguments:
        label = "" if argument.positional and by_position else f"{argument.name}="
        if isinstance(argument.value, Call):
            value = _expression(argument.value, counter)
            items.append(Expression(label + value.head, value.items, value.tail))
            continue
        parameter = counter.next()
        if (
            parameter is None
            and argument.default is not REQUIRED
            and literal(argument.value) == literal(argument.default)
        ):
            continue
        items.append(Expression(label + (parameter or str(literal(argument.value)))))
    open_, close = ("([", "])") if call.listed else ("(", ")")
    return Expression(f"{call.callee}{open_}", tuple(items), close)
