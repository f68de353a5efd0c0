"""How badly a series' last rows come back from an autoencoder of its windows, and the tail probability of that.

A window is a row and the rows before it, as long as a season of 6 to 24 rows, else 24 (see `choose_window`), less its own median,
in the series' robust scale. One network reads the windows of all series, beside their place in the season. Its error is read at
the newest quarter of the window, so that a row that is out of line counts while it is new, and is ranked among the same series'
errors of rows that the network in use had not learned from (`past_sizes`; see there how that holds the false-alarm rate).

The networks are fitted at declared rows: first where two windows have passed and MIN_WINDOWS of them are complete, then each
time that the rows have grown by half. A network learns from rows before the first that it scores, so that what is said of a row
depends on rows up to it alone.

s = series, t = rows, w = rows of a window, m = windows.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from epic22.core.evaluation.past_sizes import PastSizes
from epic22.core.models.base import never_expires, require_library
from epic22.core.models.loss import SQUARED
from epic22.core.models.networks.graph_session import GraphSession
from epic22.core.models.networks.jobs import NetworkRows, TrainingJob, TrainingSettings
from epic22.core.models.networks.specification import AutoencoderLayers, NetworkColumns, NetworkSpec
from epic22.core.models.networks.training_process import train_network_rows
from epic22.core.task import Array

MIN_WINDOW, MAX_WINDOW = 6, 24
BOTTLENECK_SHARE = 4
"""Rows of a window for each unit of the bottleneck."""

NEWEST_SHARE = 4
"""One row in so many of a window is new: there the error is read."""

FIRST_FIT_WINDOWS = 2
MIN_WINDOWS = 128
GROWTH = 1.5
MAX_TRAINING_WINDOWS = 2048
"""More are thinned evenly over time."""

SCALE_SHARE = 0.9
"""A series' scale is what this share of the distances from a window's median stays below: neither a broken value nor quiet
between the peaks of a season makes it."""

MAX_DISTANCE = 5.0
"""Labels are cut here, in the series' scale: a broken value must not bend the network."""

MIN_ERRORS = 20
"""Errors of rows that were not learned from, before the next row can be alarmed."""

MEMORY = 5000
HARMONICS = 2
WINDOWS_PER_CALL = 256
STEPS = 500
"""Steps of a training, in whole epochs: few windows are seen more often."""

SETTINGS = TrainingSettings(batch_size=64, learning_rate=3e-3)
LIBRARIES, EXTRA = ("torch", "onnx", "onnxscript", "onnxruntime"), "neural"


