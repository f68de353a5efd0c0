"""A multilayer perceptron for rows: a vector a column, then an ensemble of members that share their weights.

Numbers are embedded by pieces (Gorishniy, Rubachev, Babenko 2022, "On embeddings for numerical features in tabular deep
learning"); members differ by scales of inputs and outputs (BatchEnsemble: Wen, Tran, Ba 2020), as in TabM (Gorishniy, Kotelnikov,
Babenko 2024).

n = rows, p = columns, m = numbers among them, b = bins, e = width of a column's vector, k = members, o = outputs.
"""

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from epic22.core.models.networks.specification import MlpSpec

Part = Literal["all", "vectors", "outputs"]
"""What of a network is computed: all of it, up to the columns' vectors, or from them on."""


class ColumnEmbedding(nn.Module):
    """A vector for each column, (n, p, e), of X (n, p) with NaN for missing.

    A number x lies in bins with ends of its own: it is described by how far it has come through each, 0 to 1, beside its distance
    from the middle, in parts of the spread. A missing number, a missing or unknown category have vectors of their own.
    """

    def __init__(self, spec: MlpSpec) -> None:
        super().__init__()
        self.spec = spec
        m, b, e = len(spec.numbers), spec.n_bins, spec.embedding
        self.register_buffer("bin_start", torch.zeros(m, b))
        self.register_buffer("bin_width", torch.ones(m, b))
        self.register_buffer("middle", torch.zeros(m))
        self.register_buffer("spread", torch.ones(m))
        self.piece = nn.Parameter(torch.empty(m, b, e).uniform_(-1, 1) / math.sqrt(b))
        self.slope = nn.Parameter(torch.empty(m, e).uniform_(-1, 1))
        self.level = nn.Parameter(torch.zeros(m, e))
        self.missing = nn.Parameter(torch.zeros(m, e))
        starts = [sum(n + 1 for n in spec.n_levels[:j]) for j in range(len(spec.n_levels))]
        self.register_buffer("first_code", torch.tensor(starts, dtype=torch.int64))
        self.register_buffer("n_levels", torch.tensor(spec.n_levels, dtype=torch.float32))
        self.category = nn.Parameter(torch.empty(sum(n + 1 for n in spec.n_levels), e).normal_(0, 0.5))

    def forward(self, x: Tensor) -> Tensor:
        """Vectors of numbers, then of categories."""
        vectors = []
        if self.spec.numbers:
            numbers = x[:, list(self.spec.numbers)]
            is_missing = torch.isnan(numbers)
            known = torch.where(is_missing, self.middle, numbers)
            # (n, m, b): the share of each bin that lies below the number
            pieces = ((known[:, :, None] - self.bin_start) / self.bin_width).clamp(0, 1)
            distance = ((known - self.middle) / self.spread).clamp(-5, 5)
            embedded = torch.einsum("nmb,mbe->nme", pieces, self.piece) + distance[:, :, None] * self.slope + self.level
            vectors.append(torch.where(is_missing[:, :, None], self.missing, embedded))
        if self.spec.categories:
            codes = x[:, list(self.spec.categories)]
            unknown = torch.isnan(codes) | (codes >= self.n_levels)
            known = torch.where(unknown, self.n_levels, codes).to(torch.int64)
            vectors.append(self.category[known + self.first_code])
        return torch.cat(vectors, dim=1)


class MemberLinear(nn.Module):
    """A linear layer that k members share, each with scales of its own: (n, k, inputs) to (n, k, outputs)."""

    def __init__(self, n_inputs: int, n_outputs: int, members: int, is_first: bool) -> None:
        super().__init__()
        bound = 1 / math.sqrt(n_inputs)
        self.weight = nn.Parameter(torch.empty(n_inputs, n_outputs).uniform_(-bound, bound))
        # Members are told apart by signs at the entrance alone; further scales begin at one.
        signs = torch.randint(0, 2, (members, n_inputs)).float() * 2 - 1
        self.input_scale = nn.Parameter(signs if is_first else torch.ones(members, n_inputs))
        self.output_scale = nn.Parameter(torch.ones(members, n_outputs))
        self.bias = nn.Parameter(torch.empty(members, n_outputs).uniform_(-bound, bound))

    def forward(self, h: Tensor) -> Tensor:
        """The members' outputs."""
        return ((h * self.input_scale) @ self.weight) * self.output_scale + self.bias


class Mlp(nn.Module):
    """Members' raw outputs, (n, k, o), of X (n, p)."""

    def __init__(self, spec: MlpSpec) -> None:
        super().__init__()
        self.spec = spec
        self.embedding = ColumnEmbedding(spec)
        sizes = [spec.n_columns * spec.embedding, *[spec.width] * spec.depth]
        self.hidden = nn.ModuleList(
            MemberLinear(sizes[i], sizes[i + 1], spec.members, is_first=i == 0) for i in range(spec.depth)
        )
        bound = 1 / math.sqrt(sizes[-1])
        self.head = nn.Parameter(torch.empty(spec.members, sizes[-1], spec.n_outputs).uniform_(-bound, bound))
        self.head_bias = nn.Parameter(torch.zeros(spec.members, spec.n_outputs))

    def forward(self, x: Tensor, part: Part = "all") -> Tensor:
        """Members' raw outputs; or the columns' vectors (n, p, e) alone, or the raw outputs of such vectors."""
        vectors = x if part == "outputs" else self.embedding(x)
        return vectors if part == "vectors" else self._compute_outputs(vectors)

    def _compute_outputs(self, vectors: Tensor) -> Tensor:
        h = vectors.flatten(1)[:, None, :].expand(-1, self.spec.members, -1)
        for layer in self.hidden:
            h = functional.dropout(torch.relu(layer(h)), self.spec.dropout, self.training)
        return torch.einsum("nkw,kwo->nko", h, self.head) + self.head_bias


def average_members(raw: Tensor, spec: MlpSpec) -> Tensor:
    """The score of the mean of the members' responses, (n, o), of their raw outputs (n, k, o)."""
    log_members = math.log(raw.shape[1])
    if spec.output == "log_odds":
        # The log-odds of the mean probability.
        up, down = functional.logsigmoid(raw).logsumexp(1), functional.logsigmoid(-raw).logsumexp(1)
        return up - down
    if spec.output == "class_scores":
        return raw.log_softmax(2).logsumexp(1) - log_members
    if spec.output == "log_mean":
        return raw.logsumexp(1) - log_members
    return raw.mean(1)
