"""The controller of ENAS for networks of layers: the operation of each, and what it is connected to."""

from __future__ import annotations

from functools import reduce
from operator import add
from typing import final

import torch
from torch import Tensor, nn

from morphogen.nn.decisions import Decisions
from morphogen.oneshot.enas_writing import Choose, Squash, Writing, Written, lstm, uniform, zeros
from morphogen.space import Space

__all__ = ["MacroPolicy"]


@final
class MacroPolicy(nn.Module):
    """Two steps of the LSTM a layer: its operation, then its anchor, which says what it is connected to.

    Pham et al. 2018, "Efficient Neural Architecture Search via Parameter Sharing" (arXiv:1802.03268), section 2.3, as
    in the released code (melodyguan/enas). Layer k is connected to output j by the softmax of `(-a, a)`, where `a` is
    the squashed `v . tanh(W_1 h_j + W_2 h_k)` of the two anchors; the next layer reads the sum of the anchors that
    were taken, divided by one more than they are. With 12 layers it has 41,856 weights.

    **Differs** from the paper (100 units, temperature 5, tanh constant 2.5): the numbers of the code.

    Args:
        space: Choices `0/op`, `1/op`, `1/skips`, `2/op`, ...: an operation, and any subset of what was before.
        hidden: Units.
        squash: Of all logits.
        skip_target: How likely a connection should be; the penalty is the divergence from it.
        generator: Draws the first weights.
        dtype: Of the weights.

    Raises:
        ValueError: The space has other choices.
    """

    def __init__(
        self,
        space: Space,
        *,
        hidden: int = 64,
        squash: Squash = Squash(tanh=1.5),  # noqa: B008  # frozen
        skip_target: float = 0.4,
        generator: torch.Generator | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if not self.serves(space):
            raise ValueError(
                f"space '{space.name}' is none of layers: expected the choices 0/op, 1/op, 1/skips, 2/op, 2/skips, ..."
            )
        if not 0 < skip_target < 1:
            raise ValueError(f"skip_target={skip_target} is the probability of a connection: between 0 and 1")
        self.space, self.squash, self.skip_target = space, squash, skip_target
        self._decisions = Decisions(space)
        self.layers = sum(choice.name.endswith("/op") for choice in space)
        operations = list(dict.fromkeys(o for c in space if c.name.endswith("/op") for o in c.options))
        self._rows = {
            c.name: [operations.index(o) if c.single else int(o) for o in c.options] for c in space
        }  # of the operations, and of the anchors

        def new(*shape: int) -> nn.Parameter:
            return uniform(*shape, generator=generator, dtype=dtype)

        self.lstm, self.start = new(2 * hidden, 4 * hidden), new(1, hidden)
        self.embedding, self.softmax = new(len(operations), hidden), new(hidden, len(operations))
        self.w_1, self.w_2, self.v = new(hidden, hidden), new(hidden, hidden), new(hidden, 1)

    @staticmethod
    def serves(space: Space) -> bool:
        """Whether the choices are those of layers."""
        names: list[str] = []
        for layer in range(sum(choice.name.endswith("/op") for choice in space)):
            names += [f"{layer}/op", f"{layer}/skips"] if layer else [f"{layer}/op"]
        return [c.name for c in space] == names and all(
            c.when is None and (c.single or all(o.isdecimal() and int(o) < _layer(c.name) for o in c.options))
            if c.single == c.name.endswith("/op")
            else False
            for c in space
        )

    @property
    def module(self) -> nn.Module:
        return self

    def write(self, choose: Choose) -> Written:
        """Write one architecture; the entropy is that of the code, `-p log p` of what is sampled."""
        writing = Writing(self._decisions, choose)
        state = zeros(self.start)
        x: Tensor = self.start
        anchors: list[Tensor] = []
        keys: list[Tensor] = []
        penalties: list[Tensor] = []
        for layer in range(self.layers):
            state = lstm(x, state, self.lstm)
            rows = self._rows[f"{layer}/op"]
            logits = self.squash(state[1] @ self.softmax)[0]
            x = self.embedding[[rows[writing.one(f"{layer}/op", logits[rows])]]]
            state = lstm(x, state, self.lstm)
            if layer:
                rows = self._rows[f"{layer}/skips"]
                query = torch.tanh(torch.cat(keys) + state[1] @ self.w_2) @ self.v
                a = self.squash(query[:, 0])[rows]
                taken = [anchors[rows[i]] for i in writing.subset(f"{layer}/skips", a)]
                penalties.append(self._penalty(a))
                x = reduce(add, taken, torch.zeros_like(self.start)) / (1 + len(taken))
            else:
                x = self.start
            anchors.append(state[1])
            keys.append(state[1] @ self.w_1)
        return writing.end(self.space, torch.stack(penalties).mean() if penalties else None, sampled=True)

    def _penalty(self, a: Tensor) -> Tensor:
        """The divergence of the connections of a layer from the target; of `sigmoid(a)`, not of the probability that is
        sampled with, as the code has it."""
        q = torch.sigmoid(torch.stack([-a, a], 1))
        return (q * torch.log(q / q.new_tensor([1 - self.skip_target, self.skip_target]))).sum()


def _layer(name: str) -> int:
    return int(name.partition("/")[0])
