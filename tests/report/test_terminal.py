import io
import json
from dataclasses import replace

from rich.console import Console

from morphogen.report.record import Row, RunRecord
from morphogen.report.terminal import show, summary
from report.invented import record


def shown(made: RunRecord, *, terminal: bool = False) -> str:
    file = io.StringIO()
    show(made, Console(file=file, force_terminal=terminal, width=100, color_system="standard" if terminal else None))
    return file.getvalue()


def test_a_pipe_gets_plain_lines_that_are_never_wrapped() -> None:
    text = shown(record())
    assert "\x1b" not in text
    assert "winner               98.89 % ± 0.28      12.4 k   812 k    14.2 s" in text.splitlines()
    assert record().verdict.sentence in text.splitlines()
    assert "note: the objective latency_ms is measured: repetition is not exact" in text.splitlines()


def test_a_terminal_gets_colors_and_the_same_numbers() -> None:
    text = shown(record(), terminal=True)
    assert "\x1b[" in text
    assert "98.89 % ± 0.28" in text


def test_markup_in_names_is_text() -> None:
    made = replace(
        record(), name="[red]run[/red] [/x]", rows=(Row("[link=x]net[/link]", (0.9,)),), warnings=("[bold]w",)
    )
    for terminal in (False, True):
        text = shown(made, terminal=terminal)
        assert "[red]run[/red] [/x]" in text
        assert "[link=x]net[/link]" in text
        assert "[bold]w" in text


def test_the_summary_is_json_and_has_what_the_page_has() -> None:
    body = json.loads(json.dumps(summary(record()), allow_nan=False))
    assert {"trials": 30, "failed": 2} == {k: body["phases"]["search"][k] for k in ("trials", "failed")}
    assert ["winner", "plain network", "logistic regression", "random arm's winner"] == [
        r["name"] for r in body["comparison"]
    ]
    assert record().verdict.sentence == body["verdict"]["sentence"]
    assert record().architecture is not None
    assert body["architecture"] == dict(record().architecture.json)  # type: ignore[union-attr]


def test_a_run_in_which_nothing_worked_says_so() -> None:
    made = record(phases={"search": []}, rows=(Row("winner", (float("nan"),)),))
    assert "no trial of the search worked" in shown(made)
    assert json.loads(json.dumps(summary(made), allow_nan=False))["best"] is None
