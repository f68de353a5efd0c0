"""Decisions of promotion for tests, by the challenge alone."""

from epic22.core.evaluation.challenge import Challenge
from epic22.core.evaluation.fairness import PromotionDecision
from epic22.core.evaluation.gate_finding import GateFinding


def meet_challenge(decision: PromotionDecision, challenge: Challenge) -> PromotionDecision:
    """The decision where no other gate has anything against the model."""
    outcome = GateFinding("champion", "passed" if challenge.passed else "refused", challenge.why)
    return decision.meet_gates([outcome], challenge)
