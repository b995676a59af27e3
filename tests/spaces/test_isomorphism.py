from itertools import combinations, permutations, product

import numpy as np

from morphogen.spaces.isomorphism import canonical_graph


def renamed(labels, sources, order):
    place = {vertex: i for i, vertex in enumerate(order)}
    return [labels[v] for v in order], [[place[s] for s in sources[v]] for v in order]


def test_renaming_vertices_does_not_change_the_form():
    rng = np.random.default_rng(0)
    for count in (1, 4, 9, 20):
        labels = [int(n) for n in rng.integers(0, 2, count)]
        sources = [[s for s in range(v) if rng.random() < 0.3] for v in range(count)]
        forms = {canonical_graph(*renamed(labels, sources, rng.permutation(count).tolist())) for _ in range(10)}
        assert {canonical_graph(labels, sources)} == forms


def test_there_are_as_many_forms_as_isomorphism_classes():
    count = 4
    pairs = list(combinations(range(count), 2))
    graphs = []
    for bits in product((0, 1), repeat=len(pairs)):
        sources = [[] for _ in range(count)]
        for (a, b), bit in zip(pairs, bits, strict=True):
            if bit:
                sources[b].append(a)
        graphs += [(list(labels), sources) for labels in product("ab", repeat=count)]

    def brute(labels, sources):
        renames = (renamed(labels, sources, order) for order in permutations(range(count)))
        return min((tuple(a), tuple(tuple(sorted(some)) for some in b)) for a, b in renames)

    by_form = {(canonical_graph(*graph), brute(*graph)) for graph in graphs}
    assert len(by_form) == len({form for form, _ in by_form}) == len({least for _, least in by_form})


def test_what_only_trying_tells_apart_is_told_apart():
    # color refinement sees no difference between one ring of six and two of three
    ring = [[(v - 1) % 6] for v in range(6)]
    two = [[2], [0], [1], [5], [3], [4]]
    assert canonical_graph("x" * 6, ring) != canonical_graph("x" * 6, two)
    assert canonical_graph("x" * 6, ring) == canonical_graph(*renamed("x" * 6, ring, [3, 1, 0, 5, 4, 2]))


def test_many_equal_vertices_take_no_time_to_try():
    chains = [[] if v < 10 else [v - 10] for v in range(20)]
    assert 20 == len(canonical_graph([0] * 20, chains))
    assert canonical_graph([0] * 20, [[]] * 20) == ((0, ()),) * 20
