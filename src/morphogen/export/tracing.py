"""From a network to a tree of blocks: what each module class computes, by torch.fx, one module at a time.

Every module that is not a layer of `torch.nn` is traced on its own, with what it is called with: tensors become the
parameters of its `forward`, everything else (None, a mixture) is a constant of it. Mixing modules are traced into the
module that calls them, so that the only option that they have left takes their place.
"""

from __future__ import annotations

import copy
import inspect
import operator
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, final

import torch
from torch import Tensor, fx, nn
from torch.nn.utils import parametrize

from morphogen.export.forward import write
from morphogen.export.frame import Frame, meta
from morphogen.export.functions import function_name
from morphogen.export.layers import LAYERS, Unsupported, layer
from morphogen.export.parts import Block, Layer, Part, Use
from morphogen.export.text import identifier
from morphogen.export.values import BATCHES, TRAINING, Refused, Value, evaluate, nested
from morphogen.nn.mixture import Mixing
from morphogen.protocols import MorphogenError

__all__ = ["trace"]

NETWORK = "network"
"""What the outermost frame calls the whole network."""


def trace(network: nn.Module, image: Sequence[int]) -> Block:
    """Trace a network in evaluation mode.

    Args:
        network: In evaluation mode, on the CPU. It is not changed.
        image: Channels, height, width.

    Raises:
        MorphogenError: Something in it cannot be written as source; the message names the module.
    """
    if type(network) in LAYERS or isinstance(network, Mixing):
        network = nn.Sequential(network)  # one layer, which stands for itself
    shadow = copy.deepcopy(network).to("meta")
    for module in shadow.modules():
        module.__dict__["training"] = TRAINING
    tracer = Tracer(network, shadow, image)
    tracer.trace(shadow)
    return tracer.found


