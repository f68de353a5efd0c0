"""Networks over all series at once: what the damped drift leaves, read from a series' last changes, as far as that is borne out.

A row is a series at an origin. Its steps are the one-period changes of its window in its own volatility, beside their place in
the cycle where the panel has one; its labels are what the damped drift leaves of the changes to all horizons, of which one head
gives quantiles. How far the answer is believed is a number a horizon, from 0, the damped drift alone, to 1.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from epic22.core.lineage import canonical_json
from epic22.core.models.base import never_expires, require_library
from epic22.core.models.loss import SQUARED
from epic22.core.models.networks.estimator import choose_batch_size
from epic22.core.models.networks.exportable import ScoringNetwork
from epic22.core.models.networks.graph_session import GraphSession
from epic22.core.models.networks.jobs import NetworkRows, TrainingJob, TrainingSettings
from epic22.core.models.networks.specification import (
    ConvolutionLayers,
    LstmLayers,
    NetworkColumns,
    NetworkSpec,
    TransformerLayers,
)
from epic22.core.models.networks.training_process import train_network_rows
from epic22.core.models.panel.base import MEDIAN_INDEX, QUANTILE_LEVELS, Forecaster, PanelFamily, sort_quantiles
from epic22.core.models.panel.linear import select_training_rows
from epic22.core.models.panel.log_growth import LogGrowth, window_length
from epic22.core.models.panel.naive import forecast_damped_drift
from epic22.core.models.panel.residual_quantiles import MIN_ERRORS, ResidualQuantiles
from epic22.core.time_series import Array, Histories

STATE_FILE, GRAPH_FILE = "network.json", "score.onnx"
LIBRARIES, EXTRA = ("torch", "onnx", "onnxscript", "onnxruntime"), "neural"
MAX_STEPS = 60
"""Changes before these are not read: a recurrent network's time grows with each."""

MAX_ROWS = 100_000
"""Rows of series × origin; more are thinned evenly over series and time."""

MIN_ROWS = 100
MAX_ERROR = 6.0
"""Labels are cut here, in mean absolute labels of their horizon: a broken value must not bend the network."""

MIN_SPAN = 12
"""Periods of last origins, or a cycle where that is longer, that are held out while the epochs are found."""

EXACT = 1e-6
"""Mean labels of less than this, in volatilities, are of the arithmetic."""

MIN_GAIN = 0.02
"""An answer that lessens the damped drift's error on the last origins by less than this share is not believed: less is luck."""

MIN_STRETCHES = 2.0
"""Fewer independent stretches of a horizon than this say nothing of it: what one of them shows the next may undo."""

DAMPING_STEPS = np.linspace(0.0, 1.0, 21)
ROWS_PER_CALL = 4096
SequenceReader = LstmLayers | TransformerLayers | ConvolutionLayers
SETTINGS = TrainingSettings(epochs=20, batch_size=256, learning_rate=3e-3, patience=4)


