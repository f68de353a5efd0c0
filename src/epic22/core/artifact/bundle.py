"""The artifact: a folder with a manifest, the trained model, preprocessing and golden rows; no pickle anywhere.

Opening audits before it constructs: format, file list, sizes and hashes first, then the model hash, then the model, which must
give the golden rows the scores that were written down with them. The training stack is not needed to open one.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
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
from epic22.core.column import ColumnReading, NumberFormat
from epic22.core.data.names import compose_accents
from epic22.core.data.number_format import HASHED_NUMBER_FORMAT_VIEW, NUMBER_FORMAT_VIEW
from epic22.core.data.preprocess import PREPROCESSING_VIEWS, Preprocessor
from epic22.core.errors import BundleError, UnknownTaskError
from epic22.core.evaluation.calibration import CALIBRATION_VIEW, Calibration
from epic22.core.evaluation.conformal import CONFORMAL_VIEWS, ClassSets, ConformalInterval, restore_interval
from epic22.core.evaluation.risk_bands import RiskBands
from epic22.core.lineage import canonical_json, sha256
from epic22.core.models.base import BaseEstimator
from epic22.core.models.catalog import get_family
from epic22.core.serialization import to_json, view
from epic22.core.targets import TargetKind, get_kind
from epic22.core.task import Array, Column, Kind, LossName, Task

DATA_TYPE = "rows"
GOLDEN = "golden.json"
GOLDEN_ROWS = 8
STORED_ROLES = ("input", "id", "time", "group")


@dataclass(frozen=True)
class Schema(ModelSchema):
    """What a bundle knows of its task: enough to read a row and to name the answer.

    `horizons` are those of a hazard, each of which gets an answer; `horizon` is the one that decides. `stake_column` is the input
    that is the money at stake, `offset` the input that the value grows with. No answer lies below `floor`, where there is one.
    """

    columns: tuple[Column, ...]
    kind: Kind
    classes: tuple[str, ...]
    horizon: float | None
    unit: str | None
    stake_column: str | None = None
    loss: LossName = "squared"
    log: bool = False
    horizons: tuple[float, ...] = ()
    offset: str | None = None
    floor: float | None = None

    @classmethod
    def of(cls, task: Task) -> "Schema":
        """The schema of a task; labels and what is never an input stay out. Which columns are steps of a sequence is known to the
        model that reads them as such; a row is asked for like any other."""
        columns = tuple(replace(column, step=None) for column in task.columns if column.role in STORED_ROLES)
        t = task.target
        return cls(
            task.name,
            task.about,
            t.name,
            columns,
            t.kind,
            t.classes,
            t.horizon,
            t.unit,
            task.stake_column,
            t.loss,
            bool(t.log),
            t.horizons if t.traits.is_time_to_event else (),
            t.offset,
            t.floor,
        )

    @property
    def traits(self) -> TargetKind:
        """What follows from the kind of target."""
        return get_kind(self.kind, self.loss)

    @property
    def inputs(self) -> tuple[Column, ...]:
        """The model's inputs, in the order of the matrix."""
        return tuple(column for column in self.columns if column.role == "input")

    @property
    def is_log_scale(self) -> bool:
        """Whether raw scores are logarithms of the value, so that reasons multiply it."""
        return self.traits.is_regression and (self.log or self.traits.has_log_link)

    @property
    def score_unit(self) -> str:
        """What raw scores and reasons are measured in."""
        return self.traits.describe_score_unit(self.target, self.unit, self.horizon, self.is_log_scale)


@dataclass(frozen=True)
class Bundle(TrainedBundle):
    """An opened model: score rows through `preprocessor`, then `estimator`, then, for two classes and hazards, `calibration`.

    `interval` is the one around values, `sets` are the classes the outcome may be of. `costs` are those of a miss and a false
    alarm; a miss is multiplied by the schema's `stake_column` where there is one, and `risk_bands` are cut on the expected loss.
    """

    schema: Schema
    preprocessor: Preprocessor
    estimator: BaseEstimator
    interval: ConformalInterval | None
    positive_share: float | None = None
    calibration: Calibration = field(default_factory=Calibration)
    costs: Mapping[str, float] = field(default_factory=dict)
    risk_bands: RiskBands | None = None
    sets: ClassSets | None = None

    @property
    def floor(self) -> float | None:
        """What no answer lies below: the schema's floor, else, in a bundle of a version before, the end of its intervals."""
        return self.schema.floor if self.schema.floor is not None or self.interval is None else self.interval.floor

    @property
    def coverage(self) -> float | None:
        """The share of outcomes that the interval or the set is made to hold; None for a bundle that has neither."""
        interval_or_set = self.interval or self.sets
        return None if interval_or_set is None else interval_or_set.coverage

    def files(self) -> dict[str, bytes]:
        """The trained model and its preprocessing."""
        files = {f"model/{name}": content for name, content in self.estimator.files().items()}
        return files | {"preprocessing.json": canonical_json(to_json(self.preprocessor, PREPROCESSING_VIEWS))}


