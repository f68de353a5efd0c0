"""Are the groups of every protected class treated alike?"""

from epic22.core.evaluation.fairness import FOUR_FIFTHS, describe_missing_fairness
from epic22.core.evaluation.gate_finding import GateFinding
from epic22.services.gates.gate import BY_KEY, Evidence, Gate

NAME = "adverse impact"


def judge_adverse_impact(evidence: Evidence) -> GateFinding:
    """As the fairness verdict says; nothing is asked where no protected class is stored, and nothing is known of those that are
    declared and were not measured."""
    verdict, protected = evidence.fairness, evidence.task.protected_columns
    if verdict is None:
        return GateFinding(NAME, "inconclusive" if protected else "not applicable", describe_missing_fairness(protected))
    lowest = verdict.worst.worst
    value = None if lowest is None else lowest.interval
    return GateFinding(NAME, verdict.status, f"fairness {verdict.status}: {verdict.why}", value, FOUR_FIFTHS)


GATE = Gate(
    name=NAME,
    quantity="lowest ratio of favourable outcomes between the groups of a protected class",
    limit="0.8 (four fifths), with its interval",
    declared_in="29 CFR 1607.4(D)",
    first_model="serves as provisional; a later one is refused",
    override=BY_KEY,
    judge=judge_adverse_impact,
)
