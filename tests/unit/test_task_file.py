"""The task file: what is written is read back to the byte, and a mistake is told with its line and the way out."""

import re
from datetime import date, timedelta
from pathlib import Path
from typing import Any, TypeVar

import polars as pl
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from epic22.core.column import ColumnOverride
from epic22.core.data.task_data import TaskData
from epic22.core.errors import ColumnError, FileError, UserError
from epic22.core.task import EvaluationPolicy
from epic22.spec.flat_file import load_task_data
from epic22.spec.key import clean_texts
from epic22.spec.spec_field import COLUMN_FIELDS, KeyPath, SpecField
from epic22.spec.spec_sections import CostsSection, DataSection, PolicySection, RolesSection, SearchSection, SplitSection
from epic22.spec.task_comments import Inferred, add_inferred
from epic22.spec.task_request import build_split_request, locate_errors
from epic22.spec.task_yaml import format_task_file, read_task, read_task_file, write_task_file
from epic22.spec.training_spec import FIELDS, SECTION_KEYS, Origin, TrainingSpec, apply_options, build_spec

T = TypeVar("T")
PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "task-file.md"
HERE = Path()

words = st.text(st.characters(exclude_categories=["Cs"]), max_size=12).map(clean_texts)
"""Names as a file's header and cells have them, which is how a specification has them wherever it comes from."""

texts = st.lists(words, max_size=3).map(tuple)
numbers = st.floats(allow_nan=False, allow_infinity=False)
amounts = st.floats(min_value=0, allow_nan=False, allow_infinity=False)
flags = st.booleans()
paths = st.from_regex(r"[a-z]{1,8}( [a-z]+)?\.csv", fullmatch=True).map(Path)


def perhaps(of: st.SearchStrategy[T]) -> st.SearchStrategy[T | None]:
    return st.none() | of


VALUES: dict[str, st.SearchStrategy[Any]] = {
    "text": words,
    "texts": texts,
    "path": paths,
    "number": amounts.map(lambda amount: amount + 5),
    "flag": flags,
}


def values(field: SpecField) -> st.SearchStrategy[Any]:
    """What a field may hold."""
    most = field.key.maximum
    if most is None:
        one = st.sampled_from(field.choices) if field.choices else VALUES[field.form]
    else:
        one = st.integers(5, int(most)) if field.form == "whole" else st.floats(5, most)
    if field.form == "texts":
        return st.lists(one, max_size=3).map(tuple) if field.choices else texts
    return perhaps(one) if field.default is None else one


columns = st.builds(
    ColumnOverride,
    words,
    **{field.name: numbers | st.none() if field.form == "number" else values(field) for field in COLUMN_FIELDS},
)
IN_FILE = [field for field in FIELDS if field.path[0] in SECTION_KEYS]


@st.composite
def specs(draw: st.DrawFn) -> TrainingSpec:
    """Anything that a file can ask."""
    spec = TrainingSpec(columns=draw(st.lists(columns, max_size=3, unique_by=lambda column: column.name).map(tuple)))
    for field in IN_FILE:
        spec = spec.with_value(field, draw(values(field)))
    return spec


@pytest.mark.slow
@settings(max_examples=50, deadline=None)
@given(asked=specs(), remark=st.lists(words, min_size=1, max_size=3).map(tuple))
def test_what_is_written_is_read_back_to_the_byte(asked: TrainingSpec, remark: tuple[str, ...]) -> None:
    sections: dict[KeyPath, tuple[str, ...]] = {(section,): remark for section in SECTION_KEYS}
    below: dict[KeyPath, tuple[str, ...]] = {("columns", column.name): remark for column in asked.columns}
    told = asked.model_copy(update={"origin": Origin(remarks={(): remark} | sections | below)})
    for written in (asked, told):
        text = format_task_file(written, HERE)
        again = read_task("task.yaml", text, HERE)
        assert again == asked
        assert format_task_file(again, HERE) == text
        yaml.safe_load(text)  # any other reader takes it too


def test_a_long_name_of_a_column_comes_back(tmp_path: Path) -> None:
    asked = TrainingSpec(columns=(ColumnOverride("c" * 3000, dtype="float"), ColumnOverride("d" * 3000)))
    assert read_task("task.yaml", format_task_file(asked, tmp_path), tmp_path) == asked