DECISION_KEYS = "calibration? costs? risk_bands? sets?"
"""What turns a score into sets and decisions; a bundle that has none of it, as those of the first format, shows none."""


DECISIONS: Mapping[str, Callable[[Bundle], object]] = {
    "calibration": lambda bundle: None if bundle.calibration.method == "none" else bundle.calibration,
    "costs": lambda bundle: bundle.costs or None,
}

COLUMN_KEYS = "name dtype unit low high levels optional role known_when about reading?"

HASHED_VIEWS = {
    **PREPROCESSING_VIEWS,
    **CONFORMAL_VIEWS,
    Calibration: CALIBRATION_VIEW,
    NumberFormat: HASHED_NUMBER_FORMAT_VIEW,
    # A plain reading is left out, so that models of plain tables keep the hash they had before readings were kept.
    Column: view(
        Column,
        COLUMN_KEYS,
        reading=lambda column: None if column.reading is None or column.reading.is_plain else column.reading,
    ),
    Bundle: view(
        Bundle,
        "family preprocessing=preprocessor inputs=schema.inputs classes=schema.classes conformal=interval seed data_version "
        + DECISION_KEYS,
        **DECISIONS,
    ),
}
"""What of a bundle is hashed beside the trained bytes."""

MANIFEST_VIEWS = {
    **CONFORMAL_VIEWS,
    Calibration: CALIBRATION_VIEW,
    NumberFormat: NUMBER_FORMAT_VIEW,
    Column: view(Column, COLUMN_KEYS),
    Schema: view(
        Schema,
        "task about columns target kind classes horizon unit exposure=stake_column loss log horizons offset floor?",
    ),
    Bundle: view(
        Bundle,
        f"family status schema conformal=interval model_hash data_version seed positive_share {DECISION_KEYS} made_with",
        **DECISIONS,
        made_with=lambda bundle: library_versions(),
    ),
}
"""What the manifest says of a bundle."""


def compute_model_hash(bundle: Bundle) -> str:
    """SHA-256 of the trained bytes and what goes with them, by `HASHED_VIEWS`: preprocessing, inputs, classes and decisions.

    Of the target its name, kind, horizons, unit and the columns of stake and offset are not in it, nor is a time, path, run id or
    library version.
    """
    files = bundle.estimator.files()
    parts = [part for name in sorted(files) for part in (name.encode(), files[name])]
    return sha256(*parts, canonical_json(to_json(bundle, HASHED_VIEWS)))


def write_bundle(folder: Path, bundle: Bundle, golden: pl.DataFrame) -> None:
    """Write the bundle into an empty folder; `golden` are a few rows of inputs whose scores are written with them."""
    rows = golden.head(GOLDEN_ROWS)
    # Each row alone, as it is checked when the bundle is opened: a network in a batch may differ in the last bits.
    X = bundle.preprocessor.transform(rows)
    alone = [bundle.estimator.decision_function(X[i : i + 1]) for i in range(len(X))]
    raw = np.concatenate(alone, dtype=np.float64) if alone else np.zeros(0)
    golden_scores = {GOLDEN: canonical_json({"rows": to_json(rows.to_dicts()), "raw": raw.tolist()})}
    write_sealed_folder(folder, to_json(bundle, MANIFEST_VIEWS), bundle.files() | golden_scores)


def open_bundle(folder: Path, manifest: dict[str, Any] | None = None) -> Bundle:
    """The bundle in a folder, audited before anything is constructed; its manifest is read unless it is given.

    Raises BundleError naming the folder and what is wrong with it: absent, foreign, of a newer format, a file missing,
    truncated, added or altered, a model hash that does not match, golden rows that score otherwise.
    """
    manifest, files = read_sealed_folder(folder, DATA_TYPE, (GOLDEN, "preprocessing.json"), manifest)
    try:
        bundle = _build_bundle(manifest, files)
    except (KeyError, TypeError, ValueError, UnknownTaskError) as error:
        raise BundleError(f"{folder}: the manifest does not describe a model this version can open ({error}).") from error
    if compute_model_hash(bundle) != manifest["model_hash"]:
        raise BundleError(f"{folder}: the model is not the one its manifest names; restore it from its source or train again.")
    bundle = _compose_names(bundle)
    _check_golden_rows(folder, bundle, _transform_golden_rows(bundle, json.loads(files[GOLDEN])))
    return bundle


