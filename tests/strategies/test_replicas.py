import pytest

from morphogen.strategies.replicas import Replicas


def test_a_replica_whose_children_are_all_pending_is_no_obstacle() -> None:
    replicas: Replicas[int] = Replicas(2, 3)
    pending: list[tuple[int, int]] = []
    for _ in range(14):
        pending.append(replicas.place(pending))
    assert pending == [(0, 0)] * 3 + [(1, 0)] * 3 + [(0, 1)] * 3 + [(1, 1)] * 3 + [(0, 2)] * 2
    collected = [replicas.collect(key, n) for n, key in enumerate(pending)]
    assert [n for n, c in enumerate(collected) if c is not None] == [2, 5, 8, 11]
    assert (2, set()) == (replicas.first, replicas.finished)
    assert replicas.collect(None, 14) == [12, 13, 14], "a child without a place takes the next free one"


def test_no_replicas_are_refused() -> None:
    with pytest.raises(ValueError, match="replicas=0, children=8: both must be at least 1"):
        Replicas(0, 8)
