"""A tree of runs written to a tracking store, whole or not at all, and what is registered of it."""

from contextlib import suppress
from typing import TYPE_CHECKING

from epic22.adapters.tracking.mlflow_model import MODEL
from epic22.adapters.tracking.mlflow_store import locate_files
from epic22.adapters.tracking.run_reader import has_run, list_runs_below
from epic22.adapters.tracking.run_tables import RunFolder, insert_runs, remove_runs
from epic22.adapters.tracking.run_tree import HASH, VERSION
from epic22.adapters.tracking.stored_run import RunTree, read_content
from epic22.adapters.tracking.tracking_store import TrackingStore
from epic22.core.errors import StorageError

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient


def write_tree(client: "MlflowClient", store: TrackingStore, tree: RunTree) -> bool:
    """Write the files, then all runs in one transaction; says whether that was done, False where the run is there already.

    Nothing is left of either where one fails.
    """
    if has_run(client, tree.id):
        return False
    experiment = _find_or_create_experiment(client, store, tree.task)
    try:
        for name, content in tree.files.items():
            store.files.write(f"{tree.task}/{tree.id}/artifacts/{name}", read_content(content))
        insert_runs(client, experiment, tree.runs)
    except BaseException:
        _remove_files(store, tree)
        raise
    return True


def write_and_register(client: "MlflowClient", store: TrackingStore, tree: RunTree) -> None:
    """Write a training of this home with its version among the registered models; nothing is left of it where that fails."""
    if not write_tree(client, store, tree):
        return
    try:
        _register_version(client, tree)
    except BaseException:
        _discard(client, store, tree)
        raise


def remove_training(client: "MlflowClient", store: TrackingStore, task: str, run: str) -> None:
    """Remove a training's runs, their files and the model that was registered of them for good; nothing where none is there."""
    if not has_run(client, run):
        return
    for version in client.search_model_versions(f"run_id = '{run}'"):
        client.delete_model_version(version.name, version.version)
    store.files.remove(f"{task}/{run}")
    remove_runs(client, list_runs_below(client, run))


def _discard(client: "MlflowClient", store: TrackingStore, tree: RunTree) -> None:
    """Take back a tree that was written: its files, and as far as the disk lets it, its rows."""
    from mlflow.exceptions import MlflowException

    _remove_files(store, tree)
    with suppress(MlflowException):
        for run in tree.runs:
            client.delete_run(run.id)


def _remove_files(store: TrackingStore, tree: RunTree) -> None:
    with suppress(StorageError):
        store.files.remove(f"{tree.task}/{tree.id}")


def _find_or_create_experiment(client: "MlflowClient", store: TrackingStore, task: str) -> RunFolder:
    experiment = client.get_experiment_by_name(task)
    if experiment is not None:
        if experiment.lifecycle_stage == "deleted":
            # Somebody removed the task's runs on the page: new ones are to be seen there again.
            client.restore_experiment(experiment.experiment_id)
        return RunFolder(str(experiment.experiment_id), str(experiment.artifact_location))
    location = locate_files(store.files, task)
    return RunFolder(str(client.create_experiment(task, artifact_location=location)), location)


def _register_version(client: "MlflowClient", tree: RunTree) -> None:
    if not client.search_registered_models(f"name = '{tree.task}'"):
        client.create_registered_model(tree.task)
    source = f"{client.get_run(tree.id).info.artifact_uri}/{MODEL}"
    tags = {name: tree.runs[0].tags[name] for name in (VERSION, HASH)}
    client.create_model_version(tree.task, source, tree.id, tags=tags)
