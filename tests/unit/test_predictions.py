"""Predictions: a row equals a batch to the last bit, reasons sum to the score, receipts tell answers apart."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from tests.predictions import predict_frame, predict_rows
from tests.trained import opened, table, trained

from epic22.adapters.model_store import ModelStore
from epic22.core.data.folds import SplitRequest
from epic22.core.evaluation.calibration import Calibration
from epic22.core.models.base import Capabilities
from epic22.core.models.catalog import get_family
from epic22.core.serialization import to_json
from epic22.core.task import Kind
from epic22.reports.html.training import render_report
from epic22.reports.json import VIEWS
from epic22.services.pipelines.rows import RowPipeline
from epic22.services.train import train
from epic22.spec.flat_file import load_task_data, read_rows
from epic22.spec.training_spec import build_spec

KINDS: list[Kind] = ["binary", "multiclass", "regression"]


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
@pytest.mark.parametrize("is_exact", [True, False])
def test_the_rest_of_reasons_that_are_an_approximation_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_exact: bool
) -> None:
    _, store = trained(tmp_path)
    version, bundle = opened(store)
    family = replace(get_family(bundle.family), capabilities=Capabilities(exact_reasons=is_exact))
    monkeypatch.setattr("epic22.core.artifact.row_reasons.get_family", lambda name: family)
    row = {"wear": 3.0, "load <b>$kN$</b>": -2.0, "maker": "brook", "indoors": True, "fitted on": None}
    (prediction,) = predict_rows(version, bundle, [row])
    assert prediction.reasons[-1].text.endswith("all other columns together") == is_exact


@pytest.mark.slow
def test_values_come_with_an_interval_that_covers(tmp_path: Path) -> None:
    _, store = trained(tmp_path, "regression", n=800)
    version, bundle = opened(store)
    fresh = table(tmp_path, "regression", 600, seed=7)
    frame, truth = read_rows(fresh, bundle.schema.columns), pl.read_csv(fresh)["y"].to_numpy()
    intervals = [p.values[0].interval for p in predict_frame(version, bundle, frame)]
    covered = np.mean([v is not None and v.low <= y <= v.high for v, y in zip(intervals, truth, strict=True)])
    assert 0.85 <= covered <= 0.95


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["binary", "multiclass"])
def test_classes_come_with_a_set_that_holds_nine_in_ten_of_each_class(tmp_path: Path, kind: Kind) -> None:
    _, store = trained(tmp_path, kind, n=800)
    version, bundle = opened(store)
    fresh = table(tmp_path, kind, 1500, seed=7)
    frame, truth = read_rows(fresh, bundle.schema.columns), pl.read_csv(fresh)["y"].to_numpy()
    sets = [p.values[0].set for p in predict_frame(version, bundle, frame)]
    inside = np.array([found is not None and y in found for found, y in zip(sets, truth, strict=True)])
    assert all(inside[truth == name].mean() >= 0.84 for name in bundle.schema.classes)
    assert inside.mean() < 1
    assert {len(found or ()) for found in sets} >= {1, 2}


def test_a_bundle_without_sets_answers_without_one(tmp_path: Path) -> None:
    _, store = trained(tmp_path)
    version, bundle = opened(store)
    (prediction,) = predict_rows(version, replace(bundle, sets=None), [{"wear": 1.0}])
    assert prediction.values[0].set is None
    assert "set" not in to_json(prediction, VIEWS)["values"][0]
    (prediction,) = predict_rows(version, bundle, [{"wear": 1.0}])
    assert to_json(prediction, VIEWS)["values"][0]["set"] == list(prediction.values[0].set or ())


@pytest.mark.slow
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


@pytest.mark.slow
def test_a_formula_is_a_column_of_model_reasons_and_bundle(tmp_path: Path) -> None:
    """The label hangs on a product of two columns alone, which the linear model sees only through the formula."""
    rng = np.random.default_rng(0)
    torque, speed = rng.normal(40, 10, 400), rng.normal(1500, 200, 400)
    power = torque * speed * 0.10472
    frame = pl.DataFrame({"Torque [Nm]": torque, "speed": speed, "hot": (power + rng.normal(0, 300, 400) > 7000).astype(int)})
    frame.write_csv(tmp_path / "hot.csv")
    formula = "power [W] = `Torque [Nm]` * speed * 0.10472"
    assignment = load_task_data(build_spec(csv=tmp_path / "hot.csv", label="hot", task="toy", formula=(formula,)))
    assignment = replace(assignment, task=replace(assignment.task, families=("constant", "linear")))
    store = ModelStore(tmp_path / "models")
    run = train(RowPipeline(assignment, SplitRequest(repeats=1), threads=1), store)
    store.promote("toy", run.version.version, run.verdicts)
    assert run.champion.family == "linear"
    assert run.champion.score("average_precision").value > 0.95
    version, bundle = opened(store)
    row = {"Torque [Nm]": 50.0, "speed": 1600.0}
    (alone,) = predict_rows(version, bundle, [row])
    (batch,) = predict_frame(version, bundle, pl.DataFrame([row]))
    assert alone == batch
    reason = next(r for r in alone.reasons if r.column == "power")
    assert reason.value == pytest.approx(8377.6, abs=0.1)
    assert reason.text.startswith("power (`Torque [Nm]` * speed * 0.10472) is 8378 W: ")
    assert sum(r.contribution for r in alone.reasons) == pytest.approx(alone.score.value, abs=1e-9)
    (missing,) = predict_rows(version, bundle, [{"speed": 1600.0}])
    assert next((r.value for r in missing.reasons if r.column == "power"), None) is None
    assert to_json(run, VIEWS)["derived"] == [{"name": "power", "formula": "`Torque [Nm]` * speed * 0.10472", "unit": "W"}]
    assert "power [W] = `Torque [Nm]` * speed" in render_report(run, {})
