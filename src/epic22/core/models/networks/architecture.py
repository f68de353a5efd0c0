"""The network of a specification."""

from epic22.core.models.networks.mlp import Mlp
from epic22.core.models.networks.sequence_network import SequenceNetwork
from epic22.core.models.networks.specification import MlpLayers, NetworkSpec

Network = Mlp | SequenceNetwork


def build_network(spec: NetworkSpec) -> Network:
    """An untrained network with the weights that torch's random state gives."""
    return Mlp(spec, spec.layers) if isinstance(spec.layers, MlpLayers) else SequenceNetwork(spec, spec.layers)
