import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from morphogen.export.tracing import trace
from morphogen.nn.elastic import ElasticBatchNorm2d, ElasticConv2d, ElasticLinear
from morphogen.nn.mixed import MixedDepth, MixedInput, MixedOp
from morphogen.nn.mixture import Mixing
from morphogen.protocols import MorphogenError
from morphogen.space import Choice

IMAGE = (3, 8, 8)


class Computes(nn.Module):
    """A module whose forward is a function of it and its input."""

    def __init__(self, function: Callable[..., object], **parts: nn.Module) -> None:
        super().__init__()
        self.function = function
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, x: Tensor, **others: object) -> object:
        return self.function(self, x, **others)


def one(name: str, option: str) -> Choice:
    return Choice(name, (option,))


# --- what is traced ---------------------------------------------------------------------------------------------------


def test_a_branch_on_shapes_is_decided(rebuild: Callable) -> None:
    class Residual(nn.Module):
        def __init__(self, c_in: int, c_out: int) -> None:
            super().__init__()
            self.conv = nn.Conv2d(c_in, c_out, 3, padding=1)

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.conv(x)
            if y.shape == x.shape and x.dim() == 4 and x.dtype == torch.float32:
                y = y + x
            return y

    text = rebuild(nn.Sequential(Residual(3, 3), Residual(3, 4), nn.Flatten())).text
    assert "return self.conv(x) + x" in text
    assert "return self.conv(x)\n" in text
    assert "if " not in text.split('"""')[2]


def test_shapes_stay_free_of_the_batch_size(rebuild: Callable) -> None:
    def flat(m: nn.Module, x: Tensor) -> Tensor:
        batch, channels, height, _ = x.shape
        assert height == 8
        halves = x.chunk(2, dim=3)
        y = sum(h * math.sqrt(channels) for h in halves)
        return y.view(batch, -1) + x.new_ones(len(x.shape), 1)[:1].T  # type: ignore[union-attr]

    assert ".view(shape[0], -1)" in rebuild(Computes(flat)).text.replace("x.shape", "shape").replace("y,", "shape[0],")


def test_a_sum_does_not_begin_with_zero(rebuild: Callable) -> None:
    network = Computes(
        lambda m, x: sum(conv(x) for conv in m.convs), convs=nn.ModuleList(nn.Conv2d(3, 2, 1) for _ in range(3))
    )
    assert "return self.convs[0](x) + self.convs[1](x) + self.convs[2](x)" in rebuild(network).text


def test_dropout_follows_the_mode_of_the_model(rebuild: Callable) -> None:
    network = Computes(
        lambda m, x: F.dropout(m.drop(m.norm(x)), 0.3, m.training).flatten(1),
        norm=nn.BatchNorm2d(3),
        drop=nn.Dropout(0.2),
    )
    written = rebuild(network)
    assert "F.dropout(x, p=0.3, training=self.training)" in written.text
    model = written.model.train()
    x = torch.randn(4, *IMAGE)
    assert not torch.equal(model(x), model(x))
    assert 2 == model.norm.num_batches_tracked


def test_a_module_that_does_nothing_in_evaluation_is_left_out(rebuild: Callable) -> None:
    def drop_path(m: nn.Module, x: Tensor) -> Tensor:
        return x * torch.rand(len(x), 1, 1, 1) if m.training else x

    text = rebuild(nn.Sequential(nn.Conv2d(3, 3, 1), Computes(drop_path), nn.Flatten())).text
    assert "super().__init__(nn.Conv2d(3, 3, 1), nn.Flatten())" in text


def test_what_evaluation_does_not_use_is_left_out(rebuild: Callable) -> None:
    def forward(m: nn.Module, x: Tensor) -> object:
        m.unused(x)
        y = m.head(x.flatten(1))
        return (y, m.auxiliary(x)) if m.training else y

    parts = {"head": nn.Linear(192, 4), "auxiliary": nn.Linear(8, 8), "unused": nn.Conv2d(3, 3, 1)}
    written = rebuild(Computes(forward, **parts))
    assert ["head.weight", "head.bias"] == list(written.state)


