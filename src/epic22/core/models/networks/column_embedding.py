"""A vector for each column of a row.

Numbers are embedded by pieces (Gorishniy, Rubachev, Babenko 2022, "On embeddings for numerical features in tabular deep
learning").

n = rows, p = columns, m = numbers among them, b = bins, e = width of a column's vector.
"""

import math

import numpy as np
import torch
from torch import Tensor, nn

from epic22.core.models.networks.column_positions import ColumnPositions
from epic22.core.models.networks.specification import NetworkColumns
from epic22.core.task import Array


class ColumnEmbedding(nn.Module):
    """A vector for each number and category, (n, m + categories, e), of X (n, p) with NaN for missing.

    A number x lies in bins with ends of its own: it is described by how far it has come through each, 0 to 1, beside its distance
    from the middle, in parts of the spread. A missing number, a missing or unknown category have vectors of their own.
    """

    def __init__(self, columns: NetworkColumns, n_bins: int, embedding: int) -> None:
        super().__init__()
        self.columns = columns
        self.numbers, self.categories = ColumnPositions(columns.numbers), ColumnPositions(columns.categories)
        m, b, e = len(columns.numbers), n_bins, embedding
        self.register_buffer("bin_start", torch.zeros(m, b))
        self.register_buffer("bin_width", torch.ones(m, b))
        self.register_buffer("middle", torch.zeros(m))
        self.register_buffer("spread", torch.ones(m))
        self.piece = nn.Parameter(torch.empty(m, b, e).uniform_(-1, 1) / math.sqrt(b))
        self.slope = nn.Parameter(torch.empty(m, e).uniform_(-1, 1))
        self.level = nn.Parameter(torch.zeros(m, e))
        self.missing = nn.Parameter(torch.zeros(m, e))
        starts = [sum(n + 1 for n in columns.n_levels[:j]) for j in range(len(columns.n_levels))]
        self.register_buffer("first_code", torch.tensor(starts, dtype=torch.int64))
        self.register_buffer("n_levels", torch.tensor(columns.n_levels, dtype=torch.float32))
        self.category = nn.Parameter(torch.empty(sum(n + 1 for n in columns.n_levels), e).normal_(0, 0.5))

    def forward(self, x: Tensor) -> Tensor:
        """Vectors of numbers, then of categories."""
        vectors = [x.new_zeros(x.shape[0], 0, self.slope.shape[1])]
        if self.numbers:
            numbers = self.numbers.take(x)
            is_missing = torch.isnan(numbers)
            known = torch.where(is_missing, self.middle, numbers)
            # (n, m, b): the share of each bin that lies below the number
            pieces = ((known[:, :, None] - self.bin_start) / self.bin_width).clamp(0, 1)
            distance = ((known - self.middle) / self.spread).clamp(-5, 5)
            embedded = torch.einsum("nmb,mbe->nme", pieces, self.piece) + distance[:, :, None] * self.slope + self.level
            vectors.append(torch.where(is_missing[:, :, None], self.missing, embedded))
        if self.categories:
            codes = self.categories.take(x)
            unknown = torch.isnan(codes) | (codes >= self.n_levels)
            known = torch.where(unknown, self.n_levels, codes).to(torch.int64)
            vectors.append(self.category[known + self.first_code])
        return torch.cat(vectors[1:] or vectors, dim=1)

    @torch.no_grad()
    def fit(self, X: Array) -> None:
        """Place the bins of each number between quantiles of its known values; a number of few values has fewer bins."""
        for j, position in enumerate(self.columns.numbers):
            known = X[:, position][np.isfinite(X[:, position])].astype(np.float64)
            if not len(known):
                continue
            edges = np.unique(np.quantile(known, np.linspace(0, 1, self.bin_start.shape[1] + 1)).astype(np.float32))
            n_bins = len(edges) - 1
            self.middle[j] = float(np.median(known))
            self.spread[j] = max(float(known.std()), 1e-12)
            self.bin_start[j] = float(edges[-1])
            # No number gets anywhere in a bin that is not there.
            self.bin_width[j] = float("inf")
            self.bin_start[j, :n_bins] = torch.from_numpy(edges[:-1])
            self.bin_width[j, :n_bins] = torch.from_numpy(np.diff(edges))
