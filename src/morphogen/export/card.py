"""The card of an exported network: what it is, where it came from, what was verified."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from morphogen.export.proof import BATCHES, TOLERANCE, missing_onnx
from morphogen.protocols import MorphogenError

__all__ = ["card", "checked", "words", "write_json"]

RESERVED = ("files", "format", "input", "output", "params", "verified", "versions")
"""Fields that the export fills in itself."""


def checked(given: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of the caller, if they can stand in a card.

    Raises:
        MorphogenError: They are no plain JSON.
        ValueError: One of them is filled in by the export.
    """
    if taken := [name for name in given if name in RESERVED]:
        raise ValueError(f"card['{taken[0]}'] is filled in by the export itself; give it another name")
    _json(dict(given), "card.json")
    return dict(given)


def card(
    given: Mapping[str, Any],
    folder: Path,
    *,
    shapes: tuple[Sequence[int], Sequence[int]],
    params: int,
    macs: int | None,
    differences: Mapping[str, float],
    skipped: Mapping[str, str],
) -> dict[str, Any]:
    """Assemble the card.

    Args:
        given: Fields of the caller: metrics, data, classes, normalization, provenance.
        folder: Where the other files are already.
        shapes: Of one image and of its logits.
        params: Parameters of the exported network.
        macs: Multiply-adds for one image; None where they could not be counted.
        differences: What `verify` gave.
        skipped: File -> why it is not there.
    """
    packages = ["torch", "safetensors", *(() if missing_onnx() else ("onnx", "onnxruntime"))]
    return {
        "format": 1,
        "input": {"dtype": "float32", "shape": ["batch", *shapes[0]]},
        "output": {"dtype": "float32", "shape": ["batch", *shapes[1]]},
        "params": params,
        "macs": macs,
        **given,
        "verified": {
            **{
                file: {"by": _by(file), "max_difference_of_largest_logit": d, "result": words(d)}
                for file, d in differences.items()
            },
            **{file: {"result": f"not written: {why}"} for file, why in skipped.items()},
        },
        "files": {
            file.name: {"bytes": file.stat().st_size, "sha256": _sha256(file)} for file in sorted(folder.iterdir())
        },
        "versions": {name: importlib.metadata.version(name) for name in ("morphogen", *packages)},
    }


def words(difference: float) -> str:
    """A measured difference in words."""
    return (
        "bit-equal"
        if difference == 0
        else f"equal within {difference:.1e} of the largest logit (at most {TOLERANCE:.0e})"
    )


def write_json(file: Path, body: Any) -> None:
    """Write plain JSON.

    Raises:
        MorphogenError: The body is no plain JSON (a NaN, an array).
    """
    file.write_text(_json(body, file.name), encoding="utf-8")


def _json(body: Any, name: str) -> str:
    try:
        return json.dumps(body, indent=2, allow_nan=False) + "\n"
    except (TypeError, ValueError) as error:
        raise MorphogenError(
            f"{name} cannot be written: {error}; give plain numbers, text, lists and mappings"
        ) from None


def _by(file: str) -> str:
    where = "onnxruntime" if file == "model.onnx" else "a fresh Python that cannot import morphogen"
    batches = " and ".join(map(str, BATCHES))
    return f"logits of random batches of {batches} in {where}, against the network in evaluation mode"


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
