"""The artifact: a folder with a manifest, the trained model, preprocessing and golden rows; no pickle anywhere.

Opening audits before it constructs: format, file list, sizes and hashes first, then the model hash, then the model, which must
give the golden rows the scores that were written down with them. The training stack is not needed to open one.
"""

import json
import math
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from epic22.core.data.preprocess import Preprocessor
from epic22.core.errors import BundleError, UnknownTaskError
from epic22.core.evaluation.conformal import Band
from epic22.core.lineage import canonical_json, sha256
from epic22.core.models.base import Estimator
from epic22.core.models.catalog import family_named
from epic22.core.task import Column, Kind, Task

FORMAT = "epic22-bundle"
FORMAT_VERSION = 1
MANIFEST = "manifest.json"
GOLDEN_ROWS = 8
GOLDEN_TOLERANCE = 1e-5
MAX_FILE_BYTES = 1 << 30
STORED_ROLES = ("input", "id", "time", "group")


@dataclass(frozen=True)
class Schema:
    """What a bundle knows of its task: enough to read a row and to name the answer."""

    task: str
    about: str
    columns: tuple[Column, ...]
    target: str
    kind: Kind
    classes: tuple[str, ...]
    horizon: float | None
    unit: str | None

    @classmethod
    def of(cls, task: Task) -> "Schema":
        """The schema of a task; labels and what is never an input stay out."""
        columns = tuple(column for column in task.columns if column.role in STORED_ROLES)
        t = task.target
        return cls(task.name, task.about, columns, t.name, t.kind, t.classes, t.horizon, t.unit)

    @property
    def inputs(self) -> tuple[Column, ...]:
        """The model's inputs, in the order of the matrix."""
        return tuple(column for column in self.columns if column.role == "input")


@dataclass(frozen=True)
class Bundle:
    """An opened model: score rows through `preprocessor`, then `estimator`; `band` is the interval around values."""

    schema: Schema
    family: str
    preprocessor: Preprocessor
    estimator: Estimator
    band: Band | None
    status: str
    model_hash: str
    data_version: str
    seed: int
    positive_share: float | None = None


def model_hash(bundle: Bundle) -> str:
    """SHA-256 of the trained bytes and of all that shapes an answer; no time, path, run id or library version is in it."""
    files = bundle.estimator.files()
    parts = [part for name in sorted(files) for part in (name.encode(), files[name])]
    shaping = {
        "family": bundle.family,
        "preprocessing": bundle.preprocessor.state(),
        "inputs": [asdict(column) for column in bundle.schema.inputs],
        "classes": list(bundle.schema.classes),
        "conformal": asdict(bundle.band) if bundle.band else None,
        "seed": bundle.seed,
        "data_version": bundle.data_version,
    }
    return sha256(*parts, canonical_json(shaping))


def write_bundle(folder: Path, bundle: Bundle, golden: pl.DataFrame) -> None:
    """Write the bundle into an empty folder; `golden` are a few rows of inputs whose scores are written with them."""
    folder.mkdir(parents=True, exist_ok=False)
    files = {f"model/{name}": content for name, content in bundle.estimator.files().items()}
    files["preprocessing.json"] = canonical_json(bundle.preprocessor.state())
    files["golden.json"] = canonical_json(_golden(bundle, golden.head(GOLDEN_ROWS)))
    for name, content in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)
    manifest = _manifest(bundle) | {
        "files": {name: {"sha256": sha256(content), "bytes": len(content)} for name, content in sorted(files.items())}
    }
    sealed = manifest | {"seal": sha256(canonical_json(manifest))}
    (folder / MANIFEST).write_text(json.dumps(sealed, indent=2, sort_keys=True, allow_nan=False))


def _golden(bundle: Bundle, rows: pl.DataFrame) -> dict[str, Any]:
    raw = bundle.estimator.raw(bundle.preprocessor.transform(rows))
    return {"rows": [to_json(row) for row in rows.to_dicts()], "raw": np.asarray(raw, dtype=np.float64).tolist()}


