"""Answers as columns: the same as those of single rows to the last bit, whatever a bundle holds."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from tests.predictions import predict_columns, predict_frame, predict_rows
from tests.toy import inputs
from tests.trained import NAMES, opened, trained
from tests.unit.test_hazard import served

from epic22.core.artifact.answer_frame import ANSWER_SCHEMA, build_answer_frame
from epic22.core.artifact.bundle import Bundle
from epic22.core.artifact.prediction_request import FrameRequest
from epic22.core.artifact.row_model import RowModel
from epic22.core.evaluation.calibration import Calibration
from epic22.core.evaluation.conformal import AdaptiveInterval, IntervalKind
from epic22.core.evaluation.risk_bands import RiskBands
from epic22.core.lineage import MIN_BULK_ROWS, ModelVersion, canonical_json, canonical_json_rows
from epic22.core.models.target_transform import LogTargetRegressor
from epic22.core.models.value_scale import ValueScale
from epic22.core.prediction import Prediction
from epic22.core.task import Kind

Served = tuple[ModelVersion, Bundle]
COSTS = {"miss": 3.0, "false_alarm": 1.0}


def of_toy(folder: Path, kind: Kind, **changes: Any) -> Served:
    version, bundle = opened(trained(folder, kind)[1])
    return version, replace(bundle, **changes)


def staked(folder: Path) -> Served:
    """Costs by an exposure that some rows lack, with bands, calibrated."""
    version, bundle = of_toy(folder, "binary", costs=COSTS, risk_bands=RiskBands((0.1, 0.5, 1.0, 2.0)))
    return version, replace(
        bundle, schema=replace(bundle.schema, stake_column="wear"), calibration=Calibration("beta", (0.9, 0.7, 0.1))
    )


def counted(folder: Path) -> Served:
    """Values that are exponentials of scores, with an interval as wide as their size asks."""
    version, bundle = of_toy(
        folder, "regression", interval=AdaptiveInterval(0.9, "scaled", 2.0, 3.0, (0.0, 1e4), (1.0, 2.0), floor=0.0)
    )
    estimator = LogTargetRegressor(bundle.estimator)
    estimator.value_scale_ = ValueScale(True, (8.0, 10.0, 12.0), (0.1, 0.3, 0.2))
    return version, replace(bundle, schema=replace(bundle.schema, loss="poisson"), estimator=estimator)


def without_floor(bundle: Bundle) -> Bundle:
    """The bundle as of labels of which some lie below zero."""
    return replace(bundle, schema=replace(bundle.schema, floor=None))


BUNDLES: dict[str, Callable[[Path], Served]] = {
    "binary": lambda folder: of_toy(folder, "binary"),
    "without a set": lambda folder: of_toy(folder, "binary", sets=None),
    "isotonic": lambda folder: of_toy(folder, "binary", calibration=Calibration("isotonic", (-2.0, 0.0, 1.0, -1.0, 0.1, 2.0))),
    "money": staked,
    "classes": lambda folder: of_toy(folder, "multiclass"),
    "value": lambda folder: of_toy(folder, "regression"),
    "without an interval": lambda folder: of_toy(folder, "regression", interval=None),
    "count": counted,
    "hazard": lambda _: served(),
    "calibrated hazard": lambda _: served("platt"),
}


def rows_for(bundle: Bundle, n: int = 60) -> pl.DataFrame:
    """Rows with gaps and a category that training never saw."""
    frame = inputs(n, seed=9).with_columns(
        maker=pl.when(pl.int_range(pl.len()) == 3).then(pl.lit('new "maker"\n100 %')).otherwise("maker")
    )
    return frame if "fitted_on" in {column.name for column in bundle.schema.columns} else frame.rename(NAMES)


@pytest.mark.slow
@pytest.mark.parametrize("name", BUNDLES)
def test_a_row_alone_is_answered_as_in_a_batch_and_with_reasons_as_without(tmp_path: Path, name: str) -> None:
    version, bundle = BUNDLES[name](tmp_path)
    frame = rows_for(bundle)
    batch = predict_frame(version, bundle, frame, with_reasons=False)
    for number, (row, with_reasons) in enumerate(zip(frame.to_dicts(), predict_frame(version, bundle, frame), strict=True)):
        (alone,) = predict_rows(version, bundle, [row])
        assert replace(alone, reasons=(), entity=str(number + 1)) == batch[number] == replace(with_reasons, reasons=())
        assert alone.reasons == with_reasons.reasons
        assert math.fsum(reason.contribution for reason in alone.reasons) == pytest.approx(alone.score.value, abs=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("name", BUNDLES)
def test_columns_hold_what_each_prediction_says(tmp_path: Path, name: str) -> None:
    version, bundle = BUNDLES[name](tmp_path)
    frame = rows_for(bundle)
    answers, told = predict_columns(bundle, frame), predict_frame(version, bundle, frame, with_reasons=False)
    assert answers.score.tolist() == [prediction.score.value for prediction in told]
    assert answers.response.tolist() == [_response(bundle, prediction) for prediction in told]
    deciding = [next(v for v in p.values if v.horizon == bundle.schema.horizon) for p in told]
    ends = [None if v.interval is None else [v.interval.low, v.interval.high] for v in deciding]
    assert ends == ([None] * len(told) if answers.interval is None else answers.interval.T.tolist())
    for column in ("expected_loss", "act", "risk_band"):
        stated, found = getattr(answers, column), [getattr(value, column) for value in deciding]
        known = (
            [loss is not None for loss in (value.expected_loss for value in deciding)] if column in ("act", "risk_band") else None
        )
        listed = [None] * len(told) if stated is None else [None if x != x else x for x in stated.tolist()]
        assert found == [x if known is None or known[i] else None for i, x in enumerate(listed)]


@pytest.mark.slow
@pytest.mark.parametrize("name", BUNDLES)
def test_a_frame_of_answers_has_the_bits_of_the_records(tmp_path: Path, name: str) -> None:
    version, bundle = BUNDLES[name](tmp_path)
    request = FrameRequest(rows_for(bundle), first=7)
    model = RowModel(version, bundle)
    frame = model.predict_frame(request)
    assert frame.schema == ANSWER_SCHEMA
    assert_frame_equal(frame, build_answer_frame(model.predict(request)), check_exact=True)
    assert_frame_equal(
        model.predict_frame(request, with_reasons=False),
        frame.with_columns(pl.lit(None, ANSWER_SCHEMA["reasons"]).alias("reasons")),
        check_exact=True,
    )
    alone = [model.predict_frame(FrameRequest(row, first=7 + i)) for i, row in enumerate(request.frame.iter_slices(1))]
    assert_frame_equal(pl.concat(alone), frame, check_exact=True)
    assert frame["entity"][0] == "7"
    assert model.predict_frame(FrameRequest(request.frame.head(0))).schema == ANSWER_SCHEMA


def _response(bundle: Bundle, prediction: Prediction) -> Any:
    if bundle.schema.kind == "multiclass":
        return [share for _, share in prediction.values[0].probabilities]
    values = [value.value for value in prediction.values]
    return values if bundle.schema.kind == "hazard" else values[0]


@pytest.mark.slow
def test_a_row_that_does_not_say_what_is_at_stake_has_no_money(tmp_path: Path) -> None:
    version, bundle = staked(tmp_path)
    frame = rows_for(bundle)
    told = [prediction.values[0] for prediction in predict_frame(version, bundle, frame, with_reasons=False)]
    # Below zero it is not known what is at stake either: training refuses such rows.
    missing = (frame["wear"].is_null() | (frame["wear"] < 0).fill_null(value=False)).to_list()
    assert frame["wear"].null_count()
    assert [(v.expected_loss, v.act, v.risk_band) == (None, None, None) for v in told] == missing
    for value, stake in zip(told, frame["wear"].to_list(), strict=True):
        if stake is not None and stake >= 0:
            assert value.expected_loss == value.value * (3.0 * stake)
            assert value.act == (value.expected_loss > (1 - value.value))  # type: ignore[operator]


@pytest.mark.slow
def test_no_rows_are_no_answers(tmp_path: Path) -> None:
    for name, make in BUNDLES.items():
        version, bundle = make(tmp_path)
        frame = rows_for(bundle).head(0)
        assert predict_frame(version, bundle, frame, with_reasons=False) == (), name
        assert len(predict_columns(bundle, frame).response) == 0


PLAIN = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text())


@pytest.mark.slow
@given(st.dictionaries(st.text(), st.just(0), min_size=1, max_size=4), st.data())
def test_rows_written_together_have_the_bytes_of_rows_written_alone(names: dict[str, int], data: st.DataObject) -> None:
    n = data.draw(st.sampled_from([0, 1, MIN_BULK_ROWS - 1, MIN_BULK_ROWS, MIN_BULK_ROWS + 5]))
    columns = {name: data.draw(st.lists(PLAIN, min_size=n, max_size=n)) for name in names}
    alone = [canonical_json({name: columns[name][i] for name in names}) for i in range(n)]
    assert canonical_json_rows(columns) == alone


def test_a_value_that_holds_others_is_written_as_alone() -> None:
    values: list[Any] = [["a", 1], {"b": 1, "a": [2, 3]}, [], None, *["x"] * MIN_BULK_ROWS]
    assert canonical_json_rows({"it": values}) == [canonical_json({"it": value}) for value in values]


def test_an_infinite_value_is_refused_as_in_a_row_alone() -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        canonical_json_rows({"it": [math.inf] * (MIN_BULK_ROWS + 1)})


@pytest.mark.slow
def test_an_interval_around_a_models_own_quantiles_follows_the_row(tmp_path: Path) -> None:
    _, bundle = of_toy(tmp_path, "regression", interval=AdaptiveInterval(0.9, "quantiles", 1.0, 2.0))
    bundle, rows = without_floor(bundle), rows_for(bundle)
    X = bundle.preprocessor.transform(rows)
    ends = bundle.estimator.predict(X)[:, None] + np.array([-5.0, 0.0, 5.0]) * (1 + np.arange(len(X)) % 3)[:, None]
    bundle.estimator.predict_quantiles = lambda X: ends  # type: ignore[method-assign]
    interval = predict_columns(bundle, rows).interval
    assert interval is not None
    np.testing.assert_array_equal(interval, [ends[:, 0] - 1.0, ends[:, -1] + 2.0])


@pytest.mark.slow
def test_no_answer_and_no_interval_of_a_count_lies_below_zero(tmp_path: Path) -> None:
    _, bundle = of_toy(tmp_path, "regression", interval=AdaptiveInterval(0.9, "constant", 1.0, 1.0))
    rows = rows_for(bundle)
    free = predict_columns(bundle, rows)
    middle = float(np.median(free.response))
    floored = predict_columns(replace(bundle, schema=replace(bundle.schema, floor=middle)), rows)
    np.testing.assert_array_equal(floored.response, np.maximum(free.response, middle))
    assert floored.interval is not None
    assert floored.interval.min() == middle


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["constant", "scaled", "relative"])
def test_a_value_lies_within_its_own_interval_where_that_ends_at_a_bound(tmp_path: Path, kind: IntervalKind) -> None:
    _, bundle = of_toy(tmp_path, "regression", interval=None)
    rows = rows_for(bundle)
    bound = float(np.median(predict_columns(bundle, rows).response))
    interval = AdaptiveInterval(0.9, kind, 0.1, 0.1, (0.0, 100.0), (1.0, 2.0), min_value=0.1, floor=bound)
    columns = predict_columns(replace(without_floor(bundle), interval=interval), rows)
    assert columns.interval is not None
    low, high = columns.interval
    assert ((low <= columns.response) & (columns.response <= high)).all()
    assert columns.response.min() == low.min() == bound
    assert (high > bound).all(), "an answer at the bound is not certain"


def test_a_stake_below_zero_has_no_money_as_a_missing_one(tmp_path: Path) -> None:
    version, bundle = staked(tmp_path)
    rows = inputs(3, 5).rename(NAMES).with_columns(wear=pl.Series([-500.0, None, 0.5]))
    values = [one.values[0] for one in predict_frame(version, bundle, rows)]
    assert [(value.expected_loss is None, value.act is None) for value in values] == [(True, True), (True, True), (False, False)]


@pytest.mark.slow
@pytest.mark.parametrize("release", ["of now", "before"])
def test_a_model_that_serves_is_compared_by_the_values_that_it_serves(tmp_path: Path, release: str) -> None:
    version, bundle = of_toy(tmp_path, "regression")
    rows = rows_for(bundle)
    middle = float(np.median(predict_columns(bundle, rows).response))
    ended = replace(bundle, schema=replace(bundle.schema, floor=middle))
    if release == "before":
        ended = replace(without_floor(bundle), interval=AdaptiveInterval(0.9, "constant", 1.0, 1.0, floor=middle))
    served_values = predict_columns(ended, rows).response
    assert served_values.min() == middle
    np.testing.assert_array_equal(RowModel(version, ended).compute_responses(rows), served_values)
