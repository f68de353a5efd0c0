"""What each gate of promotion refuses, what follows from it, and that the documented table is the list."""

import re
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from scipy.special import expit, logit
from tests.toy import toy

from epic22.core.artifact.request_time import RequestTime
from epic22.core.data.leakage import Suspicion
from epic22.core.evaluation.challenge import Challenge
from epic22.core.evaluation.fairness import PROMOTED, FairnessVerdict, PromotionDecision, compute_adverse_impact, judge_fairness
from epic22.core.evaluation.gate_finding import GateOutcome, count_outcomes
from epic22.core.evaluation.miscalibration import Miscalibration, measure_miscalibration
from epic22.core.evaluation.savings import Saving, SavingDifference
from epic22.core.evaluation.significance import Verdict
from epic22.core.statistics import Interval
from epic22.core.task import Column
from epic22.services.gates.catalog import GATES, judge_gates
from epic22.services.gates.gate import CoverageShare, Evidence

GUIDE = Path(__file__).parents[2] / "docs" / "how-to" / "promote-and-roll-back.md"
TASK = toy().task


def verdict(against: str, low: float, high: float) -> Verdict:
    difference = Interval((low + high) / 2, low, high)
    return Verdict(against, "y", None, "average_precision", difference, 0.01, difference.excludes_zero, "paired", "")


def fairness(share: float) -> FairnessVerdict:
    group, person = np.repeat(["a", "b"], 2000), np.arange(4000)
    favourable = np.arange(4000) % 100 < np.where(group == "a", 90, share)
    return judge_fairness([compute_adverse_impact("origin", favourable, group, person)])


def saving(low: float, high: float) -> Saving:
    saved = Interval((low + high) / 2, low, high)
    own = Interval(100.0 + saved.value, 0.0, 300.0)
    return Saving("calibrated", own, own, 10, 5, 0.5, 0.5, None, (SavingDifference("incumbent", saved),))


SOUND = Evidence(
    task=TASK,
    baseline="constant",
    verdicts=(verdict("constant", 0.1, 0.3), verdict("incumbent", 0.01, 0.2)),
    scores={"boosting": 0.6, "incumbent": 0.5, "constant": 0.4},
    columns=tuple(column.name for column in TASK.input_columns),
    audit=(Suspicion("who", "id", "it names the row.", True),),
    fairness=fairness(90),
    miscalibration=Miscalibration(Interval(0.05, 0.0, 0.15), 400, 400),
    challenge=Challenge("1", True, "not worse", verdict("champion", -0.01, 0.05), 0.02, 400),
    request=RequestTime(Interval(3.0, 2.0, 4.0), 15),
)
"""What all gates let pass."""

REFUSED: Mapping[str, Evidence] = {
    "golden rows": replace(SOUND, reopened=False),
    "leakage": replace(SOUND, audit=(Suspicion("wear", "label echo", "it orders the rows as y does.", True),)),
    "adverse impact": replace(SOUND, fairness=fairness(60)),
    "champion": replace(SOUND, challenge=Challenge("1", False, "certainly worse", verdict("champion", -0.2, -0.1), 0.01, 400)),
    "constant": replace(SOUND, verdicts=(verdict("constant", -0.3, -0.1), verdict("incumbent", 0.01, 0.2))),
    "rule of today": replace(SOUND, verdicts=(verdict("constant", 0.1, 0.3), verdict("incumbent", -0.2, -0.05))),
    "calibrated": replace(SOUND, miscalibration=Miscalibration(Interval(0.8, 0.6, 0.9), 400, 400)),
    "latency": replace(SOUND, request=RequestTime(Interval(150.0, 120.0, 180.0), 15)),
}


def outcomes(evidence: Evidence) -> dict[str, GateOutcome]:
    return {result.gate: result.outcome for result in judge_gates(evidence)}


def test_a_model_that_all_gates_let_pass_serves_and_the_reason_says_so() -> None:
    results = judge_gates(SOUND)
    assert {result.outcome for result in results} == {"passed"}
    decision = PromotionDecision(True, "proven", "fairness passed").meet_gates(results, SOUND.challenge)
    assert (decision.promote, decision.status) == (True, "proven")
    assert decision.why == "fairness passed; not worse; 8 gates: 8 passed"


def test_every_gate_is_made_to_refuse() -> None:
    assert list(REFUSED) == [gate.name for gate in GATES]


@pytest.mark.parametrize("name", REFUSED)
def test_a_gate_that_refuses_leaves_what_serves_in_its_place_and_says_why(name: str) -> None:
    results = judge_gates(REFUSED[name])
    assert [result.gate for result in results if result.outcome != "passed"] == [name]
    refusal = next(result for result in results if result.gate == name)
    decision = PROMOTED.meet_gates(results, SOUND.challenge)
    assert refusal.outcome == "refused"
    assert (decision.promote, decision.status, decision.why) == (False, "challenger", refusal.why)


