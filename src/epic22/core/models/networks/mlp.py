"""A multilayer perceptron for rows: a vector a column, then an ensemble of members that share their weights.

n = rows, p = columns, e = width of a column's vector, k = members, o = outputs.
"""

from typing import Literal

from torch import Tensor, nn

from epic22.core.models.networks.column_embedding import ColumnEmbedding
from epic22.core.models.networks.members import MemberStack, order_quantiles
from epic22.core.models.networks.specification import MlpLayers, NetworkSpec
from epic22.core.task import Array

Part = Literal["all", "vectors", "outputs"]
"""What of a network is computed: all of it, up to the columns' vectors, or from them on."""


class Mlp(nn.Module):
    """Members' raw outputs, (n, k, o), of X (n, p)."""

    def __init__(self, spec: NetworkSpec, layers: MlpLayers) -> None:
        super().__init__()
        self.n_quantiles = spec.n_quantiles
        self.embedding = ColumnEmbedding(spec.columns, layers.n_bins, layers.embedding)
        sizes = (spec.columns.n_columns * layers.embedding, *layers.hidden_sizes)
        self.stack = MemberStack(sizes, spec.n_outputs, layers.members, layers.dropout)

    def forward(self, x: Tensor | tuple[Tensor, ...], part: Part = "all") -> Tensor:
        """Members' raw outputs; or the columns' vectors (n, p, e) alone, or the raw outputs of such vectors' pieces."""
        vectors = x[0] if part == "outputs" else self.embedding(x)
        return vectors if part == "vectors" else order_quantiles(self.stack(vectors.flatten(1)), self.n_quantiles)

    def split_vectors(self, vectors: Tensor) -> tuple[Tensor, ...]:
        """The pieces of the columns' vectors (n, p, e) that the network computes with."""
        return (vectors,)

    def fit_inputs(self, X: Array) -> None:
        """Place the bins of numbers by training rows X (n, p)."""
        self.embedding.fit(X)
