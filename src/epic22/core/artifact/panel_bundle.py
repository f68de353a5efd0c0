"""The artifact of a forecast: forecasters, their weights, the intervals' state and the series' last values; no pickle.

It is sealed and audited as every bundle is. The golden forecasts written with it are made again when it is opened.
"""

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from epic22.core.artifact.sealed import (
    GOLDEN_TOLERANCE,
    ModelSchema,
    TrainedBundle,
    library_versions,
    read_sealed_folder,
    write_sealed_folder,
)
from epic22.core.data.number_format import NUMBER_FORMAT_VIEW
from epic22.core.data.panel_examples import get_frequency_and_horizon
from epic22.core.data.period_times import PanelReading, PeriodReading
from epic22.core.data.task_data import PanelTaskData
from epic22.core.errors import BundleError, UnknownTaskError
from epic22.core.evaluation.adaptive_conformal import AdaptiveState, IntervalState, StretchedState
from epic22.core.lineage import canonical_json, sha256
from epic22.core.models.panel.base import MEDIAN_INDEX, QUANTILE_LEVELS, Forecaster
from epic22.core.models.panel.catalog import get_panel_family
from epic22.core.serialization import collect_views, to_json, view
from epic22.core.time_series import Array, Frequency, Histories, get_frequency

DATA_TYPE = "panel"
GOLDEN_SERIES = 4
HISTORY = "history.parquet"
NAIVE = "naive"


@dataclass(frozen=True)
class PanelSchema(ModelSchema):
    """What a bundle knows of its task: enough to read a request and to name the answer.

    `reading` is how the file that it was trained on was read; None for those of earlier versions.
    """

    unit: str | None
    frequency: str
    season: int
    horizon: int
    layout: str
    id: tuple[str, ...]
    time: str
    reading: PanelReading | None = None

    @classmethod
    def of(cls, data: PanelTaskData) -> "PanelSchema":
        """The schema of a forecasting task."""
        task = data.task
        frequency, horizon = get_frequency_and_horizon(task)
        return cls(
            task.name,
            task.about,
            task.target.name,
            task.target.unit,
            frequency.name,
            data.season,
            horizon,
            data.layout,
            data.id,
            data.time,
            data.reading,
        )

    @property
    def has_floor(self) -> bool:
        """Whether forecasts end at zero where series do; those of earlier versions, without a reading, go on as they did."""
        return self.reading is not None

    @property
    def periods(self) -> Frequency:
        """The frequency."""
        return get_frequency(self.frequency)


@dataclass(frozen=True)
class PanelForecast:
    """Forecasts of n series: `quantiles` (n, horizon, q).

    `member_medians` (m, n, horizon) are the forecasters' medians, in the order of `member_names`, with `weights` (horizon, m).
    """

    quantiles: Array
    member_medians: Array
    member_names: tuple[str, ...]
    weights: Array

    @property
    def median(self) -> Array:
        """The point forecasts, (n, horizon)."""
        return np.asarray(self.quantiles[:, :, MEDIAN_INDEX])


@dataclass(frozen=True)
class PanelBundle(TrainedBundle):
    """An opened forecast. `weights` (horizon, forecasters) in the order of `forecasters`; `history` the series as last known."""

    schema: PanelSchema
    forecasters: Mapping[str, Forecaster]
    weights: Array
    state: IntervalState
    history: Histories

    def forecast(self, histories: Histories) -> PanelForecast:
        """Medians by the weights, intervals by the members' widths and the state."""
        names = tuple(self.forecasters)
        members = np.stack([f.predict_quantiles(histories) for f in self.forecasters.values()])
        quantiles = self.state.compute_quantiles(members, self.weights)
        return PanelForecast(quantiles, members[..., MEDIAN_INDEX], names, self.weights)

    @cached_property
    def is_never_negative(self) -> bool:
        """Whether no value of any series was below zero, as far as it is known."""
        return not bool((self.history.build_known_values() < 0).any())

    @cached_property
    def is_whole(self) -> bool:
        """Whether every value of every series was a whole number, as far as it is known."""
        known = self.history.build_known_values()
        return bool(np.isfinite(known).any()) and bool(((known == np.round(known)) | np.isnan(known)).all())

    def files(self) -> dict[str, bytes]:
        """The forecasters and the series as last known."""
        files = {
            f"model/{name}/{file}": content
            for name, forecaster in self.forecasters.items()
            for file, content in forecaster.files().items()
        }
        return files | {HISTORY: _history_bytes(self.history)}


SCHEMA_KEYS = "task about target unit frequency season horizon layout id time"

HASHED_VIEWS = collect_views(
    view(PanelSchema, SCHEMA_KEYS),
    view(
        PanelBundle,
        "family order weights factors=state.factors stretches?=state.stretches coverage?=state.coverage schema "
        "history seed data_version",
        order=lambda bundle: list(bundle.forecasters),
        history=lambda bundle: sha256(
            np.ascontiguousarray(bundle.history.lines).tobytes(), "\n".join(map(str, bundle.history.entity)).encode()
        ),
    ),
)
"""What of a forecast is hashed beside the trained bytes."""

