"""Every layer that our architectures are built of, with weights and inputs to compare it by.

n = rows, t = steps, c = channels, o = outputs.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import get_args

import torch
from torch import Tensor, nn

from epic22.core.models.loss import Loss
from epic22.core.models.networks.column_embedding import ColumnEmbedding
from epic22.core.models.networks.convolution import CausalConvolution
from epic22.core.models.networks.dropout_checks import check_dropout, check_recurrent_dropout
from epic22.core.models.networks.layer_comparison import SEED, Check, Errors, LayerCase, compare_tensors
from epic22.core.models.networks.losses import OUTPUT_LOSSES
from epic22.core.models.networks.lstm import RecurrentEncoder
from epic22.core.models.networks.members import MemberStack, average_members, order_quantiles
from epic22.core.models.networks.specification import (
    Cell,
    LstmLayers,
    MlpLayers,
    NetworkColumns,
    NetworkSpec,
    Output,
    TransformerLayers,
)
from epic22.core.models.networks.transformer import EncoderLayer, PatchEncoder
from epic22.core.models.panel.base import QUANTILE_LEVELS

CHANNELS, WIDTH, HEADS = 24, 48, 4


def draw_sequences(n: int, t: int, channels: int = CHANNELS) -> Tensor:
    """Sequences (n, t, c), which do not lie one behind another in memory: a view of (t, n, c)."""
    return torch.randn(t, n, channels).transpose(0, 1)


COLUMNS = NetworkColumns((0, 2, 3), (1, 4), (5, 3))


def build_embedding() -> nn.Module:
    """A column embedding of three numbers, whose bins have ends of their own, and two categories."""
    embedding = ColumnEmbedding(COLUMNS, n_bins=8, embedding=6)
    embedding.bin_start.copy_(torch.randn(3, 8).sort(1).values)
    embedding.bin_width.copy_(torch.rand(3, 8) + 0.1)
    nn.init.normal_(embedding.missing)
    return embedding


def draw_columns(n: int, t: int) -> Tensor:
    """Columns (n, 5), the second and the last being codes, some missing and some unknown."""
    x = torch.randn(n, 5)
    x[:, 1], x[:, 4] = torch.randint(0, 7, (n,)), torch.randint(0, 4, (n,))
    x[::4, 0], x[1::4, 1] = float("nan"), float("nan")
    return x


def build_recurrent(cell: Cell) -> nn.Module:
    """Two layers of LSTM or GRU."""
    return RecurrentEncoder(CHANNELS, 1, LstmLayers(width=WIDTH, dropout=0.0, cell=cell)).cell


def build_normalisation() -> nn.Module:
    """A layer normalisation with scales and levels of its own."""
    layer = nn.LayerNorm(CHANNELS)
    nn.init.normal_(layer.weight)
    nn.init.normal_(layer.bias)
    return layer


def compute_members(layer: nn.Module, x: Tensor) -> Tensor:
    """The scores of members' outputs by every kind of output, (n, 4 o)."""
    raw = layer(x)
    specs = [NetworkSpec(COLUMNS, MlpLayers(), raw.shape[2], output) for output in get_args(Output)]
    return torch.cat([average_members(raw, spec).expand(-1, raw.shape[2]) for spec in specs], dim=1)


def compute_losses(layer: nn.Module, x: Tensor) -> Tensor:
    """The losses of every objective on the same outputs, (n, objectives)."""
    raw = layer(x)
    n, o = raw.shape
    labels = torch.arange(n, device=x.device) % 3
    some_missing = torch.where(labels == 0, float("nan"), labels.to(x.dtype))[:, None]
    special = {
        "binary": (labels > 0) * 1.0,
        "hazard": (torch.arange(2 * n * o, device=x.device).reshape(n, 2 * o) % 5 > 1) * 1.0,
        "quantiles": some_missing,
        "reconstruction": some_missing.expand(-1, o),
    }
    # Classes are read as whole numbers, whatever the labels are; a median is learned beside other quantiles.
    built = {objective: build(Loss("absolute")) for objective, build in OUTPUT_LOSSES.items()}
    return torch.stack([loss(raw, special.get(objective, labels).to(raw.dtype)) for objective, loss in built.items()], dim=1)