def to_json(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row's values as JSON has them: times as ISO 8601, missing and NaN as null."""
    return {name: _plain(value) for name, value in row.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    return None if isinstance(value, float) and math.isnan(value) else value


def from_json(row: Mapping[str, Any], columns: tuple[Column, ...]) -> dict[str, Any]:
    """The values a JSON row stands for, in the types of the columns."""
    times = {column.name for column in columns if column.dtype == "time"}
    return {k: datetime.fromisoformat(v) if k in times and isinstance(v, str) else v for k, v in row.items()}


def _manifest(bundle: Bundle) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "family": bundle.family,
        "status": bundle.status,
        "schema": asdict(bundle.schema),
        "conformal": asdict(bundle.band) if bundle.band else None,
        "model_hash": bundle.model_hash,
        "data_version": bundle.data_version,
        "seed": bundle.seed,
        "positive_share": bundle.positive_share,
        "made_with": {"epic22": version_of("epic22"), "python": platform.python_version(), "numpy": np.__version__},
    }


def open_bundle(folder: Path) -> Bundle:
    """The bundle in a folder, audited before anything is constructed.

    Raises BundleError naming the folder and what is wrong with it: absent, foreign, of a newer format, a file missing,
    truncated, added or altered, a model hash that does not match, golden rows that score otherwise.
    """
    manifest = _read_manifest(folder)
    files = _audited_files(folder, manifest)
    try:
        bundle = _construct(manifest, files)
    except (KeyError, TypeError, ValueError, UnknownTaskError) as error:
        raise BundleError(f"{folder}: the manifest does not describe a model this version can open ({error}).") from error
    if model_hash(bundle) != manifest["model_hash"]:
        raise BundleError(f"{folder}: the model is not the one its manifest names; restore it from its source or train again.")
    _rescore(folder, bundle, json.loads(files["golden.json"]))
    return bundle


def _read_manifest(folder: Path) -> dict[str, Any]:
    try:
        manifest = json.loads((folder / MANIFEST).read_bytes())
    except FileNotFoundError:
        raise BundleError(f"{folder}: no {MANIFEST}; this is not a bundle of ours, or it was not written to the end.") from None
    except (OSError, ValueError) as error:
        raise BundleError(
            f"{folder}: its {MANIFEST} cannot be read ({type(error).__name__}); restore it or train again."
        ) from None
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise BundleError(f"{folder}: not an {FORMAT}; nothing in it was opened.")
    if manifest.get("format_version") != FORMAT_VERSION:
        raise BundleError(
            f"{folder}: format version {manifest.get('format_version')}, this program reads {FORMAT_VERSION}; "
            "open it with the version that wrote it."
        )
    seal = manifest.pop("seal", None)
    if seal != sha256(canonical_json(manifest)):
        raise BundleError(f"{folder}: its {MANIFEST} was altered after it was written; restore it or train again.")
    return manifest


def _audited_files(folder: Path, manifest: Mapping[str, Any]) -> dict[str, bytes]:
    declared = manifest.get("files")
    if not isinstance(declared, dict) or "golden.json" not in declared or "preprocessing.json" not in declared:
        raise BundleError(f"{folder}: its manifest lists no files; restore it or train again.")
    present = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()} - {MANIFEST}
    if present != set(declared):
        odd = ", ".join(sorted(present ^ set(declared)))
        raise BundleError(f"{folder}: files and manifest differ ({odd}); restore it or train again.")
    return {name: _audited(folder, name, wanted) for name, wanted in declared.items()}


def _audited(folder: Path, name: str, wanted: Any) -> bytes:
    path = folder / name
    if not isinstance(wanted, dict):
        raise BundleError(f"{folder}: its manifest says nothing of {name}; restore it or train again.")
    if path.is_symlink() or not path.resolve().is_relative_to(folder.resolve()):
        raise BundleError(f"{folder}: {name} leads outside the bundle; nothing in it was opened.")
    size = path.stat().st_size
    if size != wanted.get("bytes") or size > MAX_FILE_BYTES:
        raise BundleError(f"{folder}: {name} has {size} bytes, {wanted.get('bytes')} were written; restore it or train again.")
    content = path.read_bytes()
    if sha256(content) != wanted.get("sha256"):
        raise BundleError(f"{folder}: {name} was altered after it was written; restore it or train again.")
    return content


def _construct(manifest: Mapping[str, Any], files: Mapping[str, bytes]) -> Bundle:
    stored = manifest["schema"]
    columns = tuple(Column(**{**column, "levels": tuple(column["levels"])}) for column in stored["columns"])
    schema = Schema(**{**stored, "columns": columns, "classes": tuple(stored["classes"])})
    model_files = {name.removeprefix("model/"): content for name, content in files.items() if name.startswith("model/")}
    return Bundle(
        schema=schema,
        family=manifest["family"],
        preprocessor=Preprocessor.restore(schema.inputs, json.loads(files["preprocessing.json"])),
        estimator=family_named(manifest["family"]).restore(model_files),
        band=Band(**manifest["conformal"]) if manifest["conformal"] else None,
        status=manifest["status"],
        model_hash=manifest["model_hash"],
        data_version=manifest["data_version"],
        seed=manifest["seed"],
        positive_share=manifest["positive_share"],
    )


def _rescore(folder: Path, bundle: Bundle, golden: Mapping[str, Any]) -> None:
    for number, (row, raw) in enumerate(zip(golden["rows"], golden["raw"], strict=True), start=1):
        values = from_json(row, bundle.schema.inputs)
        found = bundle.estimator.raw(bundle.preprocessor.transform_row(values))[0]
        if not np.allclose(found, raw, rtol=GOLDEN_TOLERANCE, atol=GOLDEN_TOLERANCE):
            raise BundleError(
                f"{folder}: golden row {number} scores {found}, {raw} was written; "
                "this machine computes otherwise, so the model is not served here."
            )
