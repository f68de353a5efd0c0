"""A bundle as a model that MLflow opens: `mlflow.pyfunc.load_model("models:/TASK@champion")`, without a pickle.

Beside the bundle lie an `MLmodel` that names the module of ours which opens it, the version's own facts, an example of a request,
and what must be installed. None of these files holds code or anything that is unpickled.
"""

import json
import platform
from datetime import UTC, datetime
from importlib.metadata import version as version_of
from typing import Any

from epic22 import __version__
from epic22.core.run_record import InputRecord, RunRecord
from epic22.core.serialization import to_json

MODEL = "model"
"""The folder of the model among a run's files."""

LOADER = "epic22.bootstrap.pyfunc"
"""The module that opens it: where tables are read and bundles are opened in one place."""

VERSION_FILE, BUNDLE = "version.json", "bundle"
EXAMPLE = "input_example.json"


def build_model_files(record: RunRecord, run: str) -> dict[str, bytes]:
    """The files beside the bundle, by their names among the run's."""
    files: dict[str, Any] = {
        "MLmodel": _build_description(record, run),
        VERSION_FILE: to_json(record.version),
    }
    if record.inputs is not None:
        example = record.inputs.example
        files[EXAMPLE] = {"columns": list(example), "data": [list(example.values())]}
    contents = {name: json.dumps(value, indent=2, ensure_ascii=False).encode() for name, value in files.items()}
    contents["requirements.txt"] = f"epic22=={__version__}\n".encode()
    return {f"{MODEL}/{name}": content for name, content in contents.items()}


def _build_description(record: RunRecord, run: str) -> dict[str, Any]:
    """The MLmodel, in JSON, which is YAML too."""
    version = record.version
    description: dict[str, Any] = {
        "artifact_path": MODEL,
        "flavors": {"python_function": {"loader_module": LOADER, "python_version": platform.python_version()}},
        "metadata": {"task": version.task, "version": version.version, "model_hash": version.model_hash},
        "mlflow_version": version_of("mlflow"),
        "run_id": run,
        "utc_time_created": datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S.%f"),
    }
    if record.inputs is None:
        return description
    description["saved_input_example_info"] = {"artifact_path": EXAMPLE, "type": "dataframe", "pandas_orient": "split"}
    return description | _describe_columns(record.inputs)


def _describe_columns(inputs: InputRecord) -> dict[str, Any]:
    """The signature, where there are columns: which there are and which must be there.

    No types: rows are read as `epic22 predict` reads them, which takes numbers in texts, and MLflow would refuse those.
    """
    if not inputs.columns:
        return {}
    columns = [{"name": name, "type": "any", "required": required} for name, required in inputs.columns.items()]
    return {"signature": {"inputs": json.dumps(columns), "outputs": None, "params": None}}