def compare_optimiser(device: str) -> Errors:
    """The errors of weights after three steps of AdamW with clipped gradients; one of the weights lies transposed in memory."""
    torch.manual_seed(SEED)
    start = [torch.randn(WIDTH, CHANNELS).t(), torch.randn(WIDTH)]
    gradients = [[torch.randn(CHANNELS, WIDTH), torch.randn(WIDTH)] for _ in range(3)]

    def run(to: Callable[[Tensor], Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        weights = [nn.Parameter(to(one).clone()) for one in start]
        optimiser = torch.optim.AdamW(weights, lr=0.1, weight_decay=0.01, fused=True)
        norms = []
        for step in gradients:
            optimiser.zero_grad()
            for weight, gradient in zip(weights, step, strict=True):
                # By a backward pass, which gives the gradient its weight's place in memory, as a training has it.
                (weight * to(gradient)).sum().backward()
            norms.append(nn.utils.clip_grad_norm_(weights, 1.0))
            optimiser.step()
        return list(weights), norms

    (computed, norms), (reference, reference_norms) = run(lambda one: one.to(device)), run(lambda one: one.double())
    return Errors(compare_tensors(computed, reference), compare_tensors(norms, reference_norms))


LAYER_CHECKS: Mapping[str, Check] = {
    "piecewise embedding": LayerCase(build_embedding, draw_columns, lambda layer, x: layer(x)[:, :3]),
    "category embedding": LayerCase(build_embedding, draw_columns, lambda layer, x: layer(x)[:, 3:]),
    "member layer": LayerCase(lambda: MemberStack((CHANNELS, WIDTH), 3, 4, 0.0), lambda n, t: torch.randn(n, CHANNELS)),
    "mean of members": LayerCase(nn.Identity, lambda n, t: 3 * torch.randn(n, 8, 3), compute_members),
    "quantiles in order": LayerCase(
        nn.Identity,
        lambda n, t: torch.randn(n, 4, 3 * len(QUANTILE_LEVELS)),
        lambda layer, x: order_quantiles(x, len(QUANTILE_LEVELS)),
    ),
    "losses": LayerCase(nn.Identity, lambda n, t: torch.randn(n, len(QUANTILE_LEVELS)), compute_losses),
    "linear layer": LayerCase(lambda: nn.Sequential(nn.Linear(CHANNELS, WIDTH), nn.GELU()), draw_sequences),
    "layer normalisation": LayerCase(build_normalisation, draw_sequences),
    "LSTM": LayerCase(partial(build_recurrent, "lstm"), draw_sequences, lambda layer, x: layer(x)[0]),
    "LSTM with dropout": partial(check_recurrent_dropout, "lstm"),
    "GRU": LayerCase(partial(build_recurrent, "gru"), draw_sequences, lambda layer, x: layer(x)[0]),
    "GRU with dropout": partial(check_recurrent_dropout, "gru"),
    "patches": LayerCase(lambda: PatchEncoder(CHANNELS, 48, TransformerLayers(dropout=0.0)), lambda n, t: draw_sequences(n, 48)),
    "attention layer": LayerCase(
        lambda: EncoderLayer(TransformerLayers(width=CHANNELS, dropout=0.0, heads=HEADS)), draw_sequences
    ),
    "dilated convolution": LayerCase(
        lambda: nn.Sequential(*(CausalConvolution(CHANNELS, CHANNELS, 3, 2**i) for i in range(3))), draw_sequences
    ),
    "dropout": check_dropout,
    "optimiser": compare_optimiser,
}
"""By the name of the layer, what finds its errors on a device; a case, or a function where more than a layer is compared."""
