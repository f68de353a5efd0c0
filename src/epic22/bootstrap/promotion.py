"""How a trained model is tracked, promoted or refused, what is kept of it, and where a thing comes from."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from epic22 import __version__
from epic22.bootstrap.components import Components
from epic22.core.errors import UnknownTaskError
from epic22.core.evaluation.fairness import PromotionDecision
from epic22.core.evaluation.significance import Verdict
from epic22.core.lineage import Dataset, ModelVersion, Provenance, Trace
from epic22.core.ports import RunRecord
from epic22.core.serialization import to_json
from epic22.reports.json import VIEWS, VersionedExplanation
from epic22.services.lineage import trace_lineage
from epic22.services.lineage_events import build_model_dataset, emit_lineage
from epic22.services.training_run import TrainingRun


def track_and_promote(
    components: Components, record: RunRecord, verdicts: tuple[Verdict, ...], decision: PromotionDecision | None = None
) -> str:
    """Track the run, then, if the gate lets it pass, make it champion and say so; gives the tracker's id of the run.

    Where the model comes from is kept first, and again with the tracker's id, so that a process killed between leaves no orphan.
    Raises BundleError where the registered version does not open; the champion stays.
    """
    provenance = _build_provenance(components, record)
    components.registry.save_provenance(provenance)
    tracking_id = components.tracker.log_run(record)
    components.registry.save_provenance(replace(provenance, tracking_id=tracking_id))
    if decision is None or decision.promote:
        with emit_lineage(components.lineage, f"promote.{record.version.task}", (build_model_dataset(record.version),)) as work:
            # Opened where it lies: what cannot be opened never takes the place of what can.
            components.registry.load(record.version.task, record.version.version)
            components.registry.promote(record.version.task, record.version.version, verdicts, decision)
            components.tracker.mark_champion(record.version)
            work.outputs.append(Dataset("champion", record.version.task, record.version.version, record.version.model_hash))
    else:
        components.registry.refuse(record.version.task, record.version.version, decision)
    return tracking_id


def _build_provenance(components: Components, record: RunRecord) -> Provenance:
    version, data = record.version, record.data_version
    champion = components.registry.find_champion(version.task)
    return Provenance(
        version.task,
        version.version,
        version.model_hash,
        data.id,
        data.number,
        data.sources,
        None,
        __version__,
        record.parameters["seed"],
        version.made_at,
        None if champion is None else champion.version,
    )


def save_explanation(components: Components, run: TrainingRun, figures: Mapping[str, bytes]) -> None:
    """Keep what the version looks at beside its report, as JSON and pictures; nothing where there is no explanation."""
    if run.explanation is None:
        return
    task, version = run.version.task, run.version.version
    folder = explanation_folder(components, run.version)
    folder.mkdir(exist_ok=True)
    for name, content in figures.items():
        (folder / f"{name}.png").write_bytes(content)
    content = to_json(VersionedExplanation(run.version, run.explanation), VIEWS)
    components.registry.save_explanation(task, version, content)


def explanation_folder(components: Components, version: ModelVersion) -> Path:
    """Where the pictures of a version's explanation are."""
    return components.registry.folder(version.task, version.version) / "explanation"


def load_explanation(
    components: Components, task: str, version: str | None = None
) -> tuple[ModelVersion, Mapping[str, Any], Path]:
    """A version (the champion where None), what it looks at, and where the pictures of that are.

    Raises UnknownTaskError where there is no such version, or it has no explanation.
    """
    champion = components.registry.champion(task) if version is None else None
    model = champion or next((one for one in components.registry.list_versions(task) if one.version == version), None)
    if model is None:
        raise UnknownTaskError(f"task {task!r} has no version {str(version)[:20]!r}.")
    explanation = components.registry.load_explanation(task, model.version)
    if explanation is None:
        raise UnknownTaskError(f"{task} version {model.version} has no explanation; train it again for one.")
    return model, explanation, explanation_folder(components, model)


def trace_back(components: Components, reference: str) -> Trace:
    """What leads to X and what it led to. Raises UserError where X is unknown or can be several things."""
    return trace_lineage(reference, components.table_store, components.registry, components.prediction_log)
