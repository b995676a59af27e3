"""Parts of a transformer whose width and heads are a choice.

Chen et al. 2021, "AutoFormer: Searching Transformers for Visual Recognition" (arXiv:2107.00651), section 3.2: all
options of a layer share its first rows and columns, and heads are taken whole.

Shapes: `B` images, `N` tokens, `D` features, `H` heads of `d` features.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from operator import add
from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from morphogen.choice import Choice, Pick
from morphogen.nn.elastic import ElasticLinear
from morphogen.nn.mixture import Mixing, Mixture, run
from morphogen.nn.sizes import Product, Size, choices_of, first, is_fixed, largest, part, picked

__all__ = ["ElasticAttention", "ElasticLayerNorm", "Positions"]


@final
class ElasticLayerNorm(Mixing):
    """Layer norm of a chosen width; weighted options are the weighted sum of their norms.

    Args:
        features: As of its input: an integer, or a choice.
        eps: Added to the variance.
    """

    def __init__(self, features: int | Choice, eps: float = 1e-5) -> None:
        super().__init__(*choices_of(features))
        self.features, self.eps = features, eps
        norm = nn.LayerNorm(largest(features), eps)
        self.weight, self.bias = norm.weight, norm.bias

    def forward(self, x: Tensor, mixture: Mixture | None = None) -> Tensor:
        """`[..., D]` -> the same shape."""
        if isinstance(self.features, int):
            return self._norm(x, self.features)
        weights = {int(option): weight for option, weight in self.weights(self.features, mixture).items()}
        most = max(weights)
        terms = []
        for n, weight in weights.items():
            y = F.pad(self._norm(x[..., :n], n), (0, most - n)) if n < most else self._norm(x, n)
            terms.append(y if weight is None else y * weight.to(y.dtype))
        return reduce(add, terms)

    def narrow(self, picks: Mapping[str, Pick]) -> dict[str, Tensor]:
        """The state of the stand-alone layer: first features."""
        n = picked(self.features, picks)
        return {"weight": first(self.weight, n), "bias": first(self.bias, n)}

    def plain(self) -> nn.LayerNorm:
        """The same layer of `torch.nn`, sharing the parameters.

        Raises:
            ValueError: The choice of it has several options.
        """
        if not is_fixed(self.features):
            raise ValueError(f"choice '{self.choices[0].name}' is open: build from space.fix(architecture)")
        norm = nn.LayerNorm(largest(self.features), self.eps)
        norm.weight, norm.bias = self.weight, self.bias
        return norm

    def _norm(self, x: Tensor, n: int) -> Tensor:
        return F.layer_norm(x, (n,), first(self.weight, n), first(self.bias, n), self.eps)


@final
class ElasticAttention(nn.Module):
    """Multi-head self-attention (Vaswani et al. 2017, arXiv:1706.03762) with a chosen number of heads.

    Of weighted numbers of heads, each head has the summed weight of those that include it: that is the weighted sum of
    the attentions.

    Args:
        features: Of its input and output; may be a choice.
        heads: How many; may be a choice.
        head_width: Features of a head, d.
    """

    def __init__(self, features: Size, heads: int | Choice, head_width: int) -> None:
        super().__init__()
        self.choices = tuple(choices_of(heads))
        self.heads, self.head_width, self.scale = heads, head_width, head_width**-0.5
        inside = Product((heads, head_width))
        # queries and keys are not masked: scores are not linear in them
        self.query = ElasticLinear(features, inside, masked=False)
        self.key = ElasticLinear(features, inside, masked=False)
        self.value = ElasticLinear(features, inside)
        self.project = ElasticLinear(inside, features)

    def forward(self, x: Tensor, mixture: Mixture | None = None) -> Tensor:
        """`[B, N, D]` -> the same shape."""
        q, k, v = (self._split(run(layer, x, mixture)) for layer in (self.query, self.key, self.value))
        scores = torch.softmax(q @ k.transpose(-2, -1) * self.scale, dim=-1)
        return run(self.project, (scores @ v).transpose(1, 2).flatten(2), mixture)

    def _split(self, x: Tensor) -> Tensor:
        """`[B, N, H * d]` -> `[B, H, N, d]`."""
        return torch.unflatten(x, -1, (-1, self.head_width)).transpose(1, 2)

    def macs(self, picks: Mapping[str, Pick], output: torch.Size) -> int:
        """Multiply-adds of the two products between tokens; those of the linear layers are theirs."""
        tokens = output[1]
        return 2 * tokens * tokens * self.head_width * picked(self.heads, picks)


@final
class Positions(Mixing):
    """Adds a trained vector for each token (Dosovitskiy et al. 2021, arXiv:2010.11929, eq. (1)).

    Args:
        tokens: How many, N.
        features: Of its input; may be a choice.
    """

    def __init__(self, tokens: int, features: int | Choice) -> None:
        super().__init__(*choices_of(features))
        self.features = features
        self.weight = nn.Parameter(torch.empty(tokens, largest(features)))
        nn.init.trunc_normal_(self.weight, std=0.02)

    def forward(self, x: Tensor, mixture: Mixture | None = None) -> Tensor:
        """`[B, N, D]` -> the same shape."""
        n, mask = part(self, self.features, mixture, self.weight)
        weight = first(self.weight, n, dimension=1)
        return x + (weight if mask is None else weight * mask)

    def narrow(self, picks: Mapping[str, Pick]) -> dict[str, Tensor]:
        """The state of the stand-alone layer: first features."""
        return {"weight": first(self.weight, picked(self.features, picks), dimension=1)}
