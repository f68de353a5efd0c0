"""Trainings through the gates as a user runs them: what they are shown, and a first model that one of them refuses."""

from pathlib import Path

import pytest
from tests.shell import Shell
from tests.trained import table, trained

from epic22.core.evaluation.gate_finding import GateFinding
from epic22.core.task import Kind

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("blank_pictures")]


def gates_of(folder: Path, kind: Kind) -> dict[str, GateFinding]:
    run, _ = trained(folder, kind)
    assert run.promotion is not None
    return {gate.gate: gate for gate in run.promotion.gates}


@pytest.mark.parametrize("kind", ["binary", "regression"])
def test_the_gates_are_shown_what_the_training_measured(kind: Kind, tmp_path: Path) -> None:
    gates = gates_of(tmp_path, kind)
    assert {name for name, gate in gates.items() if gate.outcome == "passed"} >= {"golden rows", "leakage", "constant", "latency"}
    assert {name for name, gate in gates.items() if gate.outcome == "refused"} == set()
    for name in ("constant", "calibrated", "latency"):
        assert gates[name].interval.low <= gates[name].interval.value <= gates[name].interval.high
    assert "no proved leak among 5 columns" in gates["leakage"].why


def test_a_first_model_that_a_gate_refuses_serves_nobody_until_a_person_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shell = Shell(tmp_path, capsys, monkeypatch)
    data = table(tmp_path, "binary", 200)
    use = "policy: {latency_budget: 0.001}\nsplit: {folds: 3, repeats: 1}\n"
    options = f"data: {{file: {data.name}}}\nroles: {{label: y, id: who}}\nfamilies: [constant, linear]\n"
    Path("task.yaml").write_text(f"version: 1\nname: slow\n{options}{use}")
    code, out, err = shell("train", "--task-file", "task.yaml")
    assert code == 0, err
    assert "Challenger: " in out
    assert "No version serves the task, so what is done today goes on: too slow: one row with reasons takes" in out
    assert "1 refused (latency)" in out
    assert [one["state"] for one in shell.json("models", "slow")] == ["challenger"]
    code, _, err = shell("predict", "slow", data.name)
    assert (code, "no champion for task 'slow': its one version does not serve; 'epic22 models slow' says why" in err) == (
        2,
        True,
    )
    assert "No version serves the task" in (shell.home / "models" / "slow" / "1" / "report.html").read_text(encoding="utf-8")
    assert shell.json("models", "promote", "slow", "1", "--reason", "a second is enough")["champion"]["version"] == "1"
    assert shell("predict", "slow", data.name)[0] == 0
