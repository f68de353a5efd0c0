"""What holds of every answer, whatever the model: order, neighbours and repetitions change nothing, and the unknown is named.

The models are those of the toy tables, trained through the real pipeline with calibration, intervals and sets.
"""

from itertools import pairwise
from pathlib import Path
from typing import get_args

import numpy as np
import polars as pl
import pytest
from tests.predictions import predict_frame, predict_rows
from tests.toy import inputs
from tests.trained import NAMES, opened, trained

from epic22.core.artifact.bundle import Bundle
from epic22.core.lineage import ModelVersion
from epic22.core.prediction import Prediction
from epic22.core.targets import Kind

pytestmark = pytest.mark.slow

KINDS = [kind for kind in get_args(Kind) if kind not in ("hazard", "quantiles")]
EACH = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


def champion(folder: Path, kind: Kind) -> tuple[ModelVersion, Bundle]:
    """Trained once a process; each kind has a store of its own."""
    return opened(trained(folder / kind, kind)[1])


def rows(n: int = 40, seed: int = 5) -> pl.DataFrame:
    return inputs(n, seed).rename(NAMES).with_columns(who=pl.Series([f"person {i}" for i in range(n)]))


def answer(model: tuple[ModelVersion, Bundle], frame: pl.DataFrame) -> tuple[Prediction, ...]:
    return predict_frame(*model, frame)


@EACH
def test_the_order_of_the_rows_changes_no_answer(folder: Path, kind: Kind) -> None:
    model, frame = champion(folder, kind), rows()
    order = np.random.default_rng(1).permutation(len(frame))
    straight, turned = answer(model, frame), answer(model, frame[order])
    assert [straight[i] for i in order] == list(turned)


@EACH
def test_the_order_of_the_columns_changes_no_answer(folder: Path, kind: Kind) -> None:
    model, frame = champion(folder, kind), rows()
    assert answer(model, frame.select(reversed(frame.columns))) == answer(model, frame)


@EACH
def test_a_column_that_no_model_was_given_changes_no_answer(folder: Path, kind: Kind) -> None:
    model, frame = champion(folder, kind), rows()
    assert answer(model, frame.with_columns(colour=pl.lit("red"))) == answer(model, frame)


@EACH
def test_neighbours_and_repetitions_change_no_answer(folder: Path, kind: Kind) -> None:
    model, frame = champion(folder, kind), rows()
    alone = [answer(model, frame[i : i + 1])[0] for i in range(0, 40, 8)]
    twice = answer(model, pl.concat([frame, frame]))
    assert [twice[i] for i in range(0, 40, 8)] == alone
    assert twice[:40] == twice[40:]


@EACH
def test_an_unknown_category_is_answered_and_named_as_never_seen(folder: Path, kind: Kind) -> None:
    model = champion(folder, kind)
    # All else is missing, so that the category is among the strongest reasons.
    row = {"who": "stranger", "maker": "zenith", "load <b>$kN$</b>": None, "wear": None, "indoors": None, "fitted on": None}
    (prediction,) = predict_rows(*model, [row])
    known = [predict_rows(*model, [row | {"maker": maker}])[0].score.value for maker in ("arden", "brook", "calder")]
    assert np.isfinite(prediction.score.value)
    assert min(known) - 3 < prediction.score.value < max(known) + 3
    texts = [reason.text for reason in prediction.reasons if reason.column == "maker"]
    assert all("which training never saw" in text for text in texts)
    seen = predict_rows(*model, [row | {"maker": "brook"}])[0]
    assert not any("never saw" in reason.text for reason in seen.reasons)


def test_an_unknown_maker_is_told_among_the_reasons_of_a_class(folder: Path) -> None:
    model = champion(folder, "binary")
    told = [
        reason.text
        for prediction in answer(model, rows().with_columns(maker=pl.lit("zenith")))
        for reason in prediction.reasons
        if reason.column == "maker"
    ]
    assert told
    assert all(text.startswith("maker is zenith, which training never saw") for text in told)


@EACH
def test_a_row_that_says_nothing_is_answered(folder: Path, kind: Kind) -> None:
    model = champion(folder, kind)
    empty = {"who": "nobody"} | dict.fromkeys(inputs(1).rename(NAMES).columns)
    (prediction,) = predict_rows(*model, [empty])
    assert np.isfinite(prediction.score.value)
    assert sum(reason.contribution for reason in prediction.reasons) == pytest.approx(prediction.score.value)


@EACH
def test_more_wear_never_lowers_the_answer_by_much(folder: Path, kind: Kind) -> None:
    """The toy's label rises with wear; of many classes the likeliest rises with it."""
    model, frame = champion(folder, kind), rows(100)

    def mean(wear: float) -> float:
        answers = [p.values[0] for p in answer(model, frame.with_columns(wear=pl.lit(wear)))]
        if kind == "multiclass":
            places = {"low": 0.0, "mid": 1.0, "high": 2.0}
            return float(np.mean([sum(places[name] * share for name, share in a.probabilities) for a in answers]))
        return float(np.mean([float(a.value) for a in answers]))

    steps = [mean(wear) for wear in (-2.0, -1.0, 0.0, 1.0, 2.0)]
    spread = steps[-1] - steps[0]
    assert spread > 0
    assert all(after - before > -0.1 * spread for before, after in pairwise(steps)), steps


@EACH
def test_equal_answers_have_equal_receipts_and_another_row_has_another(folder: Path, kind: Kind) -> None:
    model, frame = champion(folder, kind), rows()
    first, second = answer(model, frame), answer(model, frame)
    assert [p.receipt for p in first] == [p.receipt for p in second]
    assert len({p.receipt for p in first}) == len(frame)


def test_the_interval_of_a_value_holds_the_value(folder: Path) -> None:
    intervals = [(p.values[0].interval, float(p.values[0].value)) for p in answer(champion(folder, "regression"), rows())]
    for interval, value in intervals:
        assert interval is not None
        assert interval.low <= value <= interval.high


@pytest.mark.parametrize("kind", ["binary", "multiclass"])
def test_the_set_of_classes_is_never_empty_of_sense(folder: Path, kind: Kind) -> None:
    """The sets name declared classes, none twice, and most hold the likeliest."""
    model = champion(folder, kind)
    sets = [p.values[0].set for p in answer(model, rows(100))]
    assert all(named is not None and len(set(named)) == len(named) for named in sets)
    assert {name for named in sets for name in named or ()} <= set(model[1].schema.classes)