MANIFEST_VIEWS = collect_views(
    NUMBER_FORMAT_VIEW,
    view(PanelSchema, f"{SCHEMA_KEYS} reading?"),
    view(PeriodReading, "notation zoned midnights?"),
    view(
        PanelBundle,
        "kind family status schema forecasters weights factors=state.factors stretches?=state.stretches "
        "coverage?=state.coverage levels history_first=history.first model_hash data_version seed made_with",
        kind=lambda bundle: DATA_TYPE,
        forecasters=lambda bundle: list(bundle.forecasters),
        levels=lambda bundle: QUANTILE_LEVELS,
        made_with=lambda bundle: library_versions(),
    ),
)
"""What the manifest says of a forecast."""


def compute_panel_model_hash(bundle: PanelBundle) -> str:
    """SHA-256 of the trained bytes and what goes with them, by `HASHED_VIEWS`; no time, path, run id or library version."""
    parts: list[bytes] = []
    for name in sorted(bundle.forecasters):
        files = bundle.forecasters[name].files()
        parts += [part for file in sorted(files) for part in (f"{name}/{file}".encode(), files[file])]
    return sha256(*parts, canonical_json(to_json(bundle, HASHED_VIEWS)))


def write_panel_bundle(folder: Path, bundle: PanelBundle) -> None:
    """Write the bundle into an empty folder, a few forecasts with it. Raises BundleError where one of them is no number."""
    golden_series = bundle.history.take(np.arange(min(GOLDEN_SERIES, len(bundle.history))))
    quantiles = bundle.forecast(golden_series).quantiles
    if not np.isfinite(quantiles).all():
        raise BundleError(f"task {bundle.schema.task}: {bundle.family} forecasts what is no number; nothing was written.")
    golden = {"golden.json": canonical_json({"quantiles": quantiles.tolist()})}
    write_sealed_folder(folder, to_json(bundle, MANIFEST_VIEWS), bundle.files() | golden)


def _history_bytes(history: Histories) -> bytes:
    """Each series' values as far as it is known, so that its origin is stored with it."""
    columns = {"entity": history.entity.astype(str), "values": [values.tolist() for values in history.iterate_known_values()]}
    table = pl.DataFrame(columns, schema_overrides={"values": pl.List(pl.Float64)})
    content = io.BytesIO()
    table.write_parquet(content)
    return content.getvalue()


def open_panel_bundle(folder: Path, manifest: dict[str, Any] | None = None) -> PanelBundle:
    """The forecast in a folder, audited before anything is constructed; its manifest is read unless it is given.

    Raises BundleError naming the folder and what is wrong with it, as `open_bundle` does.
    """
    manifest, files = read_sealed_folder(folder, DATA_TYPE, (HISTORY, "golden.json"), manifest)
    try:
        bundle = _build_bundle(manifest, files)
    except (KeyError, TypeError, ValueError, UnknownTaskError, pl.exceptions.PolarsError) as error:
        raise BundleError(f"{folder}: the manifest does not describe a forecast this version can open ({error}).") from error
    if compute_panel_model_hash(bundle) != manifest["model_hash"]:
        raise BundleError(f"{folder}: the model is not the one its manifest names; restore it from its source or train again.")
    golden = np.array(json.loads(files["golden.json"])["quantiles"])
    recomputed = bundle.forecast(bundle.history.take(np.arange(len(golden)))).quantiles
    if not np.allclose(recomputed, golden, rtol=GOLDEN_TOLERANCE, atol=GOLDEN_TOLERANCE):
        raise BundleError(
            f"{folder}: golden forecasts come out otherwise; this machine computes otherwise, so it is not served here."
        )
    return bundle


def _build_bundle(manifest: Mapping[str, Any], files: Mapping[str, bytes]) -> PanelBundle:
    stored = manifest["schema"]
    reading = PanelReading.restore(stored["reading"]) if "reading" in stored else None
    schema = PanelSchema(**{**stored, "id": tuple(stored["id"]), "reading": reading})
    if tuple(manifest["levels"]) != QUANTILE_LEVELS:
        raise ValueError(f"quantiles {manifest['levels']}, this version has {QUANTILE_LEVELS}")
    forecasters = {}
    for name in manifest["forecasters"]:
        prefix = f"model/{name}/"
        model_files = {path.removeprefix(prefix): content for path, content in files.items() if path.startswith(prefix)}
        forecasters[name] = get_panel_family(name).restore(model_files)
    table = pl.read_parquet(io.BytesIO(files[HISTORY]))
    history = Histories.of_known_values(
        table["values"].to_list(), table["entity"].to_numpy(), manifest["history_first"], schema.periods
    )
    return PanelBundle(
        schema=schema,
        family=manifest["family"],
        forecasters=forecasters,
        weights=np.array(manifest["weights"], dtype=np.float64),
        state=_restore_state(manifest),
        history=history,
        status=manifest["status"],
        model_hash=manifest["model_hash"],
        data_version=manifest["data_version"],
        seed=manifest["seed"],
    )


def _restore_state(manifest: Mapping[str, Any]) -> IntervalState:
    """How the intervals are made: earlier versions stored no stretches, and had widths that did not follow the weights."""
    factors, names = tuple(manifest["factors"]), list(manifest["forecasters"])
    if "stretches" in manifest:
        return StretchedState(factors, tuple(manifest["stretches"]), tuple(manifest["coverage"]))
    return AdaptiveState(factors, tuple(i for i, name in enumerate(names) if name != NAIVE or len(names) == 1))
