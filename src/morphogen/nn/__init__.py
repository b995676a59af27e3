"""The building blocks of every network: mixing modules, elastic layers, operations by published name."""

from morphogen.nn.mixed import Mixed as Mixed
from morphogen.nn.mixed import MixedDepth as MixedDepth
from morphogen.nn.mixed import MixedInput as MixedInput
from morphogen.nn.mixed import MixedOp as MixedOp
from morphogen.nn.mixture import Mixing as Mixing
from morphogen.nn.mixture import Mixture as Mixture
from morphogen.nn.mixture import bind as bind
from morphogen.nn.mixture import picks_to_mixture as picks_to_mixture
from morphogen.nn.network import network as network
