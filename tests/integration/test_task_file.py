"""A task file from command to command: the same model, the user's words in reasons and API, his options before the file."""

from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from tests.shell import Shell
from tests.trained import table

from epic22.adapters.model_store import ModelStore
from epic22.api.app import create_app

pytestmark = pytest.mark.usefixtures("blank_pictures")


@pytest.fixture
def shell(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Shell:
    return Shell(tmp_path, capsys, monkeypatch)


@pytest.mark.slow
def test_the_written_file_trains_the_same_model_and_the_words_reach_the_user(shell: Shell) -> None:
    path, folder = table(shell.folder, "binary", 200), shell.folder / "tasks"
    folder.mkdir()
    asked = ["--label", "y", "--id", "who", "--folds", "2", "--repeats", "1", "--seed", "3", "--task", "toy"]
    formula = ["--formula", "wear squared = wear ** 2", "--cost-miss", "50", "--cost-false-alarm", "2"]
    first = shell.json("train", "--csv", path.name, *asked, *formula, "--write-task", "tasks/task.yaml")
    written = folder / "task.yaml"
    again = shell.json("train", "--task-file", "tasks/task.yaml", "--write-task", "tasks/again.yaml")
    assert again["model_hash"] == first["model_hash"]
    assert (folder / "again.yaml").read_bytes() == written.read_bytes()
    beside = Path(first["task_file"])
    assert beside == shell.home / "models" / "toy" / "1" / "task.yaml"
    assert _but_paths(beside) == _but_paths(written)

    edited = written.read_text().replace(
        "  wear:\n    dtype: float\n", "  wear:\n    dtype: float\n    unit: mm\n    about: how worn it is\n"
    )
    edited = edited.replace("families: [constant, linear, boosting]", "families: [linear]")
    written.write_text(edited)
    worded = shell.json("train", "--task-file", "tasks/task.yaml", "--task", "worded", "--seed", "4")
    assert "--seed on the command line overrides split.seed (3) of task.yaml." in worded["notes"]
    assert [family["family"] for family in worded["leaderboard"]] == ["linear", "constant"]
    with TestClient(create_app(ModelStore(shell.home / "models"))) as client:
        columns = client.get("/v1/tasks/worded").json()["columns"]
        told = next(column for column in columns if column["name"] == "wear")
        assert (told["unit"], told["about"]) == ("mm", "how worn it is")
        row = {"wear": 3.0, "load <b>$kN$</b>": 0, "maker": "brook", "indoors": True, "fitted on": "2014-05-01"}
        answer = client.post("/v1/tasks/worded/predictions", json={"rows": [row]}).json()["predictions"][0]
    assert any("how worn it is is 3 mm" in reason["text"] for reason in answer["reasons"])


def _but_paths(path: Path) -> str:
    return "\n".join(line for line in path.read_text().splitlines() if not line.startswith("  file:"))


def test_the_audit_writes_a_file_without_training(shell: Shell) -> None:
    path = table(shell.folder, "binary", 200)
    code, out, _ = shell("audit", "--csv", path.name, "--label", "y", "--id", "who", "--write-task", "task.yaml")
    assert code == 0
    assert "Written: task.yaml" in out
    assert not (shell.home / "models").exists()
    first = (shell.folder / "task.yaml").read_bytes()
    assert shell("audit", "--task-file", "task.yaml", "--write-task", "task.yaml")[0] == 0
    assert (shell.folder / "task.yaml").read_bytes() == first


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["train", "--task-file", "none.yaml"], "none.yaml cannot be read"),
        (["train", "--csv", "t.csv", "--label", "y", "--write-task", "no/task.yaml"], "there is no folder no"),
        (["train", "tenant_churn", "--task-file", "task.yaml"], "--task-file: only with a table of your own"),
        (["train", "--csv", "t.csv", "--label", "y", "--panel", "wide", "--task-file", "task.yaml"], "not with --panel"),
        (["audit", "--write-task", "task.yaml"], "give --csv FILE and --label COLUMN"),
        (["train", "--task-file", "task.yaml"], "epic22: task.yaml, line 4: roles.label: --label z: no such column"),
    ],
)
def test_what_does_not_fit_is_exit_code_2(shell: Shell, arguments: list[str], said: str) -> None:
    (shell.folder / "t.csv").write_text("a,y\n" + "".join(f"{i % 7},{i % 2}\n" for i in range(60)))
    (shell.folder / "task.yaml").write_text("version: 1\ndata: {file: t.csv}\nroles:\n  label: z\n")
    code, _, err = shell(*arguments)
    assert (code, said in err) == (2, True), err
