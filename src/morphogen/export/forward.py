"""From a traced graph to the source of one `forward`, and to the attributes that it speaks of."""

from __future__ import annotations

import inspect
import operator
import types
from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple, final

import torch.nn.functional as F
from torch import fx, nn

from morphogen.export.functions import BINARY, IN_PLACE, UNARY, function_name
from morphogen.export.layers import Unsupported
from morphogen.export.layout import layout
from morphogen.export.parts import Forward, Layer, Part, Use
from morphogen.export.text import RESERVED, Expression, identifier, literal, render, unique
from morphogen.export.values import Training

__all__ = ["write"]

LONGEST = 80
"""Characters of an expression that may be written inside another one."""
DEEPEST = 2
"""Calls that may be nested in one expression."""


def write(graph: fx.Graph, uses: Mapping[str, Use], module: nn.Module) -> Forward:
    """Write the forward of one module.

    Args:
        graph: As traced; what is unused has been removed. Its output is a tuple.
        uses: Path -> what is there, for every path that the graph reads.
        module: Whose forward it is.

    Raises:
        Unsupported: A constant or a function that source text cannot express.
    """
    nodes = list(graph.nodes)
    read = [str(n.target) for n in nodes if n.op in ("call_module", "get_attr")]
    parts, addresses = layout([uses[path] for path in dict.fromkeys(read)], module)
    layers = {path for path in read if isinstance(uses[path].part, Layer)}
    return Forward("\n".join(_Writer(nodes, addresses, layers).lines()), parts, _chain(nodes, uses))


def _chain(nodes: list[fx.Node], uses: Mapping[str, Use]) -> tuple[Part, ...] | None:
    first, *calls, last = nodes
    if first.op != "placeholder" or last.args != ((calls[-1],),):
        return None
    if any(
        n.op != "call_module" or n.args != (before,) or n.kwargs
        for before, n in zip([first, *calls], calls, strict=False)
    ):
        return None
    return tuple(uses[str(n.target)].part for n in calls)


# --- statements -------------------------------------------------------------------------------------------------------


class _Pending(NamedTuple):
    """A value that is not in a variable yet."""

    node: fx.Node
    expression: Expression
    reads: frozenset[fx.Node]
    """The values in variables that the expression reads."""


