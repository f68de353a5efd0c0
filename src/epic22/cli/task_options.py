"""The options that were given, and the task that they and a task file make together."""

from collections.abc import Container, Mapping
from pathlib import Path
from typing import Any

import typer

from epic22.core.errors import FileError
from epic22.spec.task_file import TaskFile, apply_options
from epic22.spec.task_yaml import read_task_file


def read_given_options(context: typer.Context) -> Mapping[str, Any]:
    """The parameters that stand on the command line, by name."""
    names = (name for name in context.params if getattr(context.get_parameter_source(name), "name", "") == "COMMANDLINE")
    return {name: context.params[name] for name in names}


def select_given_options(given: Container[str], *options: str) -> list[str]:
    """Those of the options whose parameters were given."""
    return [option for option in options if option.removeprefix("--").replace("-", "_") in given]


def build_task_file(path: Path | None, given: Mapping[str, Any]) -> TaskFile:
    """The task that the file asks for, or none, with the options given. Raises FileError for a file that cannot be read."""
    return apply_options(TaskFile() if path is None else read_task_file(path), given)


def refuse_missing_folder(path: Path | None) -> None:
    """Raise FileError where a file is to be written into a folder that is not there: better now than after the training."""
    if path is not None and not path.parent.is_dir():
        raise FileError(f"--write-task {path}: there is no folder {path.parent}; make it, or name another.")
