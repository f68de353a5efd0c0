"""A Transformer encoder over patches of steps (Vaswani et al. 2017; patches: Nie et al. 2023, PatchTST; norm first: Xiong et al.
2020).

n = rows, s = steps, c = channels, t = patches, w = width.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from epic22.core.models.networks.specification import TransformerLayers


class EncoderLayer(nn.Module):
    """Attention among patches, then a perceptron of each, both added to what came in: (n, t, w) to (n, t, w)."""

    def __init__(self, layers: TransformerLayers) -> None:
        super().__init__()
        self.heads, self.dropout, w = layers.heads, layers.dropout, layers.width
        self.norm_attention, self.norm_perceptron = nn.LayerNorm(w), nn.LayerNorm(w)
        self.query_key_value, self.attended = nn.Linear(w, 3 * w), nn.Linear(w, w)
        self.widen, self.narrow = nn.Linear(w, 2 * w), nn.Linear(2 * w, w)

    def forward(self, h: Tensor) -> Tensor:
        """The patches' vectors, each informed by the others."""
        h = h + self._drop(self.attended(self._attend(self.norm_attention(h))))
        return h + self._drop(self.narrow(self._drop(functional.gelu(self.widen(self.norm_perceptron(h))))))

    def _attend(self, h: Tensor) -> Tensor:
        # (3, n, heads, t, w / heads); written out, for the fused operator's gradient cannot be exported
        query, key, value = self.query_key_value(h).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
        shares = torch.softmax(query @ key.transpose(2, 3) / math.sqrt(query.shape[-1]), dim=-1)
        return (self._drop(shares) @ value).transpose(1, 2).flatten(2)

    def _drop(self, h: Tensor) -> Tensor:
        return functional.dropout(h, self.dropout, self.training)


class PatchEncoder(nn.Module):
    """The mean of the patches' last vectors, (n, w), of steps (n, s, c); steps before the first whole patch are zeros."""

    def __init__(self, n_channels: int, n_steps: int, layers: TransformerLayers) -> None:
        super().__init__()
        self.patch = min(layers.patch, n_steps)
        self.n_before = -n_steps % self.patch
        n_patches = (n_steps + self.n_before) // self.patch
        self.project = nn.Linear(self.patch * n_channels, layers.width)
        self.position = nn.Parameter(torch.empty(n_patches, layers.width).normal_(0, 0.02))
        self.layers = nn.ModuleList(EncoderLayer(layers) for _ in range(layers.depth))
        self.norm = nn.LayerNorm(layers.width)

    def forward(self, steps: Tensor) -> Tensor:
        """What the patches say together."""
        padded = functional.pad(steps, (0, 0, self.n_before, 0))
        h = self.project(padded.unflatten(1, (-1, self.patch)).flatten(2)) + self.position
        for layer in self.layers:
            h = layer(h)
        return self.norm(h).mean(1)

    encode_in_graph = forward
