"""The published text form of cells: `Genotype(normal=[('sep_conv_3x3', 1), ...], normal_concat=[2, 3, 4,
5], ...)`."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

__all__ = ["Block", "CellGenotype", "Genotype"]

Block = tuple[tuple[str, int], tuple[str, int]]
"""Two operations with their inputs, added. Input 0 is the cell before the last, 1 the last one, 2 the
first block, ..."""


@final
@dataclass(frozen=True, slots=True)
class CellGenotype:
    """One cell.

    Args:
        blocks: In order; each may use the blocks before it.
        concat: The states that are concatenated to the cell's output, counted as inputs are. Always
            explicit: published cells do not all follow one rule.

    Raises:
        ValueError: A block with other than two pairs, or an input or concatenated state that is not there.
    """

    blocks: tuple[Block, ...]
    concat: tuple[int, ...]

    def __post_init__(self) -> None:
        for i, block in enumerate(self.blocks):
            if len(block) != 2:
                raise ValueError(f"block {i} has {len(block)} operations, expected 2")
            for op, source in block:
                if type(op) is not str or type(source) is not int:
                    raise ValueError(f"block {i}: ({op!r}, {source!r}) is not an operation's name and an input's index")
                if not 0 <= source < i + 2:
                    raise ValueError(f"block {i} cannot read input {source}: it has the inputs 0 to {i + 1}")
        states = len(self.blocks) + 2
        if not self.concat or any(type(s) is not int or not 0 <= s < states for s in self.concat):
            raise ValueError(f"concat={list(self.concat)}: expected some of the states 0 to {states - 1}")

    @property
    def json(self) -> dict[str, Any]:
        """Plain JSON: `{"blocks": [[[op, input], [op, input]], ...], "concat": [...]}`."""
        return {"blocks": [[list(pair) for pair in block] for block in self.blocks], "concat": list(self.concat)}

    @staticmethod
    def from_json(body: Mapping[str, Any]) -> CellGenotype:
        """Read what `json` wrote.

        Raises:
            ValueError: It is not of that form.
        """
        try:
            blocks = tuple(tuple((op, source) for op, source in block) for block in body["blocks"])
            return CellGenotype(blocks, tuple(body["concat"]))  # type: ignore[arg-type]  # the cell checks the lengths
        except (KeyError, TypeError) as error:
            raise ValueError(
                f"not the JSON of a cell, {{'blocks': [[[op, input], [op, input]], ...], 'concat': [...]}}: {error!r}"
            ) from None


@final
@dataclass(frozen=True, slots=True)
class Genotype:
    """A normal and a reduction cell. `str` gives the published text; `Genotype.parse` reads it."""

    normal: CellGenotype
    reduce: CellGenotype

    def __str__(self) -> str:
        parts = []
        for name in ("normal", "reduce"):
            cell: CellGenotype = getattr(self, name)
            pairs = [pair for block in cell.blocks for pair in block]
            parts += [f"{name}={pairs}", f"{name}_concat={list(cell.concat)}"]
        return f"Genotype({', '.join(parts)})"

    @property
    def json(self) -> dict[str, Any]:
        """Plain JSON, a cell each."""
        return {"normal": self.normal.json, "reduce": self.reduce.json}

    @staticmethod
    def from_json(body: Mapping[str, Any]) -> Genotype:
        """Read what `json` wrote; other keys are ignored.

        Raises:
            ValueError: A cell is missing or is not of that form.
        """
        if missing := [name for name in ("normal", "reduce") if name not in body]:
            raise ValueError(f"a genotype has the cells 'normal' and 'reduce'; '{missing[0]}' is missing")
        return Genotype(CellGenotype.from_json(body["normal"]), CellGenotype.from_json(body["reduce"]))

    @staticmethod
    def parse(text: str) -> Genotype:
        """Read the published text; `concat` as a list or as `range(2, 6)`. Nothing in it is run.

        Raises:
            ValueError: The text is not of that form, or not two possible cells.
        """
        fields = _fields(text)
        cells = []
        for name in ("normal", "reduce"):
            pairs, concat = fields[name], fields[f"{name}_concat"]
            if not _is_list(pairs) or not all(_is_list(pair) and len(pair) == 2 for pair in pairs):
                raise ValueError(f"{name} is not a list of ('operation', input) pairs: {pairs!r}")
            if len(pairs) % 2:
                raise ValueError(f"{name} has {len(pairs)} pairs, expected an even number: two for each block")
            if not _is_list(concat):
                raise ValueError(f"{name}_concat is not a list of states: {concat!r}")
            blocks = tuple((tuple(a), tuple(b)) for a, b in zip(pairs[::2], pairs[1::2], strict=True))
            cells.append(CellGenotype(blocks, tuple(concat)))
        return Genotype(*cells)


def _fields(text: str) -> dict[str, Any]:
    names = ("normal", "normal_concat", "reduce", "reduce_concat")
    try:
        call: ast.expr | None = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        call = None
    if not isinstance(call, ast.Call) or not _calls(call, "Genotype") or len(call.args) > len(names):
        raise ValueError(
            f"not a genotype: {text!r}; expected Genotype(normal=[('sep_conv_3x3', 0), ...], normal_concat=[2, ...], "
            "reduce=[...], reduce_concat=[...])"
        )
    given = dict(zip(names, call.args, strict=False)) | {str(keyword.arg): keyword.value for keyword in call.keywords}
    if set(given) != set(names):
        raise ValueError(f"a genotype has the fields {', '.join(names)}; got {', '.join(given) or 'none'}")
    return {name: _literal(name, node) for name, node in given.items()}


def _literal(name: str, node: ast.expr) -> Any:
    """A literal, or `range(a, b)` of literals."""
    try:
        if isinstance(node, ast.Call) and _calls(node, "range") and not node.keywords:
            return list(range(*map(ast.literal_eval, node.args))[:99])
        return ast.literal_eval(node)
    except (ValueError, TypeError, RecursionError):
        raise ValueError(f"{name} of the genotype is neither a literal nor a range: {ast.unparse(node)}") from None


def _calls(node: ast.Call, name: str) -> bool:
    return isinstance(node.func, ast.Name) and node.func.id == name


def _is_list(value: object) -> bool:
    return isinstance(value, list | tuple)