def test_paths_start_from_the_folder_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "deep" / "er").mkdir(parents=True)
    asked = TrainingSpec(data=DataSection(file=tmp_path / "t.csv"))
    write_task_file(asked, tmp_path / "deep" / "er" / "task.yaml")
    assert "../../t.csv" in (tmp_path / "deep" / "er" / "task.yaml").read_text()
    found = read_task_file(tmp_path / "deep" / "er" / "task.yaml").data.file
    assert found is not None
    assert found.resolve() == (tmp_path / "t.csv").resolve()


def test_a_key_decides_how_its_value_is_read() -> None:
    roles = "{label: no, positive: yes, time: month, keep: [1, 2015-03-01, null_]}"
    text = f"version: 1\nroles: {roles}\nsplit: {{holdout_from: 2015-03-01}}"
    asked = read_task("task.yaml", text, HERE)
    assert asked.roles == RolesSection(label="no", positive="yes", time=("month",), keep=("1", "2015-03-01", "null_"))
    assert str(build_split_request(asked).holdout_from)[:10] == "2015-03-01"


def test_the_form_of_version_1_stays_readable() -> None:
    """Never edit this text: it stands for the files that people have."""
    text = """# By hand.

version: 1
name: churn
data: {file: churn.csv, test: }
roles:
  label: Churn
  positive: Yes
  id: customer
  exposure: years
  drop: [late, 'later']
columns:
  # as the contract has it
  tenure: {dtype: int, unit: months, about: time as a tenant, low: 0, high: 100}
  plan: {levels: [monthly, yearly]}
  gender: {role: protected}
formulas: ['paid = tenure * price']
costs: {miss: 500, false_alarm: 5e1, exposure: rent}
use:
  least: 0.5
  # dearer by that
  margin: 3
split: {horizon: 90, repeats: 1}
search: {trials: 20, families: [linear], engineer: no}
"""
    asked = read_task("task.yaml", text, Path("in"))
    assert asked == TrainingSpec(
        name="churn",
        data=DataSection(file=Path("in/churn.csv")),
        roles=RolesSection(label="Churn", positive="Yes", id=("customer",), offset="years", drop=("late", "later")),
        columns=(
            ColumnOverride("tenure", "int", "months", "time as a tenant", low=0.0, high=100.0),
            ColumnOverride("plan", levels=("monthly", "yearly")),
            ColumnOverride("gender", role="protected"),
        ),
        formulas=("paid = tenure * price",),
        costs=CostsSection(miss=500.0, false_alarm=50.0, stake_column="rent"),
        policy=PolicySection(minimum_effect=0.5, non_inferiority_margin=3.0),
        split=SplitSection(horizon=90.0, repeats=1),
        search=SearchSection(trials=20, families=("linear",), engineer=False),
    )
    assert asked.origin.remarks == {
        (): ("By hand.",),
        ("columns", "tenure"): ("as the contract has it",),
        ("policy", "non_inferiority_margin"): ("dearer by that",),
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "empty; write one with"),
        ("- a\n- b", "line 1: the file: expected a record of keys and values, found a list"),
        ("name: x", "no version; write 'version: 1'"),
        ("version: 2", "line 1: version: found 2, this program reads 1 to 1"),
        ("version: one", "line 1: version: expected a number, found 'one'"),
        ("version: 1\nrole: {}", r"line 2: role: not known here \(did you mean roles\?\); there are version, name"),
        ("version: 1\nroles:\n  lable: y", r"line 3: roles.lable: not known here \(did you mean label\?\)"),
        ("version: 1\nroles:\n  label: y\n  label: z", "line 4: roles.label: given twice, in line 3 too"),
        ("version: 1\nroles: [y]", "line 2: roles: expected a record of keys and values, found a list"),
        ("version: 1\nroles: {label: [y]}", "line 2: roles.label: expected a text, found a list"),
        ("version: 1\nroles: {drop: [a, {b: c}]}", "roles.drop: expected a text, found a record"),
        ("version: 1\nroles: {drop: [a, null]}", "roles.drop: expected a text, found nothing; put it in quotes"),
        ("version: 1\nroles: {kind: regresion}", r"line 2: roles.kind: found 'regresion' \(did you mean regression\?\)"),
        ("version: 1\nsplit:\n  folds: 1", "line 3: split.folds: found '1', expected at least 2"),
        ("version: 1\nsplit:\n  folds: 2.5", "split.folds: expected a whole number, found '2.5'"),
        ("version: 1\nsplit:\n  gap: .inf", "split.gap: expected a number, found '.inf'"),
        ("version: 1\nsplit:\n  gap: '3'", "split.gap: expected a number, found '3'"),
        ("version: 1\npolicy: {prefer_simpler: perhaps}", "policy.prefer_simpler: expected true or false, found 'perhaps'"),
        ("version: 1\nfamilies: [bosting]", r"families: found 'bosting' \(did you mean boosting\?\); expected one of constant"),
        ("version: 1\nsearch: {sampling: bayes}", "search.sampling: found 'bayes'"),
        ("version: 1\ncolumns:\n  a:\n    dtype: number", "line 4: columns.a.dtype: found 'number'"),
        ("version: 1\ncolumns:\n  a:\n    hihg: 3", r"line 4: columns.a.hihg: not known here \(did you mean high\?\)"),
        ("version: 1\ncolumns:\n  a: {low: little}", "columns.a.low: expected a number"),
        ("version: 1\ncolumns: {a: {}, a: {}}", "columns.a: given twice"),
        ("version: 1\ncolumns: {[a, b]: {}}", "columns: a key must be a plain name"),
        ("version: 1\nname: !!python/object/apply:os.system ['ls']", "line 2: the tag .*os.system is not taken"),
        ("version: 1\nname: !!binary aGk=", "line 2: the tag .*binary is not taken"),
        ("version: 1\nformulas: [&a x, *a]", "an anchor .* is used again"),
        ("version: 1\nname: [", "line 2: not readable as YAML"),
        ("version: 1\n---\nversion: 1", "not readable as YAML"),
        ("version: 1\nname: " + "[" * 1200, "not readable as YAML"),
        ("version: 1\nname: x\x00", "not readable as YAML"),
        ("x" * 2_000_001, "2,000,001 characters are no task file"),
    ],
)
def test_a_mistake_is_told_with_file_line_and_key(text: str, said: str) -> None:
    with pytest.raises(FileError, match=said) as caught:
        read_task("task.yaml", text, HERE)
    assert str(caught.value).startswith("task.yaml")


