"""The accuracy predictors of progressive search: an LSTM and a multilayer perceptron, in ensembles.

Shapes: `N` architectures, `S` choices, `D` units of an embedding, `C` pairs of a slot and an option.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from morphogen.predictors.layout import layout
from morphogen.space import Architecture, Space

__all__ = ["Ensemble", "LstmNetwork", "MlpNetwork", "Tokens"]

_NUMBER = re.compile(r"(?<![^/])\d+(?![^/])")


@final
class Tokens:
    """The picks of architectures as tokens with shared embeddings.

    Choices with the same last word (`input`, `op`) share an embedding table: an option means the same
    everywhere. Choices whose names differ in their numbers only (`3/a/op`, `4/a/op`) are one slot in several
    blocks.
    """

    def __init__(self, space: Space) -> None:
        self.space = space
        self.tables: dict[str, list[str]] = {}
        self.slots: dict[str, str] = {}
        """Slot -> its table."""
        for choice in space:
            table = self.tables.setdefault(choice.name.rpartition("/")[2], [])
            table += [o for o in choice.options if o not in table]
            self.slots.setdefault(_slot(choice.name), choice.name.rpartition("/")[2])

    def picked(self, architectures: Sequence[Architecture]) -> list[Tensor]:
        """Per choice: the share of each option of its table among what is picked, else 0. `(N, options)`."""
        places = layout(self.space)
        states = places.read(architectures)
        found = []
        for block in places.blocks:
            rows = self.tables[block.choice.name.rpartition("/")[2]]
            share = np.zeros((len(states), len(rows)), np.float32)
            for i, option in enumerate(block.choice.options):
                share[:, rows.index(option)] = places.picked(block, i, states)
            found.append(torch.from_numpy(share / np.maximum(share.sum(1, keepdims=True), 1)))
        return found

    def exists(self, architectures: Sequence[Architecture]) -> Tensor:
        """Which choices exist. `(N, S)`."""
        places = layout(self.space)
        states = places.read(architectures)
        return torch.from_numpy(np.stack([places.active(b, states) for b in places.blocks], 1))

    def means(self, architectures: Sequence[Architecture]) -> Tensor:
        """Per slot, the tokens averaged over the blocks that have it, side by side. `(N, C)`."""
        slots: dict[str, list[int]] = {}
        for i, choice in enumerate(self.space):
            slots.setdefault(_slot(choice.name), []).append(i)
        picked, exists = self.picked(architectures), self.exists(architectures)
        means = []
        for members in slots.values():
            blocks = exists[:, members].sum(1, keepdim=True).clamp(min=1)
            means.append(torch.stack([picked[i] for i in members]).sum(0) / blocks)
        return torch.cat(means, 1)


def _slot(name: str) -> str:
    return _NUMBER.sub("#", name)


@final
class MlpNetwork(nn.Module):
    """Embeds the tokens of a block, concatenates them, averages over blocks; then two hidden layers and a sigmoid.

    Liu et al. 2018, "Progressive Neural Architecture Search" (arXiv:1712.00559), section 3.3. Does not see
    the order of blocks.

    Args:
        tokens: What a space's picks are.
        generator: Of the first weights.
        bias: Of the last layer at first: the sigmoid of 1.8 is the mean accuracy of one-block cells on
            CIFAR-10.
        width: Units of embeddings and hidden layers.
    """

    def __init__(self, tokens: Tokens, generator: torch.Generator, bias: float = 1.8, width: int = 100) -> None:
        super().__init__()
        self.tokens = tokens
        self.tables = nn.ParameterList(torch.empty(len(rows), width) for rows in tokens.tables.values())
        self.first = nn.Linear(width * len(tokens.slots), width)
        self.second = nn.Linear(width, width)
        self.last = nn.Linear(width, 1)
        _start(self, self.tables, self.last, bias, generator)

    def read(self, architectures: Sequence[Architecture]) -> tuple[Tensor, ...]:
        """What `forward` takes."""
        return (self.tokens.means(architectures),)

    def forward(self, means: Tensor) -> Tensor:
        """Predicted accuracies `(N,)`."""
        names = list(self.tokens.tables)
        columns = self.first.weight.t().view(len(self.tokens.slots), -1, self.first.out_features)
        # embedding, concatenation, average and first layer are linear: one matrix (C, D), read off once for all rows
        matrix = torch.cat(
            [self.tables[names.index(t)] @ w for t, w in zip(self.tokens.slots.values(), columns, strict=True)]
        )
        hidden = torch.relu(means @ matrix + self.first.bias)
        return torch.sigmoid(self.last(torch.relu(self.second(hidden)))).squeeze(1)


@final
class LstmNetwork(nn.Module):
    """Reads the tokens one after another; a sigmoid of the last state. Liu et al. 2018 (arXiv:1712.00559), section 3.3.

    Args:
        tokens: What a space's picks are.
        generator: Of the first weights.
        bias: Of the last layer at first.
        width: Units of embeddings and of the LSTM.
    """

    def __init__(self, tokens: Tokens, generator: torch.Generator, bias: float = 1.8, width: int = 100) -> None:
        super().__init__()
        self.tokens = tokens
        self.tables = nn.ParameterList(torch.empty(len(rows), width) for rows in tokens.tables.values())
        self.lstm = nn.LSTM(width, width, batch_first=True)
        self.last = nn.Linear(width, 1)
        _start(self, self.tables, self.last, bias, generator)

    def read(self, architectures: Sequence[Architecture]) -> tuple[Tensor, ...]:
        """What `forward` takes."""
        return self.tokens.exists(architectures), *self.tokens.picked(architectures)

    def forward(self, exists: Tensor, *picked: Tensor) -> Tensor:
        """Predicted accuracies `(N,)`."""
        names = list(self.tokens.tables)
        tables = [self.tables[names.index(c.name.rpartition("/")[2])] for c in self.tokens.space]
        x = torch.stack([p @ table for p, table in zip(picked, tables, strict=True)], 1)
        # choices that do not exist are not read: those that do move to the front
        order = torch.argsort((~exists).to(torch.int8), dim=1, stable=True)
        states, _ = self.lstm(x.gather(1, order.unsqueeze(2).expand_as(x)))
        end = states[torch.arange(len(x)), exists.sum(1) - 1]
        return torch.sigmoid(self.last(end)).squeeze(1)


def _start(
    model: nn.Module, tables: nn.ParameterList, last: nn.Linear, bias: float, generator: torch.Generator
) -> None:
    with torch.no_grad():
        for parameter in model.parameters():
            bound = 1 / math.sqrt(parameter.shape[-1])
            parameter.uniform_(-bound, bound, generator=generator)
        for table in tables:
            table.uniform_(-0.1, 0.1, generator=generator)
        last.bias.fill_(bias)


@final
@dataclass(frozen=True)
class Ensemble:
    """The mean of several networks, each fitted from scratch to its own four fifths of the data (of five members).

    Liu et al. 2018 (arXiv:1712.00559), section 3.3 and appendix B: five members, Adam with a learning rate of
    0.01 for cells of one block and 0.002 later, L1 loss on accuracies.

    Differs: the number of steps is not in the paper; each is on the member's whole data, of more than `batch` on so
    many, drawn at random.

    Args:
        space: What architectures are points of.
        network: Makes a member: `MlpNetwork` (that of PNASNet-5) or `LstmNetwork`.
        members: How many.
        steps: Gradient steps of each.
        first_rate: Learning rate of the first fit.
        later_rate: Learning rate of the later ones.
        batch: The most architectures of a step; members see 723 at the end of the search of the paper.
    """

    space: Space
    network: Callable[[Tokens, torch.Generator], MlpNetwork | LstmNetwork] = MlpNetwork
    members: int = 5
    steps: int = 200
    first_rate: float = 0.01
    later_rate: float = 0.002
    batch: int = 768

    def __post_init__(self) -> None:
        if min(self.members, self.steps, self.batch) < 1:
            numbers = f"members={self.members}, steps={self.steps}, batch={self.batch}"
            raise ValueError(f"{numbers}: all must be at least 1")

    def folds(self, n: int, rng: np.random.Generator) -> list[NDArray[np.int64]]:
        """Per member, the data that it sees: all but its share; everything, where there are too few items."""
        order = rng.permutation(n)
        if self.members == 1 or n < self.members:
            return [order] * self.members
        return [order[np.arange(n) % self.members != k] for k in range(self.members)]

    def fit(
        self,
        architectures: Sequence[Architecture],
        targets: NDArray[np.float64],
        rng: np.random.Generator,
        *,
        first: bool,
    ) -> Callable[[Sequence[Architecture]], NDArray[np.float64]]:
        """Predicted targets of architectures, learned from some whose targets, 0 to 1, are known."""
        tokens = Tokens(self.space)
        wanted = torch.from_numpy(targets.astype(np.float32))
        models = []
        for fold in self.folds(len(targets), rng):
            generator = torch.Generator().manual_seed(int(rng.integers(2**63)))
            model = self.network(tokens, generator)
            inputs, targets_here = model.read([architectures[i] for i in fold]), wanted[fold]
            optimizer = torch.optim.Adam(model.parameters(), self.first_rate if first else self.later_rate)
            for _ in range(self.steps):
                optimizer.zero_grad()
                if len(fold) > self.batch:
                    some = torch.randint(len(fold), (self.batch,), generator=generator)
                    loss = (model(*(x[some] for x in inputs)) - targets_here[some]).abs().mean()
                else:
                    loss = (model(*inputs) - targets_here).abs().mean()
                loss.backward()
                optimizer.step()
            models.append(model)

        def predict(some: Sequence[Architecture]) -> NDArray[np.float64]:
            with torch.no_grad():
                inputs = models[0].read(some)  # the same for all members
                found: NDArray[np.float64] = torch.stack([m(*inputs) for m in models]).mean(0).double().numpy()
            return found

        return predict
