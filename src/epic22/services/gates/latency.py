"""Does an answer fit into the task's budget?"""

from epic22.core.evaluation.gate_finding import GateFinding
from epic22.core.text import format_figure
from epic22.services.gates.gate import BY_HAND, Evidence, Gate

NAME = "latency"


def judge_latency(evidence: Evidence) -> GateFinding:
    """Refused where even the lower end of the median's interval lies above the budget."""
    request, budget = evidence.request, evidence.task.policy.latency_budget
    if request is None:
        return GateFinding(NAME, "not applicable", "it answers no single row by itself")
    median = request.milliseconds
    finding = (
        f"one row with reasons takes {format_figure(median.value, 3)} ms of a processor, of {format_figure(budget)} ms allowed"
    )
    if median.low > budget:
        return GateFinding(NAME, "refused", f"too slow: {finding}", median, budget)
    return GateFinding(NAME, "passed" if median.high <= budget else "inconclusive", finding, median, budget)


GATE = Gate(
    name=NAME,
    quantity="processor time of a request for one row, from its fields to the answer with interval and reasons: median of 15",
    limit="100 ms",
    declared_in="`policy.latency_budget`",
    first_model="serves",
    override=BY_HAND,
    judge=judge_latency,
)