def test_files_that_are_none_are_told(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="cannot be read"):
        read_task_file(tmp_path / "none.yaml")
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(FileError, match="no text in UTF-8"):
        read_task_file(tmp_path / "bytes.yaml")
    with pytest.raises(FileError, match="cannot be written"):
        write_task_file(TrainingSpec(), tmp_path / "no" / "task.yaml")


def table(folder: Path, n: int = 60) -> Path:
    frame = pl.DataFrame(
        {
            "load": [i % 7 + 0.5 for i in range(n)],
            "zip": [f"0{i % 3}" for i in range(n)],
            "size": [i % 11 for i in range(n)],
            "plan": ["a" if i % 3 else "b" for i in range(n)],
            "y": [i % 2 for i in range(n)],
        }
    )
    frame.write_csv(folder / "t.csv")
    return folder / "t.csv"


def asked_of(folder: Path, text: str) -> TrainingSpec:
    table(folder)
    return read_task("task.yaml", f"version: 1\ndata: {{file: t.csv}}\n{text}", folder)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("roles: {label: z}", "task.yaml, line 3: roles.label: --label z: no such column"),
        ("roles: {label: y, positive: 2}", "line 3: roles.positive: --positive 2: label 'y' has the values 0 and 1"),
        ("roles: {label: y, drop: [lod]}", "line 3: roles.drop: --drop lod: no such column; did you mean 'load'"),
        ("roles: {label: y, keep: [lod]}", "line 3: roles.keep: --keep lod: no such column"),
        ("roles: {label: y}\ntarget: {metric: auc}", "line 4: target.metric: --metric auc: .* is scored by average_precision"),
        ("roles: {label: y}\ntarget: {loss: cubic}", "line 4: target.loss: --loss cubic: give squared"),
        ("roles: {label: y}\ncosts: {miss: 3}", "line 4: costs.miss: --cost-miss and --cost-false-alarm go together"),
        ("roles: {label: y}\nsplit: {holdout_from: soon}", "line 4: split.holdout_from: --holdout-from 'soon' is no moment"),
        (
            "roles: {label: y}\ncosts: {stake_column: plan, miss: 3, false_alarm: 1}",
            "line 4: costs.stake_column: .*'plan' is no input of n",
        ),
        ("roles: {label: y}\nformulas: [a = lod * 2]", "task.yaml, line 4: formula 'a'"),
        ("roles: {label: y, id: [a, b]}", "line 3: roles.id: --id was given 2 times"),
        ("roles: {label: y}\nfamilies: [hazard]", "line 4: families: hazard does not predict a label of kind binary"),
        ("roles: {label: y}\ncolumns:\n  lod: {unit: kg}", "task.yaml, line 5: columns.lod: no such column; did you mean 'load'"),
        ("roles: {label: y}\ncolumns:\n  plan: {dtype: int}", "line 5: columns.plan.dtype: int is stated, but row 1: 'b' is not"),
        (
            "roles: {label: y}\ncolumns:\n  load: {dtype: int}",
            "line 5: columns.load.dtype: int is stated, but row 1: 0.5 is no whole",
        ),
        (
            "roles: {label: y}\ncolumns:\n  load: {high: 5}",
            "line 5: columns.load: .* do not fit, first 5.5 in row 6 .* expected at most 5",
        ),
        ("roles: {label: y}\ncolumns:\n  plan: {levels: [a]}", "columns.plan: 20 values do not fit, first 'b' in row 1"),
        ("roles: {label: y}\ncolumns:\n  y: {dtype: int}", "line 5: columns.y.dtype: the column is the label"),
        (
            "roles: {label: y, offset: load}\ntarget: {loss: poisson}\ncolumns:\n  load: {dtype: category}",
            "line 6: columns.load.dtype: the column is the offset; say its unit and about and a type of numbers alone",
        ),
        ("roles: {label: y}\ncolumns:\n  plan: {low: 0}", "columns.plan: low and high are of numbers"),
        ("roles: {label: y}\ncolumns:\n  plan: {dtype: text, role: input}", "columns.plan: free text is no input"),
        ("roles: {label: y}\ncolumns:\n  load: {low: 3, high: 1}", "columns.load: low 3 is above high 1"),
        ("roles: {label: y, drop: [load]}\ncolumns:\n  load: {role: input}", "columns.load.role: input, but roles.drop has it"),
        ("split: {folds: 3}", "name the table with --csv FILE and its label"),
    ],
)
def test_what_the_table_refuses_is_told_by_its_place(tmp_path: Path, text: str, said: str) -> None:
    asked = asked_of(tmp_path, text)
    with pytest.raises(UserError, match=said), locate_errors(asked):
        declared(asked)


