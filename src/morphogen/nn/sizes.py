"""Sizes that are a choice: numbers of channels, features, heads, or a product of such.

Options of one tensor share its first entries. A hard pick slices; weighted options mask, each entry by the summed
weight of the options that have it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from itertools import product
from operator import add, mul
from typing import TypeVar, final

import torch.nn.functional as F
from torch import Tensor

from morphogen.choice import Choice, Pick
from morphogen.nn.mixture import Mixing, Mixture

__all__ = ["Product", "Size", "choices_of", "first", "is_fixed", "largest", "part", "picked", "sizes_of"]


@final
@dataclass(frozen=True, slots=True)
class Product:
    """A size that is a product, such as an expansion times a width, or heads times the width of one.

    Args:
        factors: Numbers, or choices whose options are numbers (of this size, with decimal points if need be).
        divisor: What the product is divided by.
        multiple: The result is rounded to a multiple of this, and not by more than a tenth down (Sandler et al. 2018,
            "MobileNetV2", arXiv:1801.04381, as in its released code).
    """

    factors: tuple[int | Choice, ...]
    divisor: int = 1
    multiple: int = 1

    def of(self, numbers: Mapping[str, str]) -> int:
        """The size, given an option of each choice among the factors."""
        values = [f if isinstance(f, int) else float(numbers[f.name]) for f in self.factors]
        value = math.prod(values) / self.divisor
        rounded = max(self.multiple, int(value / self.multiple + 0.5) * self.multiple)
        return rounded if rounded >= 0.9 * value else rounded + self.multiple

    @property
    def choices(self) -> tuple[Choice, ...]:
        """Those among the factors, each once."""
        return tuple({f.name: f for f in self.factors if isinstance(f, Choice)}.values())


Size = int | Choice | Product
"""A number, a choice whose options are numbers, or a product of such."""


def choices_of(*sizes: Size) -> list[Choice]:
    """The different choices among sizes.

    Raises:
        ValueError: An option is no number from 1 (above 0, in a product).
    """
    found: dict[str, Choice] = {}
    for size in sizes:
        if isinstance(size, Product):
            for choice in size.choices:
                for option in choice.options:
                    if not _positive(option):
                        raise ValueError(f"choice '{choice.name}' is a factor, its options are numbers; got '{option}'")
                found[choice.name] = choice
        elif isinstance(size, Choice):
            for option in size.options:
                if not option.isdecimal() or int(option) < 1:
                    raise ValueError(f"choice '{size.name}' is a size, its options are numbers from 1; got '{option}'")
            found[size.name] = size
    return list(found.values())


def _positive(option: str) -> bool:
    try:
        return 0 < float(option) < math.inf
    except ValueError:
        return False


def sizes_of(size: Size) -> list[int]:
    """Every size that it can be."""
    if isinstance(size, int):
        return [size]
    if isinstance(size, Choice):
        return [int(option) for option in size.options]
    names = [choice.name for choice in size.choices]
    options = product(*(choice.options for choice in size.choices))
    return [size.of(dict(zip(names, some, strict=True))) for some in options]


def largest(size: Size) -> int:
    """The largest that it can be."""
    return max(sizes_of(size))


def is_fixed(size: Size) -> bool:
    """Whether no choice is left."""
    return isinstance(size, int) or all(len(choice.options) == 1 for choice in choices_of(size))


def picked(size: Size, picks: Mapping[str, Pick]) -> int:
    """The size in an architecture."""
    if isinstance(size, int):
        return size
    if isinstance(size, Choice):
        return int(picks[size.name][0])
    return size.of({choice.name: picks[choice.name][0] for choice in size.choices})


def part(
    layer: Mixing, size: Size, mixture: Mixture | None, like: Tensor, dimensions: int = 1
) -> tuple[int, Tensor | None]:
    """The largest size that runs, and the mask over `dimensions` axes of it; no mask where one size simply runs.

    The mask has the dtype and device of `like`. Options in two dimensions are squares around one centre.
    """
    if isinstance(size, int):
        return size, None
    weights = _weights(layer, size, mixture)
    most = max(weights)
    if len(weights) == 1 and weights[most] is None:
        return most, None
    masks = []
    for n, weight in weights.items():
        before, after = (most - n) // 2 if dimensions > 1 else 0, most - n
        mask = F.pad(like.new_ones((n,) * dimensions), (before, after - before) * dimensions)
        masks.append(mask if weight is None else mask * weight.to(like))
    return most, reduce(add, masks)


def _weights(layer: Mixing, size: Choice | Product, mixture: Mixture | None) -> dict[int, Tensor | None]:
    """Size -> weight, None where it simply runs."""
    if isinstance(size, Choice):
        return {int(option): weight for option, weight in layer.weights(size, mixture).items()}
    names = [choice.name for choice in size.choices]
    found: dict[int, Tensor | None] = {}
    for some in product(*(layer.weights(choice, mixture).items() for choice in size.choices)):
        n = size.of(dict(zip(names, (option for option, _ in some), strict=True)))
        factors = [weight for _, weight in some if weight is not None]
        weight = reduce(mul, factors) if factors else None
        before = found.get(n)
        found[n] = weight if before is None or weight is None else before + weight
    return found


T = TypeVar("T", Tensor, Tensor | None)


def first(tensor: T, n: int, dimension: int = 0) -> T:
    """The first n along a dimension; the tensor itself where that is all of it."""
    if tensor is None or tensor.shape[dimension] == n:
        return tensor
    return tensor.narrow(dimension, 0, n)
