"""How a trained model is tracked, promoted or refused, what is kept of it, and where a thing comes from."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from epic22 import __version__
from epic22.bootstrap.parts import Parts
from epic22.core.errors import UnknownTaskError
from epic22.core.evaluation.compare import Verdict
from epic22.core.evaluation.fairness import PromotionDecision
from epic22.core.lineage import Dataset, ModelVersion, Provenance, Trace
from epic22.core.ports import RunRecord
from epic22.services.events import model_dataset, told
from epic22.services.explanation import explanation_json
from epic22.services.lineage import trace
from epic22.services.train import TrainingRun


def track_and_promote(
    parts: Parts, record: RunRecord, because: tuple[Verdict, ...], decision: PromotionDecision | None = None
) -> str:
    """Track the run, then, if the gate lets it pass, make it champion and say so; gives the tracker's id of the run.

    Where the model comes from is kept first, and again with the tracker's id, so that a process killed between leaves no orphan.
    """
    provenance = _provenance(parts, record)
    parts.registry.keep_provenance(provenance)
    tracking_id = parts.tracker.record(record)
    parts.registry.keep_provenance(replace(provenance, tracking_id=tracking_id))
    if decision is None or decision.promote:
        with told(parts.lineage, f"promote.{record.version.task}", (model_dataset(record.version),)) as work:
            parts.registry.promote(record.version.task, record.version.version, because, decision)
            parts.tracker.mark_champion(record.version)
            work.outputs.append(Dataset("champion", record.version.task, record.version.version, record.version.model_hash))
    else:
        parts.registry.refuse(record.version.task, record.version.version, decision)
    return tracking_id


def _provenance(parts: Parts, record: RunRecord) -> Provenance:
    version, data = record.version, record.data_version
    before = parts.registry.champion(version.task).version if version.task in parts.registry.tasks() else None
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
        before,
    )


def keep_explanation(parts: Parts, run: TrainingRun, pictures: Mapping[str, bytes]) -> None:
    """Keep what the version looks at beside its report, as JSON and pictures; nothing where there is no explanation."""
    if run.explanation is None:
        return
    task, version = run.version.task, run.version.version
    folder = pictures_folder(parts, run.version)
    folder.mkdir(exist_ok=True)
    for name, content in pictures.items():
        (folder / f"{name}.png").write_bytes(content)
    parts.registry.keep_explanation(task, version, explanation_json(run.explanation, run.version))


def pictures_folder(parts: Parts, version: ModelVersion) -> Path:
    """Where the pictures of a version's explanation are."""
    return parts.registry.folder(version.task, version.version) / "explanation"


def explained(parts: Parts, task: str, version: str | None = None) -> tuple[ModelVersion, Mapping[str, Any], Path]:
    """A version (the champion where None), what it looks at, and where the pictures of that are.

    Raises UnknownTaskError where there is no such version, or it has no explanation.
    """
    named = parts.registry.champion(task) if version is None else None
    chosen = named or next((one for one in parts.registry.history(task) if one.version == version), None)
    if chosen is None:
        raise UnknownTaskError(f"task {task!r} has no version {str(version)[:20]!r}.")
    found = parts.registry.explanation(task, chosen.version)
    if found is None:
        raise UnknownTaskError(f"{task} version {chosen.version} has no explanation; train it again for one.")
    return chosen, found, pictures_folder(parts, chosen)


def trace_back(parts: Parts, x: str) -> Trace:
    """What leads to X and what it led to. Raises UserError where X is unknown or can be several things."""
    return trace(x, parts.versions, parts.registry, parts.receipts)
