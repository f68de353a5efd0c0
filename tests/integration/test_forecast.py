"""A panel from the file to the answer: nothing leaks, the same command is the same model, every interface tells the same."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from fastapi.testclient import TestClient
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st
from tests.folders import folder_of_process
from tests.forecast_runs import forecast_run, usual_run
from tests.panels import lines, wide_file
from typer.testing import CliRunner

from epic22.adapters.model_store import ModelStore
from epic22.api.app import create_app
from epic22.bootstrap.predictions import RequestFile
from epic22.cli.main import app
from epic22.core.artifact.panel_bundle import PanelBundle, open_panel_bundle
from epic22.core.artifact.panel_model import PanelModel, SeriesRequest, forecast_series
from epic22.core.artifact.prediction_request import RowsRequest
from epic22.core.errors import BundleError, RowError, UserError
from epic22.core.lineage import ModelVersion
from epic22.core.prediction import Prediction
from epic22.core.serialization import to_json
from epic22.core.statistics import Interval
from epic22.reports.html.forecast import render_forecast_report
from epic22.reports.json import VIEWS

URL = "/v1/tasks/rents/predictions"


def _opened(store: ModelStore) -> tuple[ModelVersion, PanelBundle]:
    model = _model(store)
    return model.version, model.bundle


def _model(store: ModelStore) -> PanelModel:
    model = store.load("rents")
    assert isinstance(model, PanelModel)
    return model


def _predict_all(store: ModelStore) -> tuple[Prediction, ...]:
    model = _model(store)
    return model.predict(model.read_request(None))


@pytest.mark.slow
# 84 periods, 12 held out: noise in the last 12 or 24 begins right after an origin at which families are fitted and weighted.
@settings(max_examples=2, deadline=None, phases=[Phase.explicit, Phase.generate])
@example(seed=1, back=12)
@example(seed=2, back=24)
@given(seed=st.integers(0, 10_000), back=st.integers(1, 30))
def test_noise_after_an_origin_changes_no_forecast_weight_or_interval_from_it(seed: int, back: int) -> None:
    plain, _ = usual_run()
    values = lines(series=8, periods=84)
    noisy = values.copy()
    noisy[:, -back:] *= np.random.default_rng(seed).lognormal(0, 1, (8, back))
    other, _ = forecast_run(folder_of_process(), noisy)
    safe = plain.examples.origin <= plain.plan.test[-1] + plain.plan.horizon - back
    assert safe.any()
    # A family that equals another one from every origin is left out, which noise after an origin may undo.
    boards = [{e.family: e.forecasts.quantiles[safe] for e in run.leaderboard} for run in (plain, other)]
    for family in boards[0].keys() & boards[1].keys() - {plain.champion.family, other.champion.family}:
        assert np.array_equal(boards[0][family], boards[1][family]), family
    if plain.champion.family == other.champion.family:
        assert np.array_equal(plain.champion.forecasts.median[safe], other.champion.forecasts.median[safe])
        assert np.array_equal(plain.adapted.quantiles[safe], other.adapted.quantiles[safe])


@pytest.mark.slow
@pytest.mark.parametrize("stored", ["K\u00f6ln", "Ko\u0308ln", "K\u00f6ln "])
@pytest.mark.parametrize("sent", ["K\u00f6ln", "Ko\u0308ln", "\u200bK\u00f6ln\u00a0"])
def test_a_client_names_a_series_as_a_file_does(stored: str, sent: str) -> None:
    """A blank behind the name, or an accent behind its letter, was a series that nobody trained on."""
    model = _model(usual_run()[1])
    history = model.bundle.history
    entity = np.array([stored, *history.entity[1:]], dtype=object)
    model = replace(model, bundle=replace(model.bundle, history=replace(history, entity=entity)))
    row = model.request_model().row.model_validate({"series": sent}).model_dump(by_alias=True)
    (prediction,) = model.predict(RowsRequest([row]))
    assert prediction.entity == "K\u00f6ln"
    assert prediction.score == model.predict(RowsRequest([{"series": stored, "values": None, "last": None}]))[0].score


@pytest.mark.slow
def test_the_order_of_the_series_changes_no_forecast(tmp_path: Path) -> None:
    plain, store = usual_run()
    other, other_store = forecast_run(tmp_path, lines(series=8, periods=84), order=np.array([5, 2, 7, 0, 1, 6, 4, 3]))
    assert plain.champion.family == other.champion.family
    assert np.array_equal(plain.champion.forecasts.quantiles, other.champion.forecasts.quantiles)
    first, second = (_predict_all(s) for s in (store, other_store))
    assert [p.values for p in first] == [p.values for p in second]


@pytest.mark.slow
def test_the_same_file_gives_the_same_hash_and_another_value_another(tmp_path: Path) -> None:
    values = lines(series=8, periods=84)
    plain, _ = usual_run()
    again, _ = forecast_run(tmp_path, values)
    assert again.version.model_hash == plain.version.model_hash
    changed = values.copy()
    changed[3, 17] += 0.01
    (tmp_path / "b").mkdir()
    other, _ = forecast_run(tmp_path / "b", changed)
    assert other.version.model_hash != plain.version.model_hash


@pytest.mark.slow
def test_an_opened_bundle_forecasts_what_the_trained_one_did() -> None:
    run, store = usual_run()
    _, opened = _opened(store)
    assert np.array_equal(opened.forecast(opened.history).quantiles, run.bundle.forecast(run.bundle.history).quantiles)
    assert opened.model_hash == run.version.model_hash


@pytest.mark.slow
@pytest.mark.parametrize("name", ["history.parquet", "golden.json", "manifest.json"])
def test_a_tampered_forecast_is_refused(tmp_path: Path, name: str) -> None:
    run, store = usual_run()
    folder = tmp_path / "bundle"
    shutil.copytree(store.folder("rents", run.version.version) / "bundle", folder)
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[:-20] + bytes([content[-20] ^ 1]) + content[-19:])
    with pytest.raises(BundleError, match=str(folder)):
        open_panel_bundle(folder)


@pytest.mark.slow
def test_a_bundle_of_rows_is_no_forecast(tmp_path: Path) -> None:
    run, store = usual_run()
    manifest = store.folder("rents", run.version.version) / "bundle" / "manifest.json"
    assert json.loads(manifest.read_text())["kind"] == "panel"
    with pytest.raises(BundleError, match=r"no manifest\.json"):
        open_panel_bundle(tmp_path)


@pytest.mark.slow
def test_reasons_sum_to_the_forecast_and_values_carry_intervals() -> None:
    _, store = usual_run()
    for prediction in _predict_all(store):
        assert sum(r.contribution for r in prediction.reasons) == pytest.approx(prediction.score.value, rel=1e-9)
        assert [v.horizon for v in prediction.values] == [1.0, 2.0, 3.0]
        assert all(v.interval is not None and v.interval.low < v.interval.value < v.interval.high for v in prediction.values)
        assert len(prediction.reasons) <= 6


def test_the_values_of_a_known_series_sent_along_give_the_same_forecast() -> None:
    _, store = usual_run()
    version, bundle = _opened(store)
    name = str(bundle.history.entity[2])
    values = tuple(float(v) for v in bundle.history.get_series(2))
    (by_name,) = forecast_series(version, bundle, [SeriesRequest(name)])
    (by_values,) = forecast_series(version, bundle, [SeriesRequest(name, values)])
    assert by_name.values == by_values.values
    assert by_name.receipt == by_values.receipt


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (SeriesRequest("nowhere"), "no series 'nowhere'"),
        (SeriesRequest("x", (1.0, 2.0)), "too few"),
        (SeriesRequest("x", (1.0, 2.0, 3.0, float("nan"))), "last value is missing"),
    ],
)
def test_a_series_that_cannot_be_forecast_is_said(request_: SeriesRequest, said: str) -> None:
    _, store = usual_run()
    version, bundle = _opened(store)
    with pytest.raises(RowError, match=said):
        forecast_series(version, bundle, [request_])


@pytest.mark.slow
def test_the_api_answers_series_and_refuses_wrong_bodies() -> None:
    _, store = usual_run()
    with TestClient(create_app(store), raise_server_exceptions=False) as client:
        answer = client.post(URL, json={"rows": [{"series": "zip 01"}, {"series": "new", "values": [1, 2, 3, None, 5]}]})
        assert answer.status_code == 200
        predictions = answer.json()["predictions"]
        assert [len(p["values"]) for p in predictions] == [3, 3]
        assert all(v["low"] < v["value"] < v["high"] for v in predictions[0]["values"])
        wrong = [
            {"rows": [{"series": "nowhere"}]},
            {"rows": [{"series": "a", "values": "many"}]},
            {"rows": [{"series": "a", "values": [1, 2]}]},
            {"rows": [{"series": "a", "values": [1, 2, 1e300]}]},
            {"rows": [{"series": "a", "values": [1, 2, None]}]},
            {"rows": [{"series": "a", "values": [1, 2, 3], "last": "soon"}]},
            {"rows": [{"values": [1, 2, 3]}]},
            {"rows": [{"series": 5}]},
            {"rows": [{"series": "a", "horizon": 3}]},
            {"rows": []},
        ]
        for body in wrong:
            refused = client.post(URL, json=body)
            assert refused.status_code == 422, body
            assert refused.headers["content-type"] == "application/problem+json"
        one = client.get("/v1/tasks/rents").json()
        assert (one["kind"], [c["name"] for c in one["columns"]]) == ("quantiles", ["series", "values", "last"])
        document = client.get("/openapi.json").json()
        example = document["paths"][URL]["post"]["requestBody"]["content"]["application/json"]["example"]
        assert client.post(URL, json=example).status_code == 200


@pytest.mark.parametrize(
    ("row", "pointer", "what"),
    [
        ({"values": [1, 2, 3, 4], "last": "9999-12-31"}, "last", "calendar"),
        ({"values": [1, 2, 3, 4], "last": "0001-01-01"}, "last", "calendar"),
        ({"last": "2022-12-01"}, "last", "last goes with values"),
        ({"series": "nowhere"}, "series", "no series 'nowhere'"),
        ({"values": [1, 2, "x", 4]}, "values/2", "must be a number"),
        ({"values": [1, 2]}, "values", "at least 3"),
        ({"values": [1, None, None]}, "values", "too few"),
        ({"values": [1, 2, 3, None]}, "values", "the last value is missing"),
    ],
)
def test_a_refused_series_is_named_with_a_pointer_to_what_is_wrong(row: dict[str, object], pointer: str, what: str) -> None:
    _, store = usual_run()
    with TestClient(create_app(store), raise_server_exceptions=False) as client:
        refused = client.post(URL, json={"rows": [{"series": "zip 01"}, {"series": "zip 01"} | row]})
    assert refused.status_code == 422
    (error,) = refused.json()["errors"]
    assert error["pointer"] == f"/rows/1/{pointer}"
    assert what in error["detail"]


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(st.lists(st.one_of(st.none(), st.floats(-1e15, 1e15)), min_size=3, max_size=40))
def test_whatever_numbers_are_sent_the_answer_is_finite_or_a_refusal(values: list[float | None]) -> None:
    _, store = usual_run()
    with TestClient(create_app(store), raise_server_exceptions=False) as client:
        answer = client.post(URL, json={"rows": [{"series": "x", "values": values}]})
    assert answer.status_code in (200, 422)
    if answer.status_code == 200:
        (prediction,) = answer.json()["predictions"]
        assert all(v["low"] <= v["value"] <= v["high"] for v in prediction["values"])


def test_the_result_is_one_json_object_with_every_horizon() -> None:
    run, _ = usual_run()
    told = json.loads(json.dumps(to_json(run, VIEWS), allow_nan=False))
    assert told["folds"]["kind"] == "rolling_origin"
    assert {e["horizon"] for e in told["leaderboard"]} == {"all", 1, 2, 3}
    assert {v["horizon"] for v in told["verdicts"]} == {"all", 1, 3}
    assert told["champion"]["family"] == run.champion.family
    assert {"coverage", "mean_distance", "winkler"} <= set(told["intervals"]["kinds"][0])
    assert [g["group"] for g in told["intervals"]["by_group"]] == ["calm", "usual", "lively"]
    assert sum(g["series"] for g in told["intervals"]["by_group"]) == 8
    assert len(told["intervals"]["by_origin"]) == told["folds"]["n"]


@pytest.mark.slow
def test_the_report_is_whole_and_loads_nothing() -> None:
    run, _ = usual_run()
    page = render_forecast_report(run)
    assert page == render_forecast_report(run)
    for part in (
        "Leaderboard",
        "Skill by horizon",
        "Coverage by origin",
        "Worst series",
        "independent stretches",
        "<h2>Anomalies</h2>",
    ):
        assert part in page
    assert "<script" not in page
    assert "http://" not in page.replace("http://www.w3.org", "")


@pytest.mark.slow
def test_the_command_line_trains_predicts_and_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EPIC22_HOME", str(tmp_path / "home"))
    path = wide_file(tmp_path, lines(series=5, periods=60))
    line = ["train", "--csv", str(path), "--panel", "wide", "--id", "zip", "--time", "month", "--label", "rent"]
    runner = CliRunner()
    done = runner.invoke(
        app, [*line, "--frequency", "M", "--horizon", "2", "--holdout-last", "6", "--season", "1", "--task", "r", "--json"]
    )
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["task"] == "r"
    shown = runner.invoke(app, ["predict", "r"])
    assert shown.exit_code == 0
    assert "zip 04" in shown.stdout
    by_file = runner.invoke(app, ["predict", "r", str(path), "--json"])
    by_name = runner.invoke(app, ["predict", "r", "--json"])
    assert json.loads(by_file.stdout)["predictions"] == json.loads(by_name.stdout)["predictions"]
    for wrong in (
        [*line, "--horizon", "2"],
        [*line, "--frequency", "M"],
        [*line, "--frequency", "M", "--horizon", "2.5"],
        [*line, "--frequency", "fortnight", "--horizon", "2"],
        [*line, "--frequency", "M", "--horizon", "2", "--group", "zip"],
        [*line, "--frequency", "M", "--horizon", "2", "--holdout-last", "1"],
        [*line, "--frequency", "M", "--horizon", "2", "--also", "oracle"],
        [*line, "--frequency", "M", "--horizon", "2", "--detector", "magic"],
        ["train", "tenant_churn", "--detector", "autoencoder"],
        ["train", "--csv", str(path), "--label", "rank", "--frequency", "M"],
    ):
        refused = runner.invoke(app, wrong)
        assert isinstance(refused.exception, UserError), (wrong, refused.exception)


@pytest.mark.slow
def test_a_known_series_with_other_values_is_estimated_from_them(tmp_path: Path) -> None:
    _, store = forecast_run(tmp_path, lines(series=4, periods=60), families=("naive", "drift", "theta"))
    version, bundle = _opened(store)
    recent = tuple(float(v) for v in bundle.history.get_series(1)[-30:])
    named, unknown = forecast_series(version, bundle, [SeriesRequest("zip 01", recent), SeriesRequest("new", recent)])
    assert named.values == unknown.values


NAIVE = ("naive", "drift", "damped_drift")


@pytest.mark.slow
def test_a_panel_with_a_series_that_ended_opens_and_answers_the_others(tmp_path: Path) -> None:
    values = lines(series=4, periods=72)
    values[1, 40:] = np.nan
    run, store = forecast_run(tmp_path, values, NAIVE)
    assert any("1 series that ended more than 1 month before 2020-12 are not forecast: 'zip 01'" in note for note in run.notes)
    model = _model(store)
    assert model.schema == run.bundle.schema
    assert model.schema.reading is not None
    predictions = _predict_all(store)
    assert [one.entity for one in predictions] == ["zip 00", "zip 02", "zip 03"]
    for one, last in zip(predictions, values[[0, 2, 3], -1], strict=True):
        assert one.values[0].value == pytest.approx(last, rel=0.1)


@pytest.mark.slow
def test_constant_series_are_forecast_as_they_are(tmp_path: Path) -> None:
    _, store = forecast_run(tmp_path, np.full((3, 72), 1000.0), NAIVE)
    for prediction in _predict_all(store):
        assert [(v.value, v.interval) for v in prediction.values] == [(1000.0, Interval(1000.0, 1000.0, 1000.0))] * 3


@pytest.mark.slow
def test_a_value_that_was_carried_forward_is_said_to_be(tmp_path: Path) -> None:
    values = lines(series=4, periods=72)
    values[2, -1] = np.nan
    _, store = forecast_run(tmp_path, values, NAIVE)
    texts = [one.reasons[0].text for one in _predict_all(store)]
    assert texts == ["the value of 2020-12"] * 2 + ["the value of 2020-11, carried forward to 2020-12", "the value of 2020-12"]


@pytest.mark.slow
def test_series_that_a_file_asks_for_and_gets_no_answer_to_are_told(tmp_path: Path) -> None:
    _, store = usual_run()
    values = lines(series=3, periods=60)
    values[1, 20:] = np.nan
    told: list[str] = []
    request = _model(store).read_request(RequestFile(wide_file(tmp_path, values), told.append))
    assert request.column("series") == ["zip 00", "zip 02"]
    assert len(told) == 1
    assert "'zip 01'" in told[0]


def test_a_point_before_three_digits_is_asked_about_where_the_panel_had_whole_numbers_alone(tmp_path: Path) -> None:
    """Rents of 1.250, with points for thousands, were forecast as one and a quarter, in silence; 1,250 is read."""
    values = np.round(lines(series=4, periods=72)) + 1000
    _, store = forecast_run(tmp_path, values, ("naive", "drift"))
    path = wide_file(tmp_path, values, "later.csv")
    model, later = _model(store), pl.read_csv(path)
    assert model.read_request(RequestFile(path)).column("values")[0][0] == values[0, 0]
    for mark in ".,":
        written = pl.selectors.float().cast(pl.Int64).cast(pl.String).str.replace(r"^(\d)(\d{3})$", rf"$1{mark}$2")
        later.with_columns(written).write_csv(path, separator=";")
        if mark == ",":
            assert model.read_request(RequestFile(path)).column("values")[0][0] == values[0, 0]
            continue
        with pytest.raises(UserError, match="no numbers written as in training, whole, with no mark before three digits"):
            model.read_request(RequestFile(path))


def test_series_whose_ends_lie_centuries_apart_are_refused_before_an_array_of_them_is_made() -> None:
    version, bundle = _opened(usual_run()[1])
    values = (1.0, 2.0, 3.0)
    late = 12 * 8000
    assert len(forecast_series(version, bundle, [SeriesRequest("a", values, 0), SeriesRequest("b", values, 1200)])) == 2
    with pytest.raises(RowError, match="last is 1970-01, that of another series 9970-01: too far apart for one request"):
        forecast_series(version, bundle, [SeriesRequest("a", values, 0), *[SeriesRequest("b", values, late)] * 12])


def test_nothing_below_zero_is_said_of_a_series_that_has_been_zero_and_never_less() -> None:
    version, bundle = _opened(usual_run()[1])
    counts = (2.0, 0.0, 1.0, 3.0, 0.0, 0.0, 2.0, 1.0, 0.0, 1.0, 0.0, 2.0, 0.0)
    requests = [SeriesRequest("counts", counts), SeriesRequest("gains and losses", (*counts, -1.0, 1.0, 0.0))]
    ends = [[v.interval.low for v in one.values if v.interval] for one in forecast_series(version, bundle, requests)]
    assert min(ends[0]) == 0
    assert min(ends[1]) < 0
    (earlier,) = forecast_series(version, replace(bundle, schema=replace(bundle.schema, reading=None)), requests[:1])
    assert min(v.interval.low for v in earlier.values if v.interval) < 0


def test_nothing_below_zero_is_said_of_a_series_above_it_where_no_series_of_the_panel_was_ever_below() -> None:
    version, bundle = _opened(usual_run()[1])
    spiky = SeriesRequest("spiky", (1.0, 90.0, 2.0, 1.0, 140.0, 1.0, 3.0, 80.0, 1.0, 2.0, 1.0, 110.0, 1.0, 2.0, 1.0))
    (floored,) = forecast_series(version, bundle, [spiky])
    assert min(v.interval.low for v in floored.values if v.interval) == 0
    losses = replace(bundle.history, lines=np.where(np.arange(bundle.history.lines.shape[1]) == 3, -1.0, bundle.history.lines))
    (free,) = forecast_series(version, replace(bundle, history=losses), [spiky])
    assert min(v.interval.low for v in free.values if v.interval) < 0
    ends = [[max(v.interval.high, 0.0) for v in one.values if v.interval] for one in (free, floored)]
    assert ends[0] == ends[1]
