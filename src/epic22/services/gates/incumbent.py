"""Is the model not worse than the rule of today: in money where the task has costs, else by the deciding metric?"""

from epic22.core.evaluation.baselines import INCUMBENT
from epic22.core.evaluation.challenge import LOST_ADVANTAGE, compute_margin
from epic22.core.evaluation.gate_finding import GateFinding
from epic22.core.statistics import Interval
from epic22.core.text import describe_difference, format_figure
from epic22.services.gates.gate import BY_HAND, Evidence, Gate

NAME = "rule of today"


def judge_against_incumbent(evidence: Evidence) -> GateFinding:
    """Passed where no loss that matters is possible, refused where one is certain."""
    return _judge_saving(evidence) or _judge_metric(evidence)


def _judge_saving(evidence: Evidence) -> GateFinding | None:
    """By what acting on its list saves; None where that is not counted."""
    saving = evidence.saving
    saved = None if saving is None else next((d.saved for d in saving.differences if d.against == INCUMBENT), None)
    if saving is None or saved is None:
        return None
    of_rule = saving.yearly.value - saved.value
    finding = f"saves {describe_difference(saved, directions=('more', 'less'))} a year and 1,000 entities than the rule of today"
    return _decide(finding, saved, LOST_ADVANTAGE * max(of_rule, 0.0), 0.0)


def _judge_metric(evidence: Evidence) -> GateFinding:
    verdict = evidence.find_verdict(INCUMBENT)
    if verdict is None:
        return GateFinding(NAME, "not applicable", "the task names no rule of today")
    rule = evidence.scores[INCUMBENT]
    advantage = (rule - evidence.scores[evidence.baseline]) * (1 if evidence.greater_is_better else -1)
    margin = compute_margin(rule, advantage, evidence.task.policy.minimum_effect)
    finding = f"{verdict.metric} {describe_difference(verdict.difference)} than the rule of today"
    return _decide(finding, verdict.difference, margin.tolerable, margin.negligible)


def _decide(finding: str, difference: Interval, tolerable: float, negligible: float) -> GateFinding:
    """Of a difference above 0 where the model is better: passed above `-tolerable`, refused where it is certainly below
    `-negligible`."""
    if difference.low > -tolerable or difference.low >= 0:
        return GateFinding(NAME, "passed", finding, difference, -tolerable)
    if difference.high < -negligible:
        return GateFinding(NAME, "refused", f"certainly worse than the rule of today: {finding}", difference, -tolerable)
    why = f"{finding}: not shown to lose less than {format_figure(tolerable)}"
    return GateFinding(NAME, "inconclusive", why, difference, -tolerable)


GATE = Gate(
    name=NAME,
    quantity="difference to the task's incumbent: saving at capacity where the task has costs, else the deciding metric",
    limit="no loss above a tenth of what the rule saves, or of its advantage over the constant",
    declared_in="the task's incumbent and costs; `policy.minimum_effect`",
    first_model="serves; where it is certainly worse, the rule goes on",
    override=BY_HAND,
    judge=judge_against_incumbent,
)
