"""The command `epic22`; its exit code is 0 for success, 2 for a mistake in the input, 1 for one of ours, 130 if interrupted."""

import os
import sys
import tempfile
import traceback
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from epic22 import __version__
from epic22.cli.masked_output import mask_output
from epic22.core.errors import PASSING_FAULTS, StorageError, UserError, describe_storage_fault
from epic22.core.job import ATTEMPT_SETTING, MAY_PASS_EXIT_CODE

EXIT_INTERNAL_ERROR, EXIT_USER_ERROR, EXIT_INTERRUPTED = 1, 2, 130

VERBS = {
    "sample": "Simulate a property company: all canonical tables, true probabilities beside them, a page of pictures.",
    "ingest": "Check tables from files, a database or an API and store them as one data version; broken rows go to quarantine.",
    "consume": "Take events of a stream into data versions as they come: from Redis, standard input, or the API.",
    "audit": "Look for leaks and damage: in the stored tables, in a feature's inputs, or in a table of your own.",
    "train": "Train a feature on the stored tables, or a task on your own table, and report what is certain.",
    "compare": "Compare families on the same folds: scores, calibration, time, memory, size. Nothing is registered.",
    "ablate": "Train a family without each of its parts, and say what each is worth. Nothing is registered.",
    "decide": "Rank who to visit, call or look at this week by what acting is expected to save, with reasons. A person decides.",
    "predict": "Predict the rows of FILE, or with --portfolio all entities of a feature, with intervals and reasons that add up.",
    "explain": "Say what a task's model looks at: columns, pairs and shapes, each with its interval, out of fold.",
    "export": "Write the network of MODEL as a file for other programs, and what its inputs and outputs mean beside it.",
    "submit": "Have a worker carry out a verb: it waits in a queue, and is taken over where its worker dies.",
    "work": "Carry out jobs, one at a time, until Ctrl-C: what dead workers had under way too.",
    "jobs": "Jobs that were submitted: list, show, logs, watch, cancel, retry.",
    "schedule": "Jobs that workers submit by the clock: add, list, remove. What was missed is caught up once.",
    "lineage": "Trace X back to its table versions and source files, and forward to the models and predictions it led to.",
    "serve": "Answer predictions over HTTP: /health, /v1/tasks, /v1/tasks/TASK/predictions, /docs.",
    "runs": "The trainings that are written down: list, show, export to a file, import from one.",
    "mlflow": "Open MLflow's own page on the runs of all trainings, for this machine alone, until Ctrl-C.",
    "models": "The registered models: list, show, promote, rollback, history; each takes --json.",
    "promote": "Let VERSION of TASK serve from now on: a challenger, or an earlier champion.",
    "retrain": "Submit a training of each task of which a trigger says that it is due: a time, new rows, an alarm of quality.",
    "demo": "Simulate a portfolio, ingest, audit, train the five features, decide in money, ask the API, show the fairness gate.",
    "doctor": "Look at this machine: whether its devices compute networks right and how fast, what is wrong, what to do.",
    "store": "What is kept and where: status, migrate, copy to a database or back to files.",
    "data": "The versions of the tables: log, show, diff, restore, quarantine, quality, erase a person.",
}
"""Each verb with its line in the help; its function and its module have its name, and are imported only when it runs."""


class Verbs(TyperGroup):
    """All verbs: what any of them says is wrong with its arguments repeats no password or key of theirs."""

    def make_context(self, *arguments: Any, **named: Any) -> Any:
        """The context of the arguments before the verb."""
        with _hide_usage_secrets():
            return super().make_context(*arguments, **named)

    def invoke(self, ctx: Any) -> Any:
        """What the verb gives."""
        with _hide_usage_secrets():
            return super().invoke(ctx)


@contextmanager
def _hide_usage_secrets() -> Iterator[None]:
    """Take passwords and keys out of what is said to be wrong with arguments, before it is laid out."""
    try:
        yield
    except typer.TyperException as error:
        error.message = _hide_secrets(error.message)
        raise


def _hide_secrets(text: str) -> str:
    """The text without passwords and keys of the arguments."""
    from epic22.core.address import hide_arguments

    return hide_arguments(text, sys.argv)


