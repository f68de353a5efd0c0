"""Which version serves, and how another comes to: by a training that shows it is no worse, or by a person who says why."""

from collections.abc import Container
from dataclasses import dataclass
from typing import Literal

from epic22.core.errors import BundleError, UserError
from epic22.core.evaluation.fairness import Override, PromotionDecision, find_override_fault
from epic22.core.evaluation.held_out import VersionEvaluation
from epic22.core.lineage import ModelVersion
from epic22.core.ports import PromotionRecord, Registry

State = Literal["champion", "former champion", "challenger", "refused", "not promoted", "promotion unfinished"]
"""What a version is to its task; `not promoted`: its training ended before that was decided, `promotion unfinished`: it was
decided, and the process ended before the version served."""


@dataclass(frozen=True)
class RegisteredModel:
    """A version, what it is to its task, why, and how it was evaluated; None where nothing of that is there to be read."""

    version: ModelVersion
    state: State
    why: str
    evaluation: VersionEvaluation | None


def list_models(registry: Registry, task: str) -> tuple[RegisteredModel, ...]:
    """The versions of a task that can be read, oldest first."""
    champion, records = registry.find_champion(task), _list_readable_decisions(registry, task)
    last = {record.version: record for record in records}
    unfit = ("refused", "challenger")
    promoted = {record.version for record in records if record.status not in unfit and not record.is_unfinished}
    models = []
    for version in registry.list_versions(task):
        record = last.get(version.version)
        state: State = _read_state(record)
        if version == champion:
            state = "champion"
        elif version.version in promoted:
            state = "former champion"
        why = "" if record is None else record.why
        models.append(RegisteredModel(version, state, why, _load_evaluation(registry, version)))
    return tuple(models)


def _list_readable_decisions(registry: Registry, task: str) -> tuple[PromotionRecord, ...]:
    try:
        return registry.list_decisions(task)
    except BundleError:
        # A log that nobody may read hides no version; a promotion, which needs it, is refused.
        return ()


def _load_evaluation(registry: Registry, version: ModelVersion) -> VersionEvaluation | None:
    try:
        return registry.load_evaluation(version.task, version.version)
    except BundleError:
        # A damaged score hides no version; it is compared with nothing that needs it.
        return None


def _read_state(record: PromotionRecord | None) -> State:
    """The state of a version that never was champion."""
    if record is None:
        return "not promoted"
    if record.is_unfinished:
        return "promotion unfinished"
    return "refused" if record.needs_override else "challenger"


def needs_override(registry: Registry, task: str, version: str) -> bool:
    """Whether the fairness gate refused the version when that was last decided."""
    decisions = [record for record in registry.list_decisions(task) if record.version == version]
    return bool(decisions) and decisions[-1].needs_override


def decide_by_hand(
    version: ModelVersion, reason: str, override: Override | None, authorised: Container[str]
) -> PromotionDecision:
    """The decision of a person to promote a version. `override` is given where the fairness gate refused it.

    Raises UserError without a reason, and for an override by a key that may not.
    """
    if not reason.strip():
        raise UserError(f"{version.task} version {version.version}: say why it is promoted; the reason is kept in the log.")
    if override is None:
        return PromotionDecision(True, "promoted", f"promoted by hand: {reason.strip()}")
    fault = find_override_fault(override, authorised)
    if fault is not None:
        raise UserError(f"{version.task} version {version.version} was refused by the fairness gate: {fault}.")
    return PromotionDecision(True, "overridden", f"promoted by hand: {reason.strip()}", override=override)


def refuse_other_champion(task: str, before: ModelVersion | None, now: ModelVersion | None) -> None:
    """Raise UserError where another version serves a task than when its replacement was asked for."""
    if now != before:
        first, second = ("no version" if one is None else f"version {one.version}" for one in (before, now))
        raise UserError(
            f"task {task}: {first} served it when this began, and {second} does now; nothing was changed. "
            f"See 'epic22 models {task}', and promote again if that is still right."
        )