def test_structured_arguments_and_results_become_plain_ones(rebuild: Callable) -> None:
    def inner(m: nn.Module, states: dict[str, list[Tensor | None]]) -> dict[str, object]:
        kept, _, last = states["all"]
        assert kept is not None
        assert last is not None
        return {"sum": (kept + last, None), "same": kept, "twice": kept * 2}

    def outer(m: nn.Module, x: Tensor) -> Tensor:
        found = m.inner({"all": [x, None, x * 3]})
        return (found["sum"][0] * found["same"] - found["twice"]).flatten(1)

    text = rebuild(Computes(outer, inner=Computes(inner))).text
    assert "def forward(self, x0, x1):" in text
    assert "return x0 + x1, x0 * 2" in text


def test_changes_in_place_happen_when_they_did(rebuild: Callable) -> None:
    def forward(m: nn.Module, x: Tensor) -> Tensor:
        y = m.conv(x)
        same = y
        before = y + 1
        y += x.mean()
        m.act(y)
        after = m.conv2(same) * before
        same.mul_(2)
        return (after + same).flatten(1)

    parts = {"conv": nn.Conv2d(3, 3, 1), "act": nn.ReLU(inplace=True), "conv2": nn.Conv2d(3, 3, 1)}
    rebuild(Computes(forward, **parts))


def test_a_module_that_only_changes_its_input_in_place_is_kept(rebuild: Callable) -> None:
    def clamp(m: nn.Module, x: Tensor) -> Tensor:
        x.clamp_(min=0)
        return x

    assert "x.clamp_(min=0)" in rebuild(nn.Sequential(nn.Conv2d(3, 3, 1), Computes(clamp), nn.Flatten())).text


def test_parameters_buffers_and_constants_of_a_module(rebuild: Callable) -> None:
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scales = nn.ParameterList([nn.Parameter(torch.randn(3, 1, 1)) for _ in range(2)])
            self.frozen = nn.Parameter(torch.randn(()), requires_grad=False)
            self.register_buffer("shift", torch.randn(3, 1, 1), persistent=False)
            self.register_buffer("count", torch.tensor(7))
            self.mean = torch.tensor([0.1, 0.2, 0.3]).view(3, 1, 1)

        def forward(self, x: Tensor) -> Tensor:
            for scale in self.scales:
                x = x * scale.abs()
            x = (x - self.mean + self.shift) * self.frozen * self.count / torch.tensor(2.5)
            return x.flatten(1)

    written = rebuild(Own())
    assert {"scales_0", "scales_1", "frozen", "shift", "count", "mean", "constant"} == set(written.state)
    assert {"scales_0", "scales_1"} == {name for name, p in written.model.named_parameters() if p.requires_grad}


def test_shared_parameters_stay_shared(rebuild: Callable) -> None:
    linear = nn.Linear(192, 192)
    written = rebuild(nn.Sequential(nn.Flatten(), linear, nn.ReLU(), linear))
    assert written.model[1].weight is written.model[3].weight
    assert 192 * 193 == sum(p.numel() for p in written.model.parameters())


def test_a_module_called_twice_is_one_attribute(rebuild: Callable) -> None:
    block = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.ReLU())
    text = rebuild(Computes(lambda m, x: m.block(m.block(x)).flatten(1), block=block)).text
    assert 1 == text.count("nn.Conv2d(")
    assert 2 == text.count("self.block(x)")


def test_a_part_of_a_sequence_can_be_called(rebuild: Callable) -> None:
    layers = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.Conv2d(4, 9, 1))
    written = rebuild(Computes(lambda m, x: m.layers[:2](x).flatten(1), layers=layers))
    assert ["layers.0.weight", "layers.0.bias"] == list(written.state)


def test_functions_of_torch_are_written_without_their_defaults(rebuild: Callable) -> None:
    def forward(m: nn.Module, x: Tensor) -> Tensor:
        x = F.interpolate(F.softmax(x, dim=1), scale_factor=2, mode="bilinear")
        x = F.avg_pool2d(F.max_pool2d(F.relu(x), 3, 2, 1), 2)
        return torch.einsum("bchw,bchw->bc", x, torch.where(x > 0.1, x, -x)) + F.gelu(x).amax((2, 3))

    text = rebuild(Computes(forward)).text
    assert 'F.interpolate(F.softmax(x, dim=1), scale_factor=2, mode="bilinear")' in text
    assert "F.max_pool2d(F.relu(x), 3, stride=2, padding=1)" in text


