"""Do the probabilities, or the intervals and sets, keep their word?"""

from epic22.core.evaluation.gate_finding import GateFinding
from epic22.core.statistics import Interval
from epic22.core.text import format_percent
from epic22.services.gates.gate import BY_HAND, CoverageShare, Evidence, Gate

NAME = "calibrated"
COVERAGE_TOLERANCE = 0.05
"""An interval may hold so much less than it states: a model that is worth having may miss its level a little."""


def judge_calibration(evidence: Evidence) -> GateFinding:
    """Refused where it is certain that probabilities lie too far from the rates, or that too few outcomes are held."""
    miscalibration = evidence.miscalibration
    if miscalibration is None:
        return _judge_coverage(evidence.coverage)
    limit = evidence.task.policy.calibration_limit
    finding = f"probabilities lie {_describe(miscalibration.share)} of the rarer class's rate from what happens"
    if miscalibration.share.low > limit:
        return GateFinding(
            NAME, "refused", f"{finding}, certainly more than {format_percent(limit)}", miscalibration.share, limit
        )
    return GateFinding(
        NAME, "passed" if miscalibration.share.high <= limit else "inconclusive", finding, miscalibration.share, limit
    )


def _judge_coverage(coverage: CoverageShare | None) -> GateFinding:
    if coverage is None:
        return GateFinding(NAME, "not applicable", "no probability of two classes and no interval was measured")
    share, limit = coverage.share, coverage.level - COVERAGE_TOLERANCE
    finding = f"{_describe(share)} of outcomes lie inside, of {format_percent(coverage.level)} stated"
    if share.high < limit and coverage.enough:
        return GateFinding(NAME, "refused", f"{finding}: certainly too few", share, limit)
    return GateFinding(NAME, "passed" if share.low >= limit and coverage.enough else "inconclusive", finding, share, limit)


def _describe(share: Interval) -> str:
    if not share.low <= share.high:
        # Too few independent stretches have no interval.
        return format_percent(share.value)
    return f"{format_percent(share.value)} ({format_percent(share.low)} … {format_percent(share.high)})"


GATE = Gate(
    name=NAME,
    quantity=(
        "mean distance of held-out probabilities from the rates behind them, as a share of the rarer class's rate; "
        "of values and forecasts: the share of outcomes inside their intervals"
    ),
    limit="50 %; 5 points below the stated level",
    declared_in="`policy.calibration_limit`; the rule itself",
    first_model="serves",
    override=BY_HAND,
    judge=judge_calibration,
)
