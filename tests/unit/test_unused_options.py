"""What each of the three jobs makes of every field of the specification: it uses it, or it refuses it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import polars as pl
import pytest
from tests.shell import Shell

import epic22
from epic22.bootstrap import training
from epic22.cli import train
from epic22.core.errors import UserError
from epic22.spec.key import Job
from epic22.spec.spec_field import SpecField
from epic22.spec.spec_sections import Section
from epic22.spec.training_spec import FIELDS, TrainingSpec, build_spec, list_options

JOBS: tuple[Job, ...] = get_args(Job)
OWN_TABLE = {"csv": "plain.csv", "label": "y"}
PANEL = OWN_TABLE | {"panel": "long", "id": "who", "time": "at", "frequency": "M", "horizon": 2}
UNUSED = [
    (job, field)
    for job in JOBS
    for field in list_options()
    if not field.key.is_used_by(job) and (job, field.name) != ("table", "panel")
]
"""All but --panel, which makes a table a panel."""

SAMPLES = {"text": "1", "texts": "1", "path": "1", "number": "10", "whole": "10"}


class _StoppedHereError(Exception):
    """The training would begin now."""


@pytest.fixture
def shell(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Shell:
    rows = "".join(f"{i % 7},e{i % 5},2024-01-{i % 28 + 1:02},{i % 2}\n" for i in range(200))
    (tmp_path / "plain.csv").write_text("a,who,at,y\n" + rows)
    return Shell(tmp_path, capsys, monkeypatch)


@pytest.fixture
def fields_read(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> set[tuple[type, str]]:
    """Every field of a specification that is read from now on; a training stops before its first fit."""

    def stop(*_: object) -> None:
        raise _StoppedHereError

    read: set[tuple[type, str]] = set()

    def get(section: Section, name: str) -> Any:
        if name in type.__getattribute__(type(section), "__pydantic_fields__"):
            read.add((type(section), name))
        return object.__getattribute__(section, name)

    def iterate(section: Section) -> Iterator[tuple[str, Any]]:
        read.update((type(section), name) for name in type(section).model_fields)
        return iter(vars(section).items())

    monkeypatch.setattr(training, "train_and_promote", stop)
    monkeypatch.setattr(training, "train_feature", stop)
    monkeypatch.setattr(training, "load_panel_task_data", stop)
    monkeypatch.setattr(Section, "__getattribute__", get)
    monkeypatch.setattr(Section, "__iter__", iterate)
    return read


def run_job(job: Job) -> None:
    """Do what `epic22 train` does with options that make it look at all of them."""
    if job == "table":
        train.train_table(build_spec(**OWN_TABLE, trials=2, positive="1", kind="binary"), json=True)
    elif job == "panel":
        train.train_forecast(build_spec(**PANEL), json=True)
    else:
        train.train_features("tenant_churn", build_spec(trials=2), None, None, json=True)


def section_of(field: SpecField) -> type:
    return type(getattr(TrainingSpec(), field.section)) if field.section else TrainingSpec


@pytest.mark.parametrize("job", JOBS)
def test_a_job_reads_the_fields_that_say_so_and_no_others(job: Job, fields_read: set[tuple[type, str]]) -> None:
    with pytest.raises(_StoppedHereError):
        run_job(job)
    read = {field.parameter for field in FIELDS if (section_of(field), field.name) in fields_read}
    # Which file is read is settled before there is a specification.
    assert read | {"task_file"} == {field.parameter for field in FIELDS if field.key.is_used_by(job)} | {"task_file"}


@pytest.mark.parametrize(("job", "field"), UNUSED, ids=lambda one: one if isinstance(one, str) else one.key.option)
def test_an_option_without_use_for_a_job_is_refused_by_its_name(job: Job, field: SpecField, shell: Shell) -> None:
    own = [word for name, value in (PANEL if job == "panel" else OWN_TABLE).items() for word in (f"--{name}", str(value))]
    words = ["tenant_churn"] if job == "feature" else own
    option = [field.key.option] if field.form == "flag" else [field.key.option, SAMPLES[field.form]]
    code, _, err = shell("train", *words, *option)
    assert (code, err.startswith(f"epic22: {field.key.option}: ")) == (2, True), err
    assert "only with" in err or "not with" in err or "only where series are forecast" in err


@pytest.mark.parametrize("option", ["--detector", "--also"])
def test_what_belongs_to_forecasts_is_to_be_left_out_with_a_table(option: str, shell: Shell) -> None:
    code, _, err = shell("train", "--csv", "plain.csv", "--label", "y", option, "combined")
    assert (code, err.startswith(f"epic22: {option}: only where series are forecast")) == (2, True), err
    assert "a feature that forecasts; leave it out." in err


@pytest.mark.parametrize(
    ("option", "value", "told"),
    [
        ("--detector", "", "--detector '': names none; expected some of residuals, autoencoder, combined, or leave it out."),
        (
            "--detector",
            " , ",
            "--detector ' , ': names none; expected some of residuals, autoencoder, combined, or leave it out.",
        ),
        ("--detector", "magic", "--detector: no anomaly detector 'magic'; there are residuals, autoencoder, combined, or leave"),
    ],
)
def test_a_detector_that_is_none_is_refused_by_its_option(option: str, value: str, told: str, shell: Shell) -> None:
    words = [word for name, given in PANEL.items() for word in (f"--{name}", str(given))]
    code, _, err = shell("train", *words, option, value)
    assert (code, err.startswith(f"epic22: {told}")) == (2, True), err


def test_names_that_are_none_are_refused_with_a_table_and_in_python_too(shell: Shell, tmp_path: Path) -> None:
    code, _, err = shell("train", "--csv", "plain.csv", "--label", "y", "--families", ",")
    assert (code, err.startswith("epic22: --families ',': names none; expected some of constant, linear, ")) == (2, True), err
    with pytest.raises(UserError, match=r"^detector='': names none; expected some of residuals"):
        epic22.forecast(FRAME, label="y", id="who", time="at", frequency="M", horizon=2, home=tmp_path, detector="")


@pytest.mark.parametrize("option", ["--data", "--override-reason"])
@pytest.mark.parametrize("panel", [[], ["--panel", "long"]])
def test_what_belongs_to_a_feature_is_refused_with_a_table(option: str, panel: list[str], shell: Shell) -> None:
    code, _, err = shell("train", "--csv", "plain.csv", "--label", "y", *panel, option, "1")
    assert (code, err) == (2, f"epic22: {option}: only with a feature of the stored tables.\n")


FRAME = pl.DataFrame({"who": ["a", "b"], "at": ["2024-01-01"] * 2, "y": [1, 2]})


@pytest.mark.parametrize(
    ("keywords", "names"),
    [
        ({"gap": 3}, "gap"),
        ({"group": "who", "trials": 2}, "group and trials"),
        ({"capacity": 3, "columns": {"who": {"unit": "m"}}}, "capacity and columns"),
    ],
)
def test_a_forecast_in_python_refuses_keywords_that_it_has_no_use_for(
    keywords: dict[str, Any], names: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=f"^{names}: .*epic22.train"):
        epic22.forecast(FRAME, label="y", id="who", time="at", frequency="M", horizon=2, home=tmp_path, **keywords)


@pytest.mark.parametrize("call", [epic22.train, epic22.audit])
def test_a_table_in_python_refuses_keywords_of_a_forecast(call: Any, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^panel and season: .*epic22\.forecast"):
        call(FRAME, label="y", panel="long", season=4, home=tmp_path)


def test_a_keyword_at_its_default_asks_for_nothing(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="frequency"):
        epic22.forecast(FRAME, label="y", id="who", time="at", horizon=2, gap=0.0, group=None, home=tmp_path)
