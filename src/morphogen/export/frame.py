"""A module that is being traced: its graph, and what of it the graph speaks of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import final

import torch
from torch import Tensor, fx, nn

from morphogen.export.parts import Block, Part, Use
from morphogen.export.text import identifier, unique
from morphogen.export.values import Refused, Value

__all__ = ["Frame"]


@final
@dataclass
class Frame:
    """A module, the path to it from the network, and the graph of its forward so far."""

    module: nn.Module
    path: str
    graph: fx.Graph
    uses: dict[str, Use] = field(default_factory=dict)
    proxies: dict[str, Value] = field(default_factory=dict)
    """The value of a parameter, buffer or constant, by path."""
    _modules: dict[nn.Module, str] = field(init=False)
    _tensors: dict[int, str] = field(init=False, default_factory=dict)
    _constants: list[Tensor] = field(init=False, default_factory=list)
    """Kept alive, so that their ids stay theirs."""

    def __post_init__(self) -> None:
        self._modules = dict(reversed([(m, name) for name, m in self.module.named_modules(remove_duplicate=False)]))

    def module_path(self, module: nn.Module) -> str | None:
        """The path to a module in this one."""
        return self._modules.get(module)

    def whole(self, path: str) -> str:
        """The path from the network."""
        return f"{self.path}.{path}".strip(".")

    def tensor_path(self, tensor: Tensor) -> str:
        """The path to a tensor. One that is neither parameter nor buffer becomes a constant of the module.

        Raises:
            Refused: It is a parameter of another module.
        """
        if not self._tensors:
            for members in (self.module.named_parameters, self.module.named_buffers):
                for name, member in members(remove_duplicate=False):
                    self._tensors.setdefault(id(member), name)
        if id(tensor) not in self._tensors:
            if isinstance(tensor, nn.Parameter) or tensor.device.type == "meta":
                raise Refused("it uses a parameter that is not registered in it", "register it, or hand it over")
            attribute = next((k for k, v in self.module.__dict__.items() if v is tensor), "constant")
            path = unique(identifier(attribute), {*self.uses, *self._tensors.values()})
            self._constants.append(tensor)
            self._tensors[id(tensor)] = path
            self.uses[path] = Use(path, tensor.detach().cpu())
        return self._tensors[id(tensor)]

    def use(self, path: str, part: Part) -> None:
        """Remember that the graph calls what is at a path.

        Raises:
            Refused: It was called before, and then it was something else.
        """
        known = self.uses.setdefault(path, Use(path, part)).part
        if isinstance(known, Block) and isinstance(part, Block) and known.forward.text != part.forward.text:
            raise Refused(
                f"it calls '{path}' twice, and that computes something else each time",
                "use two modules, or one forward without a switch",
            )

    def finish(self, outputs: Sequence[fx.Node]) -> list[fx.Node]:
        """End the graph, remove what has no effect, and give those outputs that the module itself computes.

        None are left where it does nothing but hand on what it is given.
        """
        self.graph.output(tuple(outputs))
        for node in reversed(list(self.graph.nodes)):
            if not node.users and node.op not in ("placeholder", "output") and not self._in_place(node):
                self.graph.erase_node(node)
        works = any(node.op.startswith("call") for node in self.graph.nodes)
        computed = [node for node in outputs if node.op != "placeholder"]
        # what it changed in place and handed on is its result
        results = computed or (list(outputs) if works else [])
        end = next(iter(reversed(self.graph.nodes)))
        end.args = (tuple(results),)
        return results

    def _in_place(self, node: fx.Node) -> bool:
        if node.op == "call_module":
            return bool(getattr(self.module.get_submodule(str(node.target)), "inplace", False))
        name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
        return name.endswith("_") or name in IN_PLACE or bool(node.kwargs.get("inplace"))


IN_PLACE = ("iadd", "isub", "imul", "itruediv")


def meta(tensor: Tensor) -> Tensor:
    """The shape of a tensor."""
    return torch.empty_like(tensor, device="meta", requires_grad=False)
