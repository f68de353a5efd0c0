"""A verb with its arguments as a job: read from the command line, and refused at once where no worker could carry it out.

A plan of trainings is read here too, for each of them is such a job, and a job may be to carry out the plan.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from epic22 import bootstrap
from epic22.cli.main import load_verb
from epic22.cli.options import list_given
from epic22.config import Settings, parse_memory
from epic22.core.address import has_secret
from epic22.core.errors import UserError
from epic22.core.job import JOB_VERBS, USUAL_PRIORITY, JobRequest
from epic22.spec.training_spec import list_options

if TYPE_CHECKING:
    from epic22.bootstrap import Components
    from epic22.core.retraining.plan import RetrainingPlan

PASS_ON = {"ignore_unknown_options": True, "allow_interspersed_args": True}
"""For a command whose arguments are those of another verb."""
Words = Annotated[list[str], typer.Argument(metavar="VERB …", help=f"{', '.join(JOB_VERBS)}, with the arguments of that verb.")]
Priority = Annotated[int, typer.Option(help="From 1, the most urgent, to 9.")]
Memory = Annotated[str | None, typer.Option(help="End the job where it takes more memory than this, such as 4GB.")]
Threads = Annotated[int | None, typer.Option(min=1, max=1024, help="Threads to train with; EPIC22_THREADS otherwise.")]
HELP = "--help"


class PassOnCommand(TyperCommand):
    """A command whose arguments are those of another verb: `--help` after that verb is a question about the verb."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """The arguments; where they ask for a verb's help, that is shown instead, and all ends."""
        if HELP in args:
            verb = next((word for word in args[: args.index(HELP)] if word in JOB_VERBS), None)
            if verb is not None:
                load_verb(verb).make_context(f"{ctx.command_path} {verb}", [HELP])
        return super().parse_args(ctx, args)


def build_request(
    words: Sequence[str], priority: int = USUAL_PRIORITY, memory: str | None = None, threads: int | None = None
) -> JobRequest:
    """The job of these words. Raises UserError for a verb that no worker carries out, for one that names no task, and for a
    password or key, which would be stored; the verb's own mistakes are said as the verb says them."""
    verb, arguments = words[0], tuple(words[1:])
    if verb not in CHECKS:
        raise UserError(f"a worker does not carry out {verb[:40]!r}; give one of {', '.join(JOB_VERBS)}, with its arguments.")
    if any(has_secret(word) for word in arguments):
        raise UserError(
            "an address with a password or key would be stored with the job; name a variable that workers have: env:NAME."
        )
    command = load_verb(verb)
    with command.make_context(verb, list(arguments)) as context:
        CHECKS[verb](context)
    limit = None if memory is None else parse_memory(memory, "--memory")
    return JobRequest(verb, arguments, Path.cwd(), threads or Settings.read().threads, priority, limit)


def load_plan(components: "Components", path: Path | None) -> "RetrainingPlan":
    """The plan in a file, that of the home where None. Raises UserError where it is none, or has options no training takes."""
    plan = bootstrap.load_retraining_plan(components, path)
    _check_trainings(plan)
    return plan


def _check_trainings(plan: "RetrainingPlan") -> None:
    """Raise UserError for options of a task that no training takes: its jobs would die, one after the other."""
    for task in plan.tasks:
        try:
            build_request(("train", task.task, *task.options))
        except UserError as error:
            raise UserError(f"the plan's tasks.{task.task}.options: {error}") from None
        except typer.TyperException as error:
            why = error.format_message().rstrip(".")
            raise UserError(
                f"the plan's tasks.{task.task}.options: {why}; 'epic22 train --help' names those there are."
            ) from None


def _check_training(context: typer.Context) -> None:
    """Raise UserError for a training that names no task, for options that it has no use for, and for a key, which a worker has
    not."""
    from epic22.cli.train import check_options

    values = context.params
    if values.get("override_reason") is not None:
        raise UserError("--override-reason needs a person's key, which no worker has; promote the version with 'epic22 promote'.")
    feature, names = values.get("feature"), [feature.name for feature in bootstrap.FEATURES]
    if feature is None and not values.get("task_file") and not (values.get("csv") and values.get("label")):
        raise UserError(
            f"the job names no task: name a feature ({', '.join(names)}, or all), or give --csv FILE and --label COLUMN, or "
            "--task-file FILE."
        )
    if feature is not None and feature not in (*names, "all"):
        raise UserError(f"there is no feature {feature[:40]!r}; the features are {', '.join(names)}, or all.")
    _require_files(values, "csv", "task_file")
    given = {name: values[name] for name in list_given(context, [field.parameter for field in list_options()])}
    check_options(feature, given, values.get("data"), None)


def _check_ingest(context: typer.Context) -> None:
    """Raise UserError for an ingest that names no place, or never ends."""
    if context.params.get("follow"):
        raise UserError("--follow never ends; schedule an ingest with 'epic22 schedule add' instead.")
    if context.params.get("folder") is None and context.params.get("source") is None and context.params.get("mapping") is None:
        raise UserError("the job names nothing to ingest; give FOLDER, or --source ADDRESS.")
    _require_files(context.params, "folder", "mapping")


def _check_prediction(context: typer.Context) -> None:
    """Raise UserError where the file is not there, and for what the verb itself refuses before it looks for a model: that may
    come to be by a job before this one."""
    from epic22.cli.predict import check_question

    values = context.params
    _require_files(values, "file")
    check_question(*(values[name] for name in ("task", "file", "portfolio", "at", "data")))
    if values["out"] is not None:
        bootstrap.check_answer_file(Path(values["out"]))


def _check_retraining(context: typer.Context) -> None:
    """Raise UserError where there is no plan, or one that the verb refuses."""
    path, settings = context.params.get("plan"), Settings.read()
    _require_files(context.params, "plan")
    # Workers that share a database have homes, and so plans, of their own.
    if path is not None or settings.database_url is None:
        load_plan(bootstrap.assemble(settings), None if path is None else Path(path))


def _require_files(values: Mapping[str, Any], *names: str) -> None:
    for name in names:
        path = values.get(name)
        if path is not None and "://" not in str(path) and not Path(path).exists():
            raise UserError(f"{path}: no such file or folder; paths are relative to {Path.cwd()}, for the worker too.")


CHECKS: Mapping[str, Callable[[typer.Context], None]] = {
    "train": _check_training,
    "ingest": _check_ingest,
    "predict": _check_prediction,
    "retrain": _check_retraining,
}
"""What is checked of each verb when it is submitted."""
