"""What every registry writes of a version beside its bundle, as JSON or bytes, and how that is read again."""

import io
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

import numpy as np

from epic22.core.errors import BundleError, UnknownTaskError
from epic22.core.evaluation.challenge import Challenge
from epic22.core.evaluation.fairness import FairnessVerdict, GroupShare, PromotionDecision
from epic22.core.evaluation.gate_finding import OUTCOMES, GateFinding
from epic22.core.evaluation.held_out import HeldOutPredictions, VersionEvaluation
from epic22.core.evaluation.power import Power
from epic22.core.evaluation.significance import Verdict
from epic22.core.evaluation.supplementary_tests import TestResult
from epic22.core.lineage import ModelVersion, Provenance
from epic22.core.ports import PromotionRecord
from epic22.core.serialization import collect_views, to_json, view
from epic22.core.statistics import Interval

TASK_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
VERSION_NUMBER = re.compile(r"[1-9][0-9]{0,8}")
GATES_FORMAT = 1
MAX_SHOWN = 10
"""More versions than this are not listed in a message."""
VERSION_KEYS = {field.name for field in fields(ModelVersion)}
UNGATED = {"status": "promoted", "why": "", "fairness": None, "override": None}
"""What is logged where no gate decided."""

REGISTRY_VIEWS = collect_views(
    view(
        PromotionDecision,
        "status why fairness override challenge? gates?",
        gates=lambda decision: {gate.gate: gate.outcome for gate in decision.gates} or None,
    ),
    view(GateFinding, "gate outcome why value=interval.value low=interval.low high=interval.high limit"),
    view(Challenge, "champion passed why rows margin verdict"),
    view(VersionEvaluation, "metric value=score.value low=score.low high=score.high rows"),
    view(
        FairnessVerdict,
        "status class=worst.column against=worst.reference *worst_group",
        worst_group=lambda verdict: verdict.worst.worst or dict.fromkeys(("group", "ratio", "low", "high")),
    ),
    view(GroupShare, "group ratio=interval.value low=interval.low high=interval.high"),
    view(
        Verdict,
        "against target horizon metric difference=difference.value low=difference.low high=difference.high p enough_data method "
        "advice p_adjusted power supplementary_tests",
    ),
    view(Power, "sample detectable least=minimum_effect for_seen=seen_data_factor for_least=minimum_data_factor"),
    view(TestResult, "test metric difference=difference.value low=difference.low high=difference.high p refused=refusal"),
)
"""What is logged of a decision (a key by its id, never the key), and beside the champion of verdicts."""


def check_task_name(task: str) -> str:
    """The name. Raises UnknownTaskError where no task can be called so."""
    if not TASK_NAME.fullmatch(task):
        raise UnknownTaskError(f"{task[:80]!r} is not a task name; use up to 64 small letters, digits, '-' and '_'.")
    return task


def describe_absent_version(
    task: str, version: str, numbers: Sequence[str], tasks: Sequence[str], champion: ModelVersion | None
) -> str:
    """The message about a version that is not there: the task's `numbers`, or the tasks that have some where it has none."""
    if not numbers:
        names = ", ".join(dict.fromkeys(tasks)) or "none yet"
        return f"task {task!r} has no versions; tasks with some: {names}. Train it with 'epic22 train'."
    shown = numbers if len(numbers) <= MAX_SHOWN else [numbers[0], "…", *numbers[1 - MAX_SHOWN :]]
    serving = "" if champion is None else f", of which {champion.version} serves"
    verb = "are" if numbers[1:] else "is"
    return f"task {task!r} has no version {version[:20]!r}; there {verb} {', '.join(shown)}{serving}."


def describe_absent_champion(task: str, tasks: Sequence[str], versions: int) -> str:
    """The message about a task without a champion: `tasks` have one, and it has so many versions, none of which serves."""
    if versions:
        count = f"none of its {versions} versions serves" if versions > 1 else "its one version does not serve"
        return f"no champion for task {task!r}: {count}; 'epic22 models {task}' says why."
    names = ", ".join(tasks) or "none yet"
    return f"no champion for task {task!r}; tasks with one: {names}. Train it with 'epic22 train'."


