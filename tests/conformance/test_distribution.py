"""Every distribution that morphogen exports keeps the laws; a new one has to be named here or the first test fails."""

from dataclasses import replace

import own_model
import torch

from morphogen import oneshot
from morphogen.oneshot import Controller, Dirichlet, Gumbel, Sandwich, Softmax, Uniform
from morphogen.oneshot.second_order import SecondOrder, second_order_exact
from morphogen.spaces.enas_macro import SKELETONS as LAYERS
from morphogen.spaces.enas_macro import enas_macro
from morphogen.testing.distribution import DistributionSuite


class TestUniform(DistributionSuite):
    def make(self, space, *, generator, device):
        return Uniform(space, candidates=3)


class TestFairUniform(DistributionSuite):
    def make(self, space, *, generator, device):
        return Uniform(space, candidates=3, fair=True)


class TestSandwich(DistributionSuite):
    space = own_model.space

    def make(self, space, *, generator, device):
        return Sandwich(space, candidates=3)


class TestSoftmax(DistributionSuite):
    def make(self, space, *, generator, device):
        return Softmax(space, generator=generator, device=device)


class TestSoftmaxOfAnOwnModel(TestSoftmax):
    space = own_model.space


class TestSoftmaxWithEdges(DistributionSuite):
    def make(self, space, *, generator, device):
        return Softmax(space, edges=True, generator=generator, device=device)


class TestSecondOrder(DistributionSuite):
    def make(self, space, *, generator, device):
        return Softmax(space, gradient=SecondOrder(), generator=generator, device=device)


class TestSecondOrderExact(DistributionSuite):
    def make(self, space, *, generator, device):
        return Softmax(space, gradient=second_order_exact, generator=generator, device=device)


class TestGumbel(DistributionSuite):
    def make(self, space, *, generator, device):
        return Gumbel(space, generator=generator, device=device)


class TestGumbelOfAnOwnModel(TestGumbel):
    space = own_model.space


class TestController(DistributionSuite):
    def make(self, space, *, generator, device):
        return Controller(space, steps=2, aggregate=2, candidates=3, generator=generator, device=device)


class TestControllerOfAnOwnModel(TestController):
    space = own_model.space


class TestDirichlet(DistributionSuite):
    def make(self, space, *, generator, device):
        return Dirichlet(space, generator=generator, device=device)


class TestDirichletOfAnOwnModel(TestDirichlet):
    space = own_model.space


class OfLayers:
    """Any subset of the earlier layers is connected."""

    space = enas_macro(3, ("conv_3x3", "max_pool_3x3"))
    skeleton = replace(LAYERS["search"], image=(1, 8, 8), classes=4, channels=4, cells=3, dropout=0.0)


class TestSoftmaxOfLayers(OfLayers, TestSoftmax): ...


class TestSecondOrderOfLayers(OfLayers, TestSecondOrderExact): ...


class TestGumbelOfLayers(OfLayers, TestGumbel): ...


class TestDirichletOfLayers(OfLayers, TestDirichlet): ...


def test_every_exported_distribution_is_tested_here():
    made = [
        suite().make(suite.space, generator=torch.Generator(), device=torch.device("cpu"))
        for suite in DistributionSuite.__subclasses__()
    ]
    assert set(oneshot.__all__) == {type(distribution).__name__ for distribution in made}
