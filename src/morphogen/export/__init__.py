"""From a trained network to a folder that needs nothing of ours: `model.py`, weights, ONNX, architecture, card."""

from __future__ import annotations

import copy
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, final

import torch
from safetensors.torch import save_file
from torch import nn

from morphogen.export.card import card as assemble
from morphogen.export.card import checked, words, write_json
from morphogen.export.classes import source, weights
from morphogen.export.proof import logits, missing_onnx, verify
from morphogen.export.tracing import trace
from morphogen.export.whitelist import check
from morphogen.nn.complexity import complexity
from morphogen.protocols import MorphogenError
from morphogen.space import Architecture

__all__ = ["Exported", "export"]

CARD = "card.json"


@final
@dataclass(frozen=True, slots=True)
class Exported:
    """What an export wrote and verified.

    Args:
        folder: Where.
        paths: File name -> path.
        params: Parameters of the exported network: without what evaluation does not use.
        differences: File -> largest difference between its logits and the network's, as a fraction of the largest logit
            of the batch; 0 is bit-equal.
        skipped: File -> why it was not written.
    """

    folder: Path
    paths: Mapping[str, Path]
    params: int
    differences: Mapping[str, float]
    skipped: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        lines = [f"{file}: {words(difference)}" for file, difference in self.differences.items()]
        lines += [f"{file}: not written, {why}" for file, why in self.skipped.items()]
        return "\n".join([f"exported to {self.folder}: {', '.join(self.paths)}", *lines])


def export(
    network: nn.Module,
    folder: Path | str,
    *,
    image: tuple[int, int, int],
    architecture: Architecture | Mapping[str, Any] | None = None,
    card: Mapping[str, Any] | None = None,
    generator: torch.Generator | None = None,
    onnx: bool = True,
) -> Exported:
    """Write a network as files that need nothing of ours, and prove that they compute the same.

    `model.py` is plain PyTorch that defines `Model()`: the network as it is in evaluation mode, without what only the
    search or its training had (options that were not picked, an auxiliary head, drop path). Dropout and batch norm are
    in it and work in training mode. Its weights are float32.

    Args:
        network: Stand-alone, trained. It is not changed.
        folder: An earlier export there is replaced. It appears complete and verified, or not at all.
        image: Channels, height, width of an image.
        architecture: Written to `architecture.json`, which `space.parse` reads.
        card: Fields for `card.json`, plain JSON: metrics, data, classes, normalization, provenance.
        generator: Of the random images of the proof; None for one with a seed of its own.
        onnx: Whether to write `model.onnx`; it takes most of the time (20 ms a layer).

    Returns:
        The paths, and the differences that the proof measured.

    Raises:
        MorphogenError: The network cannot be written as source, the proof failed, or the folder cannot be written.
        ValueError: The folder has something else in it, or `card` has a field that the export fills in itself.
    """
    folder, given = Path(folder), checked(card or {})
    try:
        plain: nn.Module = copy.deepcopy(getattr(network, "_orig_mod", network))  # what torch.compile was given
        plain = plain.eval().cpu().float()
        # as weights are loaded: another memory format may round otherwise
        plain = plain.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]  # missing in the stubs
    except RuntimeError as error:
        raise MorphogenError(
            f"the network cannot be copied: {error}; let no module keep tensors of its last forward"
        ) from error
    expected = logits(plain, image, generator)
    block = trace(plain, image)
    text, tensors = source(block, image), weights(block)
    check(text)
    why_not = missing_onnx() if onnx else "not asked for (onnx=False)"
    skipped = {} if why_not is None else {"model.onnx": why_not}
    params = sum(p.numel() for p in {id(t): t for t in tensors.values() if isinstance(t, nn.Parameter)}.values())
    macs = given.pop("macs", None) or _macs(plain, image)
    with _appearing(folder) as draft:
        (draft / "model.py").write_text(text, encoding="utf-8")
        save_file({key: t.detach().clone().contiguous() for key, t in tensors.items()}, draft / "weights.safetensors")
        if architecture is not None:
            body = architecture.json if isinstance(architecture, Architecture) else dict(architecture)
            write_json(draft / "architecture.json", body)
        differences = verify(draft, expected, onnx=why_not is None)
        shapes = image, tuple(expected["1"][1].shape[1:])
        write_json(
            draft / CARD,
            assemble(given, draft, shapes=shapes, params=params, macs=macs, differences=differences, skipped=skipped),
        )
        names = sorted(file.name for file in draft.iterdir())
    return Exported(folder, {name: folder / name for name in names}, params, differences, skipped)


def _macs(network: nn.Module, image: tuple[int, int, int]) -> int | None:
    try:
        return complexity(network, image).macs
    except Exception:
        # a network may compute with what shapes alone do not give; its card then says null
        return None


@contextmanager
def _appearing(folder: Path) -> Iterator[Path]:
    """A draft beside the folder, that takes its place when all went well and disappears when not."""
    draft, old = (folder.parent / f".{folder.name}-{word}-{os.getpid()}" for word in ("draft", "old"))
    if folder.exists() and not (folder.is_dir() and (not any(folder.iterdir()) or (folder / CARD).exists())):
        raise ValueError(f"{folder} exists and is no earlier export (there is no {CARD} in it): choose another folder")
    try:
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        yield draft
        if folder.exists():
            folder.rename(old)
        draft.rename(folder)
    except OSError as error:
        raise MorphogenError(f"the export to {folder} cannot be written: {error}") from error
    finally:
        if old.exists() and not folder.exists():
            old.rename(folder)
        for leftover in (draft, old):
            shutil.rmtree(leftover, ignore_errors=True)
