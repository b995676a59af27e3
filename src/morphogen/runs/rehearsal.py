"""What the end of a run will take, found out while it searches: a network is exported and proven in a process of its own.

`python -m morphogen.runs.rehearsal RUN` prints the seconds as JSON.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, final

import numpy as np

from morphogen.methods.black_box import RESERVE
from morphogen.runs.assembly import Parts, assemble
from morphogen.runs.folder import read_config

__all__ = ["Rehearsal", "rehearse"]

JUDGED = 256
"""Images on which a network is timed."""
NICE = 10
"""Its priority: beside workers that are busy it gets a tenth of a core, so that a short search is not the shorter for it."""
START = 1.5
"""Seconds until a process that opens the test split has started and ended."""
PAGE = 1.0
"""Seconds of the page and of the way back to the prompt."""


@final
@dataclass
class Rehearsal:
    """A rehearsal that is under way. `seconds()` is what it found, or the usual reserve while it has found nothing.

    Args:
        folder: Of the run: `run.toml` says what networks it builds.
    """

    folder: Path
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False, repr=False)
    _found: float | None = field(default=None, init=False)

    def start(self) -> None:
        """Begin; once."""
        if self._process is None:
            self._clear()
            self._scratch.mkdir()
            command = [sys.executable, "-m", "morphogen.runs.rehearsal", str(self.folder)]
            pipes: dict[str, Any] = {
                "stdin": subprocess.DEVNULL,
                "stdout": subprocess.PIPE,
                "stderr": subprocess.DEVNULL,
            }
            # what it writes is where the run can take it away, and what it starts is in a group that ends with it
            pipes |= {"env": {**os.environ, "TMPDIR": str(self._scratch.resolve())}, "process_group": 0}
            self._process = subprocess.Popen(command, **pipes)  # noqa: S603 - this module and the run's own folder

    def seconds(self) -> float:
        """Of the test split, the proof of the export and the report."""
        if self._found is None and self._process is not None and self._process.poll() is not None:
            out, _ = self._process.communicate()
            self._found = RESERVE
            with contextlib.suppress(ValueError, KeyError, TypeError):
                self._found = float(json.loads(out)["seconds"])
        return RESERVE if self._found is None else self._found

    def close(self) -> None:
        """End it where it still runs, and leave nothing of it. Idempotent."""
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.communicate()
        self._clear()

    @property
    def _scratch(self) -> Path:
        return self.folder / ".rehearsal"

    def _clear(self) -> None:
        shutil.rmtree(self._scratch, ignore_errors=True)


def rehearse(parts: Parts, seed: int, workers: int) -> dict[str, float]:
    """Export a network that is drawn at random, with new weights, and time what the conclusion does with the winner.

    What counts is CPU time, as others run beside it now and nothing does at the end.

    Args:
        parts: Of the run.
        seed: Of the draw.
        workers: Of the run.
    """
    from morphogen.export import export
    from morphogen.nn.network import network
    from morphogen.training.fit import evaluate

    assert parts.data is not None
    assert parts.skeletons is not None
    data = parts.data
    built = network(parts.space.fix(parts.space.sample(np.random.default_rng((seed, 0)))), parts.skeletons["final"])
    started = _cpu_seconds()
    with tempfile.TemporaryDirectory() as folder:
        export(built, Path(folder) / "best", image=data.image)
    exported = _cpu_seconds() - started
    some = data.valid.first(JUDGED, data.split_seed)
    started = _cpu_seconds()
    evaluate(built, data, some, parts.device)
    each = (_cpu_seconds() - started) * len(data.test) / len(some)
    arms = 2 if parts.plan.control else 1
    rounds = -(-(arms + len(parts.plan.baseline_names)) // max(workers, 1))
    tested = rounds * (START + each)
    return {"seconds": exported + tested + PAGE, "export": exported, "test": tested}


def _cpu_seconds() -> float:
    """Of this process and of those that it has waited for."""
    return sum(os.times()[:4])


def main(folder: str) -> None:
    """The program."""
    os.nice(NICE)
    config = read_config(Path(folder))
    print(json.dumps(rehearse(assemble(config), config.seed, config.workers)))


if __name__ == "__main__":
    sys.path.insert(0, str(Path.cwd()))  # for package.module:name of one's own
    main(sys.argv[1])
