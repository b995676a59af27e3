"""What a person is told while trials run."""

import io
from types import SimpleNamespace

from rich.console import Console

from morphogen.runs.progress import Progress, clock


def test_a_duration_is_said_in_two_units():
    assert ["45 s", "3 min 20 s", "2 h 05 min"] == [clock(seconds) for seconds in (45, 200, 7500)]


def test_a_long_trial_is_heard_of_before_it_ends():
    said = io.StringIO()
    progress = Progress(Console(file=said, width=200), SimpleNamespace(), every=0.0)
    progress.hear(7, 3, {"accuracy": 0.51234, "train_loss": 1.5})
    assert "trial 7, epoch 3: accuracy 0.5123, train_loss 1.5" in said.getvalue()


def test_it_is_not_heard_of_more_often_than_wanted():
    said = io.StringIO()
    progress = Progress(Console(file=said, width=200), SimpleNamespace(), every=1000.0)
    for epoch in range(5):
        progress.hear(7, epoch, {"accuracy": 0.5})
    assert said.getvalue().count("epoch") <= 1


def test_names_are_shown_as_they_are():
    said = io.StringIO()
    Progress(Console(file=said, width=200), SimpleNamespace(), every=0.0).hear(1, 1, {"[red]x": 1.0})
    assert "[red]x 1" in said.getvalue()