app = typer.Typer(
    name="epic22",
    cls=Verbs,
    help="Honest machine learning for property management: train, audit, predict, serve.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


class LazyVerb(TyperCommand):
    """A verb with one line in the help; its own command, with its options, is loaded when it is called."""

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """The context of the verb's own command."""
        return load_verb(str(self.name)).make_context(info_name, args, parent, **extra)


def load_verb(name: str) -> Any:
    """The command of a verb, from its module."""
    verb = getattr(import_module(f"epic22.cli.{name}"), name)
    if not isinstance(verb, typer.Typer):
        single = typer.Typer(add_completion=False, rich_markup_mode="rich")
        single.command(name)(verb)
        verb = single
    command = typer.main.get_command(verb)
    for one in (command, *getattr(command, "commands", {}).values()):
        one.help = join_lines(one.help)
    return command


def join_lines(text: str) -> str:
    """A docstring's paragraphs, each in one line: a terminal breaks them by its own width.

    >>> join_lines("One.\\n\\n    Two lines\\n    of source.")
    'One.\\n\\nTwo lines of source.'
    """
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.split("\n\n"))


def _stand_in() -> None:
    """Never called: the context of a lazy verb is that of the verb itself."""


for verb_name, summary in VERBS.items():
    app.command(verb_name, cls=LazyVerb, help=summary)(_stand_in)


def _print_version(requested: bool) -> None:
    if requested:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Honest machine learning for property management: train, audit, predict, serve."""


def run() -> None:
    """Run the command line: a mistake in the input ends in one sentence, one of ours in a file with the traceback."""
    # Two trainings on the same cores otherwise spend their time spinning for each other: minutes instead of seconds.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    with mask_output():
        _run_masked()


def _run_masked() -> None:
    try:
        _refuse_undecoded(sys.argv)
        app()
    except UserError as error:
        sys.stderr.write(f"epic22: {_hide_secrets(str(error))}\n")
        sys.exit(_choose_exit_code(error))
    except SystemExit as end:
        # Typer ends with this code at Ctrl-C, and says nothing.
        if end.code == EXIT_INTERRUPTED and _is_interrupted(end):
            sys.stderr.write("epic22: stopped; nothing half-written was left.\n")
        raise
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(EXIT_INTERNAL_ERROR)
    except Exception as error:
        if (fault := describe_storage_fault(error)) is not None:
            sys.stderr.write(f"epic22: {fault}; see that there is room and that it can be written, or give another folder.\n")
            sys.exit(_choose_exit_code(StorageError(fault)))
        sys.stderr.write(f"epic22: our mistake ({type(error).__name__}); please report it with {_write_traceback()}\n")
        sys.exit(EXIT_INTERNAL_ERROR)


def _refuse_undecoded(arguments: Sequence[str]) -> None:
    """Raise UserError for an argument that is no text, as a file's name on a disk may be: no record could name it."""
    for one in arguments:
        try:
            one.encode()
        except UnicodeEncodeError:
            raise UserError(f"{one!r}: no text in UTF-8; rename the file, or write it in UTF-8.") from None


def _is_interrupted(end: SystemExit) -> bool:
    """Whether Ctrl-C led to an end that nobody has explained yet."""
    return end.__context__ is not None and isinstance(end.__context__.__cause__, KeyboardInterrupt)


def _choose_exit_code(error: UserError) -> int:
    """The exit code for a mistake in the input; to a worker another says that the fault may pass."""
    may_pass = ATTEMPT_SETTING in os.environ and isinstance(error, PASSING_FAULTS)
    return MAY_PASS_EXIT_CODE if may_pass else EXIT_USER_ERROR


def _write_traceback() -> Path | str:
    """The file with the traceback, to be attached to a report; the user's data is not in it."""
    home = Path(os.environ.get("EPIC22_HOME") or Path.home() / ".epic22") / "errors"
    # Where the home cannot be written, the place for temporary files mostly can.
    for folder in (home, Path(tempfile.gettempdir())):
        path = folder / f"epic22-{uuid.uuid4().hex[:12]}.txt"
        with suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            path.write_text(traceback.format_exc())
            return path
    return f"this trace:\n{traceback.format_exc()}"
