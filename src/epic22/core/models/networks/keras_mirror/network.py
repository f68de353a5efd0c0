"""The Keras model of a specification, as `mlp` and `sequence_network` build it for PyTorch.

n = rows, p = columns, e = width of a column's vector, s = steps, c = channels, k = members, o = outputs.
"""

from pathlib import Path
from typing import Any

import keras

from epic22.core.models.networks.keras_mirror.encoders import ENCODERS
from epic22.core.models.networks.keras_mirror.layers import (
    ColumnEmbeddingLayer,
    MemberAverageLayer,
    MemberHeadLayer,
    MemberLinearLayer,
    OrderedQuantilesLayer,
    StepScalingLayer,
)
from epic22.core.models.networks.specification import MlpLayers, NetworkSpec, SequenceLayers


def build_keras_network(spec: NetworkSpec) -> keras.Model:
    """An untrained model of scores before the link, (n, o), of X (n, p)."""
    x = keras.Input((spec.columns.n_columns,), name="x")
    layers = spec.layers
    raw = _connect_perceptron(x, spec, layers) if isinstance(layers, MlpLayers) else _connect_sequence(x, spec, layers)
    if spec.n_quantiles > 1:
        raw = OrderedQuantilesLayer(spec.n_quantiles, name="quantiles")(raw)
    return keras.Model(x, MemberAverageLayer(spec.output, name="score")(raw), name="network")


def load_keras_network(file: Path) -> keras.Model:
    """The network in a `.keras` file, on the engine that Keras runs on; it can be trained after `compile_network`."""
    return keras.saving.load_model(file, compile=False)


def get_member_model(network: keras.Model) -> keras.Model:
    """The part of the network that is trained: members' raw outputs, (n, k, o), of X (n, p). Both share their weights."""
    return keras.Model(network.input, network.get_layer("score").input, name="members")


def _connect_perceptron(x: Any, spec: NetworkSpec, layers: MlpLayers) -> Any:
    vectors = keras.layers.Flatten()(_embed(x, spec))
    return _connect_members(vectors, list(layers.hidden_sizes), spec)


def _connect_sequence(x: Any, spec: NetworkSpec, layers: SequenceLayers) -> Any:
    n_steps, c = len(spec.columns.steps), spec.columns.n_channels
    # (n, s, c, 2): distance from the channel's mean, and whether it is missing
    steps = StepScalingLayer(spec.columns.steps, name="steps")(x)
    encoded = ENCODERS[type(layers)](keras.layers.Reshape((n_steps, 2 * c))(steps), layers)
    beside = keras.layers.Flatten()(_embed(x, spec))
    raw = _connect_members(keras.layers.Concatenate()([encoded, beside]), [2 * layers.width], spec)
    if not layers.skip:
        return raw
    # Begins at nothing, so that it is used as far as it helps.
    line = keras.layers.Dense(spec.n_outputs, use_bias=False, kernel_initializer="zeros", name="skip")
    return raw + keras.layers.Reshape((1, spec.n_outputs))(line(keras.layers.Flatten()(steps[..., 0])))


def _embed(x: Any, spec: NetworkSpec) -> Any:
    columns, layers = spec.columns, spec.layers
    embedding = ColumnEmbeddingLayer(
        columns.numbers, columns.categories, columns.n_levels, layers.n_bins, layers.embedding, name="embedding"
    )
    return embedding(x)


def _connect_members(shared: Any, widths: list[int], spec: NetworkSpec) -> Any:
    """Members' raw outputs, (n, k, o), of inputs (n, i) that they share."""
    h = keras.layers.RepeatVector(spec.layers.members)(shared)
    for number, width in enumerate(widths):
        h = keras.layers.ReLU()(MemberLinearLayer(width, name=f"stack_hidden_{number}")(h))
        h = keras.layers.Dropout(spec.layers.dropout)(h)
    return MemberHeadLayer(spec.n_outputs, name="stack")(h)