def write_decision(decision: PromotionDecision | None) -> dict[str, Any]:
    """What is logged of a decision, None where no gate decided."""
    return dict(UNGATED if decision is None else to_json(decision, REGISTRY_VIEWS))


def read_decision(line: Mapping[str, Any]) -> PromotionRecord:
    """The decision that a line of the log tells. Raises ValueError, TypeError or LookupError where it tells none."""
    status = str(line["status"])
    return PromotionRecord(str(line["version"]), status, str(line["why"]), str(line["at"]), status == "refused")


def read_version(place: str, content: Mapping[str, Any]) -> ModelVersion:
    """The version that a record describes. Raises BundleError, which names the place, where it describes none."""
    if set(content) != VERSION_KEYS or not all(isinstance(value, str) for value in content.values()):
        raise BundleError(f"{place}: does not describe a model version; restore it or train again.")
    return ModelVersion(**content)


def read_evaluation(place: str, stored: Mapping[str, Any]) -> VersionEvaluation:
    """The score that a record describes. Raises BundleError, which names the place, where it describes none."""
    try:
        ends = (math.nan if stored[end] is None else float(stored[end]) for end in ("value", "low", "high"))
        return VersionEvaluation(str(stored["metric"]), Interval(*ends), int(stored["rows"]))
    except (ValueError, TypeError, KeyError):
        raise BundleError(f"{place}: does not describe a score; restore it or train again.") from None


def write_gates(gates: Sequence[GateFinding]) -> dict[str, Any]:
    """What gates said, as a record."""
    return {"format": GATES_FORMAT, "gates": to_json(tuple(gates), REGISTRY_VIEWS)}


def read_gates(place: str, stored: Mapping[str, Any]) -> tuple[GateFinding, ...]:
    """What the gates said, by a record. Raises BundleError, which names the place, where it does not say."""
    try:
        return tuple(_read_gate(one) for one in stored["gates"])
    except (ValueError, TypeError, KeyError):
        raise BundleError(f"{place}: does not describe what the gates said; restore it or train again.") from None


def _read_gate(one: Mapping[str, Any]) -> GateFinding:
    if one["outcome"] not in OUTCOMES:
        raise ValueError(one["outcome"])
    ends = [math.nan if one[end] is None else float(one[end]) for end in ("value", "low", "high")]
    value = Interval(*ends)
    limit = None if one["limit"] is None else float(one["limit"])
    return GateFinding(str(one["gate"]), one["outcome"], str(one["why"]), value if value.is_defined else None, limit)


def read_provenance(place: str, stored: Mapping[str, Any]) -> Provenance:
    """Where a model comes from, by its record. Raises BundleError, which names the place, where it does not say."""
    try:
        return Provenance(**dict(stored) | {"sources": tuple((str(name), str(digest)) for name, digest in stored["sources"])})
    except (TypeError, KeyError, ValueError):
        raise BundleError(f"{place}: does not describe where a model comes from; restore it or train again.") from None


def write_held_out(held_out: HeldOutPredictions) -> bytes:
    """Held-out responses as the bytes of an npz file."""
    content = io.BytesIO()
    # Where there is none the bytes are those of the releases that wrote none.
    quantile: dict[str, Any] = {} if held_out.quantile is None else {"quantile": np.array([held_out.quantile])}
    np.savez_compressed(
        content,
        columns=np.array([json.dumps(held_out.columns)]),
        row_hashes=held_out.row_hashes,
        responses=held_out.responses,
        has_all_rows=np.array([held_out.has_all_rows]),
        **quantile,
    )
    return content.getvalue()


def read_held_out(place: str, content: bytes) -> HeldOutPredictions:
    """The held-out responses in the bytes of an npz file. Raises BundleError, which names the place, where it is damaged."""
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            return HeldOutPredictions(
                tuple(json.loads(str(arrays["columns"][0]))),
                arrays["row_hashes"],
                arrays["responses"],
                bool(arrays["has_all_rows"][0]),
                float(arrays["quantile"][0]) if "quantile" in arrays else None,
            )
    except Exception:  # noqa: BLE001 - a file that was cut short or emptied makes NumPy and zipfile fail in any way
        raise BundleError(f"{place}: not readable as held-out predictions; restore it or train again.") from None
