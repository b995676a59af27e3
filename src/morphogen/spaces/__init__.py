"""Search spaces: one file is one published space, with its choices, its network and its citation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from morphogen.catalog import lazy, nearest, resolve
from morphogen.space import Space

if TYPE_CHECKING:
    from morphogen.spaces.darts import DARTS as DARTS
    from morphogen.spaces.darts import darts as darts
    from morphogen.spaces.genotype import CellGenotype as CellGenotype
    from morphogen.spaces.genotype import Genotype as Genotype
    from morphogen.spaces.nasnet import NASNET as NASNET
    from morphogen.spaces.pnas import PNAS as PNAS
    from morphogen.spaces.skeleton import Skeleton as Skeleton

_EXPORTS = {
    "CellGenotype": "genotype",
    "DARTS": "darts",
    "Genotype": "genotype",
    "NASNET": "nasnet",
    "PNAS": "pnas",
    "Skeleton": "skeleton",
}
SPACES = {
    "amoebanet": "morphogen.spaces.amoebanet:amoebanet",
    "darts": "morphogen.spaces.darts:darts",
    "enas-macro": "morphogen.spaces.enas_macro:enas_macro",
    "enas-micro": "morphogen.spaces.enas_micro:enas_micro",
    "mobilenet": "morphogen.spaces.mobilenet:mobilenet",
    "nas-rl": "morphogen.spaces.nas_rl:nas_rl",
    "nasbench101": "morphogen.spaces.nasbench101:nasbench101",
    "nasbench201": "morphogen.spaces.nasbench201:nasbench201",
    "nasnet": "morphogen.spaces.nasnet:nasnet",
    "pnas": "morphogen.spaces.pnas:pnas",
    "vit": "morphogen.spaces.vit:vit",
}
"""What the command line calls a space -> the function that makes it."""

__all__ = ["DARTS", "NASNET", "PNAS", "SPACES", "CellGenotype", "Genotype", "Skeleton", "space"]
__getattr__, __dir__ = lazy(__name__, _EXPORTS)


def space(name: str) -> Space:
    """The space that a person names: one of `SPACES`, or anybody's own as `package.module:attribute`.

    The attribute is a `Space`, or a function without arguments that makes one.

    Raises:
        ValueError: There is none; the message has the nearest name.
    """
    if ":" not in name and name not in SPACES:
        raise ValueError(
            f"there is no space '{name}'{nearest(name, SPACES)}; there are {', '.join(sorted(SPACES))}, "
            "and your own as package.module:space"
        )
    found = resolve(SPACES.get(name, name))
    made = found() if callable(found) and not isinstance(found, Space) else found
    if not isinstance(made, Space):
        message = (
            f"'{name}' is a {type(made).__name__}, expected a Space or a function without arguments that makes one"
        )
        raise ValueError(message)  # a name that a person typed is wrong, not the type of an argument
    return made
