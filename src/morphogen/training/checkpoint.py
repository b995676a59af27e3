"""Checkpoints that are whole or not there, and that know when they were damaged; weights for others to read."""

from __future__ import annotations

import hashlib
import logging
import pickle
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from morphogen.training.files import write_whole

__all__ = ["CHECKPOINT", "PREVIOUS", "WEIGHTS", "load", "save", "save_weights"]

CHECKPOINT, PREVIOUS, WEIGHTS = "checkpoint.pt", "checkpoint.previous.pt", "weights.safetensors"
_log = logging.getLogger(__name__)


def save(folder: Path, state: Mapping[str, Any]) -> None:
    """Write `checkpoint.pt` of a folder; the one before it is kept as `checkpoint.previous.pt`.

    Args:
        folder: Made where it is missing.
        state: Nested dictionaries with text or whole numbers as keys, lists and tuples of tensors, numbers, text, None.
    """
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint = folder / CHECKPOINT
    sealed = {**state, "sha256": _digest(state)}
    if checkpoint.exists():
        checkpoint.replace(folder / PREVIOUS)
    write_whole(checkpoint, lambda file: torch.save(sealed, file))


def load(folder: Path) -> dict[str, Any] | None:
    """The newest checkpoint of a folder that is sound, on the CPU; None where there is none.

    A damaged one is passed over, with a warning in the log: the epochs since the one before it are trained again.
    """
    for name in (CHECKPOINT, PREVIOUS):
        path = folder / name
        if not path.is_file():
            continue
        try:
            # `weights_only`: a file cannot run code
            state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
            digest = state.pop("sha256")
            damage = None if digest == _digest(state) else "its checksum is wrong"
        except (
            OSError,
            EOFError,
            RuntimeError,
            ValueError,
            KeyError,
            TypeError,
            AttributeError,
            pickle.UnpicklingError,
        ) as error:
            damage = (str(error).splitlines() or [type(error).__name__])[0]
        if damage is None:
            return state
        _log.warning("checkpoint %s is damaged (%s): going on from the one before it, or from the start", path, damage)
    return None


def save_weights(folder: Path, network: nn.Module) -> None:
    """Write `weights.safetensors` of a folder: the `state_dict`, each entry on its own where some share memory."""
    tensors = {name: value.detach().cpu().contiguous().clone() for name, value in network.state_dict().items()}
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / WEIGHTS, lambda file: file.write(safetensors.torch.save(tensors)))


def _digest(state: object) -> str:
    sha = hashlib.sha256()
    for piece in _pieces(state):
        sha.update(piece)
    return sha.hexdigest()


def _pieces(value: object) -> Iterable[Any]:
    """The content of a nested state, independent of how it lies in memory."""
    if isinstance(value, Tensor):
        yield f"{value.dtype}{tuple(value.shape)}".encode()
        yield value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy()
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield f"{key!r}:".encode()
            yield from _pieces(inner)
    elif isinstance(value, list | tuple):
        yield f"[{len(value)}".encode()
        for inner in value:
            yield from _pieces(inner)
    else:
        yield repr(value).encode()
