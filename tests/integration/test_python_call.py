"""The Python call: frames of pandas and Polars and files alike, the same model for each, and nothing loaded early."""

import io
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from tests.trained import table, trained

import epic22
from epic22.bootstrap.frame_file import list_categories, store_frame, write_frame
from epic22.bootstrap.tuning import build_tuning
from epic22.config import Settings
from epic22.core.errors import StorageError, UserError
from epic22.spec.task_schema import build_task_schema, format_task_schema
from epic22.spec.training_spec import build_spec

pytestmark = pytest.mark.usefixtures("blank_pictures")

OPTIONS = {"id": "who", "task": "toy", "folds": 3, "repeats": 1}
REFERENCE = Path(__file__).parents[2] / "docs" / "reference"


@pytest.mark.slow
def test_importing_the_package_loads_no_library_and_takes_no_time() -> None:
    program = (
        "import sys; import epic22; print([m for m in ('polars', 'numpy', 'pydantic', 'typer', 'pandas') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    bare, own = (min(_time_import(line) for _ in range(5)) for line in ("import json", "import json, epic22"))
    assert own - bare < 0.15


def _time_import(line: str) -> float:
    """Processor seconds, which a busy machine does not add to as it does to the clock's."""
    began = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", line], check=True)
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (ended.ru_utime + ended.ru_stime) - (began.ru_utime + began.ru_stime)


def test_an_attribute_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'fit'"):
        epic22.fit  # noqa: B018


@pytest.mark.slow
def test_frames_of_both_libraries_and_their_file_give_the_same_model_and_the_same_answers(tmp_path: Path) -> None:
    path = table(tmp_path, "binary", 200)
    frame = pl.read_csv(path)
    frame.write_parquet(tmp_path / "toy.parquet")
    runs = [
        epic22.train(given, label="y", home=tmp_path / name, **OPTIONS)
        for name, given in (("polars", frame), ("pandas", frame.to_pandas()), ("file", tmp_path / "toy.parquet"))
    ]
    assert len({run.version.model_hash for run in runs}) == 1
    assert runs[0].report.is_file()
    assert next(iter(runs[0].scores)) == runs[0].version.family
    model = epic22.load("toy", home=tmp_path / "polars")
    answers, same = model.predict(frame.head(5)), runs[1].predict(frame.head(5).to_pandas())
    assert isinstance(answers, pl.DataFrame)
    assert isinstance(same, pd.DataFrame)
    assert answers.columns == list(same.columns)
    assert answers["value"].to_list() == same["value"].to_list() == runs[2].predict(frame.head(5))["value"].to_list()
    assert len(model.predict(frame.head(2), reasons=True)["reasons"][0]) > 1
    again = epic22.train(task_file=runs[0].result.task_file, home=tmp_path / "again")
    assert again.version.model_hash == runs[0].version.model_hash


@pytest.mark.slow
def test_an_audit_names_the_column_that_gives_the_label_away(tmp_path: Path) -> None:
    frame = pl.read_csv(table(tmp_path, "binary", 200)).with_columns(leak=pl.col("y").cast(pl.String))
    found = epic22.audit(frame, label="y", id="who", home=tmp_path)
    assert [s.column for s in found if s.withheld] == ["leak"]


@pytest.mark.slow
def test_a_forecast_is_trained_in_a_script_without_a_main_guard_and_goes_on_from_the_last_values(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import json, polars as pl, epic22\n"
        "import epic22.core.models.panel.classical as classical\n"
        "classical.MIN_SERIES_FOR_PROCESSES = 12  # so that processes are spawned\n"
        "print('once')\n"
        "months = pl.date_range(pl.date(2018, 1, 1), pl.date(2022, 12, 1), '1mo', eager=True)\n"
        "frame = pl.DataFrame({'zip': [f'z{i:02}' for i in range(12) for _ in months], 'month': pl.concat([months] * 12),\n"
        "    'rent': [900 + 5 * i + 3 * t + (t * 7 + i) % 5 for i in range(12) for t in range(len(months))]})\n"
        "# One series begins late: only the last fits are of twelve, and wait for processes to start.\n"
        "frame = frame.filter((pl.col('zip') != 'z11') | (pl.col('month') >= months[-18]))\n"
        "run = epic22.forecast(frame, label='rent', id='zip', time='month', frequency='M', horizon=2, task='rents')\n"
        "print(json.dumps(run.predict().select('entity', 'horizon', 'value').rows()))\n"
    )
    environment = {"EPIC22_HOME": str(tmp_path / "home"), "EPIC22_THREADS": "2"}
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, check=True, env={**os.environ, **environment}
    )
    answers = json.loads(done.stdout.splitlines()[-1])
    assert len(answers) == 24
    assert done.stdout.count("once") == 1
    assert answers[0][2] == pytest.approx(900 + 3 * 60, rel=0.02)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"lable": "y"}, "lable: no such keyword"),
        ({"label": "y", "folds": "many"}, "folds='many'"),
        ({}, r"give a table and its label, as in train\(frame, label='churned'\)"),
        ({"label": 3}, "label=3"),
        ({"label": "y", "csv": "a.csv"}, "csv='a.csv': the call has a table already"),
        ({"label": "y", "memory_cap": 1_000_000}, "memory_cap=1000000: expected a text such as '4GB'"),
        ({"label": "y", "columns": {"a": {"unitt": "m"}}}, r"columns\.a\.unitt: not known here"),
        ({"label": "y", "columns": {"a": 3}}, r"columns\.a: expected a record"),
        ({"label": "y"}, "^label y: no such column"),
        ({"label": "a", "cost_miss": 3}, "^cost_miss and cost_false_alarm go together"),
    ],
)
def test_what_cannot_be_asked_is_told_before_anything_is_trained(tmp_path: Path, options: dict[str, object], said: str) -> None:
    with pytest.raises(UserError, match=said):
        epic22.train(pl.DataFrame({"a": [1]}), home=tmp_path, **options)
    with pytest.raises(UserError, match="list: no table; give a frame"):
        epic22.train([1, 2], label="y", home=tmp_path)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "the frame has 2 columns named 'a'"),
        (pd.DataFrame({"a": [1, "x"]}), "column 'a' of the frame holds int, str; expected numbers, texts or times"),
        (pd.DataFrame({"a": [1j]}), "column 'a' of the frame holds complex"),
        (pd.DataFrame({"a": pd.interval_range(0, 2)}), "column 'a' of the frame holds Interval.*astype"),
        (pl.DataFrame({"a": [object()]}, schema={"a": pl.Object}), "column 'a' of the frame holds object"),
        (pl.DataFrame({"a": [[1]]}), "^the frame: column 'a' holds List"),
        (pd.DataFrame({"a": []}), "^the frame has no rows"),
        (pd.Series([1, 2]), "^Series: no table; give a frame of pandas or Polars"),
    ],
)
def test_a_frame_that_is_no_table_is_refused_in_a_sentence(tmp_path: Path, frame: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        epic22.train(frame, label="a", home=tmp_path)


def test_sparse_columns_and_periods_of_pandas_are_numbers_and_times() -> None:
    """A table of dummies was refused, for it held float64 where numbers were expected."""
    frame = pd.DataFrame({"a": pd.arrays.SparseArray([0.0, 1.5]), "b": pd.period_range("2020-01", periods=2, freq="M")})
    read = pl.read_parquet(io.BytesIO(write_frame(frame)))
    assert read["a"].to_list() == [0.0, 1.5]
    assert read["b"].to_list() == [datetime(2020, 1, 1), datetime(2020, 2, 1)]
    assert isinstance(frame["a"].dtype, pd.SparseDtype)


@pytest.mark.parametrize("call", [epic22.train, epic22.audit])
def test_a_file_whose_name_is_no_text_is_refused_in_a_sentence(call: Callable[..., object], tmp_path: Path) -> None:
    path = tmp_path / "na\udcefve.csv"
    path.write_text("x,y\n" + "1,0\n2,1\n" * 30)
    for given in (path, str(path)):
        with pytest.raises(UserError, match="no text in UTF-8; rename the file"):
            call(given, label="y", home=tmp_path)


@pytest.mark.parametrize("call", [partial(epic22.train, pl.DataFrame({"a": [1]}), label="a"), partial(epic22.load, "toy")])
def test_a_home_that_is_no_folder_is_refused(call: Callable[..., object], tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(UserError, match="home=3: expected the path of a folder"):
        call(home=3)
    for path in (file, file / "below"):
        with pytest.raises(UserError, match=f"home='{path}': {file} is a file"):
            call(home=path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [((3,), "task=3: "), ((None,), "task=None: "), (("toy", 1.5), "version=1.5: "), (("toy", True), "version=True: ")],
)
def test_a_model_is_loaded_by_the_name_of_its_task_and_a_number(arguments: tuple[Any, ...], message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"^{message}expected the n"):
        epic22.load(*arguments, home=tmp_path)


@pytest.mark.slow
def test_a_model_answers_with_the_index_of_the_frame_and_refuses_others_by_name(tmp_path: Path) -> None:
    frame = pd.read_csv(table(tmp_path, "binary", 200))
    run = epic22.train(frame, label="y", home=tmp_path / "home", **OPTIONS)
    score = run.scores[run.version.family]["average_precision"]
    described = f"task='toy', version='1', family='{run.version.family}', status='{run.version.status}'"
    assert repr(run) == f"Run({described}, average_precision={score.value:.4g} [{score.low:.4g}, {score.high:.4g}])"
    model = epic22.load("toy", 1, home=tmp_path / "home")
    assert repr(model) == f"LoadedModel({described})"
    rows = frame.sample(5, random_state=1)
    answers = model.predict(rows)
    assert answers.index.equals(rows.index)
    assert answers["entity"].tolist() == rows["who"].tolist()
    for refused, message in (
        (frame.iloc[0], "^Series: no table"),
        (frame.head(0), "^the frame has no rows; there is nothing to predict.$"),
        (frame.drop(columns="wear"), "^the frame: no column 'wear'"),
        (frame.assign(wear="x"), "^the frame, row 1, column 'wear': 'x' is not a finite number.$"),
    ):
        with pytest.raises(UserError, match=message):
            model.predict(refused)


def test_the_schema_of_the_task_file_is_current_and_knows_every_key_of_the_pages_example() -> None:
    assert (REFERENCE / "task.schema.json").read_text() == format_task_schema()
    schema = build_task_schema()["properties"]
    assert schema["split"]["properties"]["folds"] == {
        "type": ["integer", "null"],
        "minimum": 2,
        "maximum": 10000,
        "default": 5,
        "description": "The number of test folds. Option: --folds.",
    }
    assert schema["roles"]["properties"]["kind"]["enum"] == ["binary", "multiclass", "regression", None]


def test_stamps_of_several_offsets_in_a_pandas_frame_keep_each_its_own() -> None:
    stamps = ["2024-03-01T00:30:00+02:00", "2024-03-01T00:30:00-05:00"]
    frame = pd.DataFrame({"at": [*map(datetime.fromisoformat, stamps), None], "x": [1, 2, 3]})
    assert pl.read_parquet(io.BytesIO(write_frame(frame)))["at"].to_list() == [*stamps, None]


def test_what_a_frame_declares_to_be_categories_are_names_whatever_their_digits_say(tmp_path: Path) -> None:
    """A zip code that its user made a category was read as a number, and its model could only draw lines through it."""
    n, codes = 160, ["94110", "10001", "60601", "73301"]
    zips = [codes[i % 4] for i in range(n)]
    frame = pd.DataFrame(
        {
            "zip": pd.Categorical(zips),
            "floor": pd.Series([i % 3 for i in range(n)]).astype("category"),
            "rank": pd.Categorical([i % 3 for i in range(n)], categories=[0, 1, 2], ordered=True),
            "size": [float(i * 37 % 101) for i in range(n)],
            "y": [int((zips[i] in ("10001", "73301")) != (i % 7 == 0)) for i in range(n)],
        }
    )
    run = epic22.train(frame, label="y", home=tmp_path, folds=2, repeats=1, families=["linear"])
    dtypes = {column.name: column.dtype for column in run.result.run.task.columns}
    assert (dtypes["zip"], dtypes["floor"], dtypes["rank"], dtypes["size"]) == ("category", "category", "int", "float")
    first = run.predict(frame.drop(columns="y").head(4))["value"].tolist()
    assert min(first[1], first[3]) > max(first[0], first[2])


def test_of_categories_only_those_with_digits_for_levels_need_to_be_declared() -> None:
    frame = pl.DataFrame({"zip": ["10001", None], "plan": ["a", "b"], "x": [1.0, 2.0]}).cast(
        {"zip": pl.Categorical, "plan": pl.Categorical}
    )
    assert list_categories(frame) == ("zip",)
    assert list_categories(pd.DataFrame({"flag": pd.Categorical(["yes", "no"]), "n": [1, 2]})) == ()
    assert list_categories(pd.DataFrame({"empty": pd.Categorical([None, None])})) == ()


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame({"zip": pd.Series(["10001", "20002"], dtype=pd.ArrowDtype(pa.dictionary(pa.int32(), pa.string())))}),
        pl.DataFrame({"zip": ["10001"]}, schema={"zip": pl.Enum(["10001", "20002"])}),
    ],
)
def test_a_dictionary_of_arrow_and_an_enum_are_categories_too(frame: Any) -> None:
    assert list_categories(frame) == ("zip",)