def declared(asked: TrainingSpec) -> TaskData:
    build_split_request(asked)
    return load_task_data(asked)


def test_money_at_stake_must_be_known_of_every_row(tmp_path: Path) -> None:
    asked = asked_of(tmp_path, "roles: {label: y}\ncosts: {miss: 3, false_alarm: 1, stake_column: size}")
    assert load_task_data(asked).task.stake_column == "size"
    pl.read_csv(tmp_path / "t.csv").with_columns(size=pl.col("size").replace(4, None) - 1).write_csv(tmp_path / "t.csv")
    with (
        pytest.raises(ColumnError, match=r"line 4: costs\.stake_column: 'size' is missing or below zero in 12 rows"),
        locate_errors(asked),
    ):
        load_task_data(asked)


def test_what_is_stated_of_columns_reaches_the_task(tmp_path: Path) -> None:
    text = """roles: {label: y}
columns:
  load: {unit: kg, about: what it carries, low: 0, high: 10}
  zip: {dtype: category, about: where it is}
  size: {dtype: float, role: never}
  plan: {levels: [b, a, c]}
  y: {about: whether it failed}
"""
    made = load_task_data(asked_of(tmp_path, text))
    found = {column.name: column for column in made.task.columns}
    load = found["load"]
    assert (load.unit, load.about, load.low, load.high) == ("kg", "what it carries", 0.0, 10.0)
    assert (found["zip"].dtype, found["zip"].levels, found["zip"].about) == ("category", ("00", "01", "02"), "where it is")
    assert found["plan"].levels == ("b", "a", "c")
    assert [column.name for column in made.task.input_columns] == ["load", "zip", "plan"]
    assert made.examples().X["zip"][0] == "00"


