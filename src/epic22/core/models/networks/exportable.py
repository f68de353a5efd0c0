"""A trained network as what other programs compute it from: its specification, its graph, and what its answers are parts of."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol, runtime_checkable

from epic22.core.models.base import BaseEstimator
from epic22.core.models.networks.specification import (
    AutoencoderLayers,
    ConvolutionLayers,
    Layers,
    LstmLayers,
    MlpLayers,
    NetworkColumns,
    NetworkSpec,
    TransformerLayers,
)
from epic22.core.models.target_transform import CenteredRegressor, unwrap_target_transform

LAYERS: Mapping[str, type[Layers]] = {
    "autoencoder": AutoencoderLayers,
    "mlp": MlpLayers,
    "lstm": LstmLayers,
    "transformer": TransformerLayers,
    "convolution": ConvolutionLayers,
}
"""By the name that a stored specification has for them."""


@dataclass(frozen=True)
class ScoringNetwork:
    """A network that scores rows X (n, p): `graph` is ONNX, its output (n, o), or the column of it that decides, times `slope`
    plus `intercept` is the score."""

    spec: NetworkSpec
    graph: bytes
    slope: float = 1.0
    intercept: float = 0.0


@runtime_checkable
class NetworkBacked(Protocol):
    """An estimator whose score is that of a network alone."""

    @property
    def network(self) -> ScoringNetwork:
        """The network."""


def find_network(estimator: BaseEstimator) -> ScoringNetwork | None:
    """The network that an estimator scores by, where it is one network and nothing else."""
    model = unwrap_target_transform(estimator)
    if not isinstance(model, NetworkBacked):
        return None
    network = model.network
    if not isinstance(estimator, CenteredRegressor):
        return network
    slope, intercept = network.slope * estimator.scale, network.intercept * estimator.scale + estimator.center
    return replace(network, slope=slope, intercept=intercept)


def spec_to_json(spec: NetworkSpec) -> dict[str, Any]:
    """A specification as JSON has it; its layers are named."""
    names = {layers: name for name, layers in LAYERS.items()}
    state = asdict(spec) | {"layers": {"kind": names[type(spec.layers)], **asdict(spec.layers)}}
    return {name: value for name, value in state.items() if name != "deciding" or value is not None}


def restore_spec(state: Mapping[str, Any]) -> NetworkSpec:
    """The specification that its JSON was written from. Raises KeyError, TypeError for what is none."""
    columns = {name: _to_tuples(value) for name, value in state["columns"].items()}
    layers = {name: value for name, value in state["layers"].items() if name != "kind"}
    parts = {"columns": NetworkColumns(**columns), "layers": LAYERS[state["layers"]["kind"]](**layers)}
    return NetworkSpec(**{**state, **parts})


def _to_tuples(value: Any) -> Any:
    return tuple(_to_tuples(one) for one in value) if isinstance(value, list | tuple) else value
