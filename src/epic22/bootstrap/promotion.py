"""How a trained model is tracked, promoted or refused, what is kept of it, and where a thing comes from."""

import hashlib
import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import structlog

from epic22 import __version__
from epic22.adapters.home import translate_storage_faults
from epic22.bootstrap.components import Components
from epic22.core.errors import UnknownTaskError, UserError
from epic22.core.evaluation.fairness import Override, PromotionDecision
from epic22.core.evaluation.significance import Verdict
from epic22.core.lineage import Dataset, ModelVersion, Provenance, Trace, describe_absent_explanation
from epic22.core.run_record import RunRecord
from epic22.core.serialization import to_json
from epic22.reports.json import VIEWS, VersionedExplanation
from epic22.services.lineage import trace_lineage
from epic22.services.lineage_events import build_model_dataset, emit_lineage
from epic22.services.promote import (
    HandReason,
    choose_previous_champion,
    decide_by_hand,
    find_challenger,
    needs_override,
    refuse_champion,
    refuse_other_champion,
)
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
        # Opened where it lies: what cannot be opened never takes the place of what can.
        components.registry.load(record.version.task, record.version.version)
        _promote(components, record.version, verdicts, decision)
    else:
        components.registry.refuse(record.version.task, record.version.version, decision)
        mirror_versions(components, record.version.task)
    return tracking_id


def _promote(
    components: Components, version: ModelVersion, verdicts: tuple[Verdict, ...], decision: PromotionDecision | None
) -> None:
    """Make a version that was opened champion, in the registry, at the tracker, and in the lineage."""
    with emit_lineage(components.lineage, f"promote.{version.task}", (build_model_dataset(version),)) as work:
        components.registry.promote(version.task, version.version, verdicts, decision)
        mirror_versions(components, version.task)
        work.outputs.append(Dataset("champion", version.task, version.version, version.model_hash))


def mirror_versions(components: Components, task: str) -> None:
    """Have the tracker's aliases of a task follow the registry; where it is away that is said, and the next promotion mends it:
    serving never asks it."""
    champion, challenger = components.registry.find_champion(task), find_challenger(components.registry, task)
    numbers = [None if one is None else one.version for one in (champion, challenger)]
    try:
        components.tracker.mark_versions(task, *numbers)
    except Exception as error:  # noqa: BLE001 - whatever the tracker's libraries raise, the version serves already
        log = structlog.wrap_logger(structlog.PrintLogger(sys.stderr))
        log.warning(
            "the tracking store does not name the champion; the version serves, and the next promotion mends it",
            task=task,
            version=numbers[0],
            reason=str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}",
        )


def promote_version(components: Components, task: str, version: str, reason: str) -> ModelVersion:
    """The version that serves its task from now on, because a person says so, and why; kept in the log of promotions.

    It is opened first. A version that the fairness gate refused needs the key in EPIC22_KEY. Raises UserError for a reason that
    says nothing, for a version that is refused or serves already, and where another came to serve meanwhile, UnknownTaskError
    where there is none, BundleError where it cannot be opened.
    """
    serving = components.registry.find_champion(task)
    refuse_champion(version, serving)
    return _promote_by_hand(components, task, version, HandReason(reason), serving)


def roll_back(components: Components, task: str, version: str | None = None, reason: str = "") -> ModelVersion:
    """The champion before the present one, or that `version` which was champion before, serves from now on; kept in the log.

    Under the same conditions as `promote_version`, but a reason may be left out. Raises UserError where there was no such
    champion, else as that does.
    """
    serving = components.registry.find_champion(task)
    chosen = choose_previous_champion(components.registry, task, version)
    what = "rolled back" if serving is None else f"rolled back from version {serving.version}"
    return _promote_by_hand(components, task, chosen, HandReason(reason.strip() or SERVED_BEFORE, what), serving)


SERVED_BEFORE = "it served before"
"""The reason of a rollback for which none is stated."""


def _promote_by_hand(
    components: Components, task: str, version: str, reason: HandReason, serving: ModelVersion | None
) -> ModelVersion:
    """The version that serves from now on in place of `serving`, opened first, with its own gate of fairness."""
    registry = components.registry
    chosen = registry.load(task, version).version
    override = override_by_key(reason.text) if needs_override(registry, task, version) else None
    decision = decide_by_hand(chosen, reason, override, components.settings.authorised)
    with translate_storage_faults(components.settings.home), registry.lock_champion(task):
        refuse_other_champion(task, serving, registry.find_champion(task))
        _promote(components, chosen, (), decision)
    return chosen


def override_by_key(reason: str | None, environment: Mapping[str, str] = os.environ) -> Override | None:
    """The override that the holder of the key in EPIC22_KEY makes with this reason; None without a reason.

    A key's id is the SHA-256 of its text; which ids may override is in EPIC22_AUTHORISED_KEYS. Raises UserError without a key.
    """
    if reason is None:
        return None
    key = environment.get("EPIC22_KEY")
    if not key:
        raise UserError("--override-reason needs an authorised key in EPIC22_KEY.")
    return Override(hashlib.sha256(key.encode()).hexdigest(), reason)


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
        # Says which versions there are.
        components.registry.load(task, str(version))
        raise UnknownTaskError(f"task {task!r} has no version {str(version)[:20]!r}.")
    explanation = components.registry.load_explanation(task, model.version)
    if explanation is None:
        raise UnknownTaskError(describe_absent_explanation(model))
    return model, explanation, explanation_folder(components, model)


def trace_back(components: Components, reference: str) -> Trace:
    """What leads to X and what it led to. Raises UserError where X is unknown or can be several things."""
    return trace_lineage(reference, components.table_store, components.registry, components.prediction_log)
