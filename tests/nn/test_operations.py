import json
import math
import os
from pathlib import Path

import pytest
import torch
from torch import nn

from morphogen.nn.mixed import MixedOp
from morphogen.nn.operations import OPERATIONS, FactorizedReduce, ReLUConvBN, operation
from morphogen.space import Choice

FILE = (
    Path(os.environ.get("MORPHOGEN_CHECKS", Path(__file__).parents[3] / "shared" / "checks")) / "darts_op_vectors.json"
)
VECTORS = json.loads(FILE.read_text())["ops"] if FILE.exists() else {}
with_vectors = pytest.mark.skipif(
    not VECTORS, reason=f"no file {FILE}: MORPHOGEN_CHECKS names the folder of the reference's numbers"
)
NAMES = [
    *("none", "max_pool_3x3", "avg_pool_3x3", "skip_connect", "sep_conv_3x3", "sep_conv_5x5"),
    *("sep_conv_7x7", "dil_conv_3x3", "dil_conv_5x5", "conv_7x1_1x7"),
]
PUBLISHED = [f"{name}_stride{stride}" for name in NAMES for stride in (1, 2)]
X = torch.arange(2 * 4 * 6 * 6, dtype=torch.float64).mul(0.3).cos().view(2, 4, 6, 6)


def filled(module: nn.Module) -> nn.Module:
    """The weights of the reference's run: a formula, over the parameters in order."""
    module = module.double()
    with torch.no_grad():
        for k, p in enumerate(module.parameters()):
            p.copy_((torch.arange(p.numel(), dtype=torch.float64) * 0.7 + 1.3 * (k + 1)).sin().mul(0.5).view_as(p))
    return module


def check(expected: dict, y: torch.Tensor) -> None:
    assert expected["shape"] == list(y.shape)
    # sums of a batch norm's output are zeros up to rounding
    assert math.isclose(expected["sum"], y.sum().item(), rel_tol=1e-9, abs_tol=1e-11)
    assert math.isclose(expected["sumsq"], y.square().sum().item(), rel_tol=1e-9)
    torch.testing.assert_close(y.flatten()[:8].tolist(), expected["first8"], rtol=1e-9, atol=1e-12)
    if "last4" in expected:
        torch.testing.assert_close(y.flatten()[-4:].tolist(), expected["last4"], rtol=1e-9, atol=1e-12)


@with_vectors
@pytest.mark.parametrize("case", PUBLISHED)
def test_an_operation_computes_what_the_released_code_does(case):
    expected = VECTORS[case]
    name, stride = case.rsplit("_stride", 1)
    op = filled(operation(name, 4, int(stride), affine=False, pool_norm=True))
    check(expected, op(X))
    assert expected["param_shapes"] == [list(p.shape) for p in op.parameters()]
    affine = operation(name, 4, int(stride), affine=True, pool_norm=True)
    assert expected["n_params_affine"] == sum(p.numel() for p in affine.parameters())
    if "without_bn_sum" in expected:
        bare = operation(name, 4, int(stride))
        torch.testing.assert_close(bare(X).flatten()[:8].tolist(), expected["without_bn_first8"], rtol=1e-9, atol=1e-12)
        assert math.isclose(expected["without_bn_sum"], bare(X).sum().item(), rel_tol=1e-9)


@with_vectors
def test_the_modules_around_the_nodes_compute_what_the_released_code_does():
    check(VECTORS["FactorizedReduce_4_6"], filled(FactorizedReduce(4, 6, affine=False))(X))
    check(VECTORS["ReLUConvBN_4_6_1x1"], filled(ReLUConvBN(4, 6, affine=False))(X))


@with_vectors
def test_a_mixed_operation_computes_what_the_released_code_does():
    names = [name for name in NAMES if name not in ("sep_conv_7x7", "conv_7x1_1x7")]
    op = MixedOp(Choice("op", tuple(names)), lambda name: operation(name, 4, 2, affine=False, pool_norm=True))
    weights = torch.arange(len(names), dtype=torch.float64).mul(0.1).softmax(0)
    y = filled(op)(X, {"op": dict(zip(names, weights, strict=True))})
    check(VECTORS["MixedOp_C4_stride2_alpha_0.1k"], y)


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("size", [1, 2, 5, 7, 8])
def test_stride_two_halves_any_size_rounded_up(name, size):
    x = torch.randn(3, 4, size, size + 1)
    assert x.shape == operation(name, 4, 1)(x).shape
    assert (3, 4, (size + 1) // 2, (size + 2) // 2) == operation(name, 4, 2)(x).shape


def test_a_factorized_reduction_of_an_odd_size_is_that_of_the_size_padded_with_zeros():
    reduce = FactorizedReduce(4, 6, affine=False)
    x = torch.randn(2, 4, 5, 7)
    assert torch.equal(reduce(nn.functional.pad(x, (0, 1, 0, 1))), reduce(x))


def test_an_unknown_operation_is_an_error_that_names_the_known_ones():
    with pytest.raises(ValueError, match="there is no operation 'sep_conv'; there are none, max_pool_3x3"):
        operation("sep_conv", 4, 1)
