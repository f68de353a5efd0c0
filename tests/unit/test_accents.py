"""Accents that stand behind their letters, as macOS writes names, and those that are parts of them make no two names.

Files are read in the one form (NFC). What a user copies from a header, what a client sends, and what a version before stored may
have the other.
"""

import unicodedata
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError

from epic22.core.artifact.bundle import Bundle, Schema, compute_model_hash, open_bundle, write_bundle
from epic22.core.artifact.model import Model
from epic22.core.artifact.prediction_request import RowsRequest
from epic22.core.artifact.request_model import build_request_model
from epic22.core.artifact.row_model import RowModel
from epic22.core.data.preprocess import Preprocessor
from epic22.core.lineage import ModelVersion
from epic22.core.models.catalog import get_family
from epic22.core.models.learning_problem import LearningProblem
from epic22.core.task import Column, Formula
from epic22.spec.flat_file import load_task_data
from epic22.spec.task_yaml import read_task
from epic22.spec.training_spec import apply_options, build_spec

SIZE, CITY, AREA = (unicodedata.normalize("NFC", name) for name in ("Gr\u00f6\u00dfe", "K\u00f6ln", "Fl\u00e4che"))

VERSION = ModelVersion("houses", "1", "linear", "a" * 64, "v0", "proven", "2024-01-01T00:00:00Z")


def decompose(text: str) -> str:
    return unicodedata.normalize("NFD", text)


def write_stored_model(folder: Path, size: str, city: str) -> Bundle:
    """A model of a size, a formula of it and a place, as it was stored with names in one of the two forms."""
    columns = (Column(size, "float"), Column("Ort", "category", levels=(city, "Bonn")))
    rng = np.random.default_rng(0)
    X = pl.DataFrame({size: 1e9 + rng.integers(0, 30, 80), "Ort": rng.choice([city, "Bonn"], 80)})
    y = (X["Ort"] == city).to_numpy().astype(float)
    preprocessor = Preprocessor.fit(columns, X, formulas=(Formula("double", f"`{size}` * 2"),))
    names = tuple(column.name for column in preprocessor.outputs)
    problem = LearningProblem("binary", names, (False, True, False), n_classes=2)
    estimator = get_family("linear").build(problem, seed=0, threads=1)
    estimator.fit(preprocessor.transform(X), y)
    schema = Schema("houses", "", f"{size} ja", columns, "binary", (f"{city} nein", "ja"), None, None)
    bundle = Bundle(schema, "linear", "proven", "", "v0", 0, preprocessor, estimator, None)
    bundle = replace(bundle, model_hash=compute_model_hash(bundle))
    write_bundle(folder, bundle, X)
    return bundle


def test_a_model_that_was_stored_with_decomposed_names_reads_the_files_of_today(tmp_path: Path) -> None:
    stored = write_stored_model(tmp_path / "model", decompose(SIZE), decompose(CITY))
    opened = open_bundle(tmp_path / "model")
    assert [column.name for column in opened.schema.inputs] == [SIZE, "Ort"]
    assert (opened.schema.target, opened.schema.classes) == (f"{SIZE} ja", (f"{CITY} nein", "ja"))
    assert opened.model_hash == stored.model_hash
    was = stored.preprocessor.transform(pl.DataFrame({decompose(SIZE): [1e9 + 3, 1e9], "Ort": [decompose(CITY), "Bonn"]}))
    for city in (CITY, decompose(CITY)):
        now = opened.preprocessor.transform(pl.DataFrame({SIZE: [1e9 + 3, 1e9], "Ort": [city, "Bonn"]}))
        assert (now == was).all()
        assert (opened.preprocessor.transform_row({SIZE: 1e9 + 3, "Ort": city}) == was[:1]).all()


@pytest.mark.parametrize("stored_as", [str, decompose])
@pytest.mark.parametrize("sent_as", [str, decompose])
def test_a_client_is_answered_alike_whichever_form_it_sends_and_the_model_has(
    stored_as: type[str], sent_as: type[str], tmp_path: Path
) -> None:
    write_stored_model(tmp_path / "model", stored_as(SIZE), stored_as(CITY))
    model: Model = RowModel.open(VERSION, tmp_path / "model")
    row = model.request_model().row.model_validate({sent_as(SIZE): 1e9 + 3, "Ort": sent_as(CITY)}).model_dump(by_alias=True)
    (prediction,) = model.predict(RowsRequest([row]))
    assert not model.list_warnings(row)
    assert prediction.score.value == model.predict(RowsRequest([{SIZE: 1e9 + 3, "Ort": CITY}]))[0].score.value


def test_columns_that_differ_by_the_form_of_an_accent_alone_stay_two(tmp_path: Path) -> None:
    columns = tuple(Column(name, "float") for name in (SIZE, decompose(SIZE)))
    body = build_request_model(Schema("houses", "", "y", columns, "regression", (), None, None))
    assert body.row.model_validate({SIZE: 1.0, decompose(SIZE): 2.0}).model_dump(by_alias=True) == {
        SIZE: 1.0,
        decompose(SIZE): 2.0,
    }
    body = build_request_model(Schema("houses", "", "y", columns[:1], "regression", (), None, None))
    with pytest.raises(ValidationError, match="extra"):
        body.row.model_validate({SIZE: 1.0, decompose(SIZE): 2.0})


def test_names_that_are_copied_from_a_header_name_its_columns(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    header = decompose(f"{SIZE},{AREA},{CITY}")
    path.write_text(f"{header}\n" + "".join(f"{i * 37 % 101 / 8},{i % 7},{i % 2}\n" for i in range(60)))
    size, area, city = header.split(",")
    spec = build_spec(csv=path, label=f"{city} ", drop=[area], columns={size: {"unit": "m", "levels": []}})
    assert (spec.roles.label, spec.roles.drop, spec.columns[0].name) == (CITY, (AREA,), SIZE)
    task = load_task_data(spec).task
    assert (task.target.name, [column.name for column in task.input_columns]) == (CITY, [SIZE])
    text = f"version: 1\ndata: {{file: t.csv}}\nroles: {{label: {city}, drop: [{area}]}}\ncolumns: {{{size}: {{unit: m}}}}\n"
    of_file = read_task("task.yaml", text, tmp_path)
    assert (of_file.roles, [one.name for one in of_file.columns]) == (spec.roles, [SIZE])
    assert apply_options(of_file, {"label": city, "drop": [area]}).roles == spec.roles