@final
class _Writer:
    """Statements in the order of the graph.

    A value with one user is written inside the user's expression, as long as Python then evaluates everything in the
    order of the graph: dropout draws in that order, and what changes a tensor in place does it at that moment.
    """

    def __init__(self, nodes: list[fx.Node], addresses: Mapping[str, str], layers: Collection[str]) -> None:
        self._nodes, self._addresses, self._layers = nodes, addresses, layers
        self._left = Counter(a for n in nodes for a in _inputs(n))
        self._names: dict[fx.Node, str] = {}
        self._pending: list[_Pending] = []
        self._out: list[str] = []
        self._speaking: set[str] = set()
        """Variables that are called after a module; nothing else goes by their name."""

    def lines(self) -> list[str]:
        placeholders = [n for n in self._nodes if n.op == "placeholder"]
        for node, name in zip(placeholders, _parameters(placeholders), strict=True):
            self._names[node] = name
        head = f"def forward({', '.join(['self', *self._names.values()])}):"
        for node in self._nodes:
            if node.op == "get_attr":
                self._names[node] = self._addresses[str(node.target)]
            elif node.op != "placeholder":
                self._statement(node)
        return [head, *self._out]

    def _statement(self, node: fx.Node) -> None:
        inputs = _inputs(node)
        inline = self._inline(inputs)
        expression = self._expression(node, inline)
        if inline and (len(str(expression)) > LONGEST or expression.depth > DEEPEST):
            inline = {}
        if not inline and any(a not in self._names for a in inputs):
            self._flush()
        if inline:
            del self._pending[-len(inline) :]
        else:
            expression = self._expression(node, {})
        reads = frozenset(a for i in inputs for a in (inline[i].reads if i in inline else (i,)))
        self._left.subtract(inputs)
        pending = _Pending(node, expression, reads)
        if node.op == "output":
            self._flush()
            self._out += render(expression, "return ", indent=4)
            return
        self._pending.append(pending)
        if len(node.users) != 1 or self._left[node] != 1:
            self._flush()

    def _inline(self, inputs: list[fx.Node]) -> dict[fx.Node, _Pending]:
        """The pending values that can be written inside: the newest, if they are all and in order."""
        waiting = {p.node: p for p in self._pending}
        wanted = [a for a in inputs if a in waiting]
        if not wanted or [p.node for p in self._pending[-len(wanted) :]] != wanted:
            return {}
        return {a: waiting[a] for a in wanted}

    def _flush(self) -> None:
        """Write every pending value to a variable, in order."""
        while self._pending:
            node, expression, reads = self._pending.pop(0)
            if not node.users:
                self._out += render(expression, indent=4)
                continue
            name = self._name(node, reads)
            self._names[node] = name
            self._out += render(expression, f"{name} = ", indent=4)

    def _name(self, node: fx.Node, reads: frozenset[fx.Node]) -> str:
        """A variable: the one that the value came from, where that is not used any more, or a new one."""
        later = {a for p in self._pending for a in p.reads}
        live = {name for n, name in self._names.items() if n.op != "get_attr" and (self._left[n] > 0 or n in later)}
        sources = {self._names[a] for a in reads if a.op != "get_attr"} if node.target is not getattr else set()
        if len(sources) == 1 and not sources & live and not sources & self._speaking:
            return sources.pop()
        base, number = "y", ""
        if node.target is getattr:
            base = str(node.args[1])
        elif "x" not in live and (node.op != "call_module" or node.target in self._layers):
            base = "x"
        elif node.op == "call_module":
            base, _, index = self._addresses[str(node.target)].removeprefix("self.").partition("[")
            number = index.strip("[]").replace("][", "_")
            base = _singular(base) if number else base
        name = unique(identifier(base) + number, {*live, *RESERVED})
        if base not in ("x", "y"):
            self._speaking.add(name)
        return name

    # --- expressions ----------------------------------------------------------------------------------------------

    def _expression(self, node: fx.Node, inline: Mapping[fx.Node, _Pending]) -> Expression:
        def of(value: Any) -> Expression:
            return self._argument(value, inline)

        target: Any = node.target
        if node.op == "output":
            return _joined([of(a) for a in node.args[0]])  # type: ignore[union-attr]
        if node.op == "call_module":
            called = _call(self._addresses[target], node.args, node.kwargs, of)
            # a block of ours is no detail of another call
            whole = 0 if target in self._layers else DEEPEST
            return Expression(called.head, called.items, called.tail, depth=max(called.depth, whole))
        if node.op == "call_method":
            receiver, *arguments = node.args
            return _method(of(receiver), target, arguments, node.kwargs, of)
        if target is getattr:
            owner = of(node.args[0])
            return Expression(f"{owner.inside(10)}.{node.args[1]}", depth=owner.depth)
        if target is operator.getitem:
            owner, index = of(node.args[0]), node.args[1]
            items = index if isinstance(index, tuple) and index else (index,)
            text = ", ".join(str(of(i)) for i in items) + ("," if isinstance(index, tuple) and len(index) == 1 else "")
            return Expression(f"{owner.inside(10)}[{text}]", depth=owner.depth)
        if target in IN_PLACE:
            return _method(of(node.args[0]), IN_PLACE[target], node.args[1:], {}, of)
        if target in BINARY:
            sign, level = BINARY[target]
            left, right = (of(a) for a in node.args)
            low, high = (level + 1, level) if target is operator.pow else (level, level + 1)
            if level == 1:
                low = high = level + 1
            return Expression(
                f"{left.inside(low)} {sign} {right.inside(high)}", level=level, depth=max(left.depth, right.depth)
            )
        if target in UNARY:
            value = of(node.args[0])
            return Expression(f"{UNARY[target]}{value.inside(8)}", level=8, depth=value.depth)
        return _call(str(function_name(target)), node.args, _given(target, node.kwargs), of)

    def _argument(self, value: Any, inline: Mapping[fx.Node, _Pending]) -> Expression:
        if isinstance(value, fx.Node):
            return inline[value].expression if value in inline else Expression(self._names.get(value, value.name))
        if isinstance(value, list | tuple):
            items = tuple(self._argument(v, inline) for v in value)
            ends = "[]" if isinstance(value, list) else ("(", ",)" if len(value) == 1 else ")")
            return Expression(ends[0], items, ends[1], depth=max((i.depth for i in items), default=0))
        if isinstance(value, slice):
            bounds = [
                "" if v is None else str(self._argument(v, inline)) for v in (value.start, value.stop, value.step)
            ]
            return Expression(f"{bounds[0]}:{bounds[1]}" + (f":{bounds[2]}" if bounds[2] else ""))
        if isinstance(value, Training):
            return Expression("self.training")
        text = literal(value)
        if text is None:
            raise Unsupported(
                f"its forward uses {type(value).__name__} {value!r}, which is no constant of a source file"
            )
        return Expression(text, level=8 if text.startswith("-") else 10)


