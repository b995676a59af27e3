"""What a user writes against the protocols type-checks, and what breaks them does not."""

import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
WRONG = """
from collections.abc import Sequence
from morphogen import Choice, Outcome, Proposal, Space, Trial
from morphogen.protocols import Estimator, Strategy

class Forgetful:
    def ask(self, pending: Sequence[Trial]) -> Proposal | None:  # no rng
        return None
    def tell(self, trial: Trial) -> None: ...

class Costless:
    measured = frozenset[str]()
    def __call__(self, proposal: Proposal, context: object) -> Outcome:
        return Outcome()

strategy: Strategy = Forgetful()
estimator: Estimator = Costless()
space = Space((Choice("op", ("conv", "skip")),))
space.choices = ()
reveal: int = space.parse("op=skip").text
"""


def check(*arguments: str, cache: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--cache-dir", str(cache), *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_what_a_user_writes_against_the_protocols_type_checks(tmp_path: Path) -> None:
    files = sorted(str(f) for f in HERE.glob("user_*.py"))
    assert 4 == len(files)
    done = check(*files, cache=tmp_path / "cache")
    assert "" == done.stdout + done.stderr
    assert 0 == done.returncode
    wrong = tmp_path / "wrong.py"
    wrong.write_text(WRONG)
    found = check(str(wrong), cache=tmp_path / "cache").stdout
    codes = [line.rpartition("[")[2].rstrip("]") for line in found.splitlines() if ": error:" in line]
    assert ["assignment", "assignment", "misc", "assignment"] == codes, found
