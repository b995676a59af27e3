"""What runs a network when its latency is measured."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, final

import torch
from torch import Tensor, nn

__all__ = ["Eager", "OnnxRuntime", "Runtime", "torch_threads"]


class Runtime(Protocol):
    """Makes one forward pass of a network callable."""

    def prepare(self, network: nn.Module, images: Tensor, threads: int) -> Callable[[], object]:
        """What runs `network`, in evaluation mode, once on `images`."""
        ...


@final
@dataclass(frozen=True)
class Eager:
    """PyTorch, as it trains."""

    def prepare(self, network: nn.Module, images: Tensor, threads: int) -> Callable[[], object]:
        return lambda: network(images)


@final
@dataclass(frozen=True)
class OnnxRuntime:
    """onnxruntime on a CPU, which fuses what eager PyTorch runs one by one; preparing takes some 20 ms a layer.

    Raises:
        ValueError: The packages onnx, onnxscript and onnxruntime are not installed.
    """

    def __post_init__(self) -> None:
        from importlib.util import find_spec

        if missing := [p for p in ("onnx", "onnxscript", "onnxruntime") if find_spec(p) is None]:
            raise ValueError(f"{', '.join(missing)} not installed: pip install 'morphogen[export]'")

    def prepare(self, network: nn.Module, images: Tensor, threads: int) -> Callable[[], object]:
        import onnxruntime

        plain = images.cpu().contiguous()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's own, about torch's own
            program = torch.onnx.export(network, (plain,), dynamo=True, verbose=False, input_names=["images"])
        assert program is not None
        with tempfile.TemporaryDirectory() as folder:
            program.save(Path(folder) / "model.onnx")
            written = (Path(folder) / "model.onnx").read_bytes()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads, options.log_severity_level = threads, 1, 3
        session: Any = onnxruntime.InferenceSession(written, options, providers=["CPUExecutionProvider"])
        inputs = {"images": plain.numpy()}
        return lambda: session.run(None, inputs)


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """So many threads of PyTorch inside, on a CPU."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