def test_a_column_of_numbers_and_letters_may_be_stated_a_category(tmp_path: Path) -> None:
    n = 200
    values = [str(i) for i in range(60)] * 3 + ["x7"] * 20
    pl.DataFrame({"code": values, "load": [i % 7 for i in range(n)], "y": [i % 2 for i in range(n)]}).write_csv(
        tmp_path / "c.csv"
    )
    file = build_spec(csv=tmp_path / "c.csv", label="y")
    with pytest.raises(ColumnError, match="holds numbers, but not in 20 of its rows"):
        load_task_data(file)
    stated = build_spec(csv=tmp_path / "c.csv", label="y", columns=(ColumnOverride("code", "category"),))
    assert len(load_task_data(stated).task.columns[0].levels) == 61


def test_free_text_is_no_category(tmp_path: Path) -> None:
    n = 300
    columns = {"note": [f"seen {i}" for i in range(n)], "load": [i % 7 for i in range(n)], "y": [i % 2 for i in range(n)]}
    pl.DataFrame(columns).write_csv(tmp_path / "c.csv")
    stated = build_spec(csv=tmp_path / "c.csv", label="y", columns=(ColumnOverride("note", "category"),))
    with pytest.raises(ColumnError, match=r"columns\.note\.dtype: it has more than 255 levels"):
        load_task_data(stated)


def test_pinned_types_change_nothing(tmp_path: Path) -> None:
    plain = TrainingSpec(data=DataSection(file=table(tmp_path)), roles=RolesSection(label="y"))
    first = load_task_data(plain)
    pinned = add_inferred(plain, Inferred(first.task, first.examples().X, first.suspicions, first.notes))
    assert [c.dtype for c in pinned.columns] == ["float", "category", "int", "category", None]
    again = load_task_data(pinned)
    assert again.task.columns == first.task.columns
    assert again.data_version == first.data_version
    assert again.examples().X.equals(first.examples().X)


def hostile(folder: Path, form: str, n: int = 400) -> Path:
    """Every type of column, with gaps, damage, free text, constants, copies of the label and names that YAML takes for values."""
    frame = pl.DataFrame(
        {
            "when": [f"2024-{1 + i % 12:02}-{1 + i % 28:02}" for i in range(n)],
            "who": [f"C{i % 90}" if i % 3 else str(i % 90) for i in range(n)],
            "site": [f"s{i % 12}" for i in range(n)],
            "null": [None if i % 5 == 0 else i % 13 for i in range(n)],
            "1.5": [i % 9 + 0.25 for i in range(n)],
            "yes": [i % 4 == 0 for i in range(n)],
            "note: # [x]": [f"seen {i} times" for i in range(n)],
            "~": [None] * n,
            "one": ["same"] * n,
            "kind \u00e9\u2028": [("low", "mid", "high", None)[i % 4] for i in range(n)],
            "made on": [date(2020, 1, 1) + timedelta(days=i % 50) for i in range(n)],
            "leak": [i * i % 3 * 10 for i in range(n)],
            "damaged": ["?!" if i == 7 else str(i) for i in range(n)],
            "y": [i * i % 3 for i in range(n)],
            "size": [i % 30 + 0.5 for i in range(n)],
        },
        schema_overrides={"~": pl.String},
    )
    path = folder / f"hostile.{form}"
    frame.write_csv(path) if form == "csv" else frame.write_parquet(path)
    return path


