"""The task file that a training writes trains again, to the same model, whatever the options were."""

from pathlib import Path
from random import Random

import polars as pl
import pytest
from tests.shell import Shell

from epic22.spec.training_spec import list_options

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("blank_pictures")]

N_ROWS = 150

SHORT = ["--families", "linear", "--folds", "2", "--repeats", "1"]
OF_Y = ["--label", "y", "--drop", "claims", "--drop", "amount"]
OF_CLAIMS = ["--label", "claims", "--drop", "y", "--drop", "amount"]
OF_AMOUNT = ["--label", "amount", "--drop", "y", "--drop", "claims"]
COSTS = ["--cost-miss", "50", "--cost-false-alarm", "2.5"]
SEARCH = ["--trials", "2", "--search-family", "linear"]

QUESTIONS: dict[str, list[str]] = {
    "roles": [*OF_Y, *SHORT, "--task", "toy", "--about", 'yes: "no"\n# and more', "--positive", "no", "--kind", "binary"],
    "words": [*OF_Y, *SHORT, "--missing", "unknown", "--missing", "-1", "--keep", "echo", "--coverage-by", "site"],
    "times": [*OF_Y, *SHORT, "--time", "when", "--id", "who", "--horizon", "20", "--gap", "1.5"],
    "times in parts": [*OF_Y, *SHORT, "--time", "year", "--time", "month", "--group", "who", "--holdout-last", "3"],
    "periods": [*OF_Y, *SHORT, "--time", "when", "--group-by", "month"],
    "a holdout": [*OF_Y, *SHORT, "--time", "when", "--holdout-from", "2024-03-01"],
    "random rows": [*OF_Y, *SHORT, "--time", "when", "--random-rows-despite-time", "--seed", "7"],
    "another file": [*OF_Y, *SHORT, "--test", "test.csv", "--id", "who"],
    "costs": [*OF_Y, *SHORT, *COSTS, "--prefer-simpler", "--learning-curve", "--metric", "log_loss"],
    "an offset": [*OF_CLAIMS, *SHORT, "--loss", "poisson", "--offset", "years"],
    "an offset, every family": [*OF_CLAIMS, "--folds", "2", "--repeats", "1", "--loss", "tweedie:1.5", "--offset", "code"],
    "an offset and a search": [*OF_CLAIMS, *SHORT, "--loss", "poisson", "--offset", "years", *SEARCH],
    "a logarithm": [*OF_AMOUNT, *SHORT, "--log", "yes", "--formula", "twice [m] = x * 2"],
    "columns that are made": [*OF_AMOUNT, *SHORT, "--log", "no", "--engineer"],
    "steps": [*OF_Y, *SHORT, "--sequence", "load_*"],
    "a search": [*OF_Y, *SHORT, *SEARCH, "--sampling", "random", "--no-prune", "--no-nested", "--no-engineer"],
    "stated columns": [*OF_Y, *SHORT, *COSTS, "--task-file", "stated.yaml"],
    "a grid": [*OF_Y, *SHORT, *SEARCH, "--sampling", "grid", "--prune", "--nested", "--row-ms", "50"],
}
"""What is asked, by what it is about."""

STATED = """version: 1
columns:
  code: {dtype: int, low: 1, high: 3, unit: "no. 1"}
  month: {dtype: category, about: 'the month: "01" to 12'}
  site: {levels: [a, b, unknown]}
  rent: {decimal: ","}
  when: {day_first: false}
  who: {role: protected}
  load_1: {role: never}
  y: {levels: ["no", "yes"]}
costs: {stake_column: years, capacity: 7}
policy: {minimum_effect: 0.01, non_inferiority_margin: 50, latency_budget: 250.5, calibration_limit: 0.75}
"""

OF_THIS_RUN = {"in batches": ["--memory-cap", "1KB"], "a device": ["--device", "cpu"]}
"""What no task file has, so that it is asked again."""

NOT_TO_THE_BIT = ["--time-limit", "5", "--search-family", "linear", "--processes", "2"]
"""What may find another model the next time."""


@pytest.fixture
def shell(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Shell:
    shell = Shell(tmp_path, capsys, monkeypatch)
    write_rows(shell.folder / "t.csv", 0, N_ROWS)
    write_rows(shell.folder / "test.csv", 1, 30)
    (shell.folder / "stated.yaml").write_text(STATED)
    return shell


def write_rows(path: Path, seed: int, n: int) -> None:
    random = Random(seed)
    x = [round(random.gauss(0, 1), 3) for _ in range(n)]
    pl.DataFrame(
        {
            "when": [f"2024-{1 + i % 4:02}-{1 + i % 28:02}" for i in range(n)],
            "year": [2020 + i % 4 for i in range(n)],
            "month": [f"{1 + i % 12:02}" for i in range(n)],
            "who": [f"{i % (n // 2):03}" for i in range(n)],
            "years": [random.choice([0.5, 1.0, 2.0]) for _ in range(n)],
            "code": [f"{random.choice([1, 2, 3]):03}" for _ in range(n)],
            "x": x,
            "site": [random.choice(["a", "b", "unknown"]) for _ in range(n)],
            "rent": [f"1.{random.randint(100, 999)},50 €" for _ in range(n)],
            "share": [f"{random.randint(1, 99)} %" for _ in range(n)],
            **{f"load_{step}": [random.randint(-1, 9) for _ in range(n)] for step in (1, 2, 3)},
            "echo": [value > 0 for value in x],
            "y": ["yes" if value + random.gauss(0, 0.2) > 0 else "no" for value in x],
            "claims": [random.choice([0, 0, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]) for _ in range(n)],
            "amount": [round(10 + value + random.random(), 2) for value in x],
        }
    ).write_csv(path)


def train_twice(shell: Shell, asked: list[str], asked_again: list[str]) -> tuple[str, str]:
    """The model hashes of what is asked, and of the task file that it writes."""
    first = shell.json("train", "--csv", "t.csv", *asked, "--write-task", "task.yaml")
    again = shell.json("train", "--task-file", "task.yaml", *asked_again, "--write-task", "again.yaml")
    assert (shell.folder / "again.yaml").read_text() == (shell.folder / "task.yaml").read_text()
    return first["model_hash"], again["model_hash"]


@pytest.mark.parametrize("about", QUESTIONS)
def test_the_task_file_of_a_training_trains_the_same_model_again(shell: Shell, about: str) -> None:
    first, again = train_twice(shell, QUESTIONS[about], [])
    assert again == first


@pytest.mark.parametrize("about", OF_THIS_RUN)
def test_what_is_of_one_run_alone_is_asked_again_with_the_file(shell: Shell, about: str) -> None:
    first, again = train_twice(shell, [*OF_Y, *SHORT, *OF_THIS_RUN[about]], OF_THIS_RUN[about])
    assert again == first


def test_the_task_file_of_a_training_that_no_one_can_repeat_trains_all_the_same(shell: Shell) -> None:
    train_twice(shell, [*OF_Y, *SHORT, *NOT_TO_THE_BIT], ["--processes", "2"])


def test_every_option_of_a_training_on_a_table_is_among_the_questions() -> None:
    options = {one.key.option for one in list_options() if one.key.is_used_by("table")}
    questions = (*QUESTIONS.values(), *OF_THIS_RUN.values(), NOT_TO_THE_BIT, ["--csv", "--write-task"])
    assert options <= {word.replace("--no-", "--") for words in questions for word in words}