@dataclass
class PooledNetwork(ResidualQuantiles):
    """The damped drift, and a network of these layers on what it leaves.

    Epochs, damping and the quantiles' widths are found on the last origins, by a network that learned from those a horizon before
    them; one that learned from all origins for as many epochs then answers. Where it lessens no error none is kept, and quantiles
    are the scatter of the damped drift's errors.
    """

    layers: SequenceReader
    season: int
    seed: int = 0
    threads: int = 1

    def fit(self, past: Histories, horizon: int) -> Self:
        """Learn from every earlier origin of every series.

        Raises NotInstalledError without PyTorch or what exports its networks.
        """
        for library in LIBRARIES:
            require_library("a neural network", library, extra=EXTRA)
        self._start_fit(past, horizon)
        self.network_: GraphSession | None = None
        self.label_scale_, self.damping_ = np.ones(horizon), np.zeros(horizon)
        self.widths_ = np.ones((horizon, len(QUANTILE_LEVELS)))
        self.residual_quantiles_ = np.zeros((horizon, len(QUANTILE_LEVELS)))
        rows, targets = select_training_rows(past, horizon)
        is_known = np.flatnonzero(np.isfinite(targets).any(axis=1))
        if len(is_known) > MAX_ROWS:
            is_known = is_known[np.linspace(0, len(is_known) - 1, MAX_ROWS).astype(np.int64)]
        if len(is_known):
            self._fit_network(self.to_growth_space(rows.take(is_known)), targets[is_known])
        if self.network_ is None:
            self._fit_residual_quantiles(past)
        return self

    def _fit_network(self, growth: LogGrowth, targets: Array) -> None:
        """Find out on the late origins what a network is worth, and learn from all where it is worth anything."""
        left = (growth.compute_changes(targets) - self._predict_drift(growth)) / growth.volatility[:, None]
        early, late = split_by_time(growth.histories.origin, max(self.season, MIN_SPAN), self.horizon_)
        if early.sum() < MIN_ROWS or not late.any():
            return
        self.label_scale_ = _compute_scale(left[early])
        labels = np.clip(left / self.label_scale_, -MAX_ERROR, MAX_ERROR)
        X = self._build_columns(growth)
        held_out = NetworkRows(X[late], labels[late])
        trial, epochs = self._train(NetworkRows(X[early], labels[early]), SETTINGS, held_out)
        answers = self._answer(trial, X[late])
        origins = len(np.unique(growth.histories.origin[late]))
        self.damping_ = choose_damping(answers[:, :, MEDIAN_INDEX], labels[late], origins)
        if not self.damping_.any():
            return
        self.widths_ = measure_widths(answers, self.damping_, left[late] / self.label_scale_)
        self.network_, _ = self._train(NetworkRows(X, labels), replace(SETTINGS, epochs=epochs))

    def _train(
        self, rows: NetworkRows, settings: TrainingSettings, held_out: NetworkRows | None = None
    ) -> tuple[GraphSession, int]:
        """A trained network and its epochs: the best ones by held-out rows, else those of the settings."""
        batch_size = choose_batch_size(len(rows.X), settings.batch_size)
        settings = replace(settings, seed=self.seed, batch_size=batch_size)
        job = TrainingJob(self._build_spec(), "quantiles", SQUARED, settings, self.threads)
        trained = train_network_rows(job, rows, held_out, never_expires)
        return GraphSession(trained.score_graph), trained.best_epochs

    def _build_spec(self) -> NetworkSpec:
        steps = np.arange(self.n_steps * len(self.channels)).reshape(self.n_steps, -1)
        columns = NetworkColumns(numbers=(), steps=tuple(tuple(int(column) for column in step) for step in steps))
        n_outputs = self.horizon_ * len(QUANTILE_LEVELS)
        return NetworkSpec(columns, self.layers, n_outputs, "quantiles", len(QUANTILE_LEVELS))

    @property
    def n_steps(self) -> int:
        """How many changes are read."""
        return min(MAX_STEPS, window_length(self.season) - 1)

    @property
    def channels(self) -> tuple[str, ...]:
        """What each step has."""
        return ("change", "sine", "cosine") if self.season > 1 else ("change",)

    @property
    def scoring_network(self) -> ScoringNetwork | None:
        """The network as other programs compute it; None where none is used."""
        return None if self.network_ is None else ScoringNetwork(self._build_spec(), self.network_.graph)

    def build_inputs(self, histories: Histories) -> Array:
        """What the network reads of these histories, (n, steps × channels) float32."""
        return self._build_columns(self.to_growth_space(histories))

    def _build_columns(self, growth: LogGrowth) -> Array:
        """Changes in the row's volatility, beside sine and cosine of their place in the cycle, (n, steps × channels) float32."""
        changes = growth.changes[:, -self.n_steps :] / growth.volatility[:, None]
        channels = [changes]
        if self.season > 1:
            place = growth.histories.origin[:, None] + np.arange(1 - changes.shape[1], 1)[None, :]
            angle = 2 * np.pi * (place % self.season) / self.season
            channels += [np.sin(angle), np.cos(angle)]
        return np.stack(channels, axis=2).reshape(len(changes), -1).astype(np.float32)

    def _answer(self, network: GraphSession, X: Array) -> Array:
        """Quantiles of the labels, (n, horizon, q)."""
        parts = [network.run(X[i : i + ROWS_PER_CALL]) for i in range(0, len(X), ROWS_PER_CALL)]
        raw = np.concatenate(parts) if parts else np.zeros((0, self.horizon_ * len(QUANTILE_LEVELS)))
        return np.asarray(raw.reshape(len(X), self.horizon_, len(QUANTILE_LEVELS)))

    def _predict_drift(self, growth: LogGrowth) -> Array:
        return forecast_damped_drift(growth.z, self.season, self.horizon_)

    def predict_path(self, growth: LogGrowth) -> Array:
        """Changes from the origin, (n, horizon)."""
        if self.network_ is None:
            return self._predict_drift(growth)
        return np.asarray(self._predict_changes(growth, self.network_)[:, :, MEDIAN_INDEX])

    def _predict_changes(self, growth: LogGrowth, network: GraphSession) -> Array:
        """Quantiles of the changes from the origin, (n, horizon, q)."""
        answers = spread_answers(self._answer(network, self._build_columns(growth)), self.damping_, self.widths_)
        unit = growth.volatility[:, None] * self.label_scale_[None, :]
        return np.asarray(self._predict_drift(growth)[:, :, None] + unit[:, :, None] * answers)

    def predict_quantiles(self, histories: Histories) -> Array:
        """The quantiles LEVELS, (n, horizon, q)."""
        if self.network_ is None:
            return super().predict_quantiles(histories)
        growth = self.to_growth_space(histories)
        changes = self._predict_changes(growth, self.network_)
        return sort_quantiles(growth.inverse_transform(growth.z[:, -1:, None] + changes))

    def files(self) -> dict[str, bytes]:
        """The graph with its weights where one was kept, and all else as JSON."""
        learned = {name: getattr(self, f"{name}_").tolist() for name in LEARNED}
        files = {STATE_FILE: canonical_json({**self.to_state(), **learned})}
        return files if self.network_ is None else {**files, GRAPH_FILE: self.network_.graph}


