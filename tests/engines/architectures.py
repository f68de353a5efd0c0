"""Networks of every architecture and every kind of output, with weights and rows that make them differ."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from epic22.core.models.networks.architecture import build_network
from epic22.core.models.networks.members import average_members
from epic22.core.models.networks.specification import (
    ConvolutionLayers,
    Layers,
    LstmLayers,
    MlpLayers,
    NetworkColumns,
    NetworkSpec,
    Output,
    TransformerLayers,
)
from epic22.core.task import Array

SMALL: dict[str, Any] = {"n_bins": 6, "embedding": 4, "width": 8, "members": 3, "depth": 2}
ROW_COLUMNS = NetworkColumns((0, 2), (1,), (3,))
# Seven steps, so that patches of three have steps of zeros before the first.
SEQUENCE_COLUMNS = NetworkColumns((0, 2), (1,), (3,), tuple((3 + 2 * step, 4 + 2 * step) for step in range(7)))
LAYERS: dict[str, Layers] = {
    "mlp": MlpLayers(**SMALL),
    "lstm": LstmLayers(**SMALL),
    "gru": LstmLayers(**SMALL, cell="gru"),
    "transformer": TransformerLayers(**SMALL, patch=3),
    "convolution": ConvolutionLayers(**SMALL),
}
N_OUTPUTS: dict[Output, int] = {"log_odds": 1, "class_scores": 3, "value": 1, "log_mean": 1, "quantiles": 10}
SPECS = {
    f"{name} {output}": NetworkSpec(
        ROW_COLUMNS if isinstance(layers, MlpLayers) else SEQUENCE_COLUMNS,
        layers,
        n_outputs,
        output,
        n_quantiles=5 if output == "quantiles" else 1,
    )
    for name, layers in LAYERS.items()
    for output, n_outputs in N_OUTPUTS.items()
} | {
    "no number beside": NetworkSpec(NetworkColumns((), (0,), (2,)), MlpLayers(**SMALL), 1, "log_odds"),
    "intervals of a hazard": NetworkSpec(ROW_COLUMNS, MlpLayers(**SMALL), 3, "log_odds"),
    "steps alone": NetworkSpec(NetworkColumns((), (), (), ((0,), (1,), (2,))), LstmLayers(**SMALL, skip=False), 1, "value"),
}


@dataclass(frozen=True)
class TorchNetwork:
    """A network of PyTorch as arrays: its weights by name, rows X (n, p), and its scores (n, o) of them."""

    weights: dict[str, Array]
    X: Array
    scores: Array


def draw_network(spec: NetworkSpec, seed: int = 0) -> TorchNetwork:
    """A network whose weights all differ from what they begin as, on rows with missing values and levels never seen."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(50, spec.columns.n_columns)).astype(np.float32)
    for position, n_levels in zip(spec.columns.categories, spec.columns.n_levels, strict=True):
        X[:, position] = rng.integers(0, n_levels + 2, len(X))
    X[rng.random(X.shape) < 0.1] = np.nan
    torch.manual_seed(seed)
    network = build_network(spec).eval()
    network.fit_inputs(X)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.3 * torch.randn_like(parameter)
    weights = {name: value.numpy() for name, value in network.state_dict().items()}
    return TorchNetwork(weights, X, score_by_torch(spec, weights, X))


def score_by_torch(spec: NetworkSpec, weights: dict[str, Array], X: Array) -> Array:
    """Scores (n, o) of X by PyTorch with these weights; every weight must be given, and none besides."""
    network = build_network(spec).eval()
    network.load_state_dict({name: torch.from_numpy(array.copy()) for name, array in weights.items()}, strict=True)
    with torch.no_grad():
        return np.asarray(average_members(network(torch.from_numpy(X)), spec).numpy())
