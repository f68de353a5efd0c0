"""A network for rows with a sequence: an encoder of its steps, a vector for each column beside them, members that answer.

n = rows, p = columns, s = steps, c = channels, e = width of a column's vector, k = members, o = outputs.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from epic22.core.models.networks.augmentation import augment_steps
from epic22.core.models.networks.column_embedding import ColumnEmbedding
from epic22.core.models.networks.column_positions import ColumnPositions
from epic22.core.models.networks.convolution import ConvolutionEncoder
from epic22.core.models.networks.lstm import RecurrentEncoder
from epic22.core.models.networks.members import MemberStack, order_quantiles
from epic22.core.models.networks.mlp import Part
from epic22.core.models.networks.specification import (
    ConvolutionLayers,
    LstmLayers,
    NetworkSpec,
    SequenceLayers,
    TransformerLayers,
)
from epic22.core.models.networks.transformer import PatchEncoder
from epic22.core.task import Array

MAX_DISTANCE = 10.0
"""A value further from its channel's mean, in standard deviations, says no more than this."""

ENCODERS: Mapping[type[SequenceLayers], tuple[Callable[..., nn.Module], int]] = {
    LstmLayers: (RecurrentEncoder, 1),
    TransformerLayers: (PatchEncoder, 1),
    ConvolutionLayers: (ConvolutionEncoder, 2),
}
"""By layers the encoder, and how many widths its answer has."""


class SequenceNetwork(nn.Module):
    """Members' raw outputs, (n, k, o), of X (n, p), some columns of which are the steps of a sequence.

    A step's value enters as its distance from its channel's mean, beside whether it is missing.
    """

    def __init__(self, spec: NetworkSpec, layers: SequenceLayers) -> None:
        super().__init__()
        self.columns, self.embedding_width, self.n_quantiles = spec.columns, layers.embedding, spec.n_quantiles
        self.augmentation = layers.augmentation
        self.steps = ColumnPositions(position for step in spec.columns.steps for position in step)
        n_steps, c = len(spec.columns.steps), spec.columns.n_channels
        self.register_buffer("channel_mean", torch.zeros(c))
        self.register_buffer("channel_spread", torch.ones(c))
        self.embedding = ColumnEmbedding(spec.columns, layers.n_bins, layers.embedding)
        build, n_widths = ENCODERS[type(layers)]
        self.encoder = build(2 * c, n_steps, layers)
        self.n_beside = len(spec.columns.numbers) + len(spec.columns.categories)
        size = n_widths * layers.width + self.n_beside * layers.embedding
        self.stack = MemberStack((size, 2 * layers.width), spec.n_outputs, layers.members, layers.dropout)
        # Begins at nothing, so that it is used as far as it helps.
        self.skip = nn.Parameter(torch.zeros(n_steps * c, spec.n_outputs)) if layers.skip else None

    def forward(self, x: Tensor | tuple[Tensor, ...], part: Part = "all") -> Tensor:
        """Members' raw outputs; or the columns' vectors (n, p, e) alone, or the raw outputs of such vectors' pieces."""
        if part == "vectors":
            steps = self._scale_steps(x).flatten(1, 2)
            return torch.cat([self.embedding(x), functional.pad(steps, (0, self.embedding_width - 2))], dim=1)
        if part == "outputs":
            beside, steps = x
            shape = (len(self.columns.steps), self.columns.n_channels)
            return self._compute_outputs(beside, steps.unflatten(1, shape), self.encoder.encode_in_graph)
        steps = self._scale_steps(x)
        if self.training and self.augmentation:
            steps = augment_steps(steps, self.augmentation)
        return self._compute_outputs(self.embedding(x), steps, self.encoder)

    def split_vectors(self, vectors: Tensor) -> tuple[Tensor, ...]:
        """The pieces of the columns' vectors (n, p, e) that the network computes with: those beside the steps, and of the steps
        the two numbers that are no padding."""
        return vectors[:, : self.n_beside], vectors[:, self.n_beside :, :2]

    def _scale_steps(self, x: Tensor) -> Tensor:
        """(n, s, c, 2): distance and whether it is missing."""
        values = self.steps.take(x).unflatten(1, (len(self.columns.steps), self.columns.n_channels))
        is_missing = torch.isnan(values)
        distance = ((values - self.channel_mean) / self.channel_spread).clamp(-MAX_DISTANCE, MAX_DISTANCE)
        return torch.stack([torch.where(is_missing, 0.0, distance), is_missing.to(x.dtype)], dim=3)

    def _compute_outputs(self, beside: Tensor, steps: Tensor, encode: Callable[[Tensor], Tensor]) -> Tensor:
        # (n, s, 2 c)
        raw: Tensor = self.stack(torch.cat([encode(steps.flatten(2)), beside.flatten(1)], dim=1))
        if self.skip is not None:
            # Unbound, for the gradient of an index puts element by element into zeros.
            raw = raw + (steps.unbind(3)[0].flatten(1) @ self.skip)[:, None, :]
        return order_quantiles(raw, self.n_quantiles)

    @torch.no_grad()
    def fit_inputs(self, X: Array) -> None:
        """Place the bins of numbers, and each channel's mean and spread, by training rows X (n, p)."""
        self.embedding.fit(X)
        for channel, positions in enumerate(zip(*self.columns.steps, strict=True)):
            values = X[:, list(positions)].astype(np.float64)
            known: Any = values[np.isfinite(values)]
            if len(known):
                self.channel_mean[channel] = float(known.mean())
                self.channel_spread[channel] = max(float(known.std()), 1e-12)
