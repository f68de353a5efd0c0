"""Layers that Keras does not have itself, as `column_embedding`, `members` and `sequence_network` have them for PyTorch.

Weights are called what they are called there. A file with such layers is opened where this module was imported, on any engine.

n = rows, p = columns, m = numbers among them, b = bins, e = width of a column's vector, s = steps, c = channels, t = patches,
k = members, o = outputs.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from epic22.core.models.networks.specification import Output

UNIFORM, ZEROS, ONES = keras.initializers.RandomUniform, keras.initializers.Zeros, keras.initializers.Ones
register = keras.saving.register_keras_serializable("epic22")
MAX_SPREADS, MAX_STEP_SPREADS = 5.0, 10.0
"""A number, and a step's value, further from the middle than so many spreads say no more than this."""


@register
class ColumnEmbeddingLayer(keras.layers.Layer):
    """A vector for each number and category, (n, m + categories, e), of X (n, p) with NaN for missing."""

    def __init__(
        self,
        numbers: Sequence[int],
        categories: Sequence[int],
        n_levels: Sequence[int],
        n_bins: int,
        embedding: int,
        **settings: Any,
    ) -> None:
        super().__init__(**settings)
        self.numbers, self.categories, self.level_counts = list(numbers), list(categories), list(n_levels)
        self.n_bins, self.embedding = n_bins, embedding

    @property
    def first_code(self) -> Any:
        """Where each category's vectors begin, (categories,)."""
        return np.cumsum([0, *(n + 1 for n in self.level_counts)])[:-1].astype(np.int32)

    def build(self, input_shape: Any) -> None:
        """Bins, middles and spreads are not trained."""
        m, b, e = len(self.numbers), self.n_bins, self.embedding
        bound = 1 / math.sqrt(b)
        self.bin_start = self.add_weight((m, b), ZEROS(), trainable=False, name="bin_start")
        self.bin_width = self.add_weight((m, b), ONES(), trainable=False, name="bin_width")
        self.middle = self.add_weight((m,), ZEROS(), trainable=False, name="middle")
        self.spread = self.add_weight((m,), ONES(), trainable=False, name="spread")
        self.piece = self.add_weight((m, b, e), UNIFORM(-bound, bound), name="piece")
        self.slope = self.add_weight((m, e), UNIFORM(-1, 1), name="slope")
        self.level = self.add_weight((m, e), ZEROS(), name="level")
        self.missing = self.add_weight((m, e), ZEROS(), name="missing")
        n_vectors = sum(n + 1 for n in self.level_counts)
        self.category = self.add_weight((n_vectors, e), keras.initializers.RandomNormal(0, 0.5), name="category")

    def call(self, x: Any) -> Any:
        """Vectors of numbers, then of categories."""
        vectors = []
        if self.numbers:
            numbers = ops.take(x, self.numbers, axis=1)
            is_missing = ops.isnan(numbers)
            known = ops.where(is_missing, ops.convert_to_tensor(self.middle), numbers)
            # (n, m, b): the share of each bin that lies below the number
            pieces = ops.clip(ops.divide(ops.subtract(known[:, :, None], self.bin_start), self.bin_width), 0, 1)
            distance = ops.clip(ops.divide(ops.subtract(known, self.middle), self.spread), -MAX_SPREADS, MAX_SPREADS)
            line = ops.add(ops.multiply(distance[:, :, None], self.slope), self.level)
            embedded = ops.add(ops.einsum("nmb,mbe->nme", pieces, self.piece), line)
            vectors.append(ops.where(is_missing[:, :, None], ops.convert_to_tensor(self.missing), embedded))
        if self.categories:
            codes = ops.take(x, self.categories, axis=1)
            n_levels = ops.convert_to_tensor(self.level_counts, dtype="float32")
            unknown = ops.logical_or(ops.isnan(codes), codes >= n_levels)
            known = ops.cast(ops.where(unknown, n_levels, codes), "int32")
            vectors.append(ops.take(self.category, ops.add(known, self.first_code), axis=0))
        return ops.concatenate(vectors, axis=1) if vectors else ops.zeros((ops.shape(x)[0], 0, self.embedding))

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        columns = {"numbers": self.numbers, "categories": self.categories, "n_levels": self.level_counts}
        return super().get_config() | columns | {"n_bins": self.n_bins, "embedding": self.embedding}


@register
class MemberLinearLayer(keras.layers.Layer):
    """A linear layer that k members share, each with scales of its own: (n, k, inputs) to (n, k, outputs)."""

    def __init__(self, n_outputs: int, **settings: Any) -> None:
        super().__init__(**settings)
        self.n_outputs = n_outputs

    def build(self, input_shape: Any) -> None:
        """Add weights for as many members as the inputs have."""
        _, members, n_inputs = input_shape
        bound = 1 / math.sqrt(n_inputs)
        self.weight = self.add_weight((n_inputs, self.n_outputs), UNIFORM(-bound, bound), name="weight")
        self.input_scale = self.add_weight((members, n_inputs), ONES(), name="input_scale")
        self.output_scale = self.add_weight((members, self.n_outputs), ONES(), name="output_scale")
        self.bias = self.add_weight((members, self.n_outputs), UNIFORM(-bound, bound), name="bias")

    def call(self, h: Any) -> Any:
        """The members' outputs."""
        shared = ops.matmul(ops.multiply(h, self.input_scale), self.weight)
        return ops.add(ops.multiply(shared, self.output_scale), self.bias)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return super().get_config() | {"n_outputs": self.n_outputs}


