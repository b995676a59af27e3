import base64
import hashlib
import re
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from morphogen.objective import judge
from morphogen.protocols import MorphogenError
from morphogen.report import page
from morphogen.report.page import render, write_report
from morphogen.report.record import Row
from morphogen.space import Choice, Space
from morphogen.trial import Outcome, Proposal, Trial
from report.invented import ACCURACY, cells, record, trials

HOSTILE = "</script><img src=x onerror=alert(1)>{{ 7 * 7 }}\u2028&"


class Reader(HTMLParser):
    """Collects elements, scripts and text as a browser would see them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        while self.open and self.open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            self.scripts.append(data)
        elif "style" not in self.open:
            self.text += data


@pytest.fixture(autouse=True)
def small_plotly(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for the 5 MB of plotly.js, which the parser of the tests would read at length."""
    if "real_plotly" not in request.fixturenames:
        monkeypatch.setattr("plotly.offline.get_plotlyjs", lambda: "window.Plotly = {};")


@pytest.fixture
def real_plotly() -> None:
    """Asks for the true one."""


def test_the_page_has_all_its_sections() -> None:
    text = Reader(render(record())).text
    for expected in (
        "digits, regularized evolution",
        "98.89 %",
        record().verdict.sentence,
        "Side by side",
        "random arm's winner",
        "Best so far, by trials",
        "Best so far, by seconds",
        "Accuracy against parameters",
        "Accuracy against MACs",
        "Learning curves",
        "The architecture found",
        "Cell normal",
        "55 trials that worked.",
        "5 of 60 trials failed.",
        "ValueError: the loss is NaN at step 120 <of 400>",
        "morphogen search --space cells",
        "the objective latency_ms is measured: repetition is not exact",
    ):
        assert expected in text


def test_nothing_is_fetched_and_every_script_is_known_to_the_policy() -> None:
    read = Reader(render(record()))
    assert [] == [
        (t, a) for t, a in read.elements for n in ("src", "href", "srcset", "action", "data") if n in a and t != "svg"
    ]
    assert not [t for t, _ in read.elements if t in {"link", "iframe", "object", "embed", "base", "img"}]
    policy = next(
        a["content"] for t, a in read.elements if t == "meta" and a.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy is not None
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    _, *runs = read.scripts
    hashes = {base64.b64encode(hashlib.sha256(s.encode()).digest()).decode() for s in runs}
    assert hashes == set(re.findall(r"'sha256-([^']+)'", policy))
    assert not [a for _, attrs in read.elements for a in attrs if a.startswith("on")]


def test_names_are_harmless() -> None:
    made = record()
    hostile = [
        replace(t, phase=HOSTILE, outcome=replace(t.outcome, error=HOSTILE) if t.failed and t.outcome else t.outcome)
        for t in made.phases["search"]
    ]
    text = render(
        replace(
            made,
            name=HOSTILE,
            phases={HOSTILE: hostile, "random": made.phases["random"]},
            search=(HOSTILE,),
            rows=(Row(HOSTILE, (0.9,), note=HOSTILE),),
            settings={HOSTILE: HOSTILE},
            command=HOSTILE,
            versions={HOSTILE: HOSTILE},
            warnings=(HOSTILE,),
            started=HOSTILE,
        )
    )
    read = Reader(text)
    assert 3 == len(read.scripts)
    assert "img" not in [t for t, _ in read.elements]
    assert "<img" not in read.scripts[0]
    assert "\u2028" not in read.scripts[0]
    assert 10 < read.text.count(HOSTILE)


def test_settings_are_named_as_in_the_file_a_line_each() -> None:
    nested = {
        "control": False,
        "limits": {},
        "start": [],
        "final": {"seeds": 2, "training": {"lr": 0.1}},
        "objectives": ["loss"],
    }
    lines = dict(page._settings(nested))
    assert {"control": "false", "final.seeds": "2", "final.training.lr": "0.1", "objectives": "loss"} == lines
    read = Reader(render(replace(record(), settings=nested)))
    assert "final.training.lr" in read.text
    assert "{" not in read.text


def test_a_long_run_shows_its_best_trials_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "MOST_ROWS", 10)
    read = Reader(render(record()))
    assert "55 trials that worked, of which the best 10 are shown." in read.text
    best = record().best
    assert best is not None
    assert 10 == sum(t == "td" and a.get("class") == "code" for t, a in read.elements)


def test_a_space_without_cells_is_shown_as_decisions() -> None:
    space = Space((Choice("stage1/width", ("16", "32")), Choice("stage1/kernel", ("3", "5"))), name="stages")
    made = judge(
        Trial(0, "search", Proposal(space.sample(np.random.default_rng(0)))), Outcome({"accuracy": 0.9}), [ACCURACY]
    )
    text = Reader(render(replace(record(), space=space, phases={"search": [made]}, rows=()))).text
    assert "stage1" in text
    assert "as searched, not retrained" in text
    assert "Cell" not in text


@pytest.mark.parametrize("phases", [{"search": []}, {"search": [], "random": []}])
def test_an_empty_run_has_a_page_without_charts(phases: dict[str, list[Trial]]) -> None:
    text = render(record(phases=phases, rows=(), retrained_search=(), retrained_random=()))
    assert "No trial of the search worked" in text
    assert "Plotly" not in Reader(text).text
    assert "there is no random arm to compare with" in Reader(text).text


def test_a_supernet_without_an_architecture_and_an_infinite_metric_are_shown() -> None:
    odd = judge(Trial(0, "search", Proposal(None)), Outcome({"accuracy": 0.5, "params": float("inf")}), [ACCURACY])
    assert "50.00 %" in render(record(phases={"search": [odd]}))


def test_the_page_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_report(record(), tmp_path / "new" / "report.html")
    before = path.read_bytes()
    assert before.startswith(b"<!doctype html>")
    assert b"\r" not in before

    def fail(self: Path, target: Path) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="no space left"):
        write_report(record(name="other"), path)
    assert before == path.read_bytes()
    assert [path] == list(path.parent.iterdir())


def test_the_same_record_gives_the_same_page() -> None:
    assert render(record()) == render(record())


@pytest.mark.parametrize("package", ["jinja2", "plotly.offline"])
def test_a_missing_package_names_the_extra(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MorphogenError, match=r"pip install 'morphogen\[report\]'"):
        render(record())


def test_plotly_is_embedded_once_and_closes_no_script(real_plotly: None) -> None:
    text = render(record(phases=trials(cells(), 3, 3)))
    assert 1 == text.count("plotly.js v")
    assert 3 == text.lower().count("</script")
    assert len(text) < 6_000_000
