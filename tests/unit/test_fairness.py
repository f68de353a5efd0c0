"""The adverse impact ratio, and what promotion does with it."""

from dataclasses import replace

import numpy as np
import pytest

from epic22.core.errors import UserError
from epic22.core.evaluation.fairness import (
    AdverseImpact,
    FairnessVerdict,
    GroupShare,
    Override,
    compute_adverse_impact,
    decide_promotion,
    judge_fairness,
)
from epic22.core.statistics import Interval
from epic22.core.task import Array
from epic22.services.portfolio import describe_promotion


def outcomes(shares: dict[str, float], persons: int, rows: int = 3, seed: int = 0) -> tuple[Array, Array, Array]:
    """Favourable, group and person a row; each person's rows lean the same way."""
    rng = np.random.default_rng(seed)
    group = np.repeat(list(shares), persons)
    lean = rng.beta(4 * np.repeat(list(shares.values()), persons), 4 * (1 - np.repeat(list(shares.values()), persons)))
    person = np.repeat(np.arange(len(group)), rows)
    return rng.uniform(size=len(person)) < lean[person], group[person].astype(object), person


def verdict(shares: dict[str, float], persons: int, seed: int = 0) -> FairnessVerdict:
    return judge_fairness([compute_adverse_impact("origin", *outcomes(shares, persons, seed=seed))])


def test_planted_bias_is_refused() -> None:
    found = verdict({"a": 0.9, "b": 0.6}, 1000)
    assert found.status == "refused"
    worst = found.worst.worst
    assert worst is not None
    assert worst.ratio is not None
    assert worst.ratio.value == pytest.approx(0.6 / 0.9, abs=0.05)
    assert "b has 0.6" in found.why


def test_equal_treatment_of_many_passes() -> None:
    assert verdict({"a": 0.85, "b": 0.85, "c": 0.83}, 1500).status == "passed"


def test_equal_treatment_of_few_is_inconclusive() -> None:
    group = np.repeat(["a", "b"], 35)
    found = compute_adverse_impact("x", np.arange(70) % 35 < 21, group, np.arange(70))
    assert found.worst is not None
    assert found.worst.ratio is not None
    assert found.worst.ratio.value == 1
    assert found.status == "inconclusive"


def test_a_bound_below_that_of_the_worst_group_is_told_with_its_group_in_a_sentence() -> None:
    worst = GroupShare("b", 900, 1800, 0.8, Interval(0.9, 0.86, 0.94), "")
    widest = GroupShare("c", 40, 80, 0.81, Interval(0.91, 0.7, 1.1), "")
    impact = AdverseImpact("origin", "a", (worst, widest), worst)
    said = "origin: b has 0.90 (0.86 … 0.94) against a; of all groups c has 0.91 (0.70 … 1.10), the lowest bound"
    assert str(impact) == said


@pytest.mark.slow
def test_the_interval_covers_the_true_ratio() -> None:
    held = 0
    for seed in range(40):
        found = compute_adverse_impact("x", *outcomes({"a": 0.9, "b": 0.75}, 200, seed=seed)).worst
        assert found is not None
        assert found.ratio is not None
        held += found.ratio.low <= 0.75 / 0.9 <= found.ratio.high
    assert held >= 35


def test_rows_of_one_person_are_drawn_together() -> None:
    good, group, person = outcomes({"a": 0.8, "b": 0.8}, 100, rows=10)
    whole, rows = (compute_adverse_impact("x", good, group, who).worst for who in (person, np.arange(len(person))))
    assert whole is not None
    assert rows is not None
    assert whole.ratio is not None
    assert rows.ratio is not None
    assert whole.ratio.high - whole.ratio.low > 1.3 * (rows.ratio.high - rows.ratio.low)


def test_small_groups_are_told_but_neither_judged_nor_the_reference() -> None:
    good, group, person = outcomes({"a": 0.9, "b": 0.88}, 500)
    good = np.append(good, [True] * 5)
    group, person = np.append(group, ["tiny"] * 5), np.append(person, 10_000 + np.arange(5))
    found = compute_adverse_impact("x", good, group, person)
    tiny = next(one for one in found.groups if one.group == "tiny")
    assert (tiny.note, tiny.ratio, tiny.persons) == ("too few", None, 5)
    assert found.reference == "a"
    assert found.status == "passed"


def test_persons_count_not_rows() -> None:
    good, group, person = outcomes({"a": 0.9, "b": 0.6}, 10, rows=50)
    assert {one.note for one in compute_adverse_impact("x", good, group, person).groups} == {"too few"}


