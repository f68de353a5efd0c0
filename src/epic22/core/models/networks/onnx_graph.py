"""A network as ONNX graphs: one that scores rows, one that says what each column adds to a row's score.

A graph is exported once a specification, with the weights as its inputs; weights are then put in as constants. So every model of
one shape has the same graph, and what answers in training is what answers when it is served.
"""

import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn
from torch.func import functional_call
from torch.fx.experimental.proxy_tensor import make_fx

from epic22.core.models.networks import graph_memory
from epic22.core.models.networks.architecture import build_network
from epic22.core.models.networks.integrated_gradients import OUTPUTS, POINTS, POINTS_PER_RUN, REFERENCE
from epic22.core.models.networks.members import average_members
from epic22.core.models.networks.recurrent_gradient import TRANSLATIONS
from epic22.core.models.networks.specification import MlpLayers, NetworkSpec
from epic22.core.task import Array

Weights = Mapping[str, Array]
"""A network's parameters and buffers by name, and `reference` (p, e): the columns' vectors of an average row."""


class ScoreModule(nn.Module):
    """Scores (n, o) of X (n, p), by weights that are arguments."""

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        # In a list, so that its weights are no parameters of this module.
        self.network = [build_network(spec).eval()]
        self.spec = spec

    def forward(self, x: Tensor, weights: dict[str, Tensor]) -> Tensor:
        """Scores before the link."""
        raw = functional_call(self.network[0], weights, (x,))
        return average_members(raw, self.spec)


class ReasonModule(ScoreModule):
    """Gradients on the way from the average row to one row, (s, p + 1), as `integrated_gradients` sums them.

    The way goes through the columns' vectors, so that categories and missing values are on it as numbers are.
    """

    def forward(self, x: Tensor, weights: dict[str, Tensor]) -> Tensor:
        """Parts of the columns in the order of X, then the score of the average row."""
        network, inner = self.network[0], {name: weights[name] for name in weights if name not in (REFERENCE, POINTS, OUTPUTS)}

        def embed(rows: Tensor) -> Tensor:
            return functional_call(network, inner, (rows, "vectors"))

        def score(pieces: tuple[Tensor, ...]) -> Tensor:
            return average_members(functional_call(network, inner, (pieces, "outputs")), self.spec) @ weights[OUTPUTS]

        reference = weights[REFERENCE][None]
        way = embed(x) - reference
        # (s, p, e), in pieces: the gradient of taking them apart would put each into an array of zeros again
        pieces = network.split_vectors(reference + weights[POINTS][:, None, None] * way)
        points = tuple(piece.requires_grad_() if piece.numel() else piece for piece in pieces)
        with torch.enable_grad():
            gradients = torch.autograd.grad(score(points).sum(), [piece for piece in points if piece.numel()])
        ways = [piece for piece in network.split_vectors(way) if piece.numel()]
        columns = torch.cat([(gradient * piece).sum(2) for gradient, piece in zip(gradients, ways, strict=True)], dim=1)
        average = score(network.split_vectors(reference))
        return torch.cat([columns[:, list(self.spec.columns.places)], average[:, None].expand(POINTS_PER_RUN, 1)], dim=1)


def simplify_spec(spec: NetworkSpec) -> NetworkSpec:
    """The specification as a graph knows it: without what only a training has, and how many levels a category has is in the
    weights."""
    columns = replace(spec.columns, n_levels=(1,) * len(spec.columns.n_levels))
    layers = replace(spec.layers, dropout=0.0)
    if not isinstance(layers, MlpLayers):
        layers = replace(layers, augmentation=0.0)
    return replace(spec, columns=columns, layers=layers, deciding=None)


def export_score_graph(spec: NetworkSpec) -> bytes:
    """The graph of scores, (n, o) of x (n, p), weights being inputs."""
    return graph_memory.GRAPHS.find("score", spec, _export_scores)


def export_reason_graph(spec: NetworkSpec) -> bytes:
    """The graph of a row's gradients, (s, p + 1) of x (1, p), points (s,) and outputs (o,), weights being inputs."""
    return graph_memory.GRAPHS.find("reasons", spec, _export_reasons)