@pytest.mark.slow
def test_a_frame_declares_its_categories_beside_a_task_file_too(tmp_path: Path) -> None:
    """The call dropped them in silence where a task file was named: the zip code was a number again."""
    n, codes = 120, ["94110", "10001", "60601", "73301"]
    frame = pl.DataFrame(
        {
            "zip": [codes[i % 4] for i in range(n)],
            "stated": [codes[i % 3] for i in range(n)],
            "bounded": [codes[i % 4] for i in range(n)],
            "tenant": [codes[i % 4] + str(i // 2) for i in range(n)],
            "x": [float(i * 37 % 101) for i in range(n)],
            "y": [i * 7 % 5 % 2 for i in range(n)],
        }
    ).cast(dict.fromkeys(("zip", "stated", "bounded", "tenant"), pl.Categorical))
    file = tmp_path / "task.yaml"
    roles = "roles: {label: y, id: [tenant]}\n"
    file.write_text(f"version: 1\n{roles}columns: {{stated: {{dtype: int}}, bounded: {{low: 1}}, zip: {{about: where it is}}}}\n")
    options = {"folds": 2, "repeats": 1, "families": ["linear"], "task": "toy"}
    run = epic22.train(frame, home=tmp_path, task_file=file, **options)
    columns = {column.name: column for column in run.result.run.task.columns}
    assert [columns[name].dtype for name in ("zip", "stated", "bounded")] == ["category", "int", "int"]
    assert columns["zip"].about == "where it is"
    again = epic22.train(task_file=run.result.task_file, home=tmp_path / "again")
    assert again.version.model_hash == run.version.model_hash


@pytest.mark.parametrize(
    "levels",
    [["10001", "unknown"], ["10%", "20%"], ["2024-01", "2024-02"], ["5", "n/a", "7"], ["$5", "$10"], ["Q1 2024", "Q2 2024"]],
)
def test_categories_that_would_be_read_as_anything_but_names_are_declared(levels: list[str]) -> None:
    assert list_categories(pd.DataFrame({"x": pd.Categorical(levels * 5)})) == ("x",)


def test_levels_that_no_row_has_decide_nothing() -> None:
    frame = pd.DataFrame({"zip": pd.Categorical(["10001", "unknown", "60601"])})
    assert list_categories(frame[frame["zip"] != "unknown"]) == ("zip",)


@pytest.mark.parametrize("n_levels", [300, 2_000])
def test_categories_of_more_digits_than_a_small_column_has_are_declared_where_they_come_again(n_levels: int) -> None:
    """300 zip codes in 30,000 rows were numbers, though a file with as many names has a category."""
    zips = [f"{10_000 + 7 * (i % n_levels)}" for i in range(30_000)]
    ids = [str(i) for i in range(30_000)]
    assert list_categories(pd.DataFrame({"zip": pd.Categorical(zips), "tenant": pd.Categorical(ids)})) == ("zip",)
    assert list_categories(
        pl.DataFrame({"zip": zips, "tenant": ids}, schema_overrides=dict.fromkeys(("zip", "tenant"), pl.Categorical))
    ) == ("zip",)


@pytest.mark.parametrize("label", ["y", " y"])
def test_categories_come_again_in_the_rows_that_have_a_label(label: str) -> None:
    """Rows without a label are left out, and what does not come again in the others is refused as a category."""
    zips = [f"{10_000 + 7 * (i % 1_400)}" for i in range(3_000)]
    labels = [None if i % 3 == 0 else float(i % 2) for i in range(3_000)]
    for frame in (
        pd.DataFrame({"zip": pd.Categorical(zips), label: labels}),
        pl.DataFrame({"zip": zips, label: labels}, schema_overrides={"zip": pl.Categorical}),
    ):
        assert list_categories(frame) == ("zip",)
        assert list_categories(frame, "y") == ()


@pytest.mark.slow
def test_a_category_of_300_zip_codes_is_learned_from_as_names(tmp_path: Path) -> None:
    n = 3_000
    zips = [f"{10_000 + 7 * (i % 300)}" for i in range(n)]
    frame = pd.DataFrame({"zip": pd.Categorical(zips), "x": [float(i % 101) for i in range(n)], "y": [i % 2 for i in range(n)]})
    run = epic22.train(frame, label="y", home=tmp_path, families=["linear"], folds=2, repeats=1)
    dtypes = {column.name: column.dtype for column in run.result.run.task.columns}
    assert (dtypes["zip"], dtypes["x"]) == ("category", "float")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("role", "stated"),
    [
        ({"id": ["tenant"]}, {}),
        ({"time": ["year", "month"]}, {}),
        ({"drop": ["many"]}, {}),
        ({}, {"tenant": {"low": 0}}),
        ({}, {"tenant": {"role": "never"}}),
    ],
)
def test_categories_of_digits_leave_room_for_what_is_stated_of_them(
    role: dict[str, Any], stated: dict[str, Any], tmp_path: Path
) -> None:
    """A type that nobody stated was refused beside a role, bounds, or more levels than a category has."""
    n = 300
    frame = pd.DataFrame(
        {
            "tenant": pd.Categorical([str(i) for i in range(n)]),
            "year": pd.Categorical([str(2020 + i // 24 % 5) for i in range(n)]),
            "month": pd.Categorical([str(1 + i % 12) for i in range(n)]),
            "many": pd.Categorical([f"{i:05}" for i in range(n)]),
            "x": [float(i * 37 % 101) for i in range(n)],
            "y": [int(i * 37 % 101 > 50) for i in range(n)],
        }
    )
    options = {"families": ["linear"], "folds": 2, "repeats": 1, "columns": stated, **role}
    run = epic22.train(frame, label="y", home=tmp_path, **options)
    assert run.version.family in ("linear", "constant")


def test_a_time_limit_counts_from_the_call_and_not_from_the_start_of_a_notebook(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[float] = []

    def note_start(*_: Any, started_at: float) -> None:
        seen.append(started_at)
        raise UserError("enough")

    monkeypatch.setattr("epic22.bootstrap.python_api.train_file", note_start)
    before = time.monotonic()
    with pytest.raises(UserError, match="enough"):
        epic22.train(table(tmp_path, "binary", 50), label="y", home=tmp_path / "home", time_limit=60)
    assert before <= seen[0] <= time.monotonic()
    spec = build_spec(csv="t.csv", label="y", time_limit=60)
    tuning = build_tuning(Settings(home=tmp_path, threads=1), spec, seen[0])
    assert tuning is not None
    assert tuning.deadline.end == seen[0] + 60


def test_a_home_that_a_frame_cannot_be_stored_in_is_one_sentence(tmp_path: Path) -> None:
    frame = pl.DataFrame({"x": range(40), "y": ["a", "b"] * 20})
    (tmp_path / "frames").write_text("")
    for call in (epic22.train, epic22.audit):
        with pytest.raises(StorageError, match=r"frames: a file lies where a folder belongs; move it away and do it again"):
            call(frame, label="y", home=tmp_path)
    with pytest.raises(StorageError, match="a name is longer than the disk takes"):
        epic22.train(frame, label="y", home=tmp_path / ("h" * 300))
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    with pytest.raises(UserError, match="expected the path of a folder"):
        epic22.train(frame, label="y", home=tmp_path / "circle" / "home")


def test_a_stored_frame_is_there_whole_and_nothing_lies_beside_it(tmp_path: Path) -> None:
    frame = pl.DataFrame({"x": [1, 2]})
    path = store_frame(frame, tmp_path)
    path.write_bytes(path.read_bytes()[:10])
    assert pl.read_parquet(store_frame(frame, tmp_path)).equals(frame)
    assert list((tmp_path / "frames").iterdir()) == [path]


@pytest.mark.slow
def test_a_home_that_rows_cannot_be_read_from_is_one_sentence(tmp_path: Path) -> None:
    trained(tmp_path)
    frame, model = pl.read_csv(table(tmp_path, "binary", 20)), epic22.load("toy", home=tmp_path)
    (tmp_path / "scratch").write_text("")
    with pytest.raises(StorageError, match=r"scratch: a file lies where a folder belongs"):
        model.predict(frame)


@pytest.mark.slow
def test_a_call_that_failed_leaves_its_search_to_the_next_one_while_a_notebook_keeps_its_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("no champion today")

    options: dict[str, Any] = {"label": "y", "home": tmp_path / "home", "trials": 2, "folds": 2, "repeats": 1}
    options |= {"families": ["linear"], "search_family": ["linear"]}
    with monkeypatch.context() as patch:
        patch.setattr("epic22.services.pipelines.rows.pack_rows", fail)
        with pytest.raises(RuntimeError, match="no champion today") as failed:
            epic22.train(table(tmp_path, "binary", 100), **options)
    assert len(epic22.train(table(tmp_path, "binary", 100), **options).scores) == 3
    assert failed.tb is not None
    assert not list((tmp_path / "home" / "studies").glob("*"))
