"""The examples of judging: they run, and say what they did."""

from __future__ import annotations

import runpy
from pathlib import Path

import function
import joint_search
import pytest

from morphogen.spaces import space


def test_own_training_code_judges_a_search(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(Path(function.__file__)), run_name="__main__")
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("best of 8: error 0.")


def test_architecture_and_training_are_searched_together(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(Path(joint_search.__file__)), run_name="__main__")
    lines = capsys.readouterr().out.splitlines()
    assert "234 architectures x 30 ways to train them = 7020" == lines[0]
    assert "train/lr=" in lines[1]
    assert joint_search.space is space("joint_search:space")