@torch.fx.wrap
def twice(x: Tensor) -> Tensor:
    return x * 2


def test_functions_that_torch_fx_would_not_enter_are_traced(rebuild: Callable) -> None:
    assert "return (x * 2).flatten(1)" in rebuild(Computes(lambda m, x: twice(x).flatten(1))).text


def test_one_layer_is_a_network(rebuild: Callable) -> None:
    assert ["0.weight", "0.bias"] == list(rebuild(nn.Conv2d(3, 4, 3)).state)


# --- mixing modules ---------------------------------------------------------------------------------------------------


def test_the_only_option_takes_the_place_of_a_mixing_module(rebuild: Callable) -> None:
    class Cell(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = MixedOp(one("a", "conv_3x3"), lambda _: nn.Conv2d(3, 3, 3, padding=1))
            inputs = Choice("b", ("0", "2"), pick=2)
            self.b = MixedInput(inputs, lambda j: MixedOp(one(f"b/{j}", "0.5"), lambda _: nn.Conv2d(3, 3, 1)))
            self.c = MixedDepth(one("c", "2"), lambda _: nn.Conv2d(3, 3, 1))
            self.d = MixedDepth(one("d", "0"), lambda _: nn.Conv2d(3, 3, 1))
            self.e = MixedInput(one("e", "1"), lambda _: nn.Identity())

        def forward(self, x: Tensor, mixture: object = None) -> Tensor:
            states = [x, self.a(x, mixture)]
            states.append(self.c(states[1], mixture))
            states.append(self.b(states, mixture))
            states.append(self.e((x, self.d(states[3], mixture)), mixture))
            return torch.cat(states[2:], dim=1).flatten(1)

    text = rebuild(Cell()).text
    assert "self.a = nn.Conv2d(3, 3, 3, padding=1)" in text
    assert "self.b = nn.ModuleList([nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)])" in text
    assert "self.b[0](x) + self.b[1](" in text
    assert "self.c = nn.ModuleList([nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)])" in text
    assert "self.d" not in text
    assert "ixed" not in text


def test_a_subset_of_nothing_is_zero(rebuild: Callable) -> None:
    nothing = Choice("skips", (), pick=0)
    skips = MixedInput(nothing, lambda _: nn.Identity())
    network = Computes(lambda m, x: (m.conv(x) + m.skips([x])).flatten(1), conv=nn.Conv2d(3, 3, 1), skips=skips)
    assert "x.new_zeros(())" in rebuild(network).text


def test_elastic_layers_become_layers_of_torch(rebuild: Callable) -> None:
    width, kernel = one("width", "6"), one("kernel", "5")

    class Elastic(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = ElasticConv2d(3, width, kernel, stride=2)
            self.norm = ElasticBatchNorm2d(width, momentum=0.01)
            self.depthwise = ElasticConv2d(width, width, 3, groups=width, bias=False)
            self.fc = ElasticLinear(width, 4)

        def forward(self, x: Tensor, mixture: object = None) -> Tensor:
            x = self.norm(self.conv(x, mixture=mixture), mixture).relu()
            y: Tensor = self.fc(self.depthwise(x=x).mean((2, 3)))
            return y

    network = Elastic()
    network(torch.randn(8, *IMAGE))  # so that the running statistics are not the initial ones
    text = rebuild(network).text
    before = torch.get_rng_state()
    trace(network.eval(), IMAGE)
    assert torch.equal(before, torch.get_rng_state())
    for line in (
        "self.conv = nn.Conv2d(3, 6, 5, stride=2, padding=2)",
        "self.norm = nn.BatchNorm2d(6, momentum=0.01)",
        "self.depthwise = nn.Conv2d(6, 6, 3, padding=1, groups=6, bias=False)",
        "self.fc = nn.Linear(6, 4)",
    ):
        assert line in text


def test_a_mixing_module_of_somebody_else(rebuild: Callable) -> None:
    class Scale(Mixing):
        def __init__(self, choice: Choice) -> None:
            super().__init__(choice)
            self.gain = nn.Parameter(torch.randn(1))

        def forward(self, x: Tensor, mixture: object = None) -> Tensor:
            (picked,) = self.weights(self.choices[0], None)
            return x * self.gain * float(picked)

    text = rebuild(nn.Sequential(nn.Conv2d(3, 3, 1), Scale(one("scale", "0.5")), nn.Flatten())).text
    assert "* 0.5" in text


def test_an_open_choice_is_named() -> None:
    network = nn.Sequential(MixedOp(Choice("op", ("a", "b")), lambda _: nn.Identity()), nn.Flatten())
    with pytest.raises(MorphogenError, match="choice 'op' is open"):
        trace(network.eval(), IMAGE)


# --- what is refused --------------------------------------------------------------------------------------------------


def assigns(m: nn.Module, x: Tensor) -> Tensor:
    x = x.clone()
    x[:, 0] = 0
    return x


def hooked() -> nn.Module:
    module = nn.Conv2d(3, 3, 1)
    module.register_forward_hook(lambda m, args, y: y * 2)
    return module


def listed() -> nn.Module:
    module = Computes(lambda m, x: m.parts[0](x))
    module.parts = [nn.Conv2d(3, 3, 1)]  # type: ignore[assignment]
    return module


ELSEWHERE = nn.Parameter(torch.ones(1))
REFUSED = {
    "branches on a value that only the data gives": lambda: Computes(lambda m, x: x if x.sum() > 0 else -x),
    "needs as a number a value that only the data gives": lambda: Computes(lambda m, x: x * float(x.max())),
    "a value that depends on the batch size": lambda: Computes(lambda m, x: x * int(x.shape[0])),
    "loops over a tensor whose length is not fixed": lambda: Computes(lambda m, x: torch.stack([row * 2 for row in x])),
    "it assigns to items of a tensor": lambda: Computes(assigns),
    "torch.nn.LSTM is not among the layers": lambda: nn.LSTM(8, 8),
    "it has forward hooks": hooked,
    "it calls a Conv2d that is not registered": listed,
    "it is parametrized": lambda: nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 3, 1)),
    "it uses a parameter that is not registered in it": lambda: Computes(lambda m, x: x * ELSEWHERE),
    r"it calls .numpy_like\(\)": lambda: Computes(lambda m, x: x.numpy_like()),
    "KeyError: 'missing'": lambda: Computes(lambda m, x: {}["missing"]),
    "which is no constant of a source file": lambda: Computes(lambda m, x: (x * 2j).real),
}