@pytest.mark.slow
@pytest.mark.parametrize("form", ["csv", "parquet"])
@pytest.mark.parametrize(
    "given",
    [
        {"label": "y", "drop": ["damaged"]},
        {"label": "y", "drop": ["damaged"], "kind": "multiclass", "keep": ["leak"], "positive": "1"},
        {"label": "y", "time": ["when"], "horizon": 30.0, "gap": 2.0, "group": "site", "drop": ["damaged"], "group_by": "month"},
        {"label": "y", "id": ["who"], "drop": ["damaged", "note: # [x]"], "cost_miss": 5.0, "cost_false_alarm": 1.0},
        {"label": "y", "loss": "poisson", "offset": "1.5", "drop": ["damaged"], "keep": ["leak"]},
        {"label": "size", "log": "auto", "loss": "absolute", "time": ["when"], "holdout_last": 2, "drop": ["damaged"]},
        {
            "label": "size",
            "formula": ["a [m] = `1.5` * `null`"],
            "keep": ["a"],
            "drop": ["damaged"],
            "trials": 9,
            "engineer": False,
        },
        {
            "label": "yes",
            "coverage_by": ["site"],
            "metric": "log_loss",
            "seed": 5,
            "folds": 3,
            "drop": ["damaged"],
            "engineer": True,
        },
    ],
)
def test_the_written_file_asks_for_the_same_as_the_options(tmp_path: Path, form: str, given: dict[str, Any]) -> None:
    asked = apply_options(TrainingSpec(), {"csv": hostile(tmp_path, form), **given})
    made = load_task_data(asked)
    found = add_inferred(asked, Inferred(made.task, made.examples().X, made.suspicions, made.notes))
    again = read_task("task.yaml", format_task_file(found, tmp_path), tmp_path)
    assert again == found.model_copy(update={"data": again.data})
    assert build_split_request(again) == build_split_request(asked)
    assert (again.search, again.target, again.costs, again.policy) == (asked.search, asked.target, asked.costs, asked.policy)
    told = load_task_data(again)
    assert told.data_version.id == made.data_version.id
    assert (told.task.columns, told.task.families, told.task.formulas) == (
        made.task.columns,
        made.task.families,
        made.task.formulas,
    )
    assert (told.task.name, told.task.target.metric, told.suspicions) == (
        made.task.name,
        made.task.target.metric,
        made.suspicions,
    )
    assert told.examples().X.equals(made.examples().X)
    assert (told.examples().Y == made.examples().Y).all()


def _declared_alike(made: TaskData) -> tuple[object, ...]:
    task = made.task
    return task.name, task.columns, task.families, task.formulas, task.target.metric, made.suspicions


def test_a_column_left_out_says_why(tmp_path: Path) -> None:
    path = table(tmp_path)
    pl.read_csv(path).with_columns(leak=pl.col("y") * 2, one=pl.lit(1)).write_csv(path)
    asked = TrainingSpec(data=DataSection(file=path), roles=RolesSection(label="y"))
    made = load_task_data(asked)
    told = add_inferred(asked, Inferred(made.task, made.examples().X, made.suspicions, made.notes))
    text = format_task_file(told, tmp_path)
    assert re.search(r"# left out: label echo\. .*\n  # roles.keep: \[leak\] takes it in.*\n  leak:\n    dtype: int\n", text)
    assert "# one is constant: no input.\n  one:" in text
    assert "# 2 levels: a, b.\n  plan:\n    dtype: category" in text
    assert "two classes, 1 is positive" in text
    assert format_task_file(read_task("task.yaml", text, tmp_path), tmp_path) == text


def test_an_option_goes_before_the_file_and_is_told(tmp_path: Path) -> None:
    asked = asked_of(tmp_path, "roles: {label: z, drop: [load]}\nsplit: {seed: 3}")
    made = apply_options(asked, {"label": "y", "seed": 3, "drop": ["size"], "trials": 7})
    assert (made.roles.label, made.roles.drop, made.split.seed, made.search.trials) == ("y", ("size",), 3, 7)
    assert made.origin.notes == (
        "--label on the command line overrides roles.label (z) of task.yaml.",
        "--drop on the command line overrides roles.drop (load) of task.yaml.",
    )
    assert load_task_data(made).notes[:2] == made.origin.notes
    with pytest.raises(ColumnError, match=r"^--label q"), locate_errors(apply_options(asked, {"label": "q"})):
        load_task_data(apply_options(asked, {"label": "q"}))


