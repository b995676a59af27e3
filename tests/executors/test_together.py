"""Several processes of one torchrun, and the estimators that they run together."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from morphogen.executors import Inline
from morphogen.executors.together import Together, first, launched, restarted
from morphogen.protocols import Context
from morphogen.trial import Outcome, Proposal

ESTIMATORS = """
from dataclasses import dataclass

import torch
import torch.distributed as dist

from morphogen.trial import Outcome


def all_of(value):
    tensor = torch.tensor(float(value))
    dist.all_reduce(tensor)
    return float(tensor)


@dataclass(frozen=True)
class Everyone:
    together: bool = True

    def __call__(self, proposal, context):
        return Outcome({"ranks": all_of(1.0), "seeds": all_of(context.seed)})


@dataclass(frozen=True)
class Unlucky:
    together: bool = True

    def __call__(self, proposal, context):
        if dist.get_rank() == 1:
            raise MemoryError("rank 1 has no more")
        return Outcome({"ranks": all_of(1.0)})


@dataclass(frozen=True)
class Alone:
    def __call__(self, proposal, context):
        return Outcome({"initialized": float(dist.is_initialized())})
"""

PROGRAM = """
import json, sys

from everyone import Alone, Everyone, Unlucky
from morphogen.executors import Inline
from morphogen.executors.together import Together, first, serve
from morphogen.protocols import Context
from morphogen.trial import Proposal

if first():
    executor, found = Together(Inline), []
    for estimator in (Everyone(), Alone(), Unlucky(), Everyone()):
        future = executor.submit(estimator, Proposal(None), Context(seed=3))
        assert {future} == executor.wait([future])
        found.append({"metrics": dict(future.result().metrics), "error": future.result().error})
    executor.close()
    executor.close()
    print(json.dumps(found))
else:
    serve()
"""


@dataclass(frozen=True)
class Plain:
    """No estimator of all processes."""

    together: bool = False
    measured: frozenset[str] = frozenset()

    def __call__(self, proposal: Proposal, context: Context) -> Outcome:
        return Outcome({"seed": float(context.seed)})

    def cost(self, proposal: Proposal) -> float:
        return 1.0


@pytest.mark.slow
def test_an_error_of_any_process_is_the_result_of_the_trial_and_the_next_one_works(tmp_path: Path) -> None:
    (tmp_path / "everyone.py").write_text(ESTIMATORS)
    (tmp_path / "program.py").write_text(PROGRAM)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "program.py"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert 0 == done.returncode, done.stderr
    together, alone, unlucky, again = json.loads(done.stdout)
    assert {"metrics": {"ranks": 2.0, "seeds": 6.0}, "error": None} == together == again
    assert {"initialized": 0.0} == alone["metrics"]
    assert "rank 1 has no more" in unlucky["error"].splitlines()[0]


def environment(monkeypatch: pytest.MonkeyPatch, **values: str) -> None:
    for name in (
        "TORCHELASTIC_RUN_ID",
        "TORCHELASTIC_RESTART_COUNT",
        "RANK",
        "WORLD_SIZE",
        "MASTER_ADDR",
        "MASTER_PORT",
    ):
        monkeypatch.delenv(name, raising=False)
    for name, value in values.items():
        monkeypatch.setenv(name, value)


def test_only_torchrun_with_several_processes_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    environment(monkeypatch)
    assert (False, True, False) == (launched(), first(), restarted())
    environment(monkeypatch, WORLD_SIZE="8", RANK="1")  # of a cluster that starts ordinary programs
    assert not launched()
    environment(monkeypatch, TORCHELASTIC_RUN_ID="none", WORLD_SIZE="1", RANK="0")
    assert not launched()
    environment(monkeypatch, TORCHELASTIC_RUN_ID="none", WORLD_SIZE="2", RANK="1", TORCHELASTIC_RESTART_COUNT="1")
    assert (True, False, True) == (launched(), first(), restarted())


def test_what_wants_no_company_is_left_to_the_other_executor(monkeypatch: pytest.MonkeyPatch) -> None:
    environment(monkeypatch, RANK="0", WORLD_SIZE="1", MASTER_ADDR="127.0.0.1", MASTER_PORT="0")
    executor = Together(Inline)
    future = executor.submit(Plain(), Proposal(None), Context(seed=3))
    assert {future} == executor.wait([future])
    assert {"seed": 3.0} == future.result().metrics
    assert 1 == executor.workers
    executor.close()
    with pytest.raises(RuntimeError, match="closed"):
        executor.submit(Plain(), Proposal(None), Context(seed=3))
