import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import morphogen.export
from morphogen.export import export, proof
from morphogen.nn.mixed import MixedOp
from morphogen.protocols import MorphogenError
from morphogen.space import Choice, Space

IMAGE = (3, 8, 8)
SPACE = Space((Choice("op", ("conv_1x1", "conv_3x3")),))


class Small(nn.Module):
    """A network with one choice, as somebody may write it."""

    def __init__(self, space: Space) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(inplace=True))
        self.op = MixedOp(space["op"], lambda name: nn.Conv2d(8, 8, int(name[-1]), padding=int(name[-1]) // 2))
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.1), nn.Linear(8, 5))

    def forward(self, x: Tensor, mixture: object = None) -> Tensor:
        x = self.stem(x)
        y: Tensor = self.head(x + self.op(x, mixture))
        return y


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(0)
    network = Small(SPACE.fix(SPACE.architecture({"op": "conv_3x3"})))
    network(torch.randn(16, *IMAGE))
    return network


def test_an_export_needs_nothing_of_ours(network: nn.Module, tmp_path: Path) -> None:
    architecture = SPACE.architecture({"op": "conv_3x3"})
    card = {
        "metrics": {"accuracy": 0.75},
        "normalization": {"mean": [0.5], "std": [0.25]},
        "classes": ["a", "b", "c", "d", "e"],
    }
    exported = export(network, tmp_path / "runs" / "best", image=IMAGE, architecture=architecture, card=card)

    folder = tmp_path / "runs" / "best"
    names = ["architecture.json", "card.json", "model.onnx", "model.py", "weights.safetensors"]
    assert names == sorted(p.name for p in folder.iterdir()) == list(exported.paths)
    assert [folder] == list(folder.parent.iterdir())
    assert 0.0 == exported.differences["model.py"]
    assert exported.differences["model.onnx"] <= proof.TOLERANCE
    assert {} == exported.skipped
    assert network.training
    assert architecture == SPACE.parse(exported.paths["architecture.json"].read_text())

    written = json.loads(exported.paths["card.json"].read_text())
    assert card == {name: written[name] for name in card}
    params = sum(p.numel() for p in network.parameters())
    assert params == written["params"] == exported.params
    assert 64 * (3 * 8 * 9 + 8 * 8 * 9) + 8 * 5 == written["macs"]
    assert ["batch", *IMAGE] == written["input"]["shape"]
    assert ["batch", 5] == written["output"]["shape"]
    assert "bit-equal" == written["verified"]["model.py"]["result"]
    for name, file in written["files"].items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == file["sha256"]
    assert {*names} - {"card.json"} == set(written["files"])

    # as a person would use it: another Python, the lines of the header
    program = (
        "import torch; from safetensors.torch import load_file; from model import Model\n"
        "model = Model(); model.load_state_dict(load_file('weights.safetensors'))\n"
        "x = torch.arange(2.0 * 192).reshape(2, 3, 8, 8) / 384\n"
        "assert not any(name.startswith('morphogen') for name in __import__('sys').modules)\n"
        "print(model.eval()(x).flatten().tolist())\n"
    )
    ran = subprocess.run([sys.executable, "-B", "-c", program], cwd=folder, capture_output=True, text=True, check=True)
    x = torch.arange(2.0 * 192).reshape(2, *IMAGE) / 384
    assert network.eval()(x).flatten().tolist() == json.loads(ran.stdout)


def test_without_the_extra_there_is_no_onnx_file_and_the_card_says_why(
    network: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proof, "ONNX_PACKAGES", ("onnx", "a_package_that_nobody_has"))
    exported = export(network, tmp_path / "best", image=IMAGE)
    assert not (tmp_path / "best" / "model.onnx").exists()
    assert "a_package_that_nobody_has not installed: pip install 'morphogen[export]'" == exported.skipped["model.onnx"]
    card = json.loads(exported.paths["card.json"].read_text())
    assert f"not written: {exported.skipped['model.onnx']}" == card["verified"]["model.onnx"]["result"]


