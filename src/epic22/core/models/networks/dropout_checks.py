"""Whether dropout does on a device what it should: the right share stays, at the right size, and the gradient knows which."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from epic22.core.models.networks.layer_comparison import SEED, USUAL, Errors, compare_tensors, max_error
from epic22.core.models.networks.lstm import RecurrentEncoder
from epic22.core.models.networks.specification import Cell, LstmLayers

KEEP_SHARE, N_VALUES, WIDTH = 0.75, 16_384, 48
MAX_STANDARD_ERRORS = 5.0
"""So far the share of values that stayed may lie from the share that should."""


def check_dropout(device: str) -> Errors:
    """Whether the right share of values stays, at the right size, and the gradient knows which."""
    torch.manual_seed(SEED)
    x = torch.ones(N_VALUES, device=device, requires_grad=True)
    dropped = functional.dropout(x, 1 - KEEP_SHARE, True)
    dropped.sum().backward()
    return judge_dropout(dropped.detach().cpu() * KEEP_SHARE, x.grad.cpu() * KEEP_SHARE)


OPEN = 30.0
"""What a gate adds up to where it lets all through; minus it, nothing."""
VALUE_ONLY: Mapping[Cell, tuple[tuple[float, ...], int]] = {
    "lstm": ((OPEN, -OPEN, 0.0, OPEN), 2),
    "gru": ((0.0, -OPEN, 0.0), 1),
}
"""By cell the biases of its gates with which its state is the hyperbolic tangent of its input, taken so many times."""


def check_recurrent_dropout(cell_name: Cell, device: str) -> Errors:
    """The same between two recurrent layers whose gates let all through and remember nothing, so that each state of the upper one
    shows whether the lower one's came."""
    torch.manual_seed(SEED)
    gates, n_tanh = VALUE_ONLY[cell_name]
    cell = RecurrentEncoder(WIDTH, 1, LstmLayers(width=WIDTH, dropout=1 - KEEP_SHARE, cell=cell_name)).cell
    with torch.no_grad():
        for name, weight in cell.named_parameters():
            weight.zero_()
            if name.startswith("weight_ih"):
                weight[2 * WIDTH : 3 * WIDTH] = torch.eye(WIDTH)
            if name.startswith("bias_ih"):
                weight.copy_(torch.tensor(gates).repeat_interleave(WIDTH))
    cell = cell.to(device).train()
    n, t = USUAL
    x = torch.full((n, t, WIDTH), 0.5, device=device, requires_grad=True)
    upper = cell(x)[0]
    upper.sum().backward()
    came, lower = upper.detach().cpu().double(), torch.tensor(0.5, dtype=torch.float64)
    for _ in range(n_tanh):
        came, lower = came.atanh(), lower.tanh()
    slope = x.grad.cpu().double()
    errors = judge_dropout(came * KEEP_SHARE / lower, slope / slope.max())
    # Metal has gone on dropping values in evaluation mode, of some batches, after a training step.
    later = max(_compare_evaluation(cell, x[:rows].detach(), lower, n_tanh) for rows in (n, 3))
    return Errors(max_error(errors.forward, later), errors.gradient, errors.fault)


@torch.no_grad()
def _compare_evaluation(cell: nn.Module, x: Tensor, lower: Tensor, n_tanh: int) -> float:
    """How far the upper states are, in evaluation mode, from those of lower ones that all came."""
    upper = cell.eval()(x)[0]
    for _ in range(n_tanh):
        lower = lower.tanh()
    return compare_tensors([upper], [lower.expand_as(upper)])


def judge_dropout(values: Tensor, gradient: Tensor) -> Errors:
    """What dropout did: `values` are near one where they stayed and else zero, and so is the gradient.

    The errors are those of the values and of the gradient; the fault says where the share that stayed is not the right one.
    """
    stays = values.abs() > 0.5
    forward = float((values - stays.to(values)).abs().max())
    backward = float((gradient - stays.to(gradient)).abs().max())
    share, n = float(stays.double().mean()), stays.numel()
    standard_error = (KEEP_SHARE * (1 - KEEP_SHARE) / n) ** 0.5
    fault = None
    if not abs(share - KEEP_SHARE) <= MAX_STANDARD_ERRORS * standard_error:
        fault = f"{100 * share:.1f} % of the values stayed where {100 * KEEP_SHARE:.0f} % should"
    return Errors(forward, backward, fault)
