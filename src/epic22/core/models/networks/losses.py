"""Losses of networks' outputs by kind of target, as `core/models/loss.py` and `core/targets.py` have them for arrays."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn import functional

from epic22.core.errors import UserError
from epic22.core.models.loss import EVALUATION_POWER, Loss, list_quantile_levels
from epic22.core.models.panel.base import QUANTILE_LEVELS

OutputLoss = Callable[[Tensor, Tensor], Tensor]
"""The loss of each output, (n, o) or (n,), of outputs (n, o) and labels (n,)."""


def _compute_log_loss(raw: Tensor, y: Tensor) -> Tensor:
    return functional.binary_cross_entropy_with_logits(raw[:, 0], y, reduction="none")


def _compute_class_loss(raw: Tensor, y: Tensor) -> Tensor:
    return functional.cross_entropy(raw, y.to(torch.int64), reduction="none")


def _build_pinball(loss: Loss) -> OutputLoss:
    """Mean pinball loss over the levels that are learned beside the one asked for: quantiles (n, q)."""
    level_values = list_quantile_levels(loss)

    def compute(quantiles: Tensor, y: Tensor) -> Tensor:
        levels, error = torch.tensor(level_values, device=y.device), y[:, None] - quantiles
        return torch.maximum(levels * error, (levels - 1) * error).mean(1)

    return compute


def _build_tweedie(power: float) -> OutputLoss:
    """Half the deviance, less what no output changes, of logarithms of means; power 1 is Poisson's."""

    def compute(raw: Tensor, y: Tensor) -> Tensor:
        log_mean = raw[:, 0]
        if power == 1.0:
            return torch.exp(log_mean) - y * log_mean
        return torch.exp((2 - power) * log_mean) / (2 - power) - y * torch.exp((1 - power) * log_mean) / (1 - power)

    return compute


def _compute_hazard_loss(raw: Tensor, y: Tensor) -> Tensor:
    """Log loss over the intervals that a row was at risk in: labels are the shares at risk, then the events, (n, 2 h)."""
    at_risk, events = y.chunk(2, dim=1)
    return (at_risk * functional.binary_cross_entropy_with_logits(raw, events, reduction="none")).sum(1)


def _compute_quantile_loss(quantiles: Tensor, y: Tensor) -> Tensor:
    """Mean pinball loss over levels and the horizons whose value is known: labels (n, h), quantiles (n, h × q)."""
    levels = torch.tensor(QUANTILE_LEVELS, device=y.device)
    is_known = ~torch.isnan(y)
    error = torch.where(is_known, y, 0.0)[:, :, None] - quantiles.unflatten(1, (-1, len(levels)))
    pinball = torch.maximum(levels * error, (levels - 1) * error).mean(2)
    return (pinball * is_known).sum(1) / is_known.sum(1).clamp(min=1)


def _compute_reconstruction_loss(raw: Tensor, y: Tensor) -> Tensor:
    """Mean squared error over the outputs whose label is known, (n,) of outputs and labels (n, o)."""
    is_known = ~torch.isnan(y)
    error = torch.where(is_known, raw - torch.where(is_known, y, 0.0), 0.0)
    return (error**2).sum(1) / is_known.sum(1).clamp(min=1)


VALUE_LOSSES: Mapping[str, Callable[[Loss], OutputLoss]] = {
    "squared": lambda loss: lambda raw, y: (raw[:, 0] - y) ** 2,
    "absolute": _build_pinball,
    "quantile": _build_pinball,
    "poisson": lambda loss: _build_tweedie(1.0),
    "tweedie": lambda loss: _build_tweedie(loss.power or EVALUATION_POWER),
}
OUTPUT_LOSSES: Mapping[str, Callable[[Loss], OutputLoss]] = {
    "binary": lambda loss: _compute_log_loss,
    "multiclass": lambda loss: _compute_class_loss,
    "hazard": lambda loss: _compute_hazard_loss,
    "quantiles": lambda loss: _compute_quantile_loss,
    "reconstruction": lambda loss: _compute_reconstruction_loss,
    **VALUE_LOSSES,
}
"""By the name of what a kind of target makes small (`TargetKind.name_objective`)."""


def _build_smoothed_log_loss(share: float) -> OutputLoss:
    return lambda raw, y: _compute_log_loss(raw, y * (1 - share) + share / 2)


def _build_smoothed_class_loss(share: float) -> OutputLoss:
    return lambda raw, y: functional.cross_entropy(raw, y.to(torch.int64), reduction="none", label_smoothing=share)


SMOOTHED_LOSSES: Mapping[str, Callable[[float], OutputLoss]] = {
    "binary": _build_smoothed_log_loss,
    "multiclass": _build_smoothed_class_loss,
}
"""Losses of classes whose labels are spread by a share over all classes (Szegedy et al. 2016), by the objective's name."""


def build_training_loss(objective: str, loss: Loss, label_smoothing: float = 0.0) -> OutputLoss:
    """The loss that a network is trained by; it is judged by that of labels as they are.

    Raises UserError where labels that are no classes are to be smoothed, or by a share that is none.
    """
    if not label_smoothing:
        return OUTPUT_LOSSES[objective](loss)
    if not 0 < label_smoothing < 1:
        raise UserError(f"label_smoothing is {label_smoothing:g}; give a share from 0 to below 1.")
    if objective not in SMOOTHED_LOSSES:
        raise UserError(
            f"label_smoothing is {label_smoothing:g}, and the objective {objective!r}: only labels of classes "
            f"({', '.join(SMOOTHED_LOSSES)}) are smoothed; leave it at 0."
        )
    return SMOOTHED_LOSSES[objective](label_smoothing)


def average_over_members(loss: OutputLoss) -> Callable[[Tensor, Tensor], Tensor]:
    """The mean loss of members that learn each by itself: of their outputs (n, k, o)."""

    def compute(raw: Tensor, y: Tensor) -> Tensor:
        n, k = raw.shape[:2]
        return loss(raw.reshape(n * k, -1), y[:, None].expand(-1, k, *y.shape[1:]).flatten(0, 1)).mean()

    return compute
