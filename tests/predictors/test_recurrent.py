import numpy as np
import pytest
import torch

from morphogen.predictors.recurrent import Ensemble, LstmNetwork, MlpNetwork, Tokens
from morphogen.space import Architecture, Choice, Space, When

SPACE = Space(
    (
        Choice("blocks", ("1", "2"), ordered=True),
        *(
            Choice(f"{b}/{side}/{what}", options, when=None if b == 1 else When("blocks", ("2",)))
            for b in (1, 2)
            for side in "ab"
            for what, options in (("input", tuple("01" if b == 1 else "012")), ("op", ("conv", "pool", "skip")))
        ),
    )
)


def cell(*blocks: tuple[str, str, str, str]) -> Architecture:
    picks = {"blocks": str(len(blocks))}
    for b, block in enumerate(blocks, 1):
        picks |= dict(zip((f"{b}/a/input", f"{b}/a/op", f"{b}/b/input", f"{b}/b/op"), block, strict=True))
    return SPACE.architecture(picks)


ONE, OTHER = ("0", "conv", "1", "pool"), ("1", "skip", "1", "conv")


@pytest.mark.parametrize("network", [MlpNetwork, LstmNetwork])
def test_the_first_prediction_is_the_sigmoid_of_the_bias(network: type[MlpNetwork] | type[LstmNetwork]) -> None:
    model = network(Tokens(SPACE), torch.Generator().manual_seed(0))
    with torch.no_grad():
        model.last.weight.zero_()
    prediction = model(*model.read([cell(ONE), cell(ONE, OTHER)])).tolist()
    assert [pytest.approx(0.858149, abs=1e-6)] * 2 == prediction


def test_the_perceptron_does_not_see_the_order_of_blocks_and_the_lstm_does() -> None:
    pair = [cell(ONE, OTHER), cell(OTHER, ONE)]
    mlp, lstm = (n(Tokens(SPACE), torch.Generator().manual_seed(0)) for n in (MlpNetwork, LstmNetwork))
    same, different = mlp(*mlp.read(pair)).tolist(), lstm(*lstm.read(pair)).tolist()
    assert same[0] == pytest.approx(same[1], abs=1e-7)
    assert abs(different[0] - different[1]) > 1e-6


def test_the_perceptron_is_embedding_concatenation_average_and_layers() -> None:
    tokens = Tokens(SPACE)
    model = MlpNetwork(tokens, torch.Generator().manual_seed(1))
    tables = dict(zip(tokens.tables, model.tables, strict=True))

    def embed(table: str, option: str) -> torch.Tensor:
        row: torch.Tensor = tables[table][tokens.tables[table].index(option)]
        return row

    blocks = [
        torch.cat([embed("input", b[0]), embed("op", b[1]), embed("input", b[2]), embed("op", b[3])])
        for b in (ONE, OTHER)
    ]
    x = torch.cat([embed("blocks", "2"), torch.stack(blocks).mean(0)])
    expected = torch.sigmoid(model.last(torch.relu(model.second(torch.relu(model.first(x))))))
    assert expected.item() == pytest.approx(model(*model.read([cell(ONE, OTHER)])).item(), abs=1e-6)


def test_the_lstm_reads_only_what_exists() -> None:
    # the same architecture where the choices of the second block stand before those of the first
    moved = Space((SPACE.choices[0], *SPACE.choices[5:], *SPACE.choices[1:5]))
    one = LstmNetwork(Tokens(SPACE), torch.Generator().manual_seed(0))
    two = LstmNetwork(Tokens(moved), torch.Generator().manual_seed(0))
    for name, rows in two.tokens.tables.items():  # the tables list options in another order
        i, j = list(one.tokens.tables).index(name), list(two.tokens.tables).index(name)
        with torch.no_grad():
            two.tables[j].copy_(torch.stack([one.tables[i][one.tokens.tables[name].index(o)] for o in rows]))
    two.lstm.load_state_dict(one.lstm.state_dict())
    two.last.load_state_dict(one.last.state_dict())
    a = cell(ONE)
    assert one(*one.read([a])).item() == pytest.approx(two(*two.read([moved.architecture(a.json)])).item(), abs=1e-7)


def test_members_see_four_fifths_each_and_together_leave_everything_out_once() -> None:
    folds = Ensemble(SPACE).folds(100, np.random.default_rng(0))
    assert [len(f) for f in folds] == [80] * 5
    left_out = np.concatenate([np.setdiff1d(np.arange(100), f) for f in folds])
    assert list(range(100)) == sorted(left_out.tolist())
    assert [len(f) for f in Ensemble(SPACE).folds(3, np.random.default_rng(0))] == [3] * 5


@pytest.mark.parametrize("network", [MlpNetwork, LstmNetwork])
def test_an_ensemble_ranks_cells_that_it_has_not_seen(network: type[MlpNetwork] | type[LstmNetwork]) -> None:
    rng = np.random.default_rng(0)
    value = {"conv": 0.2, "pool": 0.1, "skip": 0.0, "0": 0.0, "1": 0.03, "2": 0.01}

    def score(a: Architecture) -> float:
        return sum(value[p[0]] for name, p in a.picks.items() if name != "blocks")

    some = [SPACE.sample(rng) for _ in range(150)]
    known, unknown = some[:100], some[100:]
    targets = np.array([score(a) for a in known])
    predicted = Ensemble(SPACE, network, members=2, steps=60).fit(known, targets, rng, first=True)(unknown)
    ranks = [np.argsort(np.argsort(x)) for x in (predicted, [score(a) for a in unknown])]
    assert np.corrcoef(ranks[0], ranks[1])[0, 1] > 0.8


def test_a_fit_is_a_function_of_its_data_and_its_randomness() -> None:
    some = [SPACE.sample(np.random.default_rng(i)) for i in range(20)]
    targets = np.linspace(0.3, 0.9, 20)
    ensemble = Ensemble(SPACE, members=2, steps=5)
    fits = [ensemble.fit(some, targets, np.random.default_rng(s), first=False)(some).tolist() for s in (0, 0, 1)]
    assert fits[0] == fits[1] != fits[2]


def test_of_many_architectures_a_step_sees_some() -> None:
    some = [SPACE.sample(np.random.default_rng(i)) for i in range(60)]
    targets = np.linspace(0.3, 0.9, 60)
    seen: list[int] = []

    def network(tokens: Tokens, generator: torch.Generator) -> MlpNetwork:
        made = MlpNetwork(tokens, generator)
        made.register_forward_pre_hook(lambda module, inputs: seen.append(len(inputs[0])))
        return made

    Ensemble(SPACE, network, members=2, steps=3, batch=16).fit(some, targets, np.random.default_rng(0), first=False)
    assert [16] * 6 == seen
    seen.clear()
    Ensemble(SPACE, network, members=2, steps=3, batch=30).fit(some, targets, np.random.default_rng(0), first=False)
    assert [30] * 6 == seen


def test_an_ensemble_of_nobody_is_refused() -> None:
    with pytest.raises(ValueError, match="members=0, steps=200, batch=768: all must be at least 1"):
        Ensemble(SPACE, members=0)


def test_subsets_are_averaged_and_empty_ones_are_nothing() -> None:
    space = Space((Choice("skips", ("0", "1", "2"), pick=(0, 3)),))
    tokens = Tokens(space)
    pair = [space.architecture({"skips": ["0", "2"]}), space.architecture({"skips": []})]
    assert tokens.means(pair).tolist() == [[0.5, 0.0, 0.5], [0.0, 0.0, 0.0]]
