"""Is the new model shown not to be worse than the one that serves?"""

import math

from epic22.core.evaluation.gate_finding import GateFinding
from epic22.services.gates.gate import BY_HAND, Evidence, Gate

NAME = "champion"


def judge_against_champion(evidence: Evidence) -> GateFinding:
    """As the challenge went; nothing is asked where no other version serves."""
    challenge = evidence.challenge
    if challenge is None:
        return GateFinding(NAME, "not applicable", "no other version serves")
    value = None if challenge.verdict is None else challenge.verdict.difference
    limit = None if math.isnan(challenge.margin) else -challenge.margin
    return GateFinding(NAME, "passed" if challenge.passed else "refused", challenge.why, value, limit)


GATE = Gate(
    name=NAME,
    quantity="difference of the deciding metric to the version that serves, on the same held-out rows; and to its recipe, "
    "fitted in the same folds",
    limit="no loss above a tenth of that version's advantage over the constant",
    declared_in="`policy.minimum_effect`",
    first_model="does not apply",
    override=BY_HAND,
    judge=judge_against_champion,
)
