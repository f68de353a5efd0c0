"""The kinds of target: what each class says is what its definition says, by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from epic22.core.evaluation.metrics import METRICS
from epic22.core.targets import CLASS_KINDS, KINDS, MIN_EVENTS, Array, find_kind_of_objective, get_kind
from epic22.core.task import AsOfView, Future, Target


class FixedPredictor:
    """Answers the same whatever it is asked."""

    def __init__(self, answer: Array) -> None:
        self.answer = answer

    def predict(self, X: Array) -> Array:
        """The answer."""
        return self.answer

    def predict_proba(self, X: Array) -> Array:
        """The answer."""
        return self.answer


def test_every_kind_is_found_under_its_own_name() -> None:
    assert {name: kind.name for name, kind in KINDS.items()} == {name: name for name in KINDS}
    assert set(KINDS) == {"binary", "multiclass", "regression", "counts", "hazard", "quantiles"}


def test_every_kind_is_of_one_nature_only() -> None:
    natures = {n: (k.is_classification, k.is_regression, k.is_time_to_event) for n, k in KINDS.items()}
    assert [name for name, nature in natures.items() if sum(nature) != 1] == ["quantiles"]


@pytest.mark.parametrize("loss", ["poisson", "tweedie"])
def test_counts_are_stored_as_a_regression_with_their_loss(loss: str) -> None:
    kind = get_kind("regression", loss)  # type: ignore[arg-type]
    assert (kind.name, kind.stored_name, kind.has_log_link) == ("counts", "regression", True)
    assert not get_kind("regression", "squared").has_log_link


def test_a_loss_does_not_change_the_kind_of_classes() -> None:
    assert get_kind("binary", "poisson") is KINDS["binary"]


def test_a_target_knows_its_kind_by_its_loss() -> None:
    def no_labels(view: AsOfView, future: Future) -> None:
        """No labels."""

    target = Target("claims", "regression", no_labels, METRICS["regression"][0], loss="poisson")  # type: ignore[arg-type]
    assert target.traits is KINDS["counts"]


def test_the_first_metric_of_each_kind_is_the_one_that_decides() -> None:
    deciding = {name: metrics[0].name for name, metrics in METRICS.items()}
    assert deciding == {
        "binary": "average_precision",
        "multiclass": "log_loss",
        "regression": "root_mean_squared_error",
        "counts": "root_mean_squared_error",
    }


def test_counts_have_no_percentage_error_because_labels_may_be_zero() -> None:
    assert set(KINDS["regression"].metrics) - set(KINDS["counts"].metrics) == {
        "mean_absolute_percentage_error",
        "median_absolute_percentage_error",
    }


def test_log_odds_of_zero_are_a_probability_of_one_half() -> None:
    assert KINDS["binary"].inverse_link(np.array([0.0, np.log(3)])).tolist() == pytest.approx([0.5, 0.75])


def test_equal_scores_share_the_probability_equally_among_classes() -> None:
    assert KINDS["multiclass"].inverse_link(np.zeros((2, 4))).tolist() == [[0.25] * 4] * 2


def test_a_hazard_of_one_half_in_each_interval_leaves_a_quarter_after_two() -> None:
    assert KINDS["hazard"].inverse_link(np.zeros((1, 2)))[0].tolist() == pytest.approx([0.5, 0.75])


@given(arrays(np.float64, (5, 3), elements=st.floats(-30, 30)))
def test_probabilities_of_classes_sum_to_one_and_those_of_an_event_never_fall(raw: Array) -> None:
    assert KINDS["multiclass"].inverse_link(raw).sum(axis=1) == pytest.approx(np.ones(5))
    incidence = KINDS["hazard"].inverse_link(raw)
    assert (np.diff(incidence, axis=1) >= 0).all()
    assert ((incidence >= 0) & (incidence <= 1)).all()


@given(arrays(np.float64, 6, elements=st.floats(-1e9, 1e9)))
def test_values_and_counts_have_no_link_of_their_own(raw: Array) -> None:
    assert np.array_equal(KINDS["regression"].inverse_link(raw), raw)
    assert np.array_equal(KINDS["counts"].inverse_link(raw), raw)


def test_the_response_of_two_classes_is_the_probability_of_the_second() -> None:
    predictor = FixedPredictor(np.array([[0.9, 0.1], [0.2, 0.8]]))
    assert KINDS["binary"].predict_response(predictor, np.zeros((2, 1))).tolist() == [0.1, 0.8]


@pytest.mark.parametrize("name", ["multiclass", "hazard", "regression"])
def test_the_response_of_other_kinds_is_what_the_estimator_says(name: str) -> None:
    answer = np.array([[0.2, 0.3, 0.5]])
    assert KINDS[name].predict_response(FixedPredictor(answer), np.zeros((1, 1))) is answer


def test_a_response_expands_to_a_column_a_class() -> None:
    assert KINDS["binary"].expand_response(np.array([0.25, 1.0])).tolist() == [[0.75, 0.25], [0.0, 1.0]]
    shares = np.array([[0.2, 0.3, 0.5]])
    assert KINDS["multiclass"].expand_response(shares) is shares


@pytest.mark.parametrize("name", sorted(CLASS_KINDS))
def test_base_scores_give_the_shares_of_the_classes_back(name: str) -> None:
    shares = np.array([0.25, 0.75]) if name == "binary" else np.array([0.2, 0.3, 0.5])
    kind = CLASS_KINDS[name]
    response = kind.expand_response(kind.inverse_link(kind.compute_base_scores(shares)))
    assert response.ravel().tolist() == pytest.approx(shares.tolist())


def test_the_outcome_of_a_hazard_is_whether_the_event_was_seen() -> None:
    y = np.array([[30.0, 1.0], [90.0, 0.0], [12.0, 1.0]])
    assert KINDS["hazard"].get_outcomes(y).tolist() == [1.0, 0.0, 1.0]
    assert KINDS["binary"].get_outcomes(y[:, 1]).tolist() == [1.0, 0.0, 1.0]


def test_evidence_is_counted_in_positives_in_events_or_in_rows() -> None:
    y = np.array([0.0, 1.0, 1.0, 0.0, 1.0])
    events = np.column_stack([np.full(5, 30.0), y])
    counts = {"binary": y, "multiclass": y, "regression": y, "hazard": events}
    units = {name: (KINDS[name].sample_unit, KINDS[name].count_sample(labels)) for name, labels in counts.items()}
    assert units == {"binary": ("positives", 3), "multiclass": ("rows", 5), "regression": ("rows", 5), "hazard": ("events", 3)}


def test_classes_are_learned_only_from_rows_that_hold_every_class() -> None:
    y = np.array([0.0, 1.0, 2.0, 0.0])
    assert KINDS["multiclass"].can_learn_from(y[:3], y)
    assert not KINDS["multiclass"].can_learn_from(y[:2], y)
    assert KINDS["regression"].can_learn_from(y[:1], y)


def test_a_hazard_is_learned_only_from_enough_events() -> None:
    y = np.column_stack([np.full(40, 5.0), np.arange(40) < MIN_EVENTS])
    assert KINDS["hazard"].can_learn_from(y, y)
    assert not KINDS["hazard"].can_learn_from(y[1:], y)


def test_only_labels_that_cannot_be_censored_wait_for_the_horizon() -> None:
    assert KINDS["hazard"].get_label_horizon(90.0) == 0.0
    assert KINDS["binary"].get_label_horizon(90.0) == 90.0
    assert KINDS["hazard"].get_min_follow_up((30.0, 60.0, 90.0)) == 30.0
    assert KINDS["binary"].get_min_follow_up((30.0, 60.0, 90.0)) == 90.0
    assert KINDS["regression"].get_min_follow_up(()) == KINDS["hazard"].get_min_follow_up(()) == 0.0


def test_log_loss_of_raw_scores_is_the_log_loss_of_their_probabilities() -> None:
    raw, y = np.array([-2.0, 0.5, 3.0]), np.array([0.0, 1.0, 0.0])
    p = KINDS["binary"].inverse_link(raw)
    assert KINDS["binary"].compute_row_losses(raw, y) == pytest.approx(-np.log(np.where(y == 1, p, 1 - p)))
    scores, codes = np.array([[1.0, 2.0, 0.0], [0.0, -1.0, 3.0]]), np.array([1.0, 0.0])
    shares = KINDS["multiclass"].inverse_link(scores)
    assert KINDS["multiclass"].compute_row_losses(scores, codes) == pytest.approx(-np.log(shares[[0, 1], [1, 0]]))
    assert KINDS["regression"].compute_row_losses(raw, y).tolist() == [4.0, 0.25, 9.0]


@pytest.mark.parametrize("name", ["binary", "multiclass", "regression"])
def test_residuals_are_minus_the_slope_of_the_loss(name: str) -> None:
    kind, step = KINDS[name], 1e-6
    raw = np.array([[0.3, -0.4, 1.0]]) if name == "multiclass" else np.array([0.3])
    y = np.array([1.0])
    residuals = kind.compute_residuals(raw, y)[0]
    for output in range(len(residuals)):
        shift = np.zeros_like(raw)
        shift[..., output] = step
        slope = (kind.compute_row_losses(raw + shift, y) - kind.compute_row_losses(raw - shift, y))[0] / (2 * step)
        scale = 2 if name == "regression" else 1
        assert residuals[output] == pytest.approx(-slope / scale, abs=1e-6)


def test_what_is_minimised_is_named_by_the_kind_for_classes_and_by_the_loss_for_values() -> None:
    assert KINDS["binary"].name_objective("squared") == "binary"
    assert KINDS["regression"].name_objective("absolute") == "absolute"
    assert find_kind_of_objective("binary") == "binary"
    assert find_kind_of_objective("poisson") == "regression"


def test_the_unit_of_scores_says_what_reasons_are_measured_in() -> None:
    assert KINDS["binary"].describe_score_unit("churn", None, None, False) == "log-odds"
    assert KINDS["regression"].describe_score_unit("rent", "USD", None, False) == "USD"
    assert KINDS["counts"].describe_score_unit("claims", None, None, True) == "log of claims"
    assert KINDS["hazard"].describe_score_unit("failure", None, 90.0, False).endswith("up to 90")