@final
class Tracer(fx.Tracer):
    """One pass over the forward of the network, with a graph for each module on the way.

    Args:
        network: Where weights are taken from.
        shadow: A copy on the meta device, which runs.
        image: Channels, height, width.
    """

    def __init__(self, network: nn.Module, shadow: nn.Module, image: Sequence[int]) -> None:
        super().__init__(autowrap_modules=())  # type: ignore[arg-type]  # none: math.sqrt gets a number
        self._network, self._shadow, self._image = network, shadow, tuple(image)
        self._frames: list[Frame] = []
        self._untraced = False
        self.found: Block

    # --- what torch.fx calls ------------------------------------------------------------------------------------------

    def create_args_for_root(self, root_fn: Any, is_module: bool, concrete_args: Any = None) -> tuple[Any, list[Any]]:
        return self._run, []

    def proxy(self, node: fx.Node) -> Value:
        return Value(node, self)

    def create_proxy(self, kind: str, target: Any, args: Any, kwargs: Any, *rest: Any, **named: Any) -> Any:
        if kind == "call_function":
            if target is operator.add and type(args[0]) is int and args[0] == 0:
                return args[1]  # the first step of Python's sum()
            if function_name(target) is None:
                if not str(getattr(target, "__module__", "")).startswith("torch."):
                    return target(*args, **kwargs)  # marked with torch.fx.wrap; traced like any other
                name = f"{target.__module__}.{getattr(target, '__name__', target)}"
                raise Refused(f"it calls {name}", "call public functions of torch and torch.nn.functional instead")
        if kind == "call_method" and (target.startswith("_") or not hasattr(torch.Tensor, target)):
            raise Refused(f"it calls .{target}() of a tensor, which is no method of tensors", "use one that is")
        proxy: Any = super().create_proxy(kind, target, args, kwargs, *rest, **named)
        if kind == "call_module":
            proxy.node.meta["module"] = self._frames[-1].module.get_submodule(target)
        elif kind == "call_method" and target.endswith("_"):
            evaluate(proxy.node, self)  # it changes its tensor now, perhaps also the shape
        return proxy

    def create_arg(self, a: Any) -> Any:
        if isinstance(a, fx.Proxy):
            if a.node.graph is not self.graph:
                raise Refused("it uses a tensor of another module's forward", "hand tensors over as arguments")
            return a.node
        if isinstance(a, Tensor):
            return self._tensor(a).node
        if isinstance(a, nn.Module) or (callable(a) and not isinstance(a, type)):
            raise Refused(f"it hands a {type(a).__name__} to a traced function", "call it in forward instead")
        return super().create_arg(a)

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:
        if self._untraced or not self._frames or not isinstance(attr_val, Tensor):
            return attr_val
        return self._tensor(attr_val)

    def call_module(
        self, m: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        if self._untraced:
            return forward(*args, **kwargs)
        frame = self._frames[-1]
        path = frame.module_path(m)
        if path is None:
            if type(m) is nn.Sequential:
                return forward(*args, **kwargs)  # a slice of a registered one
            raise Refused(
                f"it calls a {type(m).__name__} that is not registered in it",
                "keep modules in attributes, nn.ModuleList or nn.ModuleDict",
            )
        whole = "" if m is self._shadow else frame.whole(path)
        with _naming(m, whole):
            found = self._layer(m, whole)
            if found is None:
                return (
                    forward(*args, **kwargs) if isinstance(m, Mixing) else self._block(m, path, forward, args, kwargs)
                )
            if isinstance(m, Mixing):
                # an elastic layer: the mixture is no argument of what takes its place
                args, kwargs = tuple(a for a in (*args, *kwargs.values()) if isinstance(a, fx.Proxy)), {}
            proxy = self.create_proxy("call_module", path, args, kwargs)
            frame.use(path, found)
            return proxy

    # --- modules ------------------------------------------------------------------------------------------------------

    def _run(self) -> Any:
        """Trace the whole network, as a module that an outermost frame calls."""
        outer = Frame(nn.ModuleDict({NETWORK: self._shadow}), "", self.graph)
        self._frames = [outer]
        x = self._new("placeholder", "x")
        x.node.meta["values"] = tuple(torch.empty(batch, *self._image, device="meta") for batch in BATCHES)
        y = self._shadow(x)
        with _naming(self._shadow, ""):
            if not isinstance(y, fx.Proxy):
                kind = "constant" if isinstance(y, Tensor) else type(y).__name__
                raise Refused(f"it gives a {kind} in evaluation mode", "let it give one tensor, the logits")
            part = outer.uses[NETWORK].part if NETWORK in outer.uses else None
            if not isinstance(part, Block):
                raise Refused("it only hands on the images", "let it compute logits")
            self.found = part
        return y

    def _layer(self, m: nn.Module, path: str) -> Layer | None:
        if m._forward_hooks or m._forward_pre_hooks:
            raise Refused("it has forward hooks, which are no part of its source", "remove them before the export")
        if parametrize.is_parametrized(m):
            raise Refused("it is parametrized", "call torch.nn.utils.parametrize.remove_parametrizations first")
        with self.untraced():
            original: Any = self._network.get_submodule(path)
            if isinstance(m, Mixing) and hasattr(m, "plain"):
                # an elastic layer of one size; on the meta device, new weights would draw random numbers in vain
                with torch.device("meta"):
                    original = original.plain()
            try:
                call = layer(original)
            except Unsupported as error:
                raise Refused(str(error), "build it with other arguments") from None
        if call is not None:
            return Layer(call, original)
        kind = type(m)
        if kind.__module__.startswith("torch.") and not isinstance(m, nn.Sequential):
            raise Refused(
                f"torch.nn.{kind.__name__} is not among the layers that can be written",
                "build it from layers such as nn.Conv2d and nn.Linear",
            )
        return None

    def _block(self, m: nn.Module, path: str, forward: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """Trace a module into a graph of its own, and call it in the current one."""
        whole = "" if m is self._shadow else self._frames[-1].whole(path)
        frame = Frame(m, whole, fx.Graph(tracer_cls=Tracer))
        with self._entered(frame):
            inner, outside = self._arguments(m, args, kwargs)
            result = forward(*inner.args, **inner.kwargs)
            results: list[fx.Node] = []
            nested(result, lambda p: results.append(p.node))
            if any(node.graph is not frame.graph for node in results):
                raise Refused("it gives a tensor of another module's forward", "give tensors that it computed")
            computed = frame.finish(list(dict.fromkeys(results)))
        if not computed:
            # in evaluation mode it only hands on what it is given (drop path): it is left out
            return nested(result, lambda p: outside[p.node])
        for node in outside:
            if not node.users:
                frame.graph.erase_node(node)
        call = self._new("call_module", path, *(outer for node, outer in outside.items() if node.users))
        self._frames[-1].use(path, _part(frame))
        given = {node: call if len(computed) == 1 else call[i] for i, node in enumerate(computed)}
        for node, proxy in given.items():
            proxy.node.meta["is"] = node
        return nested(result, lambda p: given[p.node] if p.node in given else outside[p.node])

    def _arguments(self, m: nn.Module, args: Any, kwargs: Any) -> tuple[inspect.BoundArguments, dict[fx.Node, Value]]:
        """The arguments of a call with placeholders in place of the traced values; placeholder -> value."""
        outside: dict[fx.Node, Value] = {}
        bound = inspect.signature(m.forward).bind(*args, **kwargs)
        for name, argument in bound.arguments.items():
            values: list[Value] = []
            nested(argument, values.append)
            inner = []
            for value in values:
                placeholder = self._new("placeholder", identifier(name))
                placeholder.node.meta.update({"is": value.node, "parameter": (identifier(name), len(values) > 1)})
                outside[placeholder.node] = value
                inner.append(placeholder)
            left = iter(inner)
            bound.arguments[name] = nested(argument, partial(_next, left))
        return bound, outside

    def _new(self, kind: str, target: str, *args: Any) -> Value:
        found: Any = super().create_proxy(kind, target, args, {})
        assert isinstance(found, Value)
        return found

    def _tensor(self, tensor: Tensor) -> Value:
        """The value of a parameter, buffer or constant of the module that is being traced."""
        frame = self._frames[-1]
        path = frame.tensor_path(tensor)
        if path not in frame.uses:
            owner, _, name = frame.whole(path).rpartition(".")
            with self.untraced():
                frame.uses[path] = Use(path, getattr(self._network.get_submodule(owner), name))
        if path not in frame.proxies:
            frame.proxies[path] = proxy = self._new("get_attr", path)
            proxy.node.meta["values"] = (meta(tensor), meta(tensor))
        return frame.proxies[path]

    # --- where tracing is ---------------------------------------------------------------------------------------------

    @contextmanager
    def untraced(self) -> Iterator[None]:
        """Modules called and attributes read in here are what they are."""
        before, self._untraced = self._untraced, True
        try:
            yield
        finally:
            self._untraced = before

    @contextmanager
    def _entered(self, frame: Frame) -> Iterator[None]:
        self._frames.append(frame)
        self.graph, self.root = frame.graph, frame.module
        try:
            yield
        finally:
            self._frames.pop()
            self.graph, self.root = self._frames[-1].graph, self._frames[-1].module


def _next(values: Iterator[Value], _: Value) -> Value:
    return next(values)


def _part(frame: Frame) -> Part:
    m = frame.module
    plain = type(m) is nn.Sequential
    forward = write(frame.graph, frame.uses, m)
    if plain and frame.path and forward.chain is not None and len(forward.chain) == 1:
        return forward.chain[0]
    places = [segment for segment in frame.path.split(".") if segment and not segment.isdecimal()]
    name = (places or ["Network"])[-1] if plain else type(m).__name__
    return Block(name, forward, type(m).forward is nn.Sequential.forward, plain)


@contextmanager
def _naming(m: nn.Module, path: str) -> Iterator[None]:
    """Errors of a module, in one line that names it."""
    where = f"module '{path}' ({type(m).__name__})" if path else f"the network ({type(m).__name__})"
    try:
        yield
    except MorphogenError:
        raise
    except Refused as error:
        raise MorphogenError(f"{where} cannot be exported: {error.what}; {error.instead}") from None
    except Unsupported as error:
        raise MorphogenError(f"{where} cannot be exported: {error}; compute it with tensors") from None
    except Exception as error:
        said = (str(error).splitlines() or [""])[0]
        raise MorphogenError(
            f"{where} cannot be exported: its forward cannot be traced ({type(error).__name__}: {said}); "
            "write it with tensor operations only, without branches on data and without assignment to items"
        ) from error
