"""Encoders of sequences by Keras' own layers, as `lstm`, `transformer` and `convolution` have them for PyTorch.

n = rows, s = steps, c = channels, t = patches, w = width.
"""

from collections.abc import Callable, Mapping
from typing import Any

import keras
from keras import ops

from epic22.core.models.networks.keras_mirror.layers import PatchPositionLayer
from epic22.core.models.networks.specification import ConvolutionLayers, LstmLayers, SequenceLayers, TransformerLayers

NORM_EPSILON = 1e-5
"""PyTorch's; Keras has 1e-3."""


def encode_by_recurrence(steps: Any, layers: LstmLayers) -> Any:
    """The last layer's state after the last step, (n, w), of steps (n, s, c)."""
    cell = {"lstm": keras.layers.LSTM, "gru": keras.layers.GRU}[layers.cell]
    h = steps
    for depth in range(layers.depth):
        is_last = depth == layers.depth - 1
        h = cell(layers.width, return_sequences=not is_last, name=f"encoder_cell_{depth}")(h)
        h = h if is_last else keras.layers.Dropout(layers.dropout)(h)
    return h


def encode_by_attention(steps: Any, layers: TransformerLayers) -> Any:
    """The mean of the patches' last vectors, (n, w), of steps (n, s, c); steps before the first whole patch are zeros."""
    n_steps, n_channels = steps.shape[1:]
    patch = min(layers.patch, n_steps)
    padded = keras.layers.ZeroPadding1D((-n_steps % patch, 0))(steps)
    patches = keras.layers.Reshape((-1, patch * n_channels))(padded)
    h = PatchPositionLayer(name="encoder")(keras.layers.Dense(layers.width, name="encoder_project")(patches))
    for depth in range(layers.depth):
        h = _attend(h, layers, f"encoder_layers_{depth}")
    return keras.layers.GlobalAveragePooling1D()(_normalise("encoder_norm")(h))


def _attend(h: Any, layers: TransformerLayers, name: str) -> Any:
    """Attention among patches, then a perceptron of each, both added to what came in: (n, t, w) to (n, t, w)."""
    w, drop = layers.width, keras.layers.Dropout
    normalised = _normalise(f"{name}_norm_attention")(h)
    attention = keras.layers.MultiHeadAttention(layers.heads, w // layers.heads, dropout=layers.dropout, name=f"{name}_attention")
    h = h + drop(layers.dropout)(attention(normalised, normalised))
    wide = keras.layers.Dense(2 * w, name=f"{name}_widen")(_normalise(f"{name}_norm_perceptron")(h))
    narrow = keras.layers.Dense(w, name=f"{name}_narrow")(drop(layers.dropout)(ops.gelu(wide, approximate=False)))
    return h + drop(layers.dropout)(narrow)


def encode_by_convolution(steps: Any, layers: ConvolutionLayers) -> Any:
    """The last step's vector beside the mean over steps, (n, 2 w), of steps (n, s, c)."""
    w, n_steps = layers.width, steps.shape[1]
    farthest = max(1, (n_steps - 1) // max(layers.kernel - 1, 1))
    h = keras.layers.Dense(w, name="encoder_project")(steps)
    for depth in range(layers.depth):
        convolution = keras.layers.Conv1D(
            w, layers.kernel, padding="causal", dilation_rate=min(2**depth, farthest), name=f"encoder_convolutions_{depth}"
        )
        seen = ops.gelu(convolution(_normalise(f"encoder_norms_{depth}")(h)), approximate=False)
        h = h + keras.layers.Dropout(layers.dropout)(seen)
    return ops.concatenate([h[:, -1], ops.mean(h, axis=1)], axis=1)


def _normalise(name: str) -> Any:
    return keras.layers.LayerNormalization(epsilon=NORM_EPSILON, name=name)


ENCODERS: Mapping[type[SequenceLayers], Callable[[Any, Any], Any]] = {
    LstmLayers: encode_by_recurrence,
    TransformerLayers: encode_by_attention,
    ConvolutionLayers: encode_by_convolution,
}
"""By layers what encodes steps."""
