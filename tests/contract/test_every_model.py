"""What every kind of registered model promises to those that ask it."""

import json
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from tests.forecast_runs import usual_run
from tests.trained import trained

from epic22.api.requests import read_rows
from epic22.core.artifact.answer_frame import ANSWER_SCHEMA, build_answer_frame
from epic22.core.artifact.model import Model
from epic22.core.artifact.openers import OPENERS, open_model
from epic22.core.artifact.prediction_request import FrameRequest, RowsRequest
from epic22.core.errors import BundleError


def open_row_model(folder: Path) -> tuple[Model, Path]:
    _, store = trained(folder)
    version = store.champion("toy")
    return store.load("toy"), store.folder("toy", version.version) / "bundle"


def open_series_model(_: Path) -> tuple[Model, Path]:
    store = usual_run()[1]
    version = store.champion("rents")
    return store.load("rents"), store.folder("rents", version.version) / "bundle"


OPENED: dict[str, Callable[[Path], tuple[Model, Path]]] = {"rows": open_row_model, "panel": open_series_model}
pytestmark = pytest.mark.slow
kinds = pytest.mark.parametrize("kind", OPENED)


def test_a_kind_that_can_be_opened_has_a_model_here() -> None:
    assert set(OPENED) == set(OPENERS)


@kinds
def test_the_opener_of_a_kind_gives_a_model_of_that_kind(kind: str, tmp_path: Path) -> None:
    model, folder = OPENED[kind](tmp_path)
    again = open_model(model.version, folder)
    assert model.data_type == again.data_type == kind
    assert again.bundle.model_hash == model.version.model_hash
    assert again.bundle.files() == model.bundle.files()


@kinds
def test_its_request_model_takes_the_example_and_the_answer_names_the_model(kind: str, tmp_path: Path) -> None:
    model, _ = OPENED[kind](tmp_path)
    rows = read_rows(model.request_model(), json.dumps({"rows": [model.example_row()]}).encode())
    (prediction,) = model.predict(RowsRequest(rows))
    assert prediction.model == model.version
    assert all(value.target == model.schema.target for value in prediction.values)


@kinds
def test_the_same_row_answers_alike_alone_and_in_a_frame(kind: str, tmp_path: Path) -> None:
    model, _ = OPENED[kind](tmp_path)
    row = read_rows(model.request_model(), json.dumps({"rows": [model.example_row()]}).encode())[0]
    frame = pl.DataFrame(
        [row, row], schema_overrides={"values": pl.List(pl.Float64)} if model.capabilities.needs_sequences else None
    )
    (alone,), batch = model.predict(RowsRequest([row])), model.predict(FrameRequest(frame))
    if model.capabilities.same_bits_for_one_row:
        assert [one.receipt for one in batch] == [alone.receipt] * 2
    for one in batch:
        assert [value.value for value in one.values] == pytest.approx([value.value for value in alone.values], rel=1e-5)


@kinds
def test_a_frame_of_answers_says_what_the_records_say(kind: str, tmp_path: Path) -> None:
    model, _ = OPENED[kind](tmp_path)
    request = RowsRequest(read_rows(model.request_model(), json.dumps({"rows": [model.example_row()] * 2}).encode()))
    frame = model.predict_frame(request)
    assert frame.schema == ANSWER_SCHEMA
    assert_frame_equal(frame, build_answer_frame(model.predict(request)), check_exact=True)
    assert model.describe_value()


@kinds
def test_reasons_sum_to_the_score_where_they_are_said_to_be_exact(kind: str, tmp_path: Path) -> None:
    model, _ = OPENED[kind](tmp_path)
    if not model.capabilities.exact_reasons:
        pytest.skip("its reasons are an approximation")
    rows = read_rows(model.request_model(), json.dumps({"rows": [model.example_row()]}).encode())
    (prediction,) = model.predict(RowsRequest(rows))
    assert sum(reason.contribution for reason in prediction.reasons) == pytest.approx(prediction.score.value, rel=1e-9)


@kinds
def test_no_rows_get_no_answers(kind: str, tmp_path: Path) -> None:
    model, _ = OPENED[kind](tmp_path)
    assert model.predict(RowsRequest([])) == ()


def test_a_bundle_of_an_unknown_kind_is_refused_by_its_name(tmp_path: Path) -> None:
    from epic22.core.artifact.sealed import write_sealed_folder

    model, _ = open_row_model(tmp_path)
    write_sealed_folder(tmp_path / "b", {"kind": "dream"}, {"golden.json": b"{}", "preprocessing.json": b"{}"})
    with pytest.raises(BundleError, match="kind 'dream'"):
        open_model(model.version, tmp_path / "b")
