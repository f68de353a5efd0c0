"""The command line as a user meets it: results, one JSON object, one clear sentence and the right exit code."""

import json
import math
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tests.boilers import simulate_boilers
from tests.shell import Shell, type_command

from epic22.adapters.model_store import ModelStore
from epic22.cli.audit import _print_suspicions
from epic22.cli.main import VERBS, load_verb
from epic22.cli.terminal import print_table
from epic22.core.data.leakage import Suspicion

TASK = "boilers"
ROLES = ["--label", "failed_within_30_days", "--time", "read_at", "--id", "boiler", "--horizon", "30", "--task", TASK]


@pytest.fixture
def shell(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Shell:
    return Shell(tmp_path, capsys, monkeypatch)


def write_boilers(folder: Path) -> Path:
    path = folder / "boilers.csv"
    simulate_boilers(boilers=60, months=24).rows.write_csv(path)
    return path


@pytest.fixture
def boilers(tmp_path: Path) -> Path:
    return write_boilers(tmp_path)


@dataclass(frozen=True)
class Trained:
    """The same training in two homes: what it answered as JSON in the one, and told a person in the other. Tests that change a
    home copy it."""

    folder: Path
    result: Any
    told: str

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def second_home(self) -> Path:
        return self.folder / "second"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder = tmp_path_factory.mktemp("trained")
    line = ("train", "--csv", str(write_boilers(folder)), *ROLES)
    code, out, err = type_command(folder, folder / "home", *line, "--json")
    assert code == 0, err
    code, told, err = type_command(folder, folder / "second", *line)
    assert code == 0, err
    return Trained(folder, json.loads(out), told)


def test_an_argument_that_is_no_text_is_refused_in_a_sentence(shell: Shell) -> None:
    for words in (("audit", "--csv", "b\udcffd.csv", "--label", "y"), ("promote", "toy", "1", "--reason", "\udcff")):
        code, out, err = shell(*words)
        assert (code, out) == (2, "")
        assert "no text in UTF-8; rename the file, or write it in UTF-8." in err
        assert "\\udcff" in err


@pytest.mark.slow
def test_the_whole_way_from_a_file_to_predictions(trained: Trained, shell: Shell, boilers: Path) -> None:
    result = trained.result
    shutil.copytree(trained.home, shell.home)
    assert {"task", "data_version", "model_hash", "folds", "audit", "leaderboard", "champion", "verdicts"} <= set(result)
    assert result["folds"] | {"kind": "walk_forward", "n": 5, "repeats": 1, "gap": 30.0} == result["folds"]
    assert {"reading_id": "row number", "repair_cost": "label echo"}.items() <= {
        a["column"]: a["suspicion"] for a in result["audit"]
    }.items()
    for entry in result["leaderboard"]:
        assert {"family", "target", "horizon", "metrics", "fit_seconds", "row_ms"} == set(entry)
        assert set(entry["metrics"]["average_precision"]) == {"value", "low", "high"}
    covered = result["coverage"]["covered"]
    assert covered["stated"] == 0.9
    assert [table["by"] for table in covered["tables"]][-1] == "month"
    verdict = result["verdicts"][0]
    assert {"against", "target", "horizon", "metric", "difference", "low", "high", "p", "enough_data"} <= set(verdict)
    answer = shell.json("predict", TASK, str(boilers))
    assert {"task", "model", "predictions"} == set(answer)
    assert len(answer["predictions"]) == 60 * 24
    first = answer["predictions"][0]
    total = sum(reason["contribution"] for reason in first["reasons"])
    assert total == pytest.approx(first["score"]["value"], abs=1e-9)
    assert first["values"][0]["value"] == pytest.approx(1 / (1 + math.exp(-total)))
    assert first["entity"].startswith("B")
    assert first["at"].startswith("2023")
    assert shell.json("models")[0]["champion"] is True
    page = Path(result["report"]).read_text()
    assert "linear" in page or "boosting" in page
    assert shell.json("explain", TASK) == result["explanation"]
    code, told, _ = shell("explain", TASK, "--version", "1")
    assert code == 0
    assert "What moves the score" in told
    pictures = shell.home / "models" / TASK / "1" / "explanation"
    assert {"importance.png", "permutation.png", "dependence_1.png"} <= {path.name for path in pictures.iterdir()}
    (pictures.parent / "explanation.json").unlink()
    assert "another model gets one in training" in shell("explain", TASK)[2]
    assert "has no version '7'" in shell("explain", TASK, "--version", "7")[2]
    assert not list(trained.folder.glob("mlruns*"))


@pytest.mark.slow
def test_mlflow_keeps_the_run_in_its_own_database(trained: Trained) -> None:
    result, database = trained.result, trained.home / "mlflow.db"
    with sqlite3.connect(database) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{database}", registry_uri=f"sqlite:///{database}")
    champion = client.get_model_version_by_alias(TASK, "champion")
    assert champion.tags["epic22.model_hash"] == result["model_hash"]
    run_id = champion.run_id
    assert run_id is not None
    kept = client.get_run(run_id)
    assert kept.data.tags["epic22.data_version"] == result["data_version"]
    best = result["leaderboard"][0]["metrics"]["average_precision"]["value"]
    assert kept.data.metrics["average_precision"] == pytest.approx(best)
    assert len(client.get_metric_history(run_id, "average_precision_fold")) == 5
    assert {f.path for f in client.list_artifacts(run_id)} == {"model", "pictures", "report.html", "task.yaml"}


@pytest.mark.usefixtures("blank_pictures")
@pytest.mark.slow
def test_the_same_command_gives_the_same_hash_and_another_seed_or_row_another(
    trained: Trained, shell: Shell, boilers: Path
) -> None:
    first, again = trained.result["model_hash"], ModelStore(trained.second_home / "models").champion(TASK).model_hash
    assert first == again != shell.json("train", "--csv", str(boilers), *ROLES, "--seed", "1")["model_hash"]
    frame = pl.read_csv(boilers)
    frame.with_columns(
        pl.when(pl.int_range(pl.len()) == 7).then(61.23).otherwise("water_temperature_c").alias("water_temperature_c")
    ).write_csv(boilers)
    assert shell.json("train", "--csv", str(boilers), *ROLES)["model_hash"] != first


@pytest.mark.usefixtures("blank_pictures")
@pytest.mark.slow
def test_forced_rows_are_warned_of_beside_the_honest_score(shell: Shell, boilers: Path) -> None:
    result = shell.json("train", "--csv", str(boilers), *ROLES, "--random-rows-despite-time")
    assert result["folds"]["kind"] == "repeated_stratified"
    assert "at random" in result["warnings"][0]
    assert {h["metric"] for h in result["honest"]} == set(result["leaderboard"][0]["metrics"])
    assert "Random rows beside honest folds" in Path(result["report"]).read_text()


@pytest.mark.slow
def test_tables_for_a_person_say_the_same(trained: Trained, shell: Shell, boilers: Path) -> None:
    shutil.copytree(trained.second_home, shell.home)
    for said in ("repair_cost", "left out", "average_precision", "Champion:", "Report:", "gap 30 days", "The 90% set covered"):
        assert said in trained.told
    code, out, _ = shell("predict", TASK, str(boilers))
    assert code == 0
    assert "1,440 rows" in out
    assert "may be" in out
    assert "no or yes" in out or "0 or 1" in out
    assert "and 1,420 rows more" in out
    code, out, _ = shell("models")
    assert "champion" in out


def test_the_audit_alone_stores_nothing(shell: Shell, boilers: Path) -> None:
    found = shell.json("audit", "--csv", str(boilers), *ROLES[:6])
    assert {"reading_id", "repair_cost"} <= {a["column"] for a in found["audit"]}
    assert not shell.home.exists()


def test_the_audit_says_of_rows_neither_that_they_are_left_out_nor_how_a_column_would_be(
    capsys: pytest.CaptureFixture[str],
) -> None:
    _print_suspicions((Suspicion(None, "duplicate rows", "two of nine", withheld=False),))
    out = capsys.readouterr().out
    assert "│ –" in out
    assert "--drop" not in out


def test_options_of_a_table_are_refused_where_the_audit_is_of_the_stored_tables(shell: Shell) -> None:
    code, _, err = shell("audit", "--label", "churned")
    assert code != 0
    assert "--label: only a table of your own has such columns; name it with --csv FILE" in " ".join(err.split())


BROKEN: dict[str, tuple[bytes | None, str]] = {
    "absent": (None, "no such file"),
    "empty": (b"", "is empty"),
    "header only": (b"a,y\n", "no rows"),
    "ragged": (b"a,y\n1,0\n1,2,3\n", "line 3"),
    "wrong encoding": (b"a,y\n\x81\xfe\xff,0\n1,1\n", "UTF-8"),
    "binary": (bytes(range(256)) * 9, "no text"),
    "two columns of one name": (b"a,a,y\n1,2,0\n", "two columns"),
    "all-missing label": (b"a,y\n1,\n2,\n", "missing in all"),
    "one class": (b"a,y\n" + b"1,0\n" * 40, "nothing to predict"),
    "infinite": (b"a,y\n" + b"1,0\ninf,1\n" * 20, "infinite"),
    "long line": (b"a,y\n1," + b"0" * (17 << 20) + b"\n", "longer than 16 MB"),
    "too few rows": (b"a,y\n" + b"1,0\n2,1\n" * 5, "too few"),
    "no such label": (b"a,b\n1,0\n", "--label y: no such column"),
}


@pytest.mark.slow
@pytest.mark.parametrize(("content", "said"), BROKEN.values(), ids=BROKEN.keys())
def test_broken_input_is_one_clear_sentence_and_exit_code_2(shell: Shell, content: bytes | None, said: str) -> None:
    path = shell.folder / "data.csv"
    if content is not None:
        path.write_bytes(content)
    code, out, err = shell("train", "--csv", str(path), "--label", "y")
    message = [line for line in err.splitlines() if line.startswith("epic22:")]
    assert code == 2
    assert out == ""
    assert len(message) == 1
    assert said in message[0]
    assert "Traceback" not in err
    # A training that began and failed is told to the lineage, and leaves nothing else.
    assert {path.name for path in shell.home.glob("*")} <= {"lineage"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--holdout-from", "soon"], "--holdout-from 'soon' is no moment"),
        (["--holdout-from", "2024-01-01", "--holdout-last", "3"], "exclude one another"),
        (["--holdout-last", "3", "--group-by", "day"], "leave --group-by"),
        (["--group-by", "decade"], "give day, week or month"),
        (["--kind", "guess"], "give one of"),
        (["--group-by", "day"], "needs --time"),
    ],
)
def test_options_that_do_not_fit_are_exit_code_2(shell: Shell, arguments: list[str], said: str) -> None:
    path = shell.folder / "data.csv"
    path.write_text("a,y\n" + "".join(f"{i % 7},{i % 2}\n" for i in range(60)))
    code, _, err = shell("train", "--csv", str(path), "--label", "y", *arguments)
    assert (code, said in err) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--csv", "boilers.csv"], "give --label COLUMN too"),
        (["--label", "fails"], "give --csv FILE too"),
        (["--panel", "wide", "--csv", "rents.csv"], "give --label COLUMN too"),
        ([], "name a feature"),
    ],
)
def test_what_a_table_of_ones_own_lacks_is_named(shell: Shell, arguments: list[str], said: str) -> None:
    code, _, err = shell("train", *arguments)
    assert (code, said in err) == (2, True)


