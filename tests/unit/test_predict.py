"""Predictions: a row equals a batch to the last bit, reasons sum to the score, receipts tell answers apart."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from tests.trained import opened, table, trained

from epic22.core.evaluation.calibrate import Calibration
from epic22.core.task import Kind
from epic22.features.flat_file import read_rows
from epic22.services.predict import predict_frame, predict_rows

KINDS: list[Kind] = ["binary", "multiclass", "regression"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_alone_equals_the_batch_and_its_reasons_sum_to_the_score(tmp_path: Path, kind: Kind) -> None:
    _, store = trained(tmp_path, kind)
    version, bundle = opened(store)
    frame = read_rows(table(tmp_path, kind, 60, seed=5), bundle.schema.columns)
    batch = predict_frame(version, bundle, frame)
    for number, row in enumerate(frame.to_dicts()):
        (alone,) = predict_rows(version, bundle, [row])
        assert (alone.values, alone.score, alone.receipt) == (
            batch[number].values,
            batch[number].score,
            batch[number].receipt,
        )
        assert sum(r.contribution for r in alone.reasons) == pytest.approx(alone.score.value, abs=1e-9)
        assert 2 <= len(alone.reasons) <= 7
        assert alone.entity == f"person {number}"


def test_the_value_is_the_link_of_the_score(tmp_path: Path) -> None:
    _, store = trained(tmp_path)
    version, bundle = opened(store)
    (prediction,) = predict_rows(version, bundle, [{"wear": 1.0}])
    assert prediction.values[0].value == pytest.approx(1 / (1 + math.exp(-prediction.score.value)))
    assert prediction.score.unit == "log-odds"


def test_calibration_is_a_reason_of_its_own_and_the_sum_is_the_calibrated_score(tmp_path: Path) -> None:
    _, store = trained(tmp_path)
    version, bundle = opened(store)
    shifted = replace(bundle, calibration=Calibration("platt", (0.5, -1.0)))
    (prediction,) = predict_rows(version, shifted, [{"wear": 1.0}])
    (plain,) = predict_rows(version, replace(bundle, calibration=Calibration()), [{"wear": 1.0}])
    assert prediction.score.value == pytest.approx(0.5 * plain.score.value - 1.0)
    assert prediction.values[0].value == pytest.approx(1 / (1 + math.exp(-prediction.score.value)))
    assert sum(r.contribution for r in prediction.reasons) == pytest.approx(prediction.score.value)
    assert any(reason.text.startswith("calibration") for reason in prediction.reasons)


def test_reasons_are_the_strongest_columns_in_plain_words(tmp_path: Path) -> None:
    run, store = trained(tmp_path)
    version, bundle = opened(store)
    row = {"wear": 3.0, "load <b>$kN$</b>": -2.0, "maker": "brook", "indoors": True, "fitted on": None}
    (prediction,) = predict_rows(version, bundle, [row])
    sizes = [abs(r.contribution) for r in prediction.reasons if r.column is not None]
    assert sizes == sorted(sizes, reverse=True)
    assert prediction.reasons[1].column in ("wear", "load <b>$kN$</b>")
    assert "plies the odds of y = yes by " in prediction.reasons[1].text
    assert run.champion.family in ("linear", "boosting")


def test_values_come_with_an_interval_that_covers(tmp_path: Path) -> None:
    _, store = trained(tmp_path, "regression", n=800)
    version, bundle = opened(store)
    fresh = table(tmp_path, "regression", 600, seed=7)
    frame, truth = read_rows(fresh, bundle.schema.columns), pl.read_csv(fresh)["y"].to_numpy()
    values = [p.values[0] for p in predict_frame(version, bundle, frame)]
    assert all(v.low is not None and v.high is not None for v in values)
    covered = np.mean([v.low <= y <= v.high for v, y in zip(values, truth, strict=True)])
    assert 0.85 <= covered <= 0.95


def test_many_classes_give_the_likeliest_and_all_probabilities(tmp_path: Path) -> None:
    _, store = trained(tmp_path, "multiclass")
    version, bundle = opened(store)
    (prediction,) = predict_rows(version, bundle, [{"wear": 3.0, "load <b>$kN$</b>": -2.0}])
    value = prediction.values[0]
    shares = dict(value.probabilities)
    assert value.value == max(shares, key=lambda name: shares[name]) == "high"
    assert sum(shares.values()) == pytest.approx(1)


def test_equal_rows_have_equal_receipts_and_other_rows_others(tmp_path: Path) -> None:
    _, store = trained(tmp_path)
    version, bundle = opened(store)
    a, b, c = predict_rows(version, bundle, [{"wear": 1.0}, {"wear": 1.0}, {"wear": 2.0}])
    assert a.receipt == b.receipt != c.receipt


def test_no_rows_have_no_predictions(tmp_path: Path) -> None:
    _, store = trained(tmp_path)
    assert predict_rows(*opened(store), []) == ()
