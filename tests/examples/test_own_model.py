import own_model
import pytest
import torch

from morphogen.nn.complexity import complexity
from morphogen.nn.inherit import inherit
from morphogen.nn.mixture import bind, picks_to_mixture
from morphogen.nn.network import network
from morphogen.spaces import space


def test_it_shows_what_one_definition_is_good_for(capsys):
    own_model.show()
    lines = capsys.readouterr().out.splitlines()
    assert "234 architectures share 18394 parameters" == lines[0]
    assert lines[1].startswith("one of them: kernel=")
    difference = float(lines[-1].rsplit(" ", 1)[1])
    assert difference < 1e-5


def test_its_space_has_a_name_for_the_command_line():
    assert own_model.space is space("own_model:space")


@pytest.mark.parametrize("training", [True, False])
def test_every_architecture_alone_equals_its_subgraph(training):
    torch.manual_seed(0)
    supernet = network(own_model.space).double()
    x = torch.randn(4, 1, 8, 8, dtype=torch.float64)
    for architecture in list(own_model.space.enumerate())[training::3]:
        standalone = network(own_model.space.fix(architecture)).double().train(training)
        supernet.train(training)
        assert set(standalone.state_dict()) <= set(supernet.state_dict())
        inherit(supernet, standalone, architecture)
        with bind(supernet, picks_to_mixture(architecture)), torch.no_grad():
            torch.testing.assert_close(standalone(x), supernet(x), rtol=0, atol=1e-12, msg=architecture.text)


def test_it_is_built_and_counted_without_memory():
    architecture = own_model.space.architecture({"kernel": "3", "width": "8", "depth": "1", "block0": "max_pool_3x3"})
    with torch.device("meta"):
        standalone = network(own_model.space.fix(architecture))
    counted = complexity(standalone, (1, 8, 8))
    assert 8 * 9 + 16 + 16 + 8 * 10 + 10 == counted.params
    assert 8 * 9 * 64 + 80 == counted.macs
