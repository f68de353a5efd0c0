"""Does what was written, opened anew, answer as the model that was trained?"""

from epic22.core.evaluation.gate_finding import GateFinding
from epic22.services.gates.gate import BY_NOBODY, Evidence, Gate

NAME = "golden rows"


def judge_golden_rows(evidence: Evidence) -> GateFinding:
    """Refused where it does not; then nothing is registered either, and BundleError says what is wrong."""
    if not evidence.reopened:
        return GateFinding(NAME, "refused", "what was written does not answer as what was trained")
    return GateFinding(NAME, "passed", "opened anew, it answers as it did")


GATE = Gate(
    name=NAME,
    quantity="answers of the written model, opened by a fresh reader, to the rows kept with it",
    limit="equal within 1e-5",
    declared_in="the bundle",
    first_model="is not registered",
    override=BY_NOBODY,
    judge=judge_golden_rows,
)