def _call(name: str, arguments: Any, named: Mapping[str, Any], of: Any) -> Expression:
    items = [of(a) for a in arguments]
    for key, value in named.items():
        item = of(value)
        items.append(Expression(f"{identifier(key, ())}={item.head}", item.items, item.tail, depth=item.depth))
    return Expression(f"{name}(", tuple(items), ")", depth=1 + max((i.depth for i in items), default=0))


def _method(receiver: Expression, name: str, arguments: Any, named: Mapping[str, Any], of: Any) -> Expression:
    called = _call(f"{receiver.inside(10)}.{name}", arguments, named, of)
    return Expression(called.head, called.items, called.tail, depth=max(called.depth, receiver.depth + 1))


def _given(function: Any, named: Mapping[str, Any]) -> dict[str, Any]:
    """The named arguments that are not at their default; torch hands over all, also those that only it knows."""
    if not isinstance(function, types.FunctionType):
        return dict(named)
    # max_pool2d and its like take anything and call one of two functions
    function = getattr(F, f"_{str(function_name(function)).removeprefix('F.')}", function)
    parameters = inspect.signature(function).parameters
    return {k: v for k, v in named.items() if k not in parameters or repr(v) != repr(parameters[k].default)}


def _joined(items: list[Expression]) -> Expression:
    return items[0] if len(items) == 1 else Expression(", ".join(map(str, items)), depth=max(i.depth for i in items))


def _inputs(node: fx.Node) -> list[fx.Node]:
    """The values that a node reads, in the order in which they are written; twice where they are written twice."""
    found: list[fx.Node] = []
    fx.node.map_aggregate((node.args, dict(node.kwargs)), lambda a: found.append(a) if isinstance(a, fx.Node) else None)
    return found


def _parameters(placeholders: list[fx.Node]) -> list[str]:
    """Names of the parameters: what the caller's were; `states` gives `state`, or `state0, state1`."""
    given = [node.meta["parameter"] for node in placeholders]
    count = Counter(name for name, _ in given)
    names: list[str] = []
    for name, many in given:
        name = _singular(name) if many else name
        if many and count[_plural_of(name, given)] > 1:
            name = f"{name}{sum(n.rstrip('0123456789') == name for n in names)}"
        names.append(unique(name, names))
    return names


def _singular(name: str) -> str:
    short = name[:-1] if name.endswith("s") and not name.endswith("ss") else name
    return "x" if short in RESERVED or not short else short


def _plural_of(name: str, given: list[tuple[str, bool]]) -> str:
    return next(plural for plural, many in given if many and _singular(plural) == name)
