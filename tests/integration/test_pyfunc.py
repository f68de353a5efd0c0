"""What MLflow loads of a training gives what the API gives, of rows and of series, without a pickle in any file."""

import subprocess
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pytest
from tests import trained
from tests.contract.test_every_tracker import build_run
from tests.panels import lines, wide_file

import epic22
from epic22.adapters.tracking.mlflow_model import build_model_files
from epic22.adapters.tracking.mlflow_store import import_quietly

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("blank_pictures")]
"""A training takes seconds."""


@dataclass
class Loaded:
    """A model that MLflow loaded, the one that serves, a table for both, and the run's files."""

    pyfunc: Any
    served: Any
    table: pd.DataFrame
    files: Path


def load(home: Path, run: Any, table: pd.DataFrame) -> Loaded:
    import_quietly()
    uri = f"sqlite:///{home / 'mlflow.db'}"
    with warnings.catch_warnings():
        # MLflow warns of its own type hints when it is imported.
        warnings.simplefilter("ignore")
        import mlflow

        mlflow.set_tracking_uri(uri)
        mlflow.set_registry_uri(uri)
        pyfunc = mlflow.pyfunc.load_model(f"models:/{run.task}@champion")
    return Loaded(pyfunc, run.model, table, home / "mlflow-artifacts")


@pytest.fixture(scope="module", params=["rows", "panel"])
def loaded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loaded]:
    folder = tmp_path_factory.mktemp("pyfunc")
    if request.param == "rows":
        path = trained.table(folder, "binary", 300)
        yield load(folder / "home", epic22.train(path, label="y", id="who", home=folder / "home"), pl.read_csv(path).to_pandas())
    else:
        path, roles = wide_file(folder, lines(series=4, periods=60)), {"label": "rent", "id": "zip", "time": "month"}
        run = epic22.forecast(path, **roles, panel="wide", frequency="M", horizon=2, home=folder / "home")
        yield load(folder / "home", run, pl.read_csv(path).to_pandas())


def test_it_answers_as_the_served_model_with_the_same_receipts(loaded: Loaded) -> None:
    ours, theirs = loaded.served.predict(loaded.table), loaded.pyfunc.predict(loaded.table)
    pd.testing.assert_frame_equal(ours, theirs)
    assert len(set(theirs["receipt"])) > 1


def test_the_example_beside_it_is_answered(loaded: Loaded) -> None:
    assert len(loaded.pyfunc.predict(loaded.pyfunc.input_example)) >= 1


def test_what_it_is_not_asked_for_is_refused_in_a_sentence(loaded: Loaded) -> None:
    with pytest.raises(Exception, match=r"no rows|required by the model signature|expected|lacks"):
        loaded.pyfunc.predict(loaded.table.iloc[:0])


def test_no_file_of_the_run_is_a_pickle_or_holds_code(loaded: Loaded) -> None:
    files = [path for path in loaded.files.rglob("*") if path.is_file()]
    assert {"MLmodel", "version.json", "manifest.json"} <= {path.name for path in files}
    for path in files:
        content = path.read_bytes()
        assert not (content[:1] == b"\x80" and content[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05")), path
        assert b"cloudpickle" not in content, path
        assert path.suffix not in {".pkl", ".pickle", ".joblib", ".py"}


def test_who_lacks_the_package_is_told_its_name(tmp_path: Path) -> None:
    for name, content in build_model_files(build_run(tmp_path, "1"), "a" * 32).items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    code = (
        "import mlflow, mlflow.pyfunc as pyfunc\n"
        "def absent(name, *rest):\n    raise ModuleNotFoundError(f'No module named {name.split(\".\")[0]!r}')\n"
        "pyfunc.importlib.import_module = absent\ntry:\n"
        f"    mlflow.pyfunc.load_model({str(tmp_path / 'model')!r})\nexcept ModuleNotFoundError as error:\n    print(error)"
    )
    environment = {"PATH": "", "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert "No module named 'epic22'" in done.stdout, done.stderr
