"""The proof of an export: `python -I fresh.py FOLDER PROOF`, in a Python that cannot import morphogen.

FOLDER has `model.py` and `weights.safetensors`; PROOF has `inputs.safetensors` and `task.json`. The logits of the
model, and of the ONNX file that is made of it where the task says so, go to `outputs.safetensors` in PROOF.

Nothing of morphogen may be imported here.
"""

from __future__ import annotations

import importlib.util
import json
import sys
import warnings
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file


class Guard:
    """An import hook that lets nothing of morphogen in."""

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> None:
        if name.partition(".")[0] == "morphogen":
            raise ImportError(f"the exported network imports {name}, and nothing of morphogen may be needed")


def load(folder: Path) -> torch.nn.Module:
    """Import `model.py`, construct `Model()`, load the weights strictly."""
    spec = importlib.util.spec_from_file_location("exported_model", folder / "model.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    model: torch.nn.Module = module.Model()
    model.load_state_dict(load_file(folder / "weights.safetensors"))
    return model.eval()


def write_onnx(model: torch.nn.Module, images: torch.Tensor, file: Path) -> None:
    """Write the model with weights inside and a free batch size."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own, about torch's own
        torch.onnx.export(
            model,
            (images,),
            file,
            dynamo=True,
            external_data=False,
            verbose=False,
            input_names=["images"],
            output_names=["logits"],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
        )


def run_onnx(file: Path, inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The logits that onnxruntime computes."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    return {name: torch.from_numpy(session.run(["logits"], {"images": x.numpy()})[0]) for name, x in inputs.items()}


def main(folder: Path, proof: Path) -> None:
    task: dict[str, Any] = json.loads((proof / "task.json").read_text())
    torch.set_num_threads(task["threads"])
    inputs = load_file(proof / "inputs.safetensors")
    model = load(folder)
    with torch.no_grad():
        outputs = {f"model.py/{name}": model(x).contiguous() for name, x in inputs.items()}
    if task["onnx"]:
        largest = max(inputs.values(), key=len)
        write_onnx(model, largest, folder / "model.onnx")
        outputs |= {f"model.onnx/{name}": y for name, y in run_onnx(folder / "model.onnx", inputs).items()}
    save_file(outputs, proof / "outputs.safetensors")


if __name__ == "__main__":
    sys.meta_path.insert(0, Guard)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