def _export_scores(spec: NetworkSpec) -> bytes:
    weights = _read_weights(spec)
    names = sorted(weights)
    with _quiet_export():
        program = torch.onnx.export(
            _FlatArguments(ScoreModule(spec), tuple(names)),
            (torch.zeros(2, spec.columns.n_columns), *(weights[name] for name in names)),
            dynamo=True,
            verbose=False,
            input_names=["x", *names],
            output_names=["score"],
            dynamic_shapes={"x": {0: torch.export.Dim("n", min=1)}, "weights": tuple({} for _ in names)},
        )
    return _serialise(program)


def _export_reasons(spec: NetworkSpec) -> bytes:
    weights = _read_weights(spec) | {
        REFERENCE: torch.zeros(spec.columns.n_columns, spec.layers.embedding),
        POINTS: torch.zeros(POINTS_PER_RUN),
        OUTPUTS: torch.zeros(spec.n_outputs),
    }
    names = sorted(weights)
    arguments = (torch.zeros(1, spec.columns.n_columns), *(weights[name] for name in names))
    with _quiet_export():
        trace = make_fx(_FlatArguments(ReasonModule(spec), tuple(names)), tracing_mode="fake", _allow_non_fake_inputs=True)
        program = torch.onnx.export(
            trace(*arguments),
            arguments,
            dynamo=True,
            verbose=False,
            # What opens the graph simplifies it, in a hundredth of the time.
            optimize=False,
            custom_translation_table=dict(TRANSLATIONS),
            input_names=["x", *names],
            output_names=["parts"],
        )
    return _serialise(program)


def _read_weights(spec: NetworkSpec) -> dict[str, Tensor]:
    """An untrained network's weights by name, for their shapes."""
    return {name: value.detach() for name, value in build_network(spec).state_dict().items()}


class _FlatArguments(nn.Module):
    """A module whose weights are arguments one by one, in the order of their names."""

    def __init__(self, module: nn.Module, names: tuple[str, ...]) -> None:
        super().__init__()
        self.module, self.names = module, names

    def forward(self, x: Tensor, *weights: Tensor) -> Tensor:
        return self.module(x, dict(zip(self.names, weights, strict=True)))


def _serialise(program: "torch.onnx.ONNXProgram") -> bytes:
    """The graph without what the exporter says of itself, and whose counters go on from export to export: equal bytes."""
    model = program.model_proto
    for name in ("metadata_props", "producer_name", "producer_version", "doc_string"):
        model.ClearField(name)
    for name in ("metadata_props", "value_info", "doc_string"):
        model.graph.ClearField(name)
    for part in (*model.graph.node, *model.graph.input, *model.graph.output):
        for name in ("metadata_props", "doc_string"):
            part.ClearField(name)
    _rename_by_order(model.graph)
    return bytes(model.SerializeToString(deterministic=True))


def _rename_by_order(graph: onnx.GraphProto) -> None:
    """Name constants and intermediate values by the order in which nodes use and make them; inputs and outputs keep theirs."""
    names = {value.name: value.name for value in (*graph.input, *graph.output)}
    for number, node in enumerate(graph.node):
        node.name = f"node{number}"
        for values in (node.input, node.output):
            values[:] = [name and names.setdefault(name, f"value{len(names)}") for name in values]
    constants = [constant for constant in graph.initializer if constant.name in names]
    for constant in constants:
        constant.name = names[constant.name]
    constants.sort(key=lambda constant: constant.name)
    graph.ClearField("initializer")
    graph.initializer.extend(constants)


def bind_weights(graph: bytes, weights: Weights) -> bytes:
    """The graph with these weights as constants; what it does not use is left out."""
    model = onnx.load_model_from_string(graph)
    inputs = {value.name: value for value in model.graph.input}
    for name in sorted(set(weights) & set(inputs)):
        model.graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(weights[name]), name))
        model.graph.input.remove(inputs[name])
    return bytes(model.SerializeToString(deterministic=True))


@contextmanager
def _quiet_export() -> Iterator[None]:
    """Keep the exporter's notes on operators of libraries that are not here from the user."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
