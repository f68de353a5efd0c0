"""A home whose champion is a small network, trained through the real pipeline."""

from pathlib import Path

from epic22.adapters.model_store import ModelStore
from epic22.services.pipelines.rows import RowPipeline
from epic22.services.train import train
from epic22.services.training_run import RowRun
from epic22.spec.flat_file import load_task_data
from epic22.spec.task_request import build_split_request
from epic22.spec.training_spec import build_spec
from tests.toy import inputs, labels


def train_in_home(folder: Path, families: str = "mlp") -> tuple[Path, RowRun]:
    """The home, in which the best of these families answers for the task `wear`, and the run that trained it."""
    X = inputs(400).drop("fitted_on")
    frame = X.with_columns(y=labels(inputs(400), "binary").astype(int))
    frame.write_csv(folder / "wear.csv")
    spec = build_spec(csv=folder / "wear.csv", label="y", task="wear", families=families, folds=2, repeats=1)
    store = ModelStore(folder / "home" / "models")
    run = train(RowPipeline(load_task_data(spec), build_split_request(spec), threads=1), store)
    store.promote("wear", run.version.version, run.verdicts)
    return folder / "home", run