def test_families_race_beside_the_baselines(tmp_path: Path) -> None:
    asked = asked_of(tmp_path, "roles: {label: y}\nfamilies: [boosting]")
    assert load_task_data(asked).task.families == ("constant", "boosting")


def test_repeats_and_columns_follow_the_search_where_nothing_is_said() -> None:
    plain, searched = TrainingSpec(), TrainingSpec(search=SearchSection(trials=5))
    assert (build_split_request(plain).repeats, plain.search.uses_engineering) == (5, False)
    assert (build_split_request(searched).repeats, searched.search.uses_engineering) == (1, True)
    assert build_split_request(TrainingSpec(split=SplitSection(repeats=3), search=SearchSection(trials=5))).repeats == 3


def example() -> str:
    found = re.search(r"```yaml\n(version: .*?)```", PAGE.read_text(), re.DOTALL)
    assert found is not None
    return found.group(1)


def test_the_page_has_a_complete_example_that_is_read_and_fits_a_table(tmp_path: Path) -> None:
    asked = read_task("task.yaml", example(), tmp_path)
    absent = {"test", "group", "loss", "log", "sequence", "offset", "holdout_from", "holdout_last"}
    assert {field.name for field in IN_FILE if asked.value(field) in (None, ())} == absent
    assert {f.name for column in asked.columns for f in COLUMN_FIELDS if getattr(column, f.name) not in (None, ())} == {
        f.name for f in COLUMN_FIELDS
    }
    n = 120
    frame = pl.DataFrame({"machine": [f"M{i % 10}" for i in range(n)], "failed": [int(i % 7 == 0) for i in range(n)]})
    frame = frame.with_columns(
        pl.date_range(pl.date(2024, 1, 1), pl.date(2024, 1, 1) + pl.duration(days=n - 1), eager=True).alias("read_at"),
        pl.Series("Torque", [40.5 + i % 11 for i in range(n)]),
        pl.Series("speed", [1400 + i % 13 for i in range(n)]),
        pl.Series("Tool wear", [i % 17 for i in range(n)]),
        pl.Series("zip", [f"0123{i % 2}" for i in range(n)]),
        pl.Series("operator", [f"o{i % 3}" for i in range(n)]),
        pl.Series("late_note", ["x", "y"] * (n // 2)),
        pl.Series("value", [1.5 + i % 5 for i in range(n)]),
    )
    frame.write_csv(tmp_path / "machines.csv")
    made = load_task_data(asked)
    assert build_split_request(asked).group_by == "month"
    assert [c.name for c in made.task.input_columns] == ["Torque", "speed", "Tool wear", "zip", "value"]
    assert made.examples().stake is not None
    assert made.task.policy == EvaluationPolicy(0.01, 50.0, True, 20, ("zip",), learning_curve=True)


def test_the_page_tells_every_key() -> None:
    text = PAGE.read_text()
    assert [field.name for field in IN_FILE if f"`{field.name}`" not in text] == []
    assert [field.name for field in COLUMN_FIELDS if f"`{field.name}`" not in text] == []


def test_keywords_are_the_options_and_a_value_that_does_not_fit_is_told() -> None:
    spec = build_spec(csv="t.csv", label="y", time="day", drop=["a", "b"], cost_miss=3, folds=4, columns={"size": {"unit": "kg"}})
    assert (spec.data.file, spec.roles.time, spec.roles.drop, spec.costs.miss) == (Path("t.csv"), ("day",), ("a", "b"), 3.0)
    assert spec == apply_options(
        TrainingSpec(columns=(ColumnOverride("size", unit="kg"),)),
        {"csv": Path("t.csv"), "label": "y", "time": ["day"], "drop": ["a", "b"], "cost_miss": 3.0, "folds": 4},
    )
    for keywords, said in (
        ({"lable": "y"}, "lable: no such keyword; there are"),
        ({"folds": 1}, "folds=1: expected at least 2"),
        ({"kind": "guess"}, "kind='guess': Input should be 'binary', 'multiclass' or 'regression'"),
        ({"search_family": ["bosting"]}, "search_family=.*expected some of constant"),
        ({"processes": 300}, "processes=300: expected at most 256"),
    ):
        with pytest.raises(UserError, match=said):
            build_spec(csv="t.csv", **keywords)
