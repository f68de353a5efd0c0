"""What a network for rows is built from, as plain values: the same specification gives the same layers in every engine."""

from dataclasses import dataclass
from typing import Literal

Output = Literal["log_odds", "class_scores", "value", "log_mean", "quantiles"]
"""What a network's answers are: log-odds, one score a class, values, logarithms of means, or quantiles that never cross."""

Cell = Literal["lstm", "gru"]


@dataclass(frozen=True)
class NetworkColumns:
    """What the columns of X (n, p) are, by position: numbers, categories, and the steps of a sequence.

    A category has `n_levels` known codes, and one more vector for all else. `steps` (s, c) are positions by step, the oldest
    first, and channel.
    """

    numbers: tuple[int, ...]
    categories: tuple[int, ...] = ()
    n_levels: tuple[int, ...] = ()
    steps: tuple[tuple[int, ...], ...] = ()

    @property
    def order(self) -> tuple[int, ...]:
        """Positions in the order of the columns' vectors: numbers, categories, steps."""
        return (*self.numbers, *self.categories, *(position for step in self.steps for position in step))

    @property
    def n_columns(self) -> int:
        """p."""
        return len(self.order)

    @property
    def places(self) -> tuple[int, ...]:
        """Of each column of X its place among the vectors."""
        return tuple(self.order.index(position) for position in range(self.n_columns))

    @property
    def n_channels(self) -> int:
        """c."""
        return len(self.steps[0]) if self.steps else 0


@dataclass(frozen=True)
class MlpLayers:
    """A perceptron: each column becomes a vector of `embedding` numbers, of a number by `n_bins` pieces.

    `members` networks share their weights but for scales of their own; each has `depth` hidden layers of `width` units.
    """

    n_bins: int = 24
    embedding: int = 12
    width: int = 128
    depth: int = 2
    members: int = 8
    dropout: float = 0.1

    @property
    def hidden_sizes(self) -> tuple[int, ...]:
        """Units of each hidden layer."""
        return (self.width,) * self.depth


@dataclass(frozen=True)
class AutoencoderLayers(MlpLayers):
    """A perceptron that gives its numbers back through a layer of few units, the `bottleneck`, between two of `width`.

    What is unlike the rows that it learned from comes back changed (Rumelhart, Hinton, Williams 1986; for anomalies Hawkins et
    al. 2002, Sakurada and Yairi 2014).
    """

    n_bins: int = 1
    embedding: int = 1
    width: int = 32
    depth: int = 3
    members: int = 4
    dropout: float = 0.0
    bottleneck: int = 6

    @property
    def hidden_sizes(self) -> tuple[int, ...]:
        """Units of each hidden layer."""
        return (self.width, self.bottleneck, self.width)


@dataclass(frozen=True)
class SequenceLayers:
    """What every network for sequences has: an encoder of `depth` layers of `width` units, and columns beside it as `MlpLayers`
    have them. With `skip` a linear map of the steps is added to the answer. `augmentation` is how much the steps are changed at
    random while the network is trained (`augmentation.augment_steps`)."""

    n_bins: int = 16
    embedding: int = 8
    width: int = 48
    depth: int = 2
    members: int = 4
    dropout: float = 0.1
    skip: bool = True
    augmentation: float = 0.0


@dataclass(frozen=True)
class LstmLayers(SequenceLayers):
    """A recurrent encoder; `cell` "gru" has one gate fewer."""

    cell: Cell = "lstm"


@dataclass(frozen=True)
class TransformerLayers(SequenceLayers):
    """A Transformer encoder over patches of `patch` steps, with `heads` heads of attention."""

    patch: int = 5
    heads: int = 4


@dataclass(frozen=True)
class ConvolutionLayers(SequenceLayers):
    """Causal convolutions over `kernel` steps, which lie twice as far apart in each layer as in the one before."""

    depth: int = 4
    kernel: int = 3


Layers = MlpLayers | LstmLayers | TransformerLayers | ConvolutionLayers


@dataclass(frozen=True)
class NetworkSpec:
    """A network: its columns, its layers, how many numbers it answers with, and what they are.

    Of quantiles there are `n_outputs` in blocks of `n_quantiles`, one block a horizon. `deciding` is the output that is the
    score, and that reasons are of; None where all are.
    """

    columns: NetworkColumns
    layers: Layers
    n_outputs: int
    output: Output
    n_quantiles: int = 1
    deciding: int | None = None
