"""Two processes train one supernet."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from morphogen.oneshot.ranks import alike, average, decided, mean_number, part, rank, world

PROGRAM = """
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
import torch
import torch.distributed as dist
from morphogen.nn.network import network
from morphogen.oneshot import Controller, Softmax, Uniform
from morphogen.oneshot.ranks import alike, decided
from morphogen.oneshot.regime import Regime
from morphogen.oneshot.supernet import learn
from morphogen.protocols import Context
from morphogen.spaces.darts import SKELETONS, darts
from morphogen.training.data import data
from morphogen.training.recipe import Recipe

torch.set_num_threads(1)
dist.init_process_group("gloo")
assert alike(3) and not alike(dist.get_rank())
assert decided(dist.get_rank() == 0) and not decided(dist.get_rank() == 1)
folder, epochs = Path(sys.argv[1]), int(sys.argv[2])
DATA = data("digits").limited(48)
SPACE = darts(nodes=1, operations=("none", "skip_connect", "sep_conv_3x3", "max_pool_3x3"))
SKELETON = replace(SKELETONS["search"], image=DATA.image, classes=10, channels=4, cells=2, reductions=(1,))
MAKES = {
    "softmax": partial(Softmax, lr=0.02),
    "uniform": partial(Uniform, candidates=2),
    "controller": partial(Controller, steps=1, aggregate=2, candidates=2),
}
for name, make in MAKES.items():
    torch.manual_seed(0)
    supernet = network(SPACE, SKELETON)
    distribution = make(SPACE, generator=torch.Generator().manual_seed(1), device=torch.device("cpu"))
    regime = Regime(Recipe(epochs=2, batch_size=12, lr=0.05, nesterov=False, clip=5.0), calibration=24,
                    sharpness=name == "softmax")
    context = Context(seed=5, folder=folder / name)
    learned = learn(supernet, distribution, SPACE, DATA, regime, context, epochs=epochs)
    state = {"network": supernet.state_dict(), "distribution": distribution.state_dict(), "found": learned.found.text}
    state["metrics"], state["curves"] = learned.metrics, learned.curves
    torch.save(state, folder / f"{name}-{dist.get_rank()}.pt")
dist.destroy_process_group()
"""
NAMES = ("softmax", "uniform", "controller")


def run(folder: Path, epochs: int) -> dict[str, list[dict]]:
    folder.mkdir(exist_ok=True)
    program = folder / "program.py"
    program.write_text(PROGRAM)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", str(program)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run([*command, str(folder), str(epochs)], check=True, env=environment, timeout=240)
    return {name: [torch.load(folder / f"{name}-{r}.pt", weights_only=True) for r in (0, 1)] for name in NAMES}


def flat(state, path=""):
    if isinstance(state, dict):
        return {k: v for key, value in state.items() for k, v in flat(value, f"{path}/{key}").items()}
    if isinstance(state, list):
        return flat(dict(enumerate(state)), path)
    return {path: state.tolist() if isinstance(state, torch.Tensor) else state}


@pytest.mark.slow
def test_ranks_end_at_the_same_bits_and_go_on_from_a_checkpoint(tmp_path):
    straight = run(tmp_path / "straight", 2)
    for one, other in straight.values():
        assert flat(one) == flat(other)
    run(tmp_path / "halves", 1)
    resumed = run(tmp_path / "halves", 2)
    for name, states in resumed.items():
        assert flat(straight[name][0]) == flat(states[0]) == flat(states[1])


def test_one_process_is_left_alone():
    batch = torch.randn(3, 1, 2, 2), torch.arange(3)
    assert (1, 0) == (world(), rank())
    assert batch is part(batch)
    assert 0.3 == mean_number(0.3)
    assert alike(3)
    assert (True, False) == (decided(True), decided(False))
    tensor = torch.ones(2)
    average([tensor, None])
    assert [1.0, 1.0] == tensor.tolist()
