"""A network goes the way of every family: named for the race, judged, packed, opened and asked, in a process without PyTorch."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tests.absent_libraries import WITHOUT_TRAINING_STACK
from tests.toy import inputs, labels

from epic22.adapters.model_store import ModelStore
from epic22.core.models.catalog import get_family
from epic22.core.models.learning_problem import LearningProblem
from epic22.services.pipelines.rows import RowPipeline
from epic22.services.train import train
from epic22.spec.flat_file import load_task_data
from epic22.spec.task_request import build_split_request
from epic22.spec.training_spec import build_spec

pytest.importorskip("torch")
pytestmark = pytest.mark.slow

PROBLEM = LearningProblem("binary", ("x0", "x1"), (False, False), n_classes=2)
PREDICT = """
import json
import epic22
import polars as pl
model = epic22.load("wear", home=sys.argv[1])
row = {"wear": 1.5, "load": None, "maker": "never seen", "indoors": True}
(answer,) = model.predict_rows(pl.DataFrame([row], schema_overrides={"load": pl.Float64}))
reasons = [reason.contribution for reason in answer.reasons]
print(json.dumps({"value": answer.values[0].value, "score": answer.score.value, "reasons": reasons}))
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose champion of task `wear` is a network."""
    folder = tmp_path_factory.mktemp("networks")
    X = inputs(400).drop("fitted_on")
    frame = X.with_columns(y=labels(inputs(400), "binary").astype(int))
    frame.write_csv(folder / "wear.csv")
    spec = build_spec(csv=folder / "wear.csv", label="y", task="wear", families="mlp", folds=2, repeats=1)
    data = load_task_data(spec)
    store = ModelStore(folder / "home" / "models")
    run = train(RowPipeline(data, build_split_request(spec), threads=1), store)
    assert [e.family for e in run.leaderboard] == ["mlp", "constant"]
    assert run.champion.family == "mlp"
    store.promote("wear", run.version.version, run.verdicts)
    return folder / "home"


def test_its_prediction_has_reasons_that_sum_to_the_score_without_pytorch(home: Path) -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT_TRAINING_STACK + PREDICT, str(home)], capture_output=True, text=True)
    assert not done.returncode, done.stderr
    answer = json.loads(done.stdout)
    assert 0 < answer["value"] < 1
    assert sum(answer["reasons"]) == pytest.approx(answer["score"])
    assert len(answer["reasons"]) > 3


def test_a_search_tries_configurations_of_it(home: Path) -> None:
    from epic22.core.models.base import FoldData

    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 2)).astype(np.float32)
    y = (X[:, 0] + rng.normal(size=200) > 0).astype(np.float64)
    estimator = get_family("mlp").build(PROBLEM, width=16, members=2, epochs=5, n_bins=8)
    raw = estimator.fit_with_validation(FoldData(X[:150], y[:150], X[150:], y[150:]))
    assert raw.shape == (50,)
    assert np.array_equal(raw, estimator.decision_function(X[150:]))
    last = get_family("mlp").build(PROBLEM, width=16, members=2, n_bins=8, default_epochs=2)
    assert last.fit_with_validation(FoldData(X, y, X[:0], y[:0])).shape == (0,)