@pytest.mark.parametrize("message", REFUSED)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_what_cannot_be_written_is_refused_in_one_line_that_names_the_module(message: str) -> None:
    network = nn.Sequential(nn.Conv2d(3, 3, 1), nn.Sequential(nn.ReLU(), REFUSED[message]()), nn.Flatten())
    with pytest.raises(MorphogenError, match=message) as caught:
        trace(network.eval(), IMAGE)
    said = str(caught.value)
    assert said.startswith("module '1.1' (")
    assert "\n" not in said
    assert "; " in said  # what to do instead


@pytest.mark.parametrize(
    ("result", "kind"),
    [(lambda x: (x, x), "tuple"), (lambda x: None, "NoneType"), (lambda x: torch.zeros(3), "constant")],
)
def test_a_network_gives_one_tensor(result: Callable, kind: str) -> None:
    with pytest.raises(MorphogenError, match=rf"the network \(Computes\) cannot be exported: it gives a {kind}"):
        trace(Computes(lambda m, x: result(x)).eval(), IMAGE)


def test_one_module_that_computes_two_things_is_refused() -> None:
    inner = Computes(lambda m, x, twice=False: x * 2 if twice else x + 1)
    network = Computes(lambda m, x: m.inner(x) + m.inner(x, twice=True), inner=inner)
    with pytest.raises(MorphogenError, match="it calls 'inner' twice, and that computes something else each time"):
        trace(network.eval(), IMAGE)


def test_tracing_leaves_the_network_as_it_was() -> None:
    network = nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), nn.Flatten()).eval()
    before = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    trace(network, IMAGE)
    assert all(torch.equal(before[key], tensor) for key, tensor in network.state_dict().items())
    assert all(type(module.training) is bool and module.training is False for module in network.modules())
    assert "cpu" == next(network.parameters()).device.type
