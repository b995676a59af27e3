"""Mixtures: which options of every choice are in the sum, and with what weight.

A sampled sub-graph, a softmax over all operations and a straight-through pick are three kinds of mixture
for one network. The weights belong to a distribution (`oneshot/`); a network only reads them.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import final

from torch import Tensor, nn

from morphogen.choice import Choice
from morphogen.protocols import MorphogenError
from morphogen.space import Architecture

__all__ = ["Binding", "Mixing", "Mixture", "bind", "key", "picks_to_mixture", "run"]

Mixture = Mapping[str, Mapping[str, Tensor | None]]
"""Choice -> option -> weight, a tensor without dimensions.

None is one: the option simply runs. Options that are absent do not run.
"""


def picks_to_mixture(architecture: Architecture) -> Mixture:
    """The mixture of a sampled sub-graph: what the architecture picks simply runs, nothing else does."""
    return {name: dict.fromkeys(picked) for name, picked in architecture.picks.items()}


class Mixing(nn.Module):
    """A module that reads choices; its `forward` takes the mixture as last argument, None by default.

    Mixed operations and elastic layers are such modules. Anybody's own can be: derive from this class,
    name the choices, and ask `weights` in `forward`.

    Args:
        choices: The choices that the module itself reads (not those of modules inside it).
    """

    choices: tuple[Choice, ...]
    bound: Mixture | None
    """The mixture that `bind` has set; used where `forward` is given none."""

    def __init__(self, *choices: Choice) -> None:
        super().__init__()
        self.choices = choices
        self.bound = None

    def weights(self, choice: Choice, mixture: Mixture | None) -> Mapping[str, Tensor | None]:
        """The options of one choice that run, in the order of the choice, with their weights.

        An explicit mixture comes before a bound one; where neither has the choice, everything that it
        still has runs.

        Raises:
            MorphogenError: The choice is open and no mixture decides it, or the mixture names an option
                that is not there.
        """
        mixture = self.bound if mixture is None else mixture
        given = None if mixture is None else mixture.get(choice.name)
        if given is None:
            low, high = choice.bounds
            if not low == high == len(choice.options):
                raise MorphogenError(
                    f"choice '{choice.name}' is open ({len(choice.options)} options, pick {choice.pick}): "
                    "pass a mixture, or build from space.fix(architecture)"
                )
            return dict.fromkeys(choice.options)
        ordered = {option: given[option] for option in choice.options if option in given}
        if len(ordered) < len(given):
            unknown = ", ".join(sorted(given.keys() - ordered.keys()))
            raise MorphogenError(
                f"choice '{choice.name}' has no option {unknown} in this network, it has {', '.join(choice.options)}: "
                "draw the mixture from the space that the network was built from"
            )
        return ordered


@final
class Binding:
    """What `bind` has set. As a context manager it puts back what was bound before."""

    def __init__(self, network: nn.Module, mixture: Mixture | None) -> None:
        self._before = [(module, module.bound) for module in network.modules() if isinstance(module, Mixing)]
        for module, _ in self._before:
            module.bound = mixture

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for module, mixture in self._before:
            module.bound = mixture


def bind(network: nn.Module, mixture: Mixture | None) -> Binding:
    """Set the mixture on every mixing module of a network, for forward and backward; None takes it away.

    An attribute, no thread-local state: a checkpointed segment that runs again in backward finds it. One
    at a time: binding again replaces it. `with bind(network, mixture):` restores at the end; a plain call
    stays.
    """
    return Binding(network, mixture)


def run(module: nn.Module, x: Tensor, mixture: Mixture | None) -> Tensor:
    """Call a module that may or may not take a mixture."""
    y: Tensor = module(x, mixture) if isinstance(module, Mixing) else module(x)
    return y


_RESERVED = nn.ModuleDict()


def key(option: str) -> str:
    """The name of an option in a `state_dict`: itself, except where `nn.ModuleDict` refuses it ("0.5",
    "type", "keys").

    Commas and exclamation marks are in no option's name, so two options never share a key.
    """
    name = option.replace(".", ",")
    return f"{name}!" if hasattr(_RESERVED, name) else name
