"""What every family of values must do with every loss, and with logarithms."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from tests.toy import Toy, toy

from epic22.core.artifact.bundle import Schema
from epic22.core.data.folds import Fold
from epic22.core.data.preprocess import Preprocessor
from epic22.core.evaluation.metrics import choose_metric
from epic22.core.models.base import BaseEstimator, Family, compute_response, get_value_scale
from epic22.core.models.catalog import FAMILIES, get_family
from epic22.core.models.learning_problem import LearningProblem
from epic22.core.models.loss import Loss, list_quantile_levels
from epic22.core.models.networks.integrated_gradients import TOLERANCE
from epic22.core.task import Array, RowMetadata

pytestmark = pytest.mark.slow

ASKED = {
    "squared": (Loss(), False),
    "absolute": (Loss("absolute"), False),
    "quantile": (Loss("quantile", 0.8), False),
    "poisson": (Loss("poisson"), False),
    "tweedie": (Loss("tweedie"), False),
    "tweedie of a stated power": (Loss("tweedie", power=1.3), False),
    "squared of logs": (Loss(), True),
    "absolute of logs": (Loss("absolute"), True),
}
GROWN = ("boosting", "lightgbm", "catboost")
CASES = [
    pytest.param(
        family,
        asked,
        id=f"{family.name}-{asked}",
        marks=pytest.mark.skipif(not family.is_installed, reason=f"{family.needs} is not installed"),
    )
    for family in FAMILIES
    for asked in ASKED
    if "regression" in family.kinds
]


SEEN, UNSEEN = np.arange(400), np.arange(400, 600)


def sample(asked: str, n: int = 600) -> Toy:
    """Labels with the toy's signal: sums that are often zero, counts, or values over orders of magnitude."""
    loss, log = ASKED[asked]
    made = toy("regression", n)
    signal, rng = (made.examples.y - 10) / 6, np.random.default_rng(5)
    y = 30 * np.exp(signal) if not loss.log_link else rng.poisson(np.exp(signal)).astype(float)
    if loss.name == "tweedie":
        y = y * rng.gamma(8.0, 100.0, n)
    target = made.task.target
    power, metric = loss.power, choose_metric("regression", loss)
    asking = replace(target, loss=loss.name, quantile=loss.quantile, power=power, log=log, metric=metric)
    return Toy(replace(made.task, targets=(asking,)), replace(made.examples, Y=y[:, None]))


@cache
def fitted(family: str, asked: str) -> tuple[BaseEstimator, Array, Array]:
    """The family's estimator, the matrix that it has seen and its labels; a baseline has no inner fold."""
    made, kind = sample(asked), get_family(family)
    seen = made.examples.take(SEEN)
    X = Preprocessor.fit(made.task.input_columns, seen.X).transform(seen.X)
    estimator = kind.build(LearningProblem.of(made.task), seed=0, threads=1, **({"rounds": 60} if family in GROWN else {}))
    cut = len(X) * 3 // 4
    fold = None if kind.is_baseline else Fold(np.arange(cut), np.arange(cut, len(X)))
    return estimator.fit(X, seen.y, fold), X, seen.y


@pytest.mark.parametrize(("family", "asked"), CASES)
class TestEveryFamilyWithEveryLoss:
    def test_its_values_are_those_of_its_raw_score_which_contributions_add_up_to(self, family: Family, asked: str) -> None:
        estimator, X, _ = fitted(family.name, asked)
        raw = estimator.decision_function(X)
        assert np.array_equal(estimator.predict(X), compute_response(estimator, raw, "regression"))
        # An approximation of reasons misses the score by an integral's error, which is stated with them (decision 0034).
        tolerance = 1e-6 if family.capabilities.exact_reasons else max(0.02 * np.ptp(raw), TOLERANCE)
        # Of a network's a row's reasons are an integral of its own, so a tenth of the rows shows what all would.
        assert np.allclose(estimator.shap_values(X[:40]).sum(axis=-1), raw[:40], atol=tolerance)
        alone = np.concatenate([estimator.decision_function(X[i : i + 1]) for i in range(20)])
        assert alone == pytest.approx(raw[:20], rel=1e-6, abs=1e-6)
        assert alone.tobytes() == raw[:20].tobytes() or not family.capabilities.same_bits_for_one_row

    def test_it_is_in_logarithms_exactly_where_the_bundle_says_so(self, family: Family, asked: str) -> None:
        estimator, X, _ = fitted(family.name, asked)
        of_logs = Schema.of(sample(asked).task).is_log_scale
        assert get_value_scale(estimator).log == of_logs
        if of_logs:
            assert (estimator.predict(X) > 0).all()

    def test_it_comes_back_from_its_files_the_same(self, family: Family, asked: str) -> None:
        estimator, X, _ = fitted(family.name, asked)
        again = family.restore(estimator.files())
        assert again.decision_function(X).tobytes() == estimator.decision_function(X).tobytes()
        assert again.predict(X).tobytes() == estimator.predict(X).tobytes()
        assert again.files() == estimator.files()
        assert get_value_scale(again) == get_value_scale(estimator)

    def test_it_says_the_right_level(self, family: Family, asked: str) -> None:
        # Twice the standard error of a Tweedie mean of 400 rows, and three times that of a share of the fold's 100.
        loss, _ = ASKED[asked]
        estimator, X, y = fitted(family.name, asked)
        value = estimator.predict(X)
        if loss.name in ("absolute", "quantile"):
            share = 0.5 if loss.name == "absolute" else loss.quantile
            assert np.mean(y <= value) == pytest.approx(share, abs=0.15)
        else:
            assert value.mean() == pytest.approx(y.mean(), rel=0.15)

    def test_quantiles_that_it_states_itself_never_cross_and_hold_their_shares(self, family: Family, asked: str) -> None:
        estimator, X, y = fitted(family.name, asked)
        quantiles, levels = estimator.predict_quantiles(X), list_quantile_levels(ASKED[asked][0])
        assert (quantiles is not None) == (bool(levels) and family.extra == "neural")
        if quantiles is None:
            return
        strange = np.abs(np.random.default_rng(0).normal(0, 30, (500, X.shape[1]))).astype(np.float32)
        for one in (quantiles, estimator.predict_quantiles(strange)):
            assert one is not None
            assert (np.diff(one, axis=1) >= 0).all()
        assert np.array_equal(quantiles[:, levels.index(ASKED[asked][0].quantile)], estimator.predict(X))
        assert np.mean(y[:, None] <= quantiles, axis=0) == pytest.approx(np.array(levels), abs=0.12)
        again = family.restore(estimator.files()).predict_quantiles(X)
        assert again is not None
        assert again.tobytes() == quantiles.tobytes()

    def test_it_beats_the_constant_by_its_own_loss_unless_it_is_a_baseline(self, family: Family, asked: str) -> None:
        made = sample(asked)
        seen, unseen = made.examples.take(SEEN), made.examples.take(UNSEEN)
        later = Preprocessor.fit(made.task.input_columns, seen.X).transform(unseen.X)
        mine, constant = (
            made.task.target.metric.score(unseen.y, fitted(name, asked)[0].predict(later), RowMetadata())
            for name in (family.name, "constant")
        )
        assert mine == constant if family.is_baseline else mine < 0.98 * constant