@dataclass(frozen=True)
class WindowPlan:
    """How series are cut into windows: `rows` of a window, and the `season` whose place is seen beside them, None without."""

    rows: int
    season: int | None

    @property
    def newest(self) -> int:
        """Rows at a window's end whose error is read."""
        return max(1, self.rows // NEWEST_SHARE)


def choose_window(season: int | None) -> int:
    """Rows of a window: a season where that is short enough to be seen whole.

    >>> choose_window(12), choose_window(288), choose_window(None), choose_window(4)
    (12, 24, 24, 8)
    """
    if season is None or season > MAX_WINDOW:
        return MAX_WINDOW
    return season * math.ceil(MIN_WINDOW / season)


@dataclass(frozen=True)
class WindowNetwork:
    """A network and the first row that it scores."""

    first_row: int
    network: GraphSession


@dataclass(frozen=True)
class WindowAutoencoder:
    """The networks of a panel, oldest first. They answer by onnxruntime, without what trained them."""

    plan: WindowPlan
    networks: tuple[WindowNetwork, ...]

    @property
    def first_row(self) -> float:
        """The first row that can be alarmed; infinite where the series were too short for a network."""
        return self.networks[0].first_row + MIN_ERRORS if self.networks else math.inf

    def compute_errors(self, values: Array) -> Array:
        """Root mean squared errors at the newest rows of the window that ends with each row, in the series' scale, (s, t) of
        values (s, t); NaN before the first network, and where the row has no value or half of its window none."""
        errors = np.full(values.shape, np.nan)
        ends = [*(one.first_row for one in self.networks), values.shape[1]][1:]
        for one, end in zip(self.networks, ends, strict=True):
            start = one.first_row
            if start < min(end, values.shape[1]):
                scale = compute_scale(values[:, :start], self.plan)
                windows = cut_windows(values[:, start - self.plan.rows + 1 : end], self.plan) / scale[:, None, None]
                errors[:, start:end] = self._compute_block_errors(one.network, windows, start)
        return errors

    def _compute_block_errors(self, network: GraphSession, windows: Array, start: int) -> Array:
        """Errors (s, b) of windows (s, b, w) that end with the rows from `start` on."""
        s, b, w = windows.shape
        # By time, then series, always as many a call: what comes later changes no bit of what came before.
        ordered = windows.transpose(1, 0, 2).reshape(-1, w)
        inputs = add_places(ordered, start + np.arange(len(ordered)) // s, self.plan.season)
        padding = -len(inputs) % WINDOWS_PER_CALL
        padded = np.concatenate([inputs, np.zeros((padding, inputs.shape[1]), np.float32)])
        answers = [network.run(part) for part in np.split(padded, len(padded) // WINDOWS_PER_CALL)]
        newest = (ordered - np.concatenate(answers)[: len(ordered)])[:, -self.plan.newest :]
        is_known = np.isfinite(newest)
        total = np.where(is_known, newest, 0.0) ** 2
        error = np.sqrt(total.sum(axis=1) / np.maximum(is_known.sum(axis=1), 1))
        return np.asarray(np.where(is_scorable(ordered), error, np.nan).reshape(b, s).T)

    def compute_p_values(self, values: Array) -> Array:
        """Each error's tail probability among the series' own past ones, (s, t); 1 before MIN_ERRORS of them are known, NaN
        where there is no error."""
        errors = self.compute_errors(values)
        p_values = np.where(np.isfinite(errors), 1.0, np.nan)
        for row, series in enumerate(errors):
            past = PastSizes(MEMORY)
            for t in np.flatnonzero(np.isfinite(series)):
                if len(past.sizes) >= MIN_ERRORS:
                    p_values[row, t] = past.compute_p_value(float(series[t]))
                past.learn(float(series[t]))
        return p_values


def fit_window_autoencoder(
    values: Array, season: int | None, seed: int = 0, threads: int = 1, step: Callable[[], None] = lambda: None
) -> WindowAutoencoder:
    """The networks of a panel (s, t), with a gap as NaN, each fitted on rows before the first that it scores.

    The same values, seed and platform give the same bits. `step` is called after each fit. Raises NotInstalledError without
    PyTorch or what exports its networks.

    >>> rng = np.random.default_rng(0)
    >>> fitted = fit_window_autoencoder(rng.normal(size=(1, 160)), season=None)
    >>> [one.first_row for one in fitted.networks]
    [151]
    """
    for library in LIBRARIES:
        require_library("an autoencoder", library, extra=EXTRA)
    plan = WindowPlan(choose_window(season), season)
    networks = []
    for first_row in list_fit_rows(values, plan):
        networks.append(WindowNetwork(first_row, _fit_network(values[:, :first_row], plan, seed, threads)))
        step()
    return WindowAutoencoder(plan, tuple(networks))


def list_fit_rows(values: Array, plan: WindowPlan) -> list[int]:
    """The rows before which a network is fitted; none where the series are too short."""
    s, t = values.shape
    if t < plan.rows or not s:
        return []
    complete = is_scorable(cut_windows(values, plan)).sum(axis=0).cumsum()
    begin = int(np.argmax(np.isfinite(values).any(axis=0)))
    enough = np.flatnonzero(complete >= MIN_WINDOWS) + plan.rows
    if not len(enough):
        return []
    rows, row = [], max(int(enough[0]), begin + FIRST_FIT_WINDOWS * plan.rows)
    while row < t:
        rows.append(row)
        row = begin + math.ceil((row - begin) * GROWTH)
    return rows


def _fit_network(past: Array, plan: WindowPlan, seed: int, threads: int) -> GraphSession:
    """A network of the windows of past rows (s, t)."""
    s = len(past)
    windows = cut_windows(past, plan) / compute_scale(past, plan)[:, None, None]
    ordered = windows.transpose(1, 0, 2).reshape(-1, plan.rows)
    known = np.flatnonzero(is_scorable(ordered))
    if len(known) > MAX_TRAINING_WINDOWS:
        known = known[np.linspace(0, len(known) - 1, MAX_TRAINING_WINDOWS).astype(np.int64)]
    X = add_places(ordered[known], plan.rows - 1 + known // s, plan.season)
    y = np.clip(ordered[known], -MAX_DISTANCE, MAX_DISTANCE).astype(np.float32)
    columns = NetworkColumns(numbers=tuple(range(X.shape[1])))
    layers = AutoencoderLayers(bottleneck=max(2, plan.rows // BOTTLENECK_SHARE))
    spec = NetworkSpec(columns, layers, plan.rows, "value")
    epochs = math.ceil(STEPS * SETTINGS.batch_size / len(X))
    job = TrainingJob(spec, "reconstruction", SQUARED, replace(SETTINGS, epochs=epochs, seed=seed), threads)
    return GraphSession(train_network_rows(job, NetworkRows(X, y), None, never_expires).score_graph)


def cut_windows(values: Array, plan: WindowPlan) -> Array:
    """The windows that end with each row from the w-th on, less their medians, (s, t − w + 1, w) of values (s, t)."""
    windows = sliding_window_view(values, plan.rows, axis=1)
    return np.asarray(windows - _compute_medians(windows)[..., None])


def _compute_medians(windows: Array) -> Array:
    """The median of each window's known values; 0 where there is none."""
    ordered = np.sort(windows, axis=-1)
    n = np.isfinite(windows).sum(axis=-1)
    low, high = (np.take_along_axis(ordered, np.maximum(at, 0)[..., None], -1)[..., 0] for at in ((n - 1) // 2, n // 2))
    return np.where(n > 0, (low + high) / 2, 0.0)


def is_scorable(windows: Array) -> Array:
    """Whether the last row of each window (…, w) is known, and at least half of its rows are."""
    is_known = np.isfinite(windows)
    return np.asarray(is_known[..., -1] & (2 * is_known.sum(axis=-1) >= windows.shape[-1]))


def compute_scale(past: Array, plan: WindowPlan) -> Array:
    """How far values usually lie from their window's median, (s,) of past rows (s, t): SCALE_SHARE of them less, the mean where
    that is 0, and 1 for a series that never changed."""
    distances = np.abs(cut_windows(past, plan)).reshape(len(past), -1)
    return np.array([_choose_scale(row[np.isfinite(row)]) for row in distances])


def _choose_scale(distances: Array) -> float:
    if not len(distances):
        return 1.0
    return float(np.quantile(distances, SCALE_SHARE)) or float(np.mean(distances)) or 1.0


def add_places(windows: Array, last_rows: Array, season: int | None) -> Array:
    """Windows (m, w) as a network reads them, float32: beside sines and cosines of the place of their last rows in the season."""
    harmonics = range(1, HARMONICS + 1) if season else range(0)
    angles = [2 * np.pi * k * (last_rows % season) / season for k in harmonics if season]
    places = [wave(angle)[:, None] for angle in angles for wave in (np.sin, np.cos)]
    return np.concatenate([windows, *places], axis=1).astype(np.float32)
