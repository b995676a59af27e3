"""How many different cells the large spaces have: counted by the architectures that relabeling makes of one another.

The number of classes is the sum, over all architectures, of one over the size of its class; so it is the size of the
space times the mean of one over the size of the class of a random architecture.
"""

from fractions import Fraction
from itertools import permutations, product
from statistics import fmean, stdev

import numpy as np
import pytest

from morphogen.spaces.darts import darts
from morphogen.spaces.nasnet import nasnet
from morphogen.spaces.pnas import pnas

FIRST = 2
"""The number of the first block; 0 and 1 are the cell's inputs."""

PUBLISHED = {"pnas-3": 10_979_688, "pnas-4": 5_194_395_866, "pnas-5": 3_147_356_952_080,
             "nasnet": 12_188_092_317_750_882, "darts": 382_128_166}  # fmt: skip


def cells(name):
    """A space and, of one of its cells: the prefix, the number of blocks, and the number of architectures."""
    if name == "nasnet":
        return nasnet(), "normal", 5, 2_286_906_949_584_691_200
    if name == "darts":
        return darts(), "normal", 4, 1_037_664_180
    blocks = int(name[-1])
    some = pnas().restrict({"blocks": (str(blocks),)})
    return some, "cell", blocks, some.size


def read(architecture, prefix, count):
    """Its blocks: what each reads, as pairs of source and operation, and how it combines them."""
    if f"{prefix}/{FIRST}/inputs" in architecture.picks:  # darts
        return [
            (tuple((int(i), architecture[f"{prefix}/{k}<-{i}"]) for i in architecture[f"{prefix}/{k}/inputs"]), "sum")
            for k in range(FIRST, FIRST + count)
        ]
    return [
        (
            tuple((int(architecture[f"{prefix}/{k}/{s}/input"]), architecture[f"{prefix}/{k}/{s}/op"]) for s in "ab"),
            architecture.get(f"{prefix}/{k}/combine", "add"),
        )
        for k in range(FIRST, FIRST + count)
    ]


def relabeled(blocks, ordered):
    """Every list of blocks that is the same cell, with other numbers and (where sides are ordered) with sides exchanged."""
    found = set()
    for order in permutations(range(len(blocks))):
        number = {FIRST + old: FIRST + new for new, old in enumerate(order)} | {0: 0, 1: 1}
        moved = [([(number[source], op) for source, op in blocks[old][0]], blocks[old][1]) for old in order]
        if any(source >= FIRST + k for k, (pairs, _) in enumerate(moved) for source, _ in pairs):
            continue  # a block would read a later one
        sides = [{tuple(pairs), tuple(pairs[::-1])} if ordered else {tuple(sorted(pairs))} for pairs, _ in moved]
        found.update(
            product(*([(pairs, combine) for pairs in both] for both, (_, combine) in zip(sides, moved, strict=True)))
        )
    return found


def written(architecture, prefix, blocks):
    """The architecture with these blocks in one of its cells."""
    picks = {name: list(p) for name, p in architecture.picks.items() if not name.startswith(f"{prefix}/")}
    for k, (pairs, combine) in enumerate(blocks, FIRST):
        if f"{prefix}/{k}/inputs" in architecture.picks:
            picks[f"{prefix}/{k}/inputs"] = [str(source) for source, _ in pairs]
            picks.update({f"{prefix}/{k}<-{source}": [op] for source, op in pairs})
            continue
        for side, (source, op) in zip("ab", pairs, strict=True):
            picks[f"{prefix}/{k}/{side}/input"], picks[f"{prefix}/{k}/{side}/op"] = [str(source)], [op]
        if f"{prefix}/{k}/combine" in architecture.picks:
            picks[f"{prefix}/{k}/combine"] = [combine]
    return architecture.space.architecture(picks)


def class_of(architecture, prefix, count):
    return relabeled(read(architecture, prefix, count), ordered="/a/" in architecture.text)


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_cell_has_the_identity_of_all_that_relabeling_makes_of_it(name):
    some, prefix, count, _ = cells(name)
    rng = np.random.default_rng(0)
    for _ in range(20):
        architecture = some.sample_uniform(rng)
        alike = sorted(class_of(architecture, prefix, count))
        chosen = [alike[i] for i in rng.choice(len(alike), min(6, len(alike)), replace=False)]
        identities = {some.identity(written(architecture, prefix, blocks)) for blocks in chosen}
        assert {some.identity(architecture)} == identities


@pytest.mark.parametrize("name", PUBLISHED)
def test_classes_are_as_many_as_published(name):
    some, prefix, count, size = cells(name)
    rng = np.random.default_rng(1)
    shares = [1 / len(class_of(some.sample_uniform(rng), prefix, count)) for _ in range(1500)]
    error = size * stdev(shares) / len(shares) ** 0.5
    assert error < 0.05 * PUBLISHED[name]
    assert abs(size * fmean(shares) - PUBLISHED[name]) < 4 * error


@pytest.mark.parametrize(
    ("small", "prefix", "count"),
    [(darts(3, ("skip_connect", "sep_conv_3x3")), "normal", 3), (nasnet(2, ("skip_connect", "conv_1x1")), "normal", 2)],
    ids=["darts", "nasnet"],
)
def test_identities_of_a_small_space_are_as_many_as_its_classes(small, prefix, count):
    other = next(iter(small.enumerate()))
    rest = {name: p for name, p in other.picks.items() if not name.startswith(f"{prefix}/")}
    every = list(small.enumerate(rest))
    classes = sum(Fraction(1, len(class_of(architecture, prefix, count))) for architecture in every)
    assert classes == len({small.identity(architecture) for architecture in every})
