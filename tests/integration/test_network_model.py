"""A network goes the way of every family: named for the race, judged, packed, opened and asked, in a process without PyTorch."""

import hashlib
import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from tests.absent_libraries import WITHOUT_TRAINING_STACK
from tests.fake_runtime import FakeRuntime
from tests.network_home import train_in_home
from tests.shell import type_command

import epic22
from epic22.core.models.catalog import get_family
from epic22.core.models.learning_problem import LearningProblem
from epic22.core.models.networks import graph_provider
from epic22.core.models.networks.graph_provider import COREML, PROCESSOR

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
    home, run = train_in_home(tmp_path_factory.mktemp("networks"))
    assert [e.family for e in run.leaderboard] == ["mlp", "constant"]
    assert run.champion.family == "mlp"
    return home


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


@pytest.mark.parametrize("factor", [1.0, 1.01])
def test_a_bundle_opens_and_answers_as_on_the_processor_whatever_coreml_answers(
    home: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, factor: float
) -> None:
    import onnxruntime

    row = pl.DataFrame([{"wear": 1.5, "load": 0.5, "maker": "brook", "indoors": True}])
    (expected,) = epic22.load("wear", home=home).predict_rows(row)
    runtime = FakeRuntime(lambda graph: onnxruntime.InferenceSession(graph, providers=[PROCESSOR]), factor)
    monkeypatch.setitem(sys.modules, "onnxruntime", runtime)
    monkeypatch.setenv("EPIC22_ONNX_PROVIDER", "coreml")
    monkeypatch.setattr(graph_provider.CHOICE, "name", "cpu")
    (answer,) = epic22.load("wear", home=home).predict_rows(row)
    assert (answer.values, answer.receipt) == (expected.values, expected.receipt)
    assert COREML in runtime.opened
    assert ("CoreMLExecutionProvider is not used for a network" in caplog.text) == (factor != 1.0)


def export(folder: Path, home: Path, *arguments: str) -> tuple[int, str, str]:
    return type_command(folder, home, "export", *arguments)


def test_its_graph_is_exported_as_it_is_in_the_bundle(home: Path, tmp_path: Path) -> None:
    code, out, err = export(tmp_path, home, "wear", "--to", "onnx")
    assert code == 0, err
    assert "wear-1.onnx" in out
    assert "8 golden rows within" in out
    content = (tmp_path / "wear-1.onnx").read_bytes()
    assert content == (home / "models" / "wear" / "1" / "bundle" / "model" / "score.onnx").read_bytes()
    file = json.loads((tmp_path / "wear-1.onnx.json").read_text())["file"]
    assert file == {"format": "onnx", "name": "wear-1.onnx", "sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}


def test_what_is_said_beside_the_graph_suffices_to_answer_a_row_as_the_model_does(home: Path, tmp_path: Path) -> None:
    import onnxruntime

    assert export(tmp_path, home, "wear@1", "--to", "onnx", "--output", "w.onnx")[0] == 0
    said = json.loads((tmp_path / "w.onnx.json").read_text())
    row = {"wear": 1.5, "load": None, "maker": "brook", "indoors": True}
    x = [encode_value(row[column["name"]], column) for column in said["input"]["columns"]]
    session = onnxruntime.InferenceSession(tmp_path / "w.onnx", providers=["CPUExecutionProvider"])
    (output,) = session.run(["score"], {said["input"]["name"]: np.array([x], dtype=np.float32)})
    assert said["output"]["calibration"] == {"kind": "none", "numbers": []}
    assert said["steps"] == ["score = slope · output + intercept", "probability = 1 / (1 + exp(−score))"]
    score = said["output"]["score"]["slope"] * float(output[0, 0]) + said["output"]["score"]["intercept"]
    frame = pl.DataFrame([row], schema_overrides={"load": pl.Float64})
    (answer,) = epic22.load("wear", home=home).predict_rows(frame)
    assert 1 / (1 + np.exp(-score)) == pytest.approx(answer.values[0].value, abs=1e-6)


def encode_value(value: float | str | bool | None, column: dict[str, Any]) -> float:
    """A value as the description says that the network takes it."""
    if value is None or (column["levels"] is not None and value not in column["levels"]):
        return float("nan")
    return float(column["levels"].index(value)) if column["levels"] is not None else float(value) - column["center"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("wear", "--to", "torchscript"), "--to torchscript is never written: its archive holds pickles"),
        (("wear", "--to", "tflite"), "--to 'tflite': expected onnx or keras"),
        (("wear@", "--to", "onnx"), "expected TASK or TASK@VERSION"),
        (("wear@7", "--to", "onnx"), "7"),
        (("boilers", "--to", "onnx"), "tasks with one: wear"),
        (("wear", "--to", "onnx", "--output", "w.pb"), "named with .onnx at its end"),
        (("wear", "--to", "onnx", "--output", "absent/w.onnx"), "cannot be written"),
    ],
)
def test_an_export_that_cannot_be_is_refused_in_one_sentence(
    home: Path, tmp_path: Path, arguments: tuple[str, ...], words: str
) -> None:
    code, _, err = export(tmp_path, home, *arguments)
    assert code == 2
    assert words in err
    assert err.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(find_spec("keras") is not None, reason="Keras is installed here")
def test_without_keras_one_sentence_says_what_to_install(home: Path, tmp_path: Path) -> None:
    code, _, err = export(tmp_path, home, "wear", "--to", "keras")
    assert code == 2
    assert err == "epic22: --to keras: the library 'keras' is not installed; pip install 'epic22[engines]', or write --to onnx.\n"


def test_a_model_of_another_family_is_not_exported(tmp_path: Path) -> None:
    home, run = train_in_home(tmp_path, "linear")
    assert run.champion.family == "linear"
    code, _, err = export(tmp_path, home, "wear", "--to", "onnx")
    assert code == 2
    assert "wear version 1 is of family linear, not a network; a network alone can be exported: train with --families mlp" in err