def test_an_export_repeats_bit_by_bit_and_survives_a_later_one_that_fails(
    network: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def files() -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in (tmp_path / "best").iterdir()}

    network = network.to(memory_format=torch.channels_last).double()
    exported = export(network, tmp_path / "best", image=IMAGE, onnx=False)
    assert torch.float64 == network.head[3].weight.dtype
    assert "model.py: bit-equal" in str(exported)
    assert "model.onnx: not written, not asked for" in str(exported)
    before = files()
    export(network, tmp_path / "best", image=IMAGE, onnx=False)
    assert before == files()

    source = morphogen.export.source
    wrong = lambda *args: source(*args).replace("x + self.op(x)", "x - self.op(x)")  # noqa: E731
    monkeypatch.setattr(morphogen.export, "source", wrong)
    with pytest.raises(MorphogenError, match=r"not be verified: the logits of model\.py differ from the network's by"):
        export(network, tmp_path / "best", image=IMAGE, onnx=False)
    assert [tmp_path / "best"] == list(tmp_path.iterdir())
    assert before == files()


def test_a_file_that_needs_morphogen_is_caught(
    network: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = morphogen.export.source
    monkeypatch.setattr(morphogen.export, "source", lambda *args: "import morphogen.choice\n" + source(*args))
    with pytest.raises(MorphogenError, match=r"model\.py would have 'import morphogen\.choice'"):
        export(network, tmp_path / "best", image=IMAGE, onnx=False)
    monkeypatch.setattr(morphogen.export, "check", lambda text: None)
    with pytest.raises(MorphogenError, match="imports morphogen, and nothing of morphogen may be needed"):
        export(network, tmp_path / "best", image=IMAGE, onnx=False)
    assert [] == list(tmp_path.iterdir())


def test_a_branch_on_data_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    class Branch(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x if x.mean() > 0 else -x

    network = nn.Sequential(nn.Conv2d(3, 3, 1), Branch(), nn.Flatten())
    with pytest.raises(MorphogenError, match=r"^module '1' \(Branch\) cannot be exported: .* torch\.where$"):
        export(network, tmp_path / "best", image=IMAGE)
    assert [] == list(tmp_path.iterdir())


def test_a_network_that_computes_something_else_each_time_is_refused(tmp_path: Path) -> None:
    class Noise(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x + torch.rand_like(x)

    network = nn.Sequential(nn.Flatten(), Noise())
    with pytest.raises(MorphogenError, match="does the network compute the same when called twice"):
        export(network, tmp_path / "best", image=IMAGE, onnx=False)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda n: n.stem[0].weight.data.fill_(float("nan")), "logits that are not finite"),
        (
            lambda n: setattr(n, "head", nn.Linear(3, 3)),
            r"fails on 1 images of shape \(3, 8, 8\) .* give export the image size",
        ),
        (lambda n: setattr(n, "last", n.head[3].weight * 2), "cannot be copied: .*; let no module keep tensors"),
    ],
)
def test_a_network_that_does_not_work_is_refused(
    network: nn.Module, tmp_path: Path, change: object, message: str
) -> None:
    change(network)  # type: ignore[operator]
    with pytest.raises(MorphogenError, match=message):
        export(network, tmp_path / "best", image=IMAGE)


def test_a_folder_with_other_things_in_it_is_not_touched(network: nn.Module, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(ValueError, match=r"is no earlier export \(there is no card\.json in it\)"):
        export(network, tmp_path, image=IMAGE)
    assert "mine" == (tmp_path / "thesis.tex").read_text()


def test_a_folder_that_cannot_be_written_is_an_error_in_one_line(network: nn.Module, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(MorphogenError, match="cannot be written"):
        export(network, tmp_path / "file" / "best", image=IMAGE)


def test_the_card_is_plain_json_with_fields_of_its_own(network: nn.Module, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"card\['params'\] is filled in by the export itself"):
        export(network, tmp_path / "best", image=IMAGE, card={"params": 3})
    with pytest.raises(MorphogenError, match=r"card\.json cannot be written: .*give plain numbers"):
        export(network, tmp_path / "best", image=IMAGE, card={"metrics": {"accuracy": np.float32(1)}}, onnx=False)
    with pytest.raises(MorphogenError, match=r"card\.json cannot be written"):
        export(network, tmp_path / "best", image=IMAGE, card={"metrics": {"accuracy": float("nan")}}, onnx=False)
    assert [] == list(tmp_path.iterdir())