def test_a_name_in_other_letters_is_answered_with_the_column_that_is_meant(shell: Shell, boilers: Path) -> None:
    code, _, err = shell("train", "--csv", str(boilers), "--label", "Failed_Within_30_Days")
    assert code == 2
    assert "no such column; did you mean 'failed_within_30_days'" in err


def test_a_task_that_is_not_there_is_exit_code_2(shell: Shell, boilers: Path) -> None:
    code, _, err = shell("predict", "nope", str(boilers))
    assert (code, "no champion for task 'nope'" in err) == (2, True)
    assert shell("predict", "../../etc", str(boilers))[0] == 2


def test_our_own_mistake_is_exit_code_1_without_a_traceback(shell: Shell, boilers: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("inner matter")

    monkeypatch.setattr("epic22.bootstrap.training.train_file", broken)
    code, _, err = shell("train", "--csv", str(boilers), *ROLES)
    assert code == 1
    assert "our mistake (ZeroDivisionError)" in err
    assert "Traceback" not in err
    kept = re.search(r"report it with (\S+)", err)
    assert kept is not None
    assert "inner matter" in Path(kept.group(1)).read_text()


def test_settings_that_cannot_be_used_are_said(shell: Shell, boilers: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EPIC22_THREADS", "many")
    code, _, err = shell("train", "--csv", str(boilers), *ROLES)
    assert (code, "EPIC22_THREADS" in err) == (2, True)


def test_help_imports_nothing_heavy() -> None:
    """What help costs, as a fact that no noise can change: none of the big libraries is imported for it."""
    heavy = ["polars", "numpy", "scipy", "sklearn", "xgboost", "mlflow", "pandas", "matplotlib", "fastapi", "pydantic"]
    program = (
        "import sys\nsys.argv = ['epic22', '--help']\nfrom epic22.cli.main import run\n"
        f"try:\n    run()\nexcept SystemExit:\n    pass\nprint([m for m in {heavy} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=dict(os.environ))
    assert done.stdout.splitlines()[-1] == "[]"
    for verb in ("train", "audit", "predict", "serve", "models", "demo"):
        assert verb in done.stdout


def test_a_name_in_the_first_column_stays_in_one_line_and_a_long_text_beside_it_is_broken(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    print_table("", ["table", *"abcdef"], [["sensor_readings", *["one two three four five"] * 6]])
    assert "sensor_readings" in capsys.readouterr().out
    print_table("", ["text", "a"], [["word " * 40, "1,234"]])
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80


@pytest.mark.slow
@pytest.mark.parametrize("verb", VERBS)
def test_the_line_in_the_help_is_what_the_verb_says_of_itself(verb: str) -> None:
    command = load_verb(verb)
    assert (command.help or "").split("\n\n")[0] == VERBS[verb]
    for one in (command, *getattr(command, "commands", {}).values()):
        paragraphs = (one.help or "").split("\n\n")
        assert not any("\n" in paragraph for paragraph in paragraphs), f"{one.name}: a terminal breaks the lines by its own width"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--cost-miss", "5"], "go together"),
        (["--prefer-simpler"], "needs --cost-miss"),
        (["--learning-curve", "--panel", "wide"], "not with --panel"),
    ],
)
def test_options_of_use_that_make_no_sense_are_refused(shell: Shell, boilers: Path, options: list[str], told: str) -> None:
    code, _, err = shell("train", "--csv", str(boilers), *ROLES, *options)
    assert code == 2
    assert told in err


ADDRESS = "redis://ann:S3cret@shop.example:6379/0"


@pytest.mark.parametrize(
    "arguments",
    [
        ("consume", "--batch", ADDRESS),
        ("consume", ADDRESS),
        ("consume", f"--sourc={ADDRESS}"),
        (ADDRESS, "--json"),
        ("jobs", "show", ADDRESS),
        ("jobs", ADDRESS),
        ("decide", "tenant_churn", "--at", ADDRESS),
        ("predict", ADDRESS),
        ("submit", ADDRESS),
        ("schedule", "add", "--name", "a", "--cron", ADDRESS, "retrain"),
        ("schedule", "add", "--name", "a", "--cron", "0 3 * * 1", "--zone", f"{ADDRESS}?{'x' * 60}", "retrain"),
    ],
)
def test_what_is_said_of_a_wrong_argument_repeats_no_password_in_it(
    shell: Shell, arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    code, out, err = shell(*arguments)
    assert (code, out) == (2, "")
    said = re.sub(r"[\s│]+", "", err)
    assert "S3cret" not in said
    assert "S3c" not in said
