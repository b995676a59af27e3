"""The attributes of a class: which there are, and how its forward reaches them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, final

from torch import Tensor, nn

from morphogen.export.parts import Part, Use
from morphogen.export.text import MODULE_NAMES, identifier, unique
from morphogen.nn.mixture import Mixing

__all__ = ["layout"]


@final
@dataclass
class _Tree:
    """Paths by segment."""

    use: Use | None = None
    below: dict[str, _Tree] = field(default_factory=dict)


def layout(uses: Sequence[Use], module: nn.Module) -> tuple[dict[str, Part], dict[str, str]]:
    """Attributes with their parts, and for each path how the forward reaches it, such as `self.cells[0]`."""
    root = _Tree()
    paths = {use.path for use in uses}
    for use in uses:
        segments = use.path.split(".")
        if any(".".join(segments[:i]) in paths for i in range(1, len(segments))):
            segments = ["_".join(segments)]  # inside of something that is used as a whole, too
        tree = root
        for segment in segments:
            tree = tree.below.setdefault(segment, _Tree())
        tree.use = use
    parts: dict[str, Part] = {}
    addresses: dict[str, str] = {}
    for name, shape in _flat({name: _shape(tree, (name,), module) for name, tree in root.below.items()}):
        attribute = unique(identifier(name, MODULE_NAMES), {*parts, *MODULE_NAMES})
        parts[attribute] = _place(shape, f"self.{attribute}", addresses)
    return parts, addresses


def _shape(tree: _Tree, path: tuple[str, ...], module: nn.Module) -> Any:
    """A use, a list of shapes (`nn.ModuleList`), or a mapping of them."""
    if tree.use is not None:
        return tree.use
    shapes = {name: _shape(child, (*path, name), module) for name, child in tree.below.items()}
    if len(shapes) == 1 and _makes_way(path, module):
        return next(iter(shapes.values()))
    if all(name.isdecimal() for name in shapes) and not any(
        isinstance(s, dict) or _is_tensor(s) for s in shapes.values()
    ):
        return [shapes[name] for name in sorted(shapes, key=int)]
    return shapes


def _makes_way(path: tuple[str, ...], module: nn.Module) -> bool:
    """Whether what is at a path gives its place to the only thing in it: what is in a mixing module does."""
    for segment in path:
        found = getattr(module, segment, None)
        if not isinstance(found, nn.Module):
            return False
        if isinstance(found, Mixing):
            return True
        module = found
    return isinstance(module, nn.ModuleDict)


def _is_tensor(shape: Any) -> bool:
    return isinstance(shape, Use) and isinstance(shape.part, Tensor)


def _flat(shapes: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, shape in shapes.items():
        if isinstance(shape, dict):
            yield from ((f"{name}_{below}", s) for below, s in _flat(shape))
        else:
            yield name, shape


def _place(shape: Any, address: str, addresses: dict[str, str]) -> Any:
    if isinstance(shape, Use):
        addresses[shape.path] = address
        return shape.part
    return tuple(_place(s, f"{address}[{i}]", addresses) for i, s in enumerate(shape))
