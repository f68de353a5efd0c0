"""`epic22 compare` and `epic22 ablate`, and the same from Python: what is printed, where the page lies, what is refused."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tests.portfolios import portfolio_assignment
from tests.shell import Shell
from tests.trained import table

import epic22
from epic22.bootstrap import assemble, comparison
from epic22.config import Settings
from epic22.core.errors import UserError

ROLES = ("--label", "y", "--id", "who", "--task", "toy", "--folds", "3", "--repeats", "1")
KEYWORDS: dict[str, Any] = {"label": "y", "id": "who", "task": "toy", "folds": 3, "repeats": 1}


@pytest.fixture
def shell(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Shell:
    return Shell(tmp_path, capsys, monkeypatch)


@pytest.fixture
def toys(tmp_path: Path) -> str:
    return str(table(tmp_path, "binary", 200))


@pytest.mark.slow
def test_families_are_compared_from_a_file_and_nothing_is_registered(shell: Shell, toys: str) -> None:
    code, out, err = shell("compare", "--csv", toys, *ROLES, "--families", "boosting,linear")
    assert code == 0, err
    for words in ("linear against boosting: average_precision", "constant against boosting", "memory of its training, MB"):
        assert words in out
    report = Path(out.rpartition("Report: ")[2].strip())
    assert report.parent == shell.home / "reports"
    assert report.name.startswith("toy-compare-")
    assert "What each family takes" in report.read_text(encoding="utf-8")
    assert not (shell.home / "models").exists()
    assert not list((shell.home / "scratch").iterdir())
    shown = shell.json("compare", "--csv", toys, *ROLES, "--families", "boosting,linear")
    assert shown["report"] == str(report), "the same comparison takes the place of the one before"
    assert {one["family"] for one in shown["families"]} == {"constant", "linear", "boosting"}
    assert all(one["cost"]["memory_bytes"] >= 0 for one in shown["families"])


@pytest.mark.slow
def test_parts_are_switched_off_from_a_file(shell: Shell, toys: str) -> None:
    code, out, err = shell("ablate", "--csv", toys, *ROLES, "--family", "linear")
    assert code == 0, err
    assert "toy: linear without one part at a time" in out
    assert "Not on this data: logarithm of the label." in out
    shown = shell.json("ablate", "--csv", toys, *ROLES, "--family", "linear")
    assert (shown["family"], len(shown["parts"])) == ("linear", 3)
    assert Path(shown["report"]).read_text(encoding="utf-8").startswith("<!doctype html>")
    assert not (shell.home / "models").exists()


@pytest.mark.slow
def test_a_task_file_says_which_rows_and_its_search_is_left_out_in_words(shell: Shell, toys: str) -> None:
    task_file = shell.folder / "task.yaml"
    lines = (f"data: {{file: {toys}}}", "roles: {label: y, id: who}", "split: {folds: 3, repeats: 1}", "search: {trials: 5}")
    task_file.write_text("\n".join(("version: 1", "name: toy", *lines)), encoding="utf-8")
    code, out, err = shell("ablate", "--task-file", str(task_file), "--family", "linear")
    assert code == 0, err
    assert "families are compared as they come" in out
    assert "Folds: repeated_stratified, 3 × 1" in out


@pytest.mark.slow
def test_what_the_audit_suspects_is_said_and_a_comparison_with_the_constant_alone_says_so(shell: Shell, toys: str) -> None:
    rows = pl.read_csv(toys)
    rows.with_columns(pl.col("y").str.replace("yes", "left").alias("echo")).write_csv(shell.folder / "leak.csv")
    code, out, err = shell("compare", "--csv", str(shell.folder / "leak.csv"), *ROLES, "--families", "linear,constant")
    assert code == 0, err
    assert "· audit: echo, label echo (left out): " in out
    assert "Against linear, no other family that learns was compared." in out


@pytest.mark.slow
@pytest.mark.parametrize(
    ("verb", "options", "message"),
    [
        ("compare", ["--families", "boosting"], "--families boosting: a comparison needs two families"),
        ("compare", ["--families", "boosting,xgb"], "no model family 'xgb'; there are constant, linear, additive, boosting"),
        ("compare", ["--families", "boosting,hazard"], "hazard does not predict a label of kind binary; leave it out"),
        ("compare", ["--trials", "5"], "--trials: families are compared as they come; epic22 train searches"),
        ("compare", ["--cost-miss", "5"], "--cost-miss: families are compared before any use"),
        ("compare", ["--panel", "wide", "--frequency", "M"], "--panel, --frequency: the families of a panel are compared by its"),
        ("compare", ["--memory-cap", "1KB"], "rows that fit under the memory cap; raise --memory-cap"),
        ("ablate", ["--family", "constant"], "--family constant has no parts"),
        ("ablate", ["--family", "xgb"], "no model family 'xgb'"),
        ("ablate", ["--family", "linear", "--data", "3"], "--data: only with a feature of the stored tables"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_one_sentence(
    shell: Shell, toys: str, verb: str, options: list[str], message: str
) -> None:
    code, out, err = shell(verb, "--csv", toys, *ROLES, *options)
    assert (code, out) == (2, "")
    assert message in err
    assert "Traceback" not in err


@pytest.mark.slow
def test_a_comparison_without_rows_names_what_can_be_compared(shell: Shell) -> None:
    code, _, err = shell("compare", "--families", "boosting,linear")
    assert code == 2
    assert "name a feature (predictive_maintenance" in err
    code, _, err = shell("compare", "tenant_churn", "--csv", "x.csv")
    assert (code, "--csv: only with a table of your own" in err) == (2, True)
    code, _, err = shell("compare", "tenant_churn", "--families", "boosting,linear")
    assert (code, "no data version" in err) == (2, True)


@pytest.mark.slow
def test_a_feature_of_rows_is_compared_and_one_of_series_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    components = assemble(Settings(tmp_path, threads=1))
    monkeypatch.setattr(comparison, "load_feature_data", lambda components, feature, *_: portfolio_assignment(feature.task.name))
    result = comparison.ablate_feature(components, "risk_assessment", "linear")
    assert result.ablation.task.name == "risk_assessment"
    assert result.report.is_file()
    with pytest.raises(UserError, match="forecasts series: its families are compared by its training, epic22 train market_"):
        comparison.compare_feature(components, "market_intelligence", ("boosting", "linear"))
    small = replace(components, settings=Settings(tmp_path, threads=1, memory_cap=1))
    with pytest.raises(UserError, match="risk_assessment: families are compared on rows that fit under the memory cap"):
        comparison.ablate_feature(small, "risk_assessment", "linear")


@pytest.mark.slow
def test_the_example_of_the_how_to_runs_and_says_what_the_page_says(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "compare-families.md").read_text(encoding="utf-8")
    example, printed = re.findall(r"```(?:python)?\n(import numpy.*?|Against .*?)```", page, re.DOTALL)
    exec(compile(example, "compare-families.md", "exec"), {})
    out = capsys.readouterr().out.splitlines()
    lines = printed.splitlines()
    assert out[0] == lines[0]
    assert out[2].startswith(lines[2].removesuffix("…"))
    assert out[3].startswith("interactions: root_mean_squared_error 19.")
    assert out[3].endswith("certainly helps; keep it")


@pytest.mark.slow
def test_the_python_call_does_what_the_command_does(tmp_path: Path, toys: str) -> None:
    frame, home = pl.read_csv(toys), tmp_path / "home"
    result = epic22.compare(frame, home=home, families=["linear"], **KEYWORDS)
    assert result.comparison.reference == "boosting"
    assert [one.family for one in result.comparison.verdicts] == ["linear", "constant"]
    assert result.report.is_file()
    ablation = epic22.ablate(frame, family="linear", home=home, **KEYWORDS).ablation
    assert {one.part.name for one in ablation.parts} == {"choice of penalty", "penalty", "categories as categories"}
    with pytest.raises(UserError, match=r"trials: this call has no use for that; it is a keyword of epic22\.train"):
        epic22.compare(frame, home=home, trials=5, **KEYWORDS)
    with pytest.raises(UserError, match="a comparison needs two families"):
        epic22.compare(frame, home=home, families="boosting", **KEYWORDS)
