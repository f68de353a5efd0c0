"""Weights of a network both ways: from PyTorch's names, which are those of the ONNX graph's constants, to Keras, and back.

w = width, a = heads of attention, d = width of a head, i = inputs, o = outputs, q = taps of a convolution.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

from epic22.core.errors import InternalError
from epic22.core.models.networks.keras_mirror.layers import ColumnEmbeddingLayer
from epic22.core.models.networks.specification import (
    ConvolutionLayers,
    LstmLayers,
    NetworkSpec,
    SequenceLayers,
    TransformerLayers,
)
from epic22.core.task import Array

Weights = Mapping[str, Array]
Arrays = Sequence[Array]


@dataclass(frozen=True)
class Correspondence:
    """Which tensors of PyTorch are which variables of Keras, and how each side's arrays follow from the other's."""

    names: tuple[str, ...]
    variables: Sequence[Any]
    to_keras: Callable[[Arrays], Arrays] = field(default=lambda arrays: arrays)
    to_torch: Callable[[Arrays], Arrays] = field(default=lambda arrays: arrays)


def copy_weights(weights: Weights, network: keras.Model, spec: NetworkSpec) -> None:
    """Give the network the weights of PyTorch's. What it has no entries for may be absent: a graph leaves it out.

    Raises InternalError for a tensor that is absent, or of another shape.
    """
    for one in list_correspondences(network, spec):
        if not sum(int(np.prod(variable.shape)) for variable in one.variables):
            continue
        absent = [name for name in one.names if name not in weights]
        if absent:
            raise InternalError(f"a network without the weights {', '.join(absent)} has no mirror in Keras.")
        for variable, array in zip(one.variables, one.to_keras([weights[name] for name in one.names]), strict=True):
            if tuple(variable.shape) != array.shape:
                raise InternalError(f"weights {one.names} make {array.shape}, {variable.path} has {tuple(variable.shape)}.")
            variable.assign(array)


def read_weights(network: keras.Model, spec: NetworkSpec) -> dict[str, Array]:
    """The network's weights under the names and in the shapes of PyTorch's state, float32, counts of levels and codes too."""
    embedding: ColumnEmbeddingLayer = network.get_layer("embedding")
    weights = {
        "embedding.first_code": embedding.first_code.astype(np.int64),
        "embedding.n_levels": np.array(embedding.level_counts, dtype=np.float32),
    }
    for one in list_correspondences(network, spec):
        arrays = one.to_torch([keras.ops.convert_to_numpy(variable) for variable in one.variables])
        weights |= {name: np.ascontiguousarray(array) for name, array in zip(one.names, arrays, strict=True)}
    return weights


def list_correspondences(network: keras.Model, spec: NetworkSpec) -> Iterator[Correspondence]:
    """Of all variables of a specification's network."""
    yield from _match_by_name(network.get_layer("embedding"), "embedding.")
    layers = spec.layers
    if isinstance(layers, SequenceLayers):
        yield from _match_by_name(network.get_layer("steps"), "")
        yield from ENCODERS[type(layers)](network, layers)
        if layers.skip:
            yield Correspondence(("skip",), network.get_layer("skip").weights)
        n_hidden = 1
    else:
        n_hidden = len(layers.hidden_sizes)
    for number in range(n_hidden):
        yield from _match_by_name(network.get_layer(f"stack_hidden_{number}"), f"stack.hidden.{number}.")
    yield from _match_by_name(network.get_layer("stack"), "stack.")


def _match_by_name(layer: Any, prefix: str) -> Iterator[Correspondence]:
    """Variables of a layer of ours, which are called what they are called in PyTorch."""
    for variable in layer.weights:
        yield Correspondence((prefix + variable.name,), [variable])


def _match_dense(network: keras.Model, layer: str, prefix: str) -> Correspondence:
    """Kernel (i, o) and bias (o,) of weight (o, i) and bias."""
    names = (f"{prefix}.weight", f"{prefix}.bias")
    return Correspondence(names, network.get_layer(layer).weights, _transpose_first, _transpose_first)


def _transpose_first(arrays: Arrays) -> Arrays:
    first, *others = arrays
    return [first.T, *others]


def _match_norm(network: keras.Model, layer: str, prefix: str) -> Correspondence:
    """Gamma and beta of weight and bias."""
    norm = network.get_layer(layer)
    return Correspondence((f"{prefix}.weight", f"{prefix}.bias"), [norm.gamma, norm.beta])


