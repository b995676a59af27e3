"""The controller of ENAS for cells of blocks: two inputs and two operations for each."""

from __future__ import annotations

from dataclasses import replace
from typing import final

import torch
from torch import Tensor, nn

from morphogen.nn.decisions import Decisions
from morphogen.oneshot.enas_writing import Choose, Squash, State, Writing, Written, lstm, uniform, zeros
from morphogen.space import Space
from morphogen.spaces.blocks import FIRST, SIDES, blocks_of

__all__ = ["MicroPolicy"]

KINDS = ("input", "op")
LIKED, FAVOR = 10.0, 0.25
"""The first bias of convolutions (a weight), and what is added to their logits in the first cell (none)."""


@final
class MicroPolicy(nn.Module):
    """For each block two inputs, chosen by attention to the earlier states; two operations; then its own state.

    Pham et al. 2018, "Efficient Neural Architecture Search via Parameter Sharing" (arXiv:1802.03268), section 2.4, as
    in the released code (melodyguan/enas): inputs are decided before operations; the two inputs of a cell are seen by
    the attention, but read as zeros; a cell begins with the state that the one before ended with; separable
    convolutions begin with a bias of 10, and in the first cell their logits are 0.25 higher, those of the others 0.25
    lower. With two cells of five blocks it has 41,733 weights.

    **Differs** from the paper (100 units, temperature 5, tanh constant 2.5): the numbers of the code.

    Args:
        space: Choices `normal/2/a/input`, `normal/2/a/op`, `normal/2/b/input`, `normal/2/b/op`, ... of any cells.
        hidden: Units.
        squash: Of the logits of inputs.
        reduce: How much less the tanh constant of operations is.
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
        squash: Squash = Squash(tanh=1.1),  # noqa: B008  # frozen
        reduce: float = 2.5,
        generator: torch.Generator | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if not self.serves(space):
            raise ValueError(
                f"space '{space.name}' is none of cells of blocks: expected the choices CELL/2/a/input, CELL/2/a/op, "
                "CELL/2/b/input, CELL/2/b/op, CELL/3/a/input, ... and no others"
            )
        self.space, self.squash = space, squash
        self.squash_operations = replace(squash, tanh=None if squash.tanh is None else squash.tanh / reduce)
        self._cells = {cell: blocks_of(space, cell) for cell in _cells(space)}
        # what cannot exist without another choice has no order here, so another one is as good
        order = [
            f"{cell}/{b}/{side}/{kind}"
            for cell, bs in self._cells.items()
            for b in bs
            for kind in KINDS
            for side in SIDES
        ]
        self._decisions = Decisions(replace(space, choices=tuple(space[name] for name in order)))
        operations = list(dict.fromkeys(o for c in space if c.name.endswith("/op") for o in c.options))
        self._rows = {
            c.name: [operations.index(o) if c.name.endswith("/op") else int(o) for o in c.options] for c in space
        }  # of the operations, and of the states

        def new(*shape: int) -> nn.Parameter:
            return uniform(*shape, generator=generator, dtype=dtype)

        self.lstm, self.start = new(2 * hidden, 4 * hidden), new(1, hidden)
        self.embedding, self.softmax = new(len(operations), hidden), new(hidden, len(operations))
        liked = torch.tensor([[float(o.startswith("sep_conv")) for o in operations]], dtype=dtype)
        self.bias = nn.Parameter(LIKED * liked)
        self.register_buffer("favor", FAVOR * (2 * liked - 1), persistent=False)
        self.w_1, self.w_2, self.v = new(hidden, hidden), new(hidden, hidden), new(hidden, 1)

    @staticmethod
    def serves(space: Space) -> bool:
        """Whether the choices are those of cells of blocks."""
        names = {
            f"{cell}/{block}/{side}/{kind}": int(block)
            for cell in _cells(space)
            for block in blocks_of(space, cell)
            for side in SIDES
            for kind in KINDS
        }
        return names.keys() == {c.name for c in space} and all(
            c.single
            and c.when is None
            and not c.mixed_only
            and (c.name.endswith("/op") or _states(c.options, names[c.name]))
            for c in space
        )

    @property
    def module(self) -> nn.Module:
        return self

    def write(self, choose: Choose) -> Written:
        """Write one architecture, a cell after the other."""
        writing = Writing(self._decisions, choose)
        state = zeros(self.start)
        for number, cell in enumerate(self._cells):
            state = self._cell(cell, writing, state, favored=number == 0)
        return writing.end(self.space)

    def _cell(self, cell: str, writing: Writing, state: State, *, favored: bool) -> State:
        anchors: list[Tensor] = []
        keys: list[Tensor] = []
        x: Tensor = self.start
        for _ in range(FIRST):
            state = lstm(x, state, self.lstm)
            anchors.append(torch.zeros_like(self.start))
            keys.append(state[1] @ self.w_1)
        for block in self._cells[cell]:
            for side in SIDES:
                state = lstm(x, state, self.lstm)
                rows = self._rows[name := f"{cell}/{block}/{side}/input"]
                query = torch.tanh(torch.cat(keys) + state[1] @ self.w_2) @ self.v
                x = anchors[rows[writing.one(name, self.squash(query[:, 0])[rows])]]
            for side in SIDES:
                state = lstm(x, state, self.lstm)
                rows = self._rows[name := f"{cell}/{block}/{side}/op"]
                logits = self.squash_operations(state[1] @ self.softmax + self.bias)
                logits = logits + self.get_buffer("favor") if favored else logits
                x = self.embedding[[rows[writing.one(name, logits[0, rows])]]]
            state = lstm(x, state, self.lstm)
            anchors.append(state[1])
            keys.append(state[1] @ self.w_1)
            x = self.start
        return state


def _cells(space: Space) -> list[str]:
    """The names of the cells, in the order of their first choices."""
    return list(dict.fromkeys(c.name.partition("/")[0] for c in space))


def _states(options: tuple[str, ...], block: int) -> bool:
    return all(o.isdecimal() and int(o) < block for o in options)