LEARNED = ("label_scale", "damping", "widths")
"""Names of the arrays that a fit finds beside the network."""


def split_by_time(origin: Array, span: int, horizon: int) -> tuple[Array, Array]:
    """Which rows are early and which late, (n,) each: no early row's targets reach a late row's origin."""
    last = origin.max()
    return origin <= last - span - 2 * horizon, origin > last - span - horizon


def _compute_scale(labels: Array) -> Array:
    """The mean absolute label of each horizon, (horizon,); 1 where there is none but of the arithmetic."""
    count = np.isfinite(labels).sum(axis=0)
    scale = np.nansum(np.abs(labels), axis=0) / np.maximum(count, 1)
    return np.where(scale > EXACT, scale, 1.0)


def choose_damping(answers: Array, labels: Array, n_origins: int) -> Array:
    """How far answers (n, horizon) are believed, (horizon,), 0 to 1: the share of them that lessens the absolute error most.

    What `n_origins` neighbouring origins say is drawn to 0 the more, the fewer independent stretches of a horizon they are, and
    is nothing below MIN_STRETCHES; a gain of less than MIN_GAIN is none.
    """
    damping = np.zeros(labels.shape[1])
    for h in range(labels.shape[1]):
        is_known = np.isfinite(labels[:, h])
        stretches = (n_origins - h) / (h + 1)
        if stretches < MIN_STRETCHES or not is_known.any():
            continue
        errors = [float(np.abs(labels[is_known, h] - share * answers[is_known, h]).mean()) for share in DAMPING_STEPS]
        best = int(np.argmin(errors))
        if errors[best] < (1 - MIN_GAIN) * errors[0]:
            damping[h] = DAMPING_STEPS[best] * stretches / (stretches + 1)
    return damping


def spread_answers(answers: Array, damping: Array, widths: Array) -> Array:
    """Answers (n, horizon, q) around their damped median, their distances from it multiplied by widths (horizon, q)."""
    median = answers[:, :, MEDIAN_INDEX, None]
    return np.asarray(damping[None, :, None] * median + widths[None] * (answers - median))


def measure_widths(answers: Array, damping: Array, labels: Array) -> Array:
    """Factors (horizon, q) by which the answers' distances from the median make each quantile hold its share of labels."""
    widths = np.ones(answers.shape[1:])
    distances = answers - answers[:, :, MEDIAN_INDEX, None]
    left = labels - damping * answers[:, :, MEDIAN_INDEX]
    for h in range(answers.shape[1]):
        is_known = np.isfinite(left[:, h])
        if is_known.sum() < MIN_ERRORS:
            continue
        for q, level in enumerate(QUANTILE_LEVELS):
            if q != MEDIAN_INDEX:
                size = np.maximum(np.abs(distances[is_known, h, q]), 1e-6)
                ratio = np.sign(level - 0.5) * left[is_known, h] / size
                widths[h, q] = max(0.0, float(np.quantile(ratio, max(level, 1 - level))))
    return widths


@dataclass(frozen=True)
class NetworkKind:
    """A family of networks: its name, what it is in words, and its layers."""

    name: str
    about: str
    layers: SequenceReader

    def build(self, season: int, seed: int, threads: int) -> Forecaster:
        """An unfitted forecaster."""
        return PooledNetwork(self.layers, season, seed, threads)

    def restore(self, files: Mapping[str, bytes]) -> Forecaster:
        """The forecaster of its files, which answers without PyTorch."""
        state = json.loads(files[STATE_FILE])
        model = PooledNetwork(self.layers, state["season"]).restore_state(state)
        for name in LEARNED:
            setattr(model, f"{name}_", np.array(state[name], dtype=np.float64))
        model.network_ = GraphSession(files[GRAPH_FILE], is_served=True) if GRAPH_FILE in files else None
        return model


KINDS: tuple[NetworkKind, ...] = (
    NetworkKind("pooled_lstm", "a recurrent network", LstmLayers(width=24, depth=1)),
    NetworkKind("pooled_transformer", "attention among patches", TransformerLayers(width=24, depth=1, patch=4, heads=2)),
    NetworkKind("pooled_cnn", "causal convolutions", ConvolutionLayers(width=24, depth=3)),
)

FAMILIES: tuple[PanelFamily, ...] = tuple(
    PanelFamily(
        kind.name,
        f"{kind.about} on what the damped drift leaves, for all series and horizons at once",
        kind.build,
        kind.restore,
        per_series=False,
        slow=True,
        why_equal=" (it kept no network: none lessened the damped drift's errors on its last origins)",
        needs=LIBRARIES[0],
        extra=EXTRA,
        same_bits_for_one_row=False,
    )
    for kind in KINDS
)