def test_a_first_model_is_asked_for_no_champion_and_serves_where_nothing_can_be_told() -> None:
    unknown = replace(
        SOUND,
        challenge=None,
        verdicts=(verdict("constant", -0.1, 0.3), verdict("incumbent", -0.2, 0.2)),
        miscalibration=Miscalibration(Interval(0.5, 0.1, 0.9), 40, 40),
        fairness=None,
    )
    found = outcomes(unknown)
    assert {name for name, outcome in found.items() if outcome == "inconclusive"} == {"constant", "rule of today", "calibrated"}
    assert {name for name, outcome in found.items() if outcome == "not applicable"} == {"champion", "adverse impact"}
    assert PROMOTED.meet_gates(judge_gates(unknown)).promote


def test_nothing_is_known_of_protected_columns_that_were_not_measured_and_the_gate_names_them() -> None:
    task = replace(TASK, columns=(*TASK.columns, Column("gender", "category", role="protected")))
    unmeasured = replace(SOUND, task=task, fairness=None)
    (finding,) = (one for one in judge_gates(unmeasured) if one.outcome != "passed")
    assert (finding.gate, finding.outcome) == ("adverse impact", "inconclusive")
    assert finding.why.startswith("gender declared protected, but not measured")


@pytest.mark.parametrize(
    ("low", "high", "outcome"),
    [(5.0, 50.0, "passed"), (-9.0, 5.0, "passed"), (-30.0, 5.0, "inconclusive"), (-30.0, -12.0, "refused")],
)
def test_where_a_task_has_costs_the_rule_of_today_is_met_in_money(low: float, high: float, outcome: str) -> None:
    in_money = replace(REFUSED["rule of today"], saving=saving(low, high))
    result = next(result for result in judge_gates(in_money) if result.gate == "rule of today")
    assert (result.outcome, result.limit) == (outcome, -10.0)
    assert "a year and 1,000 entities" in result.why


def test_a_leak_that_a_person_keeps_does_not_stop_the_model_and_is_said() -> None:
    kept = replace(SOUND, audit=(Suspicion("wear", "id", "it names the row.", False, overruled=True),))
    result = next(result for result in judge_gates(kept) if result.gate == "leakage")
    assert (result.outcome, "wear" in result.why) == ("inconclusive", True)


@pytest.mark.parametrize(
    ("share", "enough", "outcome"),
    [((0.8, 0.77, 0.83), True, "passed"), ((0.6, 0.55, 0.65), True, "refused"), ((0.6, 0.55, 0.65), False, "inconclusive")],
)
def test_intervals_that_hold_too_few_outcomes_are_refused(
    share: tuple[float, float, float], enough: bool, outcome: GateOutcome
) -> None:
    of_values = replace(SOUND, miscalibration=None, coverage=CoverageShare(Interval(*share), 0.8, enough))
    assert outcomes(of_values)["calibrated"] == outcome


def draw(n: int, odds: float, seed: int) -> Miscalibration | None:
    """Outcomes of clusters of four alike, and probabilities whose odds are so many times the true ones."""
    rng = np.random.default_rng(seed)
    true = np.repeat(expit(rng.normal(logit(0.2), 1.0, n // 4)), 4)
    alike = np.repeat(rng.random(n // 4), 4)
    y = np.where(rng.random(n) < 0.7, alike, rng.random(n)) < true
    return measure_miscalibration(y.astype(float), expit(logit(true) + np.log(odds)), np.repeat(np.arange(n // 4), 4))


def test_noise_is_no_miscalibration_and_odds_four_times_too_high_are() -> None:
    limit = TASK.policy.calibration_limit
    sound, wrong = ([draw(800, odds, seed) for seed in range(100)] for odds in (1.0, 4.0))
    assert sum(one is not None and one.share.low > 0 for one in sound) <= 12
    assert sum(one is not None and one.share.low > limit for one in sound) <= 1
    assert sum(one is not None and one.share.low > limit for one in wrong) >= 80


def test_what_has_no_miscalibration_to_measure_has_none() -> None:
    y, clusters = np.array([0.0, 1.0] * 20), np.arange(40)
    assert measure_miscalibration(y, np.full(40, 0.5), clusters) is None
    assert measure_miscalibration(np.zeros(40), np.linspace(0.1, 0.9, 40), clusters) is None
    assert measure_miscalibration(y, np.linspace(0.1, 0.9, 40), np.zeros(40)) is None


def test_counts_leave_out_what_no_gate_said() -> None:
    assert count_outcomes(judge_gates(SOUND)) == "8 gates: 8 passed"


def test_the_guide_has_the_list_of_gates_as_its_table() -> None:
    rows = re.findall(r"^\| \*\*(.+?)\*\* \| (.+) \|$", GUIDE.read_text(encoding="utf-8"), re.MULTILINE)
    columns = [field.name for field in fields(GATES[0]) if field.name not in ("name", "judge")]
    listed = [(gate.name, " | ".join(getattr(gate, column) for column in columns)) for gate in GATES]
    assert rows == listed
