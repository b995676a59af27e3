"""Trials in this process, one at a time."""

import pytest

from morphogen.executors import Inline
from morphogen.protocols import Context
from morphogen.testing.executor import Calls
from morphogen.trial import Outcome, Proposal


def test_a_trial_runs_where_it_is_waited_for_the_oldest_first():
    ran = []

    def notes(proposal, context):
        ran.append(context.seed)
        return Outcome({"seed": context.seed})

    executor = Inline()
    futures = [executor.submit(Calls(notes), Proposal(None), Context(seed)) for seed in range(3)]
    assert [] == ran
    assert {futures[0]} == executor.wait(futures)
    assert [0] == ran
    assert {futures[2]} == executor.wait([futures[2]])
    assert {futures[0], futures[2]} == executor.wait(futures)
    assert [0, 2] == ran
    assert not futures[1].done()


def test_an_interrupted_trial_can_be_waited_for_again():
    interrupts = [KeyboardInterrupt()]

    def interrupted(proposal, context):
        if interrupts:
            raise interrupts.pop()
        return Outcome({"accuracy": 1.0})

    executor = Inline()
    future = executor.submit(Calls(interrupted), Proposal(None), Context(0))
    with pytest.raises(KeyboardInterrupt):
        executor.wait([future])
    assert not future.done()
    assert {future} == executor.wait([future])
    assert {"accuracy": 1.0} == future.result().metrics