@register
class MemberHeadLayer(keras.layers.Layer):
    """A linear layer of each member's own: (n, k, inputs) to raw outputs (n, k, o)."""

    def __init__(self, n_outputs: int, **settings: Any) -> None:
        super().__init__(**settings)
        self.n_outputs = n_outputs

    def build(self, input_shape: Any) -> None:
        """Add weights for as many members as the inputs have."""
        _, members, n_inputs = input_shape
        bound = 1 / math.sqrt(n_inputs)
        self.head = self.add_weight((members, n_inputs, self.n_outputs), UNIFORM(-bound, bound), name="head")
        self.head_bias = self.add_weight((members, self.n_outputs), ZEROS(), name="head_bias")

    def call(self, h: Any) -> Any:
        """The members' raw outputs."""
        return ops.add(ops.einsum("nkw,kwo->nko", h, self.head), self.head_bias)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return super().get_config() | {"n_outputs": self.n_outputs}


@register
class MemberAverageLayer(keras.layers.Layer):
    """The score of the mean of the members' responses, (n, o), of their raw outputs (n, k, o)."""

    def __init__(self, answer: Output, **settings: Any) -> None:
        super().__init__(**settings)
        self.answer = answer

    def call(self, raw: Any) -> Any:
        """Scores before the link."""
        return AVERAGES[self.answer](raw, math.log(raw.shape[1]))

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return super().get_config() | {"answer": self.answer}


def _average_log_odds(raw: Any, log_members: float) -> Any:
    """The log-odds of the mean probability."""
    return ops.logsumexp(ops.log_sigmoid(raw), axis=1) - ops.logsumexp(ops.log_sigmoid(-raw), axis=1)


AVERAGES: Mapping[Output, Callable[[Any, float], Any]] = {
    "log_odds": _average_log_odds,
    "class_scores": lambda raw, log_members: ops.logsumexp(ops.log_softmax(raw, axis=2), axis=1) - log_members,
    "log_mean": lambda raw, log_members: ops.logsumexp(raw, axis=1) - log_members,
    "value": lambda raw, log_members: ops.mean(raw, axis=1),
    "quantiles": lambda raw, log_members: ops.mean(raw, axis=1),
}
"""By what a network's answers are."""


@register
class OrderedQuantilesLayer(keras.layers.Layer):
    """Quantiles that never cross, (n, k, h × q), of raw outputs: the middle one as it is, each other one a positive step out."""

    def __init__(self, n_quantiles: int, **settings: Any) -> None:
        super().__init__(**settings)
        self.n_quantiles = n_quantiles

    def call(self, raw: Any) -> Any:
        """The quantiles."""
        members, n_outputs = raw.shape[1:]
        blocks = ops.reshape(raw, (-1, members, n_outputs // self.n_quantiles, self.n_quantiles))
        middle = self.n_quantiles // 2
        center, steps = blocks[..., middle : middle + 1], ops.softplus(blocks)
        up = center + ops.cumsum(steps[..., middle + 1 :], axis=-1)
        down = center - ops.flip(ops.cumsum(ops.flip(steps[..., :middle], axis=-1), axis=-1), axis=-1)
        return ops.reshape(ops.concatenate([down, center, up], axis=-1), (-1, members, n_outputs))

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return super().get_config() | {"n_quantiles": self.n_quantiles}


@register
class StepScalingLayer(keras.layers.Layer):
    """Steps' values as distances from their channel's mean, beside whether they are missing, (n, s, c, 2), of X (n, p)."""

    def __init__(self, steps: Sequence[Sequence[int]], **settings: Any) -> None:
        super().__init__(**settings)
        self.steps = [list(step) for step in steps]

    def build(self, input_shape: Any) -> None:
        """Means and spreads are not trained."""
        c = len(self.steps[0])
        self.channel_mean = self.add_weight((c,), ZEROS(), trainable=False, name="channel_mean")
        self.channel_spread = self.add_weight((c,), ONES(), trainable=False, name="channel_spread")

    def call(self, x: Any) -> Any:
        """Distances and signs of what is missing."""
        values = ops.take(x, [position for step in self.steps for position in step], axis=1)
        values = ops.reshape(values, (-1, len(self.steps), len(self.steps[0])))
        is_missing = ops.isnan(values)
        distance = ops.divide(ops.subtract(values, self.channel_mean), self.channel_spread)
        distance = ops.where(is_missing, 0.0, ops.clip(distance, -MAX_STEP_SPREADS, MAX_STEP_SPREADS))
        return ops.stack([distance, ops.cast(is_missing, distance.dtype)], axis=3)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return super().get_config() | {"steps": self.steps}


@register
class PatchPositionLayer(keras.layers.Layer):
    """Each patch's vector beside where it stands: (n, t, w) to (n, t, w)."""

    def build(self, input_shape: Any) -> None:
        """Add a weight: a vector for each place."""
        self.position = self.add_weight(tuple(input_shape[1:]), keras.initializers.RandomNormal(0, 0.02), name="position")

    def call(self, h: Any) -> Any:
        """The sums."""
        return ops.add(h, self.position)
