"""Which version serves, and how another comes to: by a training that shows it is no worse, or by a person who says why."""

from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import Literal

from epic22.core.errors import BundleError, UnknownTaskError, UserError
from epic22.core.evaluation.fairness import Override, PromotionDecision, find_override_fault
from epic22.core.evaluation.gate_finding import GateFinding
from epic22.core.evaluation.held_out import VersionEvaluation
from epic22.core.lineage import ModelVersion, Provenance
from epic22.core.ports import PromotionRecord, Registry

State = Literal["champion", "former champion", "challenger", "refused", "not promoted", "promotion unfinished"]
"""What a version is to its task; `not promoted`: its training ended before that was decided, `promotion unfinished`: it was
decided, and the process ended before the version served."""


UNFIT = ("refused", "challenger")
"""The statuses of decisions that let no version serve."""
FIRST_VERSION = "1"


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
    promoted = {record.version for record in records if record.status not in UNFIT and not record.is_unfinished}
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


def find_challenger(registry: Registry, task: str) -> ModelVersion | None:
    """The newest challenger of a task that never served; None where the champion is newer, or there is none."""
    champion, last = registry.find_champion(task), {one.version: one for one in _list_readable_decisions(registry, task)}
    for version in reversed(registry.list_versions(task)):
        if version == champion:
            return None
        record = last.get(version.version)
        if record is not None and record.status == "challenger" and _read_state(record) == "challenger":
            return version
    return None


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


@dataclass(frozen=True)
class ModelDetails:
    """A version with all that is said of it: what its gates said when it was trained, and where it comes from."""

    model: RegisteredModel
    gates: tuple[GateFinding, ...]
    provenance: Provenance | None


def describe_model(registry: Registry, task: str, version: str | None = None) -> ModelDetails:
    """A version of a task, the champion where None. Raises UnknownTaskError, BundleError where what is said of it is damaged."""
    number = registry.champion(task).version if version is None else version
    models = list_models(registry, task)
    model = next((one for one in models if one.version.version == number), None)
    if model is None:
        # Says which versions there are.
        registry.load(task, number)
        raise UnknownTaskError(f"task {task!r} has no version {number[:20]!r} that can be read; see 'epic22 models {task}'.")
    return ModelDetails(model, registry.load_gates(task, number), registry.load_provenance(task, number))


def list_history(registry: Registry, task: str) -> tuple[PromotionRecord, ...]:
    """What was decided of the task's versions, oldest first. Raises UnknownTaskError where it has none, BundleError where that
    cannot be read."""
    records = registry.list_decisions(task)
    if not records and not registry.list_versions(task):
        # Says which tasks have some.
        registry.load(task, FIRST_VERSION)
    return records


def trace_champions(records: Sequence[PromotionRecord]) -> tuple[str, ...]:
    """The path of versions that led to the present champion, its last: one that serves again cuts off what came after.

    >>> at = [PromotionRecord(version, "proven", "", "") for version in "12321"]
    >>> trace_champions(at[:3]), trace_champions(at[:4]), trace_champions(at)
    (('1', '2', '3'), ('1', '2'), ('1',))
    """
    path: list[str] = []
    for record in records:
        if record.status in UNFIT or record.is_unfinished:
            continue
        if record.version in path:
            del path[path.index(record.version) :]
        path.append(record.version)
    return tuple(path)


def choose_previous_champion(registry: Registry, task: str, version: str | None = None) -> str:
    """The champion before the present one, or the one named `version`, if that was champion before.

    Raises UserError where there was no such champion, UnknownTaskError where the task has no versions, BundleError where the log
    cannot be read.
    """
    records, champion = list_history(registry, task), registry.find_champion(task)
    if version is not None:
        if champion is not None and version == champion.version:
            raise UserError(f"{_name_serving(champion)}; leave it out to go back to the champion before.")
        if any(one.version == version and one.status not in UNFIT and not one.is_unfinished for one in records):
            return version
        raise UserError(f"{task} version {version[:20]} never served, so there is nothing to go back to; {_name_way(task)}")
    path = [one for one in trace_champions(records) if champion is None or one != champion.version]
    if not path:
        raise UserError(f"task {task}: no version served before; {_name_way(task)}")
    return path[-1]


def refuse_champion(version: str, serving: ModelVersion | None) -> None:
    """Raise UserError where the version that is to serve does so already: nothing would change but the log."""
    if serving is not None and version == serving.version:
        raise UserError(f"{_name_serving(serving)}; nothing was changed. 'epic22 models {serving.task}' lists the others.")


def _name_serving(champion: ModelVersion) -> str:
    return f"{champion.task} version {champion.version} serves already"


def _name_way(task: str) -> str:
    return f"'epic22 models promote {task} VERSION --reason …' lets any version serve, 'epic22 models {task}' lists them."


def needs_override(registry: Registry, task: str, version: str) -> bool:
    """Whether the fairness gate refused the version when that was last decided."""
    decisions = [record for record in registry.list_decisions(task) if record.version == version]
    return bool(decisions) and decisions[-1].needs_override


@dataclass(frozen=True)
class HandReason:
    """Why a person lets a version serve, and what is done, both for the log."""

    text: str
    what: str = "promoted by hand"


def decide_by_hand(
    version: ModelVersion,
    reason: HandReason,
    override: Override | None,
    authorised: Container[str],
) -> PromotionDecision:
    """The decision of a person to promote a version. `override` is given where the fairness gate refused it.

    Raises UserError without a reason, and for an override by a key that may not.
    """
    if not reason.text.strip():
        raise UserError(f"{version.task} version {version.version}: say why it is promoted; the reason is kept in the log.")
    if override is None:
        return PromotionDecision(True, "promoted", f"{reason.what}: {reason.text.strip()}")
    fault = find_override_fault(override, authorised)
    if fault is not None:
        raise UserError(f"{version.task} version {version.version} was refused by the fairness gate: {fault}.")
    return PromotionDecision(True, "overridden", f"{reason.what}: {reason.text.strip()}", override=override)


def refuse_other_champion(task: str, before: ModelVersion | None, now: ModelVersion | None) -> None:
    """Raise UserError where another version serves a task than when its replacement was asked for."""
    if now != before:
        first, second = ("no version" if one is None else f"version {one.version}" for one in (before, now))
        raise UserError(
            f"task {task}: {first} served it when this began, and {second} does now; nothing was changed. "
            f"See 'epic22 models {task}', and promote again if that is still right."
        )
