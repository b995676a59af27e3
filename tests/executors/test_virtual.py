"""Trials in simulated time."""

import pytest

from morphogen.executors import Virtual
from morphogen.executors.virtual import Span
from morphogen.protocols import Context
from morphogen.testing.executor import Calls
from morphogen.trial import Outcome, Proposal


def takes(proposal, context):
    return Outcome(seconds=proposal.fidelity["seconds"])


def submit(executor, *seconds):
    return [executor.submit(Calls(takes), Proposal(None, {"seconds": s}), Context(0)) for s in seconds]


def test_the_clock_moves_to_the_earliest_finish_of_those_waited_for():
    executor = Virtual(3)
    long, short, middle = submit(executor, 5.0, 1.0, 3.0)
    assert {short} == executor.wait([long, short, middle])
    assert 1.0 == executor.now
    assert {long} == executor.wait([long])
    assert 5.0 == executor.now
    assert middle.done()
    assert {middle} == executor.wait([middle])


def test_trials_queue_for_the_worker_that_is_free_first():
    executor = Virtual(2)
    futures = submit(executor, 4.0, 1.0, 2.0, 10.0)
    assert [Span(0, 4), Span(0, 1), Span(1, 3), Span(3, 13)] == [executor.spans[f] for f in futures]


def test_a_trial_starts_no_earlier_than_it_is_submitted():
    executor = Virtual(2)
    first = submit(executor, 4.0)
    executor.wait(first)
    second = submit(executor, 2.0)
    assert Span(4, 6) == executor.spans[second[0]]
    assert 0.5 == executor.utilization
    executor.wait(second)
    assert 0.5 == executor.utilization


def test_those_that_finish_at_the_same_moment_come_together():
    executor = Virtual(3)
    futures = submit(executor, 2.0, 2.0, 3.0)
    assert set(futures[:2]) == executor.wait(futures)


def test_a_timeout_is_in_simulated_seconds():
    executor = Virtual(1)
    futures = submit(executor, 5.0)
    assert set() == executor.wait(futures, timeout=2.0)
    assert 2.0 == executor.now
    assert set(futures) == executor.wait(futures, timeout=3.0)
    assert 5.0 == executor.now


def test_busy_time_counts_until_now():
    executor = Virtual(2)
    assert 1.0 == executor.utilization
    futures = submit(executor, 10.0, 2.0)
    executor.wait(futures)
    assert 1.0 == executor.utilization
    executor.wait(futures[:1])
    assert 12.0 / 20.0 == executor.utilization


def test_many_workers_and_trials_are_simulated_in_order():
    executor = Virtual(1000)
    running = set(submit(executor, *[1.0 + n % 7 for n in range(1000)]))
    told = []
    while running:
        done = executor.wait(running)
        running -= done
        told += [executor.spans[f].finish for f in done]
        if len(executor.spans) < 4000:
            running |= set(submit(executor, *[1.0 + len(executor.spans) % 7] * len(done)))
    assert sorted(told) == told
    assert len(executor.spans) == len(told)


def test_a_worker_is_needed():
    with pytest.raises(ValueError, match="workers=0: at least one"):
        Virtual(0)