def _build_bundle(manifest: Mapping[str, Any], files: Mapping[str, bytes]) -> Bundle:
    stored = dict(manifest["schema"])
    stored["stake_column"] = stored.pop("exposure", None)
    columns = tuple(_restore_column(column) for column in stored["columns"])
    tuples = {"classes": tuple(stored["classes"]), "horizons": tuple(stored.get("horizons", ()))}
    schema = Schema(**{**stored, "columns": columns, **tuples})
    model_files = {name.removeprefix("model/"): content for name, content in files.items() if name.startswith("model/")}
    return Bundle(
        schema=schema,
        family=manifest["family"],
        preprocessor=Preprocessor.restore(schema.inputs, json.loads(files["preprocessing.json"])),
        estimator=get_family(manifest["family"]).restore(model_files),
        interval=restore_interval(manifest["conformal"]) if manifest["conformal"] else None,
        status=manifest["status"],
        model_hash=manifest["model_hash"],
        data_version=manifest["data_version"],
        seed=manifest["seed"],
        positive_share=manifest["positive_share"],
        calibration=Calibration.restore(manifest["calibration"]) if "calibration" in manifest else Calibration(),
        costs=manifest.get("costs", {}),
        risk_bands=RiskBands.restore(manifest["risk_bands"]) if "risk_bands" in manifest else None,
        sets=ClassSets.restore(manifest["sets"]) if "sets" in manifest else None,
    )


def _compose_names(bundle: Bundle) -> Bundle:
    """The bundle with the names of columns, label and classes as files are read now, accents as parts of their letters.

    Its hash is that of the names as they were; names that would be one stay two.
    """
    schema = bundle.schema
    columns = _map_to_composed([column.name for column in schema.columns])
    classes = _map_to_composed(schema.classes)

    def rename(name: str | None) -> str | None:
        return name if name is None else columns.get(name, name)

    renamed = replace(
        schema,
        target=compose_accents(schema.target),
        columns=tuple(
            replace(column, name=columns.get(column.name, column.name), levels=tuple(map(compose_accents, column.levels)))
            for column in schema.columns
        ),
        classes=tuple(classes.get(name, name) for name in schema.classes),
        stake_column=rename(schema.stake_column),
        offset=rename(schema.offset),
    )
    return replace(bundle, schema=renamed, preprocessor=bundle.preprocessor.rename(columns))


def _map_to_composed(names: Sequence[str]) -> dict[str, str]:
    """The names that are stored otherwise, each with its composed form; none where two of the names have the same."""
    composed = {name: compose_accents(name) for name in names}
    is_one_to_one = len(set(composed.values())) == len(composed)
    return {name: other for name, other in composed.items() if other != name} if is_one_to_one else {}


def _restore_column(stored: Mapping[str, Any]) -> Column:
    """The column that its JSON was written from; versions before kept no reading."""
    reading = ColumnReading.restore(stored["reading"]) if stored.get("reading") else None
    return Column(**{**stored, "levels": tuple(stored["levels"]), "reading": reading})


@dataclass(frozen=True)
class GoldenRows:
    """Rows as the estimator sees them, X (n, p), and the raw scores (n,) or (n, k) that were written down with the model."""

    X: Array
    raw: Array


def read_golden_rows(folder: Path, bundle: Bundle) -> GoldenRows:
    """The golden rows in the folder that a bundle was opened from."""
    return _transform_golden_rows(bundle, json.loads((folder / GOLDEN).read_bytes()))


def _transform_golden_rows(bundle: Bundle, golden: Mapping[str, Any]) -> GoldenRows:
    preprocessor = bundle.preprocessor
    times = {column.name for column in bundle.schema.inputs if column.dtype == "time"}
    X = [np.empty((0, len(preprocessor.outputs)), dtype=np.float32)]
    for row in golden["rows"]:
        values = {**{compose_accents(name): value for name, value in row.items()}, **row}
        values = {k: datetime.fromisoformat(v) if k in times and isinstance(v, str) else v for k, v in values.items()}
        X.append(preprocessor.transform_row(values))
    return GoldenRows(np.concatenate(X), np.array(golden["raw"], dtype=np.float64))


def _check_golden_rows(folder: Path, bundle: Bundle, golden: GoldenRows) -> None:
    for number, (row, raw) in enumerate(zip(golden.X, golden.raw, strict=True), start=1):
        score = bundle.estimator.decision_function(row[None])[0]
        if not np.allclose(score, raw, rtol=GOLDEN_TOLERANCE, atol=GOLDEN_TOLERANCE):
            raise BundleError(
                f"{folder}: golden row {number} scores {score}, {raw} was written; "
                "this machine computes otherwise, so the model is not served here."
            )
