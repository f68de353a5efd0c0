"""Is the model better than one that learns nothing?"""

from epic22.core.evaluation.gate_finding import GateFinding
from epic22.core.text import describe_difference
from epic22.services.gates.gate import BY_HAND, Evidence, Gate

NAME = "constant"


def judge_against_constant(evidence: Evidence) -> GateFinding:
    """Passed where it is certainly better, refused where it is certainly worse."""
    verdict = evidence.find_verdict(evidence.baseline)
    if verdict is None:
        return GateFinding(NAME, "inconclusive", f"it is the {evidence.baseline} itself, or not compared with it", limit=0.0)
    finding = f"{verdict.metric} {describe_difference(verdict.difference)} than the {verdict.against}"
    if verdict.better:
        return GateFinding(NAME, "passed", finding, verdict.difference, 0.0)
    if verdict.certain:
        return GateFinding(NAME, "refused", f"certainly worse than the {verdict.against}: {finding}", verdict.difference, 0.0)
    return GateFinding(NAME, "inconclusive", f"{finding}, which is not certain", verdict.difference, 0.0)


GATE = Gate(
    name=NAME,
    quantity="difference of the deciding metric to the constant (of forecasts: skill against the drift), on the same folds",
    limit="above 0",
    declared_in="the rule itself",
    first_model="serves as provisional; so does a later one",
    override=BY_HAND,
    judge=judge_against_constant,
)
