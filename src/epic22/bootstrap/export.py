"""A model's network as a file for other programs."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

from epic22.adapters.home import write_atomically
from epic22.adapters.network_files import answer_in_new_process, build_keras_file, build_onnx_file
from epic22.bootstrap.components import Components
from epic22.core.errors import UserError
from epic22.core.lineage import ModelVersion
from epic22.services.export import ExportedNetwork, ExportFormat, export_network, get_export_format

EXPORT_FORMATS = (
    ExportFormat("onnx", ".onnx", build_onnx_file, answer_in_new_process),
    ExportFormat("keras", ".keras", build_keras_file, answer_in_new_process),
)
MODEL_REFERENCE = re.compile(r"(?P<task>[^@]+)(@(?P<version>[^@]+))?")


@dataclass(frozen=True)
class WrittenExport:
    """What was written, of which model, and how its check came out."""

    model: ModelVersion
    network: ExportedNetwork
    path: Path
    description_path: Path


def export_model(
    components: Components, reference: str, form_name: str, output: Path | None = None, member: str | None = None
) -> WrittenExport:
    """Write the network of a model, named TASK (its champion) or TASK@VERSION, and what its inputs and outputs mean beside it.

    Of a combination it is the network of the `member`, or the only one. Without `output` the file is TASK-VERSION in this folder.
    Raises UserError for a format, model or place that cannot be, UnknownTaskError where there is no such model,
    NotInstalledError where a library is absent.
    """
    form = get_export_format(form_name, EXPORT_FORMATS)
    named = MODEL_REFERENCE.fullmatch(reference)
    if named is None:
        raise UserError(f"model {reference!r}: expected TASK or TASK@VERSION, such as churn@3.")
    model = components.registry.load(named["task"], named["version"])
    version = model.version
    path = output or Path(f"{version.task}-{version.version}{form.suffix}")
    if path.suffix != form.suffix:
        raise UserError(f"--output {path}: a file of {form.name} is named with {form.suffix} at its end.")
    bundle_folder = components.registry.folder(version.task, version.version) / "bundle"
    network = export_network(model, lambda one: one.read_golden(bundle_folder), form, path.name, member)
    description_path = path.with_name(f"{path.name}.json")
    description = json.dumps(network.description, ensure_ascii=False, indent=2, allow_nan=False)
    try:
        write_atomically(path, network.content)
        write_atomically(description_path, description.encode())
    except OSError as error:
        raise UserError(f"--output {path} cannot be written ({error.strerror}); name another file.") from None
    return WrittenExport(version, network, path, description_path)
