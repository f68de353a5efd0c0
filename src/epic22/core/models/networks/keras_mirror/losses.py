"""What a Keras network's training makes small, as `losses` has it for PyTorch: of members that learn each by itself.

A loss of `OUTPUT_LOSSES` is that of each output, (n, …) or (n,), of outputs (n, o) and labels (n, …).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
from keras import ops

from epic22.core.errors import UserError
from epic22.core.models.loss import EVALUATION_POWER, Loss, list_quantile_levels
from epic22.core.models.networks.jobs import TrainingJob
from epic22.core.models.networks.keras_mirror.network import get_member_model
from epic22.core.models.networks.schedule import compute_learning_rate
from epic22.core.models.panel.base import QUANTILE_LEVELS

OutputLoss = Callable[[Any, Any], Any]


def compile_network(network: keras.Model, job: TrainingJob, n_rows: int) -> keras.Model:
    """The members' model, ready to `fit` to X (n, p) and labels (n,) or (n, …) as the job says; the network's scores follow.

    Labels come in parts of their scale, as PyTorch's training has them. The job's device, precision and memory are not Keras'.
    Raises UserError where labels that are no classes are to be smoothed.
    """
    settings, members = job.settings, get_member_model(network)
    n_steps = settings.epochs * -(-n_rows // settings.batch_size)
    rates = LearningRates([compute_learning_rate(settings, step, n_steps) for step in range(1, n_steps + 1)])
    optimizer = keras.optimizers.AdamW(rates, settings.weight_decay, epsilon=1e-8, global_clipnorm=settings.max_gradient)
    loss = build_training_loss(job.objective, job.loss, settings.label_smoothing)
    members.compile(optimizer, average_over_members(loss))
    return members


@keras.saving.register_keras_serializable("epic22")
class LearningRates(keras.optimizers.schedules.LearningRateSchedule):
    """The learning rate of each step; the last one stays."""

    def __init__(self, rates: Sequence[float]) -> None:
        self.rates = list(rates)

    def __call__(self, step: Any) -> Any:
        """The rate of a step, counted from 0."""
        rates = ops.convert_to_tensor(self.rates, dtype="float32")
        return ops.take(rates, ops.minimum(ops.cast(step, "int32"), len(self.rates) - 1))

    def get_config(self) -> dict[str, Any]:
        """The constructor's argument."""
        return {"rates": self.rates}


def average_over_members(loss: OutputLoss) -> OutputLoss:
    """The mean loss of members' outputs (n, k, o) on labels (n, …)."""

    def compute(y: Any, raw: Any) -> Any:
        members, n_outputs = raw.shape[1:]
        labels = ops.reshape(ops.cast(y, raw.dtype), (ops.shape(raw)[0], -1))
        losses = loss(ops.reshape(raw, (-1, n_outputs)), ops.repeat(labels, members, axis=0))
        return ops.mean(losses)

    return compute


def _compute_log_loss(raw: Any, y: Any) -> Any:
    return ops.softplus(raw[:, 0]) - y[:, 0] * raw[:, 0]


def _compute_class_loss(raw: Any, y: Any) -> Any:
    return ops.sparse_categorical_crossentropy(ops.cast(y[:, 0], "int32"), raw, from_logits=True)


def _compute_hazard_loss(raw: Any, y: Any) -> Any:
    """Log loss over the intervals that a row was at risk in: labels are the shares at risk, then the events, (n, 2 h)."""
    at_risk, events = ops.split(y, 2, axis=1)
    return ops.sum(at_risk * (ops.softplus(raw) - events * raw), axis=1)


def _compute_quantile_loss(quantiles: Any, y: Any) -> Any:
    """Mean pinball loss over levels and the horizons whose value is known: labels (n, h), quantiles (n, h × q)."""
    levels = ops.convert_to_tensor(QUANTILE_LEVELS, dtype=quantiles.dtype)
    is_known = ops.logical_not(ops.isnan(y))
    blocks = ops.reshape(quantiles, (-1, y.shape[1], len(QUANTILE_LEVELS)))
    error = ops.where(is_known, y, 0.0)[:, :, None] - blocks
    pinball = ops.mean(ops.maximum(levels * error, (levels - 1) * error), axis=2)
    known = ops.cast(is_known, quantiles.dtype)
    return ops.sum(pinball * known, axis=1) / ops.maximum(ops.sum(known, axis=1), 1.0)


def _build_pinball(loss: Loss) -> OutputLoss:
    """Mean pinball loss over the levels that are learned beside the one asked for: quantiles (n, q)."""
    level_values = list_quantile_levels(loss)

    def compute(quantiles: Any, y: Any) -> Any:
        levels, error = ops.convert_to_tensor(level_values, dtype=quantiles.dtype), y - quantiles
        return ops.mean(ops.maximum(levels * error, (levels - 1) * error), axis=1)

    return compute


def _build_tweedie(power: float) -> OutputLoss:
    """Half the deviance, less what no output changes, of logarithms of means; power 1 is Poisson's."""

    def compute(raw: Any, y: Any) -> Any:
        log_mean, label = raw[:, 0], y[:, 0]
        if power == 1.0:
            return ops.exp(log_mean) - label * log_mean
        return ops.exp((2 - power) * log_mean) / (2 - power) - label * ops.exp((1 - power) * log_mean) / (1 - power)

    return compute


OUTPUT_LOSSES: Mapping[str, Callable[[Loss], OutputLoss]] = {
    "binary": lambda loss: _compute_log_loss,
    "multiclass": lambda loss: _compute_class_loss,
    "hazard": lambda loss: _compute_hazard_loss,
    "quantiles": lambda loss: _compute_quantile_loss,
    "squared": lambda loss: lambda raw, y: (raw[:, 0] - y[:, 0]) ** 2,
    "absolute": _build_pinball,
    "quantile": _build_pinball,
    "poisson": lambda loss: _build_tweedie(1.0),
    "tweedie": lambda loss: _build_tweedie(loss.power or EVALUATION_POWER),
}
"""By the name of what a kind of target makes small."""


def build_training_loss(objective: str, loss: Loss, label_smoothing: float) -> OutputLoss:
    """The loss of an objective, of whose label a share is spread over all classes. Raises UserError for labels that are none."""
    if not label_smoothing:
        return OUTPUT_LOSSES[objective](loss)
    if objective not in SMOOTHED_LOSSES:
        raise UserError(f"label_smoothing is {label_smoothing:g}, and labels of {objective} are no classes; leave it at 0.")
    return SMOOTHED_LOSSES[objective](label_smoothing)


SMOOTHED_LOSSES: Mapping[str, Callable[[float], OutputLoss]] = {
    "binary": lambda share: lambda raw, y: _compute_log_loss(raw, y * (1 - share) + share / 2),
    "multiclass": lambda share: (
        lambda raw, y: (1 - share) * _compute_class_loss(raw, y) - share * ops.mean(ops.log_softmax(raw, axis=1), axis=1)
    ),
}
"""By objective, of the share."""
