"""What is true of every space that has a name: it trains, it exports, and its sub-graphs are stand-alone networks."""

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits

from morphogen.export import export
from morphogen.nn.inherit import inherit
from morphogen.nn.mixture import picks_to_mixture
from morphogen.nn.network import network
from morphogen.spaces import SPACES, space
from network_laws import logits

SMALL = {
    "amoebanet": {"channels": 4, "cells": 3},
    "darts": {"channels": 4, "cells": 3},
    "enas-macro": {"channels": 4},
    "enas-micro": {"channels": 4, "cells": 3},
    "mobilenet": {"stem_channels": 4, "head_channels": (16, 24)},
    "nas-rl": {},
    "nasbench101": {"channels": 8, "cells": 3},
    "nasbench201": {"channels": 4, "cells": 3},
    "nasnet": {"channels": 4, "cells": 3},
    "pnas": {"channels": 4, "cells": 3},
    "vit": {"patch": 2, "head_width": 8},
}
"""What makes a skeleton small."""
ALONE = ("nas-rl", "nasbench101")
"""Spaces without a supernet."""
TRAINED = ("amoebanet", "darts")
"""Spaces whose networks no other test trains: the others are under `NetworkLaws`, or have a test like it."""
OLD_TORCH = "MORPHOGEN_OLD_TORCH"
"""The variable that names a Python with torch 2.6, such as that of a virtual environment."""


def skeleton_of(name, preset, image, classes):
    return replace(space(name).skeletons[preset], image=image, classes=classes, **SMALL[name])


def standalone(name, seed, skeleton):
    torch.manual_seed(seed)
    some = space(name)
    architecture = some.sample(np.random.default_rng(seed))
    return architecture, network(some.fix(architecture), skeleton)


def test_every_space_is_here():
    assert list(SMALL) == sorted(SPACES)


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("seed", [1, *(pytest.param(s, marks=pytest.mark.slow) for s in (2, 3))])
def test_an_export_verifies_itself(name, seed, tmp_path):
    skeleton = skeleton_of(name, "final", (3, 8, 8), 10)
    architecture, built = standalone(name, seed, skeleton)
    exported = export(built, tmp_path / "best", image=skeleton.image, architecture=architecture, onnx=seed > 1)
    assert exported.differences["model.py"] <= 1e-6
    assert (set() if seed > 1 else {"model.onnx"}) == set(exported.skipped)


@pytest.mark.parametrize("name", TRAINED)
@pytest.mark.parametrize("seed", [1, *(pytest.param(s, marks=pytest.mark.slow) for s in (2, 3))])
def test_a_batch_is_learned_in_30_steps(name, seed):
    digits = load_digits()
    x = torch.tensor(digits.images[:64, None], dtype=torch.float32)
    x = ((x - x.mean()) / x.std()).contiguous(memory_format=torch.channels_last)
    y = torch.tensor(digits.target[:64])
    _, built = standalone(name, seed, skeleton_of(name, "search", (1, 8, 8), 10))
    built.to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.Adam(built.parameters(), 0.01)
    losses = []
    for _ in range(31):
        loss = F.cross_entropy(logits(built(x)), y)
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[-1] < losses[0] / 2


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(SMALL) - set(ALONE)))
@pytest.mark.parametrize("preset", ["search", "final"])
def test_20_subgraphs_are_the_standalone_networks_that_inherit_from_them(name, preset):
    some, skeleton = space(name), skeleton_of(name, preset, (3, 9, 8), 3)
    torch.manual_seed(0)
    supernet = network(some, skeleton).double()
    x = torch.randn(2, *skeleton.image, dtype=torch.float64)
    for seed in range(20):
        architecture = some.sample(np.random.default_rng(100 + seed))
        mixture = picks_to_mixture(architecture)
        supernet.train()
        supernet(x, mixture)  # so that running statistics are not the initial ones
        alone = network(some.fix(architecture), skeleton).double()
        inherit(supernet, alone, architecture)
        for training in (False, True):
            outputs = []
            for built in (supernet.train(training), alone.train(training)):
                torch.manual_seed(1)
                with torch.no_grad():
                    outputs.append(built(x, mixture) if built is supernet else built(x))
            torch.testing.assert_close(*outputs, rtol=0, atol=1e-12, msg=f"{architecture.text}, training: {training}")


@pytest.mark.parametrize("name", sorted({n for n in SMALL if "cells" in SMALL[n]}))
def test_a_cell_goes_to_large_images_by_stem_repeats_and_channels(name):
    # what `morphogen retrain RUN --skeleton imagenet --repeats N --channels F` builds
    some = space(name)
    skeleton = some.skeletons.get("imagenet", replace(some.skeletons["final"], stem="imagenet"))
    skeleton = replace(skeleton, image=(3, 64, 56), classes=7, channels=8).repeated(1 + 2 // skeleton.cells_per_repeat)
    with torch.device("meta"):
        built = network(some.fix(some.sample(np.random.default_rng(0))), skeleton)
        sizes = []
        for cell in built.cells:
            cell.register_forward_hook(lambda module, given, y: sizes.append(y.shape[2:]))
        assert (2, 7) == logits(built(torch.empty(2, 3, 64, 56))).shape
    assert (8, 7) == max(sizes[2 if name in ("amoebanet", "nasnet", "pnas") else 0 :])


IN_OLD_TORCH = """
import importlib.util
import sys
from pathlib import Path

import torch

print(torch.__version__)
for folder in sorted(Path(sys.argv[1]).iterdir()):
    found = importlib.util.spec_from_file_location(folder.name.replace("-", "_"), folder / "model.py")
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    given = torch.load(folder / "given.pt", weights_only=True)
    model = module.Model()
    model.load_state_dict(given["weights"])
    with torch.no_grad():
        found = model.eval()(given["x"])
    difference = ((found - given["logits"]).abs().max() / given["logits"].abs().max()).item()
    print(folder.name, difference)
    assert difference <= 1e-5, folder.name
"""


@pytest.mark.slow
def test_what_is_exported_runs_on_the_oldest_torch_that_we_name(tmp_path):
    old = os.environ.get(OLD_TORCH)
    if not old:
        pytest.skip(f"{OLD_TORCH} names no Python with torch 2.6")
    for name in SMALL:
        skeleton = skeleton_of(name, "final", (3, 8, 8), 10)
        _, built = standalone(name, 4, skeleton)
        folder = tmp_path / name
        export(built, folder, image=skeleton.image, onnx=False)
        model = _model(folder)
        x = torch.randn(4, *skeleton.image)
        with torch.no_grad():
            torch.save({"x": x, "weights": model.state_dict(), "logits": built.eval()(x)}, folder / "given.pt")
    done = subprocess.run(
        [old, "-c", IN_OLD_TORCH, str(tmp_path)], capture_output=True, text=True, timeout=120, check=False
    )
    assert 0 == done.returncode, done.stdout + done.stderr
    assert len(SMALL) + 1 == len(done.stdout.splitlines())


def _model(folder: Path) -> torch.nn.Module:
    """The model of an exported folder, with its weights."""
    from safetensors.torch import load_file

    names: dict[str, type[torch.nn.Module]] = {}
    exec(compile((folder / "model.py").read_text(), "model.py", "exec"), names)
    model = names["Model"]()
    model.load_state_dict(load_file(folder / "weights.safetensors"))
    return model
