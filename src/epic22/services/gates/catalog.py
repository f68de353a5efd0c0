"""The gates of promotion, in the order in which they judge. One more is one file beside this one and one line here."""

from epic22.core.evaluation.gate_finding import GateFinding
from epic22.services.gates import (
    adverse_impact,
    calibration,
    champion,
    constant,
    golden_rows,
    incumbent,
    latency,
    leakage,
)
from epic22.services.gates.gate import Evidence, Gate

GATES: tuple[Gate, ...] = (
    golden_rows.GATE,
    leakage.GATE,
    adverse_impact.GATE,
    champion.GATE,
    constant.GATE,
    incumbent.GATE,
    calibration.GATE,
    latency.GATE,
)


def judge_gates(evidence: Evidence) -> tuple[GateFinding, ...]:
    """What every gate says of a model, in their order."""
    return tuple(gate.judge(evidence) for gate in GATES)
