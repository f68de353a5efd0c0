"""Sealed folders: files, and a manifest that lists them with hashes and is sealed by its own; what is in every one of a model."""

import json
import platform
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Any

import numpy as np

from epic22.core.errors import BundleError, describe_storage_fault
from epic22.core.lineage import canonical_json, sha256

FORMAT = "epic22-bundle"
FORMAT_VERSION = 1
MANIFEST = "manifest.json"
MAX_FILE_BYTES = 1 << 30
GOLDEN_TOLERANCE = 1e-5


@dataclass(frozen=True)
class ModelSchema:
    """What every bundle knows of its task, whatever its rows are: its name, the task in a sentence, the target's name."""

    task: str
    about: str
    target: str


@dataclass(frozen=True)
class TrainedBundle(ABC):
    """What every bundle says of itself: what it predicts, its champion's family, whether that is proven, provisional or what the
    fairness gate made of it, the SHA-256 of the trained bytes and what goes with them, the id of the data and the seed."""

    schema: ModelSchema
    family: str
    status: str
    model_hash: str
    data_version: str
    seed: int

    @abstractmethod
    def files(self) -> dict[str, bytes]:
        """The files of the folder, by their names, but for manifest and golden rows: the same model gives the same bytes."""


def library_versions() -> dict[str, str]:
    """The versions that wrote a folder."""
    return {"epic22": version_of("epic22"), "python": platform.python_version(), "numpy": np.__version__}


def write_sealed_folder(folder: Path, manifest: Mapping[str, Any], files: Mapping[str, bytes]) -> None:
    """Write the files and the sealed manifest into a folder that is not there yet."""
    folder.mkdir(parents=True, exist_ok=False)
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    file_entries = {name: {"sha256": sha256(content), "bytes": len(content)} for name, content in sorted(files.items())}
    unsealed = {"format": FORMAT, "format_version": FORMAT_VERSION, **manifest, "files": file_entries}
    sealed = unsealed | {"seal": sha256(canonical_json(unsealed))}
    (folder / MANIFEST).write_text(json.dumps(sealed, indent=2, sort_keys=True, allow_nan=False))


def read_sealed_folder(
    folder: Path, data_type: str, required: tuple[str, ...], manifest: dict[str, Any] | None = None
) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The manifest, read unless it is given, and the files, audited: format, seal, type of data, file list, sizes and hashes.

    Raises BundleError naming the folder and what is wrong with it.
    """
    manifest = read_manifest(folder) if manifest is None else manifest
    if read_data_type(manifest) != data_type:
        raise BundleError(f"{folder}: a bundle of kind {read_data_type(manifest)!r}, not {data_type!r}.")
    return manifest, _verify_files(folder, manifest, required)


def verify_sealed_folder(folder: Path) -> None:
    """Raise BundleError, naming the folder and what is wrong with it, where a file is absent or altered; nothing is opened."""
    _verify_files(folder, read_manifest(folder), ())


def read_data_type(manifest: Mapping[str, Any]) -> str:
    """What a manifest describes: rows scored one by one, unless it says otherwise."""
    return str(manifest.get("kind", "rows"))


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest, its format and seal checked. Raises BundleError."""
    try:
        manifest = json.loads((folder / MANIFEST).read_bytes())
    except FileNotFoundError:
        raise BundleError(f"{folder}: no {MANIFEST}; this is not a bundle of ours, or it was not written to the end.") from None
    except (OSError, ValueError, RecursionError) as error:
        raise BundleError(
            f"{folder}: its {MANIFEST} cannot be read ({_describe_fault(error)}); restore it or train again."
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


def digest_manifest(folder: Path) -> str | None:
    """The SHA-256 of a folder's manifest, which names the digests of all its other files; None where there is no manifest."""
    try:
        return sha256((folder / MANIFEST).read_bytes())
    except FileNotFoundError:
        return None


def list_digests(manifest: bytes) -> dict[str, str]:
    """The digests of the files that the bytes of a manifest name, by their names. Raises ValueError where it names none."""
    try:
        return {str(name): str(entry["sha256"]) for name, entry in json.loads(manifest)["files"].items()}
    except (LookupError, TypeError, AttributeError, RecursionError):
        raise ValueError("no manifest of a sealed folder") from None


def _verify_files(folder: Path, manifest: Mapping[str, Any], required: tuple[str, ...]) -> dict[str, bytes]:
    declared = manifest.get("files")
    if not isinstance(declared, dict) or not set(required) <= set(declared):
        raise BundleError(f"{folder}: its manifest lists no files; restore it or train again.")
    present = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()} - {MANIFEST}
    if present != set(declared):
        difference = ", ".join(sorted(present ^ set(declared)))
        raise BundleError(f"{folder}: files and manifest differ ({difference}); restore it or train again.")
    return {name: _verify_file(folder, name, entry) for name, entry in declared.items()}


def _verify_file(folder: Path, name: str, entry: Any) -> bytes:
    path = folder / name
    if not isinstance(entry, dict):
        raise BundleError(f"{folder}: its manifest says nothing of {name}; restore it or train again.")
    if path.is_symlink() or not path.resolve().is_relative_to(folder.resolve()):
        raise BundleError(f"{folder}: {name} leads outside the bundle; nothing in it was opened.")
    size = path.stat().st_size
    if size != entry.get("bytes") or size > MAX_FILE_BYTES:
        raise BundleError(f"{folder}: {name} has {size} bytes, {entry.get('bytes')} were written; restore it or train again.")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BundleError(f"{folder}: {name} cannot be read ({_describe_fault(error)}); restore it or train again.") from None
    if sha256(content) != entry.get("sha256"):
        raise BundleError(f"{folder}: {name} was altered after it was written; restore it or train again.")
    return content


def _describe_fault(error: Exception) -> str:
    return describe_storage_fault(error) or type(error).__name__
