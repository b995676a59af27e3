"""Export proves itself: the files give the logits of the network where nothing of morphogen can be imported."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from morphogen.export import fresh
from morphogen.protocols import MorphogenError

__all__ = ["BATCHES", "TOLERANCE", "missing_onnx", "verify"]

BATCHES = (1, 3)
TOLERANCE = 1e-5
"""Of the largest logit of a batch: what rounding in another order of additions may change in float32."""
SECONDS = 1800.0
ONNX_PACKAGES = ("onnx", "onnxscript", "onnxruntime")


def missing_onnx() -> str | None:
    """What is missing for an ONNX file, and how to get it; None where all is there."""
    missing = [name for name in ONNX_PACKAGES if importlib.util.find_spec(name) is None]
    return f"{' and '.join(missing)} not installed: pip install 'morphogen[export]'" if missing else None


def logits(
    network: nn.Module, image: Sequence[int], generator: torch.Generator | None
) -> dict[str, tuple[Tensor, Tensor]]:
    """Batches of random images, of each size in `BATCHES`, with the network's logits.

    Args:
        network: In evaluation mode, on the CPU, in float32.
        image: Channels, height, width.
        generator: Of the images; None for one with a seed of its own.

    Raises:
        MorphogenError: The network fails, or gives something else than finite numbers.
    """
    generator = torch.Generator().manual_seed(0) if generator is None else generator
    found = {}
    for batch in BATCHES:
        x = torch.randn(batch, *image, generator=generator)
        try:
            with torch.no_grad():
                y = network(x)
        except Exception as error:
            said = (str(error).splitlines() or [""])[0]
            raise MorphogenError(
                f"the network fails on {batch} images of shape {tuple(image)} in evaluation mode "
                f"({type(error).__name__}: {said}); give export the image size that it was built for"
            ) from error
        if not isinstance(y, Tensor):
            raise MorphogenError(
                f"the network gives a {type(y).__name__} in evaluation mode, expected one tensor of logits"
            )
        if not y.isfinite().all():
            raise MorphogenError(
                "the network gives logits that are not finite, so there is nothing to verify: its weights have diverged"
            )
        found[str(batch)] = x, y
    return found


def verify(folder: Path, expected: Mapping[str, tuple[Tensor, Tensor]], *, onnx: bool) -> dict[str, float]:
    """Compute the logits again from the files, in a fresh Python; writes `model.onnx` on the way.

    Args:
        folder: Has `model.py` and `weights.safetensors`.
        expected: Images and logits, as `logits` gives.
        onnx: Whether to write and verify `model.onnx`.

    Returns:
        File -> largest difference, as a fraction of the largest logit of the batch. 0 is bit-equal.

    Raises:
        MorphogenError: A file does not load, or its logits differ by more than `TOLERANCE`.
    """
    with tempfile.TemporaryDirectory(prefix="morphogen-proof-") as name:
        proof = Path(name)
        save_file({key: x for key, (x, _) in expected.items()}, proof / "inputs.safetensors")
        (proof / "task.json").write_text(json.dumps({"onnx": onnx, "threads": torch.get_num_threads()}))
        # no PYTHONPATH, no user site, not the current folder; no __pycache__ beside model.py
        command = [sys.executable, "-I", "-B", str(Path(fresh.__file__).resolve()), str(folder.resolve()), str(proof)]
        try:
            # our own program; what it runs is the source that `check` has passed
            ran = subprocess.run(  # noqa: S603
                command, cwd=proof, capture_output=True, text=True, timeout=SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            raise MorphogenError(
                f"export could not be verified: the exported network took longer than {SECONDS:g} s"
            ) from None
        if ran.returncode != 0:
            said = ran.stderr.strip().splitlines() or [f"exit status {ran.returncode}"]
            raise MorphogenError(
                f"export could not be verified: the exported network fails in a fresh Python: {said[-1]}"
            )
        outputs = load_file(proof / "outputs.safetensors")
    differences: dict[str, float] = {}
    for key, y in outputs.items():
        file, _, batch = key.partition("/")
        differences[file] = max(differences.get(file, 0.0), _difference(expected[batch][1], y))
    for file, difference in differences.items():
        if not difference <= TOLERANCE:
            raise MorphogenError(
                f"export could not be verified: the logits of {file} differ from the network's by {difference:.1e} "
                f"of the largest logit, more than {TOLERANCE:.0e}; does the network compute the same when called twice?"
            )
    return differences


def _difference(expected: Tensor, actual: Tensor) -> float:
    if expected.shape != actual.shape:
        return float("inf")
    scale = max(float(expected.abs().max()), torch.finfo(torch.float32).tiny)
    return float((expected.double() - actual.double()).abs().max()) / scale