def _match_recurrence(network: keras.Model, layers: LstmLayers) -> Iterator[Correspondence]:
    """Kernels (i, gates × w) of weights (gates × w, i). Gates of an LSTM stand in one order: enter, forget, candidate, leave."""
    to_keras, to_torch = {"lstm": (_join_biases, _split_bias), "gru": (_stack_gru, _unstack_gru)}[layers.cell]
    for depth in range(layers.depth):
        names = tuple(f"encoder.cell.{name}_l{depth}" for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
        yield Correspondence(names, network.get_layer(f"encoder_cell_{depth}").weights, to_keras, to_torch)


def _join_biases(arrays: Arrays) -> Arrays:
    """An LSTM of PyTorch has two biases, whose sum is Keras' one."""
    into, across, bias_in, bias_across = arrays
    return [into.T, across.T, bias_in + bias_across]


def _split_bias(arrays: Arrays) -> Arrays:
    kernel, recurrent, bias = arrays
    return [kernel.T, recurrent.T, bias, np.zeros_like(bias)]


def _stack_gru(arrays: Arrays) -> Arrays:
    """A GRU of Keras has both biases too, (2, 3 w); its first two gates stand the other way round: update, then reset."""
    into, across, bias_in, bias_across = (_swap_gates(array) for array in arrays)
    return [into.T, across.T, np.stack([bias_in, bias_across])]


def _unstack_gru(arrays: Arrays) -> Arrays:
    kernel, recurrent, biases = arrays
    return [_swap_gates(array) for array in (kernel.T, recurrent.T, *biases)]


def _swap_gates(array: Array) -> Array:
    first, second, third = np.split(array, 3)
    return np.concatenate([second, first, third])


def _match_attention(network: keras.Model, layers: TransformerLayers) -> Iterator[Correspondence]:
    yield _match_dense(network, "encoder_project", "encoder.project")
    yield from _match_by_name(network.get_layer("encoder"), "encoder.")
    for depth in range(layers.depth):
        layer, prefix = f"encoder_layers_{depth}", f"encoder.layers.{depth}"
        for norm in ("norm_attention", "norm_perceptron"):
            yield _match_norm(network, f"{layer}_{norm}", f"{prefix}.{norm}")
        yield _match_heads(network.get_layer(f"{layer}_attention"), prefix, layers.heads)
        for dense in ("widen", "narrow"):
            yield _match_dense(network, f"{layer}_{dense}", f"{prefix}.{dense}")
    yield _match_norm(network, "encoder_norm", "encoder.norm")


def _match_heads(attention: Any, prefix: str, heads: int) -> Correspondence:
    """Query, key and value have a kernel (w, a, d) and a bias (a, d) each, of one weight (3 w, w) and one bias (3 w,); what is
    attended has (a, d, w) and (w,) of (w, w) and (w,)."""
    parts = (attention.query_dense, attention.key_dense, attention.value_dense, attention.output_dense)
    names = ("query_key_value.weight", "query_key_value.bias", "attended.weight", "attended.bias")

    def to_keras(arrays: Arrays) -> Arrays:
        weight, bias, attended_weight, attended_bias = arrays
        w = len(attended_bias)
        kernels = weight.reshape(3, heads, w // heads, w).transpose(0, 3, 1, 2)
        biases = bias.reshape(3, heads, w // heads)
        both = [array for kernel, one in zip(kernels, biases, strict=True) for array in (kernel, one)]
        return [*both, attended_weight.T.reshape(heads, w // heads, w), attended_bias]

    def to_torch(arrays: Arrays) -> Arrays:
        *both, kernel, attended_bias = arrays
        w = len(attended_bias)
        weight = np.stack(both[::2]).transpose(0, 2, 3, 1).reshape(3 * w, w)
        return [weight, np.stack(both[1::2]).reshape(3 * w), kernel.reshape(w, w).T, attended_bias]

    variables = [variable for part in parts for variable in (part.kernel, part.bias)]
    return Correspondence(tuple(f"{prefix}.{name}" for name in names), variables, to_keras, to_torch)


def _match_convolution(network: keras.Model, layers: ConvolutionLayers) -> Iterator[Correspondence]:
    """Kernels (q, i, o), whose last tap is the present step, of weights (o, q × i), whose first is."""

    def to_keras(arrays: Arrays) -> Arrays:
        weight, bias = arrays
        return [weight.reshape(len(bias), layers.kernel, -1)[:, ::-1].transpose(1, 2, 0), bias]

    def to_torch(arrays: Arrays) -> Arrays:
        kernel, bias = arrays
        return [kernel.transpose(2, 0, 1)[:, ::-1].reshape(len(bias), -1), bias]

    yield _match_dense(network, "encoder_project", "encoder.project")
    for depth in range(layers.depth):
        yield _match_norm(network, f"encoder_norms_{depth}", f"encoder.norms.{depth}")
        taps = f"encoder.convolutions.{depth}.taps"
        variables = network.get_layer(f"encoder_convolutions_{depth}").weights
        yield Correspondence((f"{taps}.weight", f"{taps}.bias"), variables, to_keras, to_torch)


ENCODERS: Mapping[type[SequenceLayers], Callable[[keras.Model, Any], Iterator[Correspondence]]] = {
    LstmLayers: _match_recurrence,
    TransformerLayers: _match_attention,
    ConvolutionLayers: _match_convolution,
}
"""By layers the correspondences of what encodes steps."""
