"""What a network for rows is built from, as plain values: the same specification gives the same layers in every engine."""

from dataclasses import dataclass
from typing import Literal

Output = Literal["log_odds", "class_scores", "value", "log_mean"]
"""What a network's answers are: log-odds, one score a class, values, or logarithms of means."""


@dataclass(frozen=True)
class MlpSpec:
    """Layers of a multilayer perceptron for rows X (n, p).

    `numbers` and `categories` are positions of columns; a category has `n_levels` known codes, and one more vector for all else.
    Each column becomes a vector of `embedding` numbers, of a number by `n_bins` pieces. `members` networks share their weights
    but for scales of their own; each has `depth` hidden layers of `width` units.
    """

    numbers: tuple[int, ...]
    categories: tuple[int, ...]
    n_levels: tuple[int, ...]
    n_outputs: int
    output: Output
    n_bins: int = 24
    embedding: int = 12
    width: int = 128
    depth: int = 2
    members: int = 8
    dropout: float = 0.1

    @property
    def n_columns(self) -> int:
        """p."""
        return len(self.numbers) + len(self.categories)

    @property
    def column_order(self) -> tuple[int, ...]:
        """Of each column of X its place among the vectors: numbers come first, categories after them."""
        order = (*self.numbers, *self.categories)
        return tuple(order.index(position) for position in range(len(order)))
