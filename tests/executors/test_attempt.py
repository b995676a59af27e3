"""The one place where whatever goes wrong in an estimator becomes a failed trial."""

import math

import numpy as np
import pytest

from morphogen.executors.attempt import MAX_ERROR, attempt
from morphogen.executors.curves import MAX_POINTS
from morphogen.protocols import Context
from morphogen.trial import Outcome, Proposal


def tried(function, **context) -> Outcome:
    return attempt(function, Proposal(None), Context(0, **context))


def failing(error: BaseException):
    def fail(proposal, context):
        raise error

    return fail


def test_an_error_is_one_line_and_then_the_end_of_the_traceback():
    first, *rest = tried(failing(ValueError("bad\nin two lines"))).error.splitlines()
    assert "ValueError: bad" == first
    assert "Traceback (most recent call last):" == rest[0]
    assert ["ValueError: bad", "in two lines"] == rest[-2:]


def test_an_error_is_bounded():
    error = tried(failing(ValueError("start " + "x" * 10_000 + " end"))).error
    assert len(error) <= MAX_ERROR
    assert error.startswith("ValueError: start")
    deep = ValueError("start")
    deep.add_note("n" * 10_000 + " the end")
    error = tried(failing(deep)).error
    assert len(error) <= MAX_ERROR
    assert error.startswith("ValueError: start\n...\n")
    assert error.endswith("the end")


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory: you tried 9 bytes"
        ),
        RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        OSError(12, "Cannot allocate memory"),
    ],
)
def test_want_of_memory_is_said_first(error):
    assert tried(failing(error)).error.startswith("out of memory: ")


@pytest.mark.parametrize("error", [SyntaxError("odd"), KeyError("a"), AssertionError(), RecursionError("deep")])
def test_the_first_line_names_the_error(error):
    assert tried(failing(error)).error.startswith(type(error).__name__)


def test_an_error_that_cannot_be_printed_is_an_error():
    class Unspeakable(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no words")

    assert tried(failing(Unspeakable())).error.startswith("Unspeakable: <exception str() failed>")


@pytest.mark.parametrize("end", [KeyboardInterrupt(), SystemExit(0)])
def test_being_told_to_end_is_no_failure_of_the_trial(end):
    with pytest.raises(type(end)):
        tried(failing(end))


def test_a_nan_metric_is_named_and_dropped():
    outcome = tried(lambda p, c: Outcome({"loss": math.nan, "params": 3, "accuracy": math.inf}))
    assert {"params": 3.0, "accuracy": math.inf} == outcome.metrics
    assert outcome.error.startswith("metric loss is NaN")


def test_an_error_of_the_estimator_is_kept_even_where_a_metric_is_nan():
    assert "diverged" == tried(lambda p, c: Outcome({"loss": math.nan}, error="diverged")).error


def test_numbers_of_other_libraries_become_floats():
    metrics = tried(lambda p, c: Outcome({"a": np.float32(0.5), "b": np.int64(3), "c": True})).metrics
    assert {"a": 0.5, "b": 3.0, "c": 1.0} == metrics
    assert {float} == {type(value) for value in metrics.values()}


@pytest.mark.parametrize(
    ("outcome", "message"),
    [
        (None, "TypeError: the estimator gave NoneType, expected an Outcome"),
        (Outcome({"a": "good"}), "ValueError: could not convert"),
        (Outcome({"a": None}), "TypeError"),
        (Outcome(found={"op": "skip"}), "TypeError: the estimator found dict, expected an Architecture"),
        (Outcome(seconds=math.nan), "ValueError: the estimator gave nan seconds"),
        (Outcome(seconds=-1), "ValueError: the estimator gave -1.0 seconds"),
        (Outcome(curves={"a": 3}), "TypeError"),
        (Outcome({str(n): 0.0 for n in range(101)}), "ValueError: the estimator gave 101 metrics"),
    ],
)
def test_a_malformed_outcome_is_a_failed_trial(outcome, message):
    assert tried(lambda p, c: outcome).error.startswith(message)


def test_seconds_are_measured_unless_the_estimator_says():
    assert 0 < tried(lambda p, c: Outcome()).seconds < 60
    assert 0 < tried(failing(ValueError())).seconds < 60
    assert 1e6 == tried(lambda p, c: Outcome(seconds=1e6)).seconds


def test_curves_are_what_was_logged_unless_the_estimator_gives_its_own():
    heard = []

    def logs(proposal, context):
        context.log(1, {"loss": 0.5})
        return Outcome()

    def gives(proposal, context):
        logs(proposal, context)
        return Outcome(curves={"mine": [(0, 1), (1, 2)]})

    assert {"loss": [(1.0, 0.5)]} == tried(logs, log=lambda *said: heard.append(said)).curves
    assert {"mine": [(0.0, 1.0), (1.0, 2.0)]} == tried(gives).curves
    assert [(1.0, {"loss": 0.5})] == heard
    assert MAX_POINTS >= len(tried(lambda p, c: Outcome(curves={"a": [(i, i) for i in range(9999)]})).curves["a"]) > 500
