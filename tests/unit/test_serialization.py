"""JSON of records: what a view shows of them, and the rule for all other values."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from datetime import date, datetime
from enum import Enum
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from epic22.api import responses
from epic22.core.evaluation.explain.dependence import DependenceProfile
from epic22.core.evaluation.explain.explanation import ColumnImportance, Explanation, NearDuplicates
from epic22.core.evaluation.explain.interactions import Interaction
from epic22.core.evaluation.intervals import Estimate
from epic22.core.lineage import ModelVersion
from epic22.core.prediction import PREDICTION_VIEWS, PredictedValue, Prediction, PredictionScore, Reason
from epic22.core.serialization import View, Views, collect_views, to_json, view
from epic22.core.statistics import Interval
from epic22.reports.json import VIEWS

MODEL = ModelVersion("toy", "3", "linear", "ab" * 32, "cd", "proven", "2026-01-01T00:00:00+00:00")


@dataclass(frozen=True)
class Inner:
    low: float
    high: float


@dataclass(frozen=True)
class Outer:
    name: str
    inner: Inner
    note: str | None = None

    @property
    def width(self) -> float:
        return self.inner.high - self.inner.low


class Colour(Enum):
    RED = "red"


OUTER = Outer("a", Inner(1.0, 3.0))

LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.datetimes() | st.floats().map(np.float64)
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(st.text(), inner)
        | st.builds(Outer, st.text(), st.builds(Inner, st.floats(), st.floats()), st.none() | st.text())
    ),
    max_leaves=6,
)


@settings(max_examples=25, deadline=None)
@given(value=VALUES)
def test_whatever_goes_in_is_json_without_nan_and_the_same_a_second_time(value: object) -> None:
    content = to_json(value)
    assert json.loads(json.dumps(content, allow_nan=False)) == content
    assert to_json(content) == content


@given(number=st.floats() | st.floats(width=32).map(np.float32) | st.integers(-(2**60), 2**60).map(np.int64))
def test_a_number_of_any_library_is_the_same_number_or_null_where_it_is_not_finite(number: Any) -> None:
    content = to_json(number)
    assert content == number if math.isfinite(number) else content is None
    assert type(content) in (int, float, type(None))


@given(values=st.lists(st.floats()), names=st.lists(st.text(), unique=True))
def test_arrays_are_lists_and_mappings_keep_their_order(values: list[float], names: list[str]) -> None:
    assert to_json(np.array(values)) == to_json(values) == to_json(tuple(values))
    assert list(to_json({name: i for i, name in enumerate(names)})) == names


def test_times_enumerations_and_paths_are_text() -> None:
    values = (datetime(2024, 3, 1, 12), date(2024, 3, 1), Colour.RED, Path("a/b.html"))
    assert to_json(values) == ["2024-03-01T12:00:00", "2024-03-01", "red", "a/b.html"]


@pytest.mark.parametrize("value", [{1, 2}, object(), b"bytes", lambda: None], ids=["set", "object", "bytes", "function"])
def test_what_has_no_json_form_is_refused(value: object) -> None:
    with pytest.raises(TypeError, match="has no JSON form"):
        to_json(value)


def test_a_record_without_a_view_is_shown_with_all_its_fields_in_order() -> None:
    assert list(to_json(OUTER).items()) == [("name", "a"), ("inner", {"low": 1.0, "high": 3.0}), ("note", None)]


def test_a_view_orders_renames_adds_leaves_out_and_merges() -> None:
    views = collect_views(
        view(Outer, "width least=inner.low note? *inner twice", twice=lambda outer: [outer.inner, outer.inner]),
        view(Inner, "high"),
    )
    assert (
        json.dumps(to_json(OUTER, views)) == '{"width": 2.0, "least": 1.0, "high": 3.0, "twice": [{"high": 3.0}, {"high": 3.0}]}'
    )
    assert to_json(Outer("a", Inner(0.0, 1.0), "n"), views)["note"] == "n"


def test_views_that_name_what_a_record_does_not_have_are_refused_where_they_are_declared() -> None:
    with pytest.raises(TypeError, match="'lower'"):
        view(Inner, "lower")
    with pytest.raises(TypeError, match="no such key"):
        view(Inner, "low", middle=lambda inner: 0.0)
    with pytest.raises(TypeError, match="two views"):
        collect_views(view(Inner, "low"), view(Inner, "high"))


def test_a_prediction_shows_what_it_has_and_no_more() -> None:
    value = PredictedValue("churned", 90.0, 0.25)
    prediction = Prediction(
        "t1",
        datetime(2024, 3, 1),
        (value,),
        PredictionScore(-1.1, "log-odds"),
        (Reason(None, None, -1.1, "average"),),
        MODEL,
        "r",
    )
    content = to_json(prediction, PREDICTION_VIEWS)
    assert list(content) == ["entity", "at", "values", "score", "reasons", "receipt"]
    assert content["at"] == "2024-03-01T00:00:00Z"
    assert content["values"] == [{"target": "churned", "horizon": 90.0, "value": 0.25, "low": None, "high": None}]
    rent = PredictedValue("rent", None, 900.0, Interval(900.0, 800.0, 1100.0))
    assert to_json(rent, PREDICTION_VIEWS) == {"target": "rent", "horizon": None, "value": 900.0, "low": 800.0, "high": 1100.0}
    risk = PredictedValue("risk", None, "high", None, (("low", 0.2), ("high", 0.8)), 12.0, False, "grave", ())
    assert to_json(risk, PREDICTION_VIEWS) == {
        "target": "risk",
        "horizon": None,
        "value": "high",
        "low": None,
        "high": None,
        "probabilities": {"low": 0.2, "high": 0.8},
        "expected_loss": 12.0,
        "act": False,
        "band": "grave",
        "set": [],
    }


ANSWERS: tuple[tuple[type[BaseModel], type, Views], ...] = (
    (responses.PredictionAnswer, Prediction, PREDICTION_VIEWS),
    (responses.Value, PredictedValue, PREDICTION_VIEWS),
    (responses.ModelAnswer, ModelVersion, PREDICTION_VIEWS),
    (responses.ScoreAnswer, PredictionScore, PREDICTION_VIEWS),
    (responses.ReasonAnswer, Reason, PREDICTION_VIEWS),
    (responses.ColumnExplanation, ColumnImportance, VIEWS),
    (responses.InteractionAnswer, Interaction, VIEWS),
    (responses.CopiesAnswer, NearDuplicates, VIEWS),
    (responses.DependenceAnswer, DependenceProfile, VIEWS),
    (responses.IntervalAnswer, Estimate, VIEWS),
)


@pytest.mark.parametrize(("model", "record", "views"), ANSWERS, ids=[model.__name__ for model, _, _ in ANSWERS])
def test_the_model_of_an_answer_has_the_keys_of_its_records_view(model: type[BaseModel], record: type, views: Views) -> None:
    shown = [key.name for key in views[record].keys] if record in views else [field.name for field in fields(record)]
    own = {"warnings"} if model is responses.PredictionAnswer else set()  # what the API adds to an answer
    assert set(model.model_fields) - own == set(shown)
    required = {name for name, one in model.model_fields.items() if one.is_required()}
    assert required - own == set(views[record].names if record in views else shown)


def test_the_model_of_an_explanation_has_the_keys_of_the_version_and_of_the_explanation() -> None:
    shown = ["format", "task", "version", "model_hash", *VIEWS[Explanation].names]
    assert list(responses.ExplanationAnswer.model_fields) == shown


@pytest.mark.parametrize("shown", VIEWS.values(), ids=[record.__name__ for record in VIEWS])
def test_every_path_of_every_view_leads_to_an_attribute(shown: View) -> None:
    for path in shown.paths:
        assert _resolve(shown.record, path), f"{shown.record.__name__}.{path}"


def _resolve(record: type, path: str) -> bool:
    """Whether each step of a path is a field or a property of what stands before it."""
    classes = {record}
    for step in path.split("."):
        following: set[type] = set()
        for one in classes:
            if is_dataclass(one) and step in (hints := get_type_hints(one)):
                following |= _classes(hints[step])
            elif isinstance(attribute := getattr(one, step, None), property) and attribute.fget is not None:
                following |= _classes(get_type_hints(attribute.fget)["return"])
            else:
                return False
        classes = following
    return True


def _classes(hint: Any) -> set[type]:
    if get_origin(hint) in (Union, UnionType):
        return {one for part in get_args(hint) for one in _classes(part)} - {type(None)}
    return {hint} if isinstance(hint, type) else {Mapping if get_origin(hint) is Mapping else object}
