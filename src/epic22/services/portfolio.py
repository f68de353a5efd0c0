"""The features of a portfolio side by side: constant, incumbent, champion, best possible, and what is certain of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import singledispatch

from epic22.core.errors import InternalError
from epic22.core.evaluation.baselines import INCUMBENT
from epic22.core.evaluation.fairness import PromotionDecision, describe_fairness
from epic22.core.lineage import ModelVersion
from epic22.core.statistics import Interval
from epic22.services.training_run import BASELINE, ForecastEvaluation, RowRun, SeriesRun, TrainingRun

CONSTANT = "constant"


@dataclass(frozen=True)
class FeatureResult:
    """One task's outcome. Scores are of `metric`; `accuracy` is by rival, for classes alone, and never alone.

    `constant` is the drift for forecasts, where skill is measured from it. `gain` is champion minus incumbent, `shortfall`
    champion minus best possible (None where the truth is not known), each with its 95 % interval, above zero = better.
    `saving` is at capacity, a year and 1,000 entities; `saving_gain` against the incumbent.
    """

    name: str
    about: str
    metric: str
    rows: int
    constant: float
    incumbent: float
    champion: float
    family: str
    status: str
    oracle: float | None
    gain: Interval
    shortfall: Interval | None
    calibration: str | None = None
    calibration_error: float | None = None
    calibration_floor: float | None = None
    coverage: float | None = None
    saving: Interval | None = None
    saving_gain: Interval | None = None
    accuracy: Mapping[str, float] | None = None
    fairness: str | None = None
    promotion: str | None = None


@singledispatch
def summarise_run(run: TrainingRun) -> FeatureResult:
    """The outcome of a training, whatever it is of. Raises InternalError for a kind of run that has no summary."""
    raise InternalError(f"task {run.task.name}: a run of {run.data_type} has no summary.")


def describe_promotion(decision: PromotionDecision) -> str:
    """What promotion did and why, without what is said of fairness beside it.

    >>> describe_promotion(PromotionDecision(True, "proven", "no group is treated worse"))
    'proven, no group is treated worse'
    """
    seen = "" if decision.fairness is None else describe_fairness(decision.fairness)
    reason = decision.why.removeprefix(seen).strip("; ")
    return f"{decision.status}, {reason}" if reason else decision.status


@dataclass(frozen=True)
class GateStep:
    """A training that met the fairness gate: what it was, what the gate said and why, and which version answers afterwards."""

    what: str
    version: str
    promoted: bool
    status: str
    why: str
    served: ModelVersion


def build_gate_step(what: str, run: TrainingRun, served: ModelVersion) -> GateStep:
    """The step that a run was. Raises InternalError for a run that no gate judges."""
    if run.promotion is None:
        raise InternalError(f"task {run.task.name} has no fairness gate; name one whose rows are about people.")
    return GateStep(what, run.version.version, run.promotion.promote, run.promotion.status, run.promotion.why, served)


@summarise_run.register
def _summarise_rows(run: RowRun) -> FeatureResult:
    metric = run.task.target.metric.name
    by_name = {e.family: e for e in run.leaderboard}
    constant, incumbent = by_name[CONSTANT], by_name[INCUMBENT]
    gain = next(v for v in run.verdicts if v.against == INCUMBENT)
    assessment = run.assessment
    candidates = {CONSTANT: constant, INCUMBENT: incumbent, "champion": run.champion}
    if run.oracle is not None:
        candidates["best possible"] = run.oracle
    has_positive_class = run.task.target.traits.has_positive_class
    saving = None if assessment is None else assessment.savings.limited
    against = None if saving is None else next((d.saved for d in saving.differences if d.against == INCUMBENT), None)
    return FeatureResult(
        name=run.task.name,
        about=run.task.about,
        metric=metric,
        rows=len(run.examples),
        constant=constant.score(metric).value,
        incumbent=incumbent.score(metric).value,
        champion=run.champion.score(metric).value,
        family=run.champion.family,
        status=run.version.status,
        oracle=None if run.oracle is None else run.oracle.score(metric).value,
        gain=gain.difference,
        shortfall=None if run.oracle_verdict is None else run.oracle_verdict.difference,
        calibration=None if assessment is None else assessment.calibration.method,
        calibration_error=None if assessment is None else assessment.after.error,
        calibration_floor=None if assessment is None else assessment.after.floor,
        saving=None if saving is None else saving.yearly,
        saving_gain=against,
        accuracy={name: e.score("accuracy").value for name, e in candidates.items()} if has_positive_class else None,
        fairness=None
        if assessment is None or assessment.fairness is None
        else f"{assessment.fairness.status}: {assessment.fairness.why}",
        promotion=None if run.promotion is None else describe_promotion(run.promotion),
    )


@summarise_run.register
def _summarise_series(run: SeriesRun) -> FeatureResult:
    def skill(evaluation: ForecastEvaluation | None) -> float | None:
        return None if evaluation is None else evaluation.score("skill").value

    by_name = {e.family: e for e in run.leaderboard}
    gain = next(v for v in run.verdicts if v.against == INCUMBENT and v.metric == "skill" and v.horizon == "all")
    shortfall = next((v for v in run.oracle_verdicts if v.horizon == "all"), None)
    return FeatureResult(
        name=run.task.name,
        about=run.task.about,
        metric="skill",
        rows=len(run.test),
        constant=skill(by_name[BASELINE]) or 0.0,
        incumbent=by_name[INCUMBENT].score("skill").value,
        champion=run.champion.score("skill").value,
        family=run.champion.family,
        status=run.version.status,
        oracle=skill(run.oracle),
        gain=gain.difference,
        shortfall=None if shortfall is None else shortfall.difference,
        coverage=run.champion.score("coverage_80").value,
    )
