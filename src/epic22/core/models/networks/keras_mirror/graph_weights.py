"""Weights of a network out of its ONNX graph, without what trained it and without Keras."""

import onnx
from onnx import numpy_helper

from epic22.core.task import Array


def read_graph_weights(graph: bytes) -> dict[str, Array]:
    """The constants of an ONNX graph by name: a network's weights, under the names of PyTorch's state, among them."""
    model = onnx.load_model_from_string(graph)
    return {constant.name: numpy_helper.to_array(constant) for constant in model.graph.initializer}
