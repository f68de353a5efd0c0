"""Does the model learn from a column that is proved to give the label away?"""

from epic22.core.evaluation.gate_finding import GateFinding
from epic22.services.gates.gate import BY_HAND, Evidence, Gate

NAME = "leakage"


def judge_leakage(evidence: Evidence) -> GateFinding:
    """Refused where such a column is among the inputs; inconclusive where a person kept one."""
    if not evidence.columns:
        return GateFinding(NAME, "not applicable", "it learns from no columns but a series' own past")
    used = [one for one in evidence.audit if one.column in evidence.columns]
    proved = [one for one in used if one.withheld]
    if proved:
        names = "; ".join(f"{one.column}: {one.evidence.rstrip('.')}" for one in proved)
        return GateFinding(NAME, "refused", f"it learns from what is proved to be a leak: {names}")
    overruled = sorted({str(one.column) for one in used if one.overruled})
    if overruled:
        return GateFinding(NAME, "inconclusive", f"a leak is proved, and a person keeps it: {', '.join(overruled)}")
    left_out = len({one.column for one in evidence.audit if one.withheld})
    return GateFinding(NAME, "passed", f"no proved leak among {len(evidence.columns)} columns; {left_out} left out by the audit")


GATE = Gate(
    name=NAME,
    quantity="inputs that the audit proves to give the label away",
    limit="none",
    declared_in="the audit; `--keep` where a person knows better",
    first_model="serves with a column that a person keeps",
    override=BY_HAND,
    judge=judge_leakage,
)