def test_rows_of_unknown_group_are_left_out() -> None:
    good, group, person = outcomes({"a": 0.9, "b": 0.88}, 200)
    group[::7] = None
    found = compute_adverse_impact("x", good, group, person)
    assert sum(one.rows for one in found.groups) == sum(one is not None for one in group)


def test_nothing_to_compare_is_inconclusive() -> None:
    good, group, person = outcomes({"a": 0.9}, 100)
    found = compute_adverse_impact("x", good, group, person)
    assert found.status == "inconclusive"
    assert "fewer than two groups" in str(found)
    nobody = compute_adverse_impact("x", good, np.full(len(good), None), person)
    assert nobody.status == "inconclusive"


def test_no_favourable_outcome_at_all_is_inconclusive() -> None:
    _, group, person = outcomes({"a": 0.9, "b": 0.9}, 100)
    assert compute_adverse_impact("x", np.zeros(len(person), dtype=bool), group, person).status == "inconclusive"


def test_the_worst_class_decides() -> None:
    fair, biased = outcomes({"a": 0.9, "b": 0.9}, 800), outcomes({"a": 0.9, "b": 0.5}, 800)
    found = judge_fairness([compute_adverse_impact("fair", *fair), compute_adverse_impact("biased", *biased)])
    assert (found.status, found.worst.column) == ("refused", "biased")
    with pytest.raises(UserError, match="no protected classes"):
        judge_fairness([])


def test_the_gate_needs_an_authorised_key_and_a_reason() -> None:
    refused = verdict({"a": 0.9, "b": 0.6}, 1000)
    assert not decide_promotion(refused, first_model=True).promote
    assert "needed" in decide_promotion(refused, first_model=True).why
    keys = frozenset({"k1"})
    assert "not authorised" in decide_promotion(refused, False, Override("k2", "because"), keys).why
    assert "no reason" in decide_promotion(refused, False, Override("k1", "  "), keys).why
    done = decide_promotion(refused, False, Override("k1", "reviewed by counsel"), keys)
    assert (done.promote, done.status) == (True, "overridden")
    assert "reviewed by counsel" in done.why


def test_a_first_model_that_is_inconclusive_is_provisional_and_a_later_one_is_not_promoted() -> None:
    few = judge_fairness([compute_adverse_impact("x", *outcomes({"a": 0.9}, 100))])
    assert decide_promotion(few, first_model=True).status == "provisional"
    assert decide_promotion(few, first_model=True, override=Override("nobody", "x")).status == "provisional"
    assert not decide_promotion(few, first_model=False).promote
    assert decide_promotion(few, False, Override("k1", "few tenants"), {"k1"}).status == "overridden"


def test_what_passes_or_was_not_measured_is_promoted() -> None:
    assert decide_promotion(verdict({"a": 0.9, "b": 0.9}, 1500), False).promote
    assert "not measured" in decide_promotion(None, False).why


def test_what_is_not_certain_is_called_provisional_by_the_gate_too() -> None:
    """Fairness that was not measured or passed proves nothing about the model."""
    passed = verdict({"a": 0.9, "b": 0.9}, 1500)
    for fairness in (None, passed):
        decision = decide_promotion(fairness, first_model=False, certain=False)
        assert (decision.promote, decision.status) == (True, "provisional")
        assert "not certain" in decision.why
        assert decide_promotion(fairness, first_model=False, certain=True).status == "proven"


def test_a_promotion_beside_its_fairness_does_not_repeat_it() -> None:
    decision = decide_promotion(verdict({"a": 0.9, "b": 0.9}, 1500), first_model=False)
    assert decision.why.startswith("fairness passed: ")
    assert describe_promotion(decision) == "proven"
    judged = replace(decision, why=f"{decision.why}; 8 gates: 7 passed, 1 not applicable")
    assert describe_promotion(judged) == "proven, 8 gates: 7 passed, 1 not applicable"


@pytest.mark.parametrize("certain", [True, False])
def test_a_model_with_protected_columns_that_were_not_measured_is_never_proven(certain: bool) -> None:
    decision = decide_promotion(None, first_model=False, certain=certain, protected=("gender",))
    assert (decision.promote, decision.status) == (True, "provisional")
    assert "fairness was not measured: gender declared protected, but not measured" in decision.why
    assert decide_promotion(verdict({"a": 0.9, "b": 0.9}, 1500), False, protected=("gender",)).status == "proven"
