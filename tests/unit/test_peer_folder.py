"""A folder of tables as sets for the benchmark of peers: what is read, what is refused in one sentence, where results go."""

import argparse
import dataclasses
import doctest
import gzip
import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from tests.benchmark_modules import benchmark_module

FOLDER = benchmark_module("peers.folder")
COLLECTION = benchmark_module("peers.collection")
ENVIRONMENTS = benchmark_module("peers.environments")
FINDINGS = benchmark_module("peers.findings")
MAIN = benchmark_module("peers.__main__")
RUNS = benchmark_module("peers.runs")
SPLITS = benchmark_module("peers.splits")
TABLE = benchmark_module("peers.table")

ROWS = 200
HEADER = "file,from,kind,label,positive"


def table(**columns: Any) -> pl.DataFrame:
    """Numbers, text, and whatever else is given; `y` is yes or no, `price` a number."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=ROWS).round(6)
    made = {
        "x": x,
        "color": rng.choice(["red", "blue"], ROWS),
        "price": (3 * x + 10).round(6),
        "y": np.where(x > 0.3, "yes", "no"),
    }
    return pl.DataFrame(made | columns)


def write(folder: Path, *lines: str, header: str = HEADER, **tables: pl.DataFrame) -> Path:
    """A folder with an index of those lines and those tables, gzipped."""
    (folder / "index.csv").write_text("\n".join([header, *lines]) + "\n")
    for name, frame in tables.items():
        (folder / f"{name}.csv.gz").write_bytes(gzip.compress(frame.write_csv().encode()))
    return folder


def only(collection: Any) -> pl.DataFrame:
    """The rows of a collection's one set."""
    (dataset,) = collection.sets
    frame: pl.DataFrame = dataset.frame(collection.data)
    return frame


def refusal(folder: Path, entry: str, frame: pl.DataFrame) -> str:
    """Why the table `a` is refused, beside a table that serves."""
    collection = FOLDER.read_folder(write(folder, entry, "good.csv.gz,,regression,price,", a=frame, good=table()))
    assert [one.name for one in collection.sets] == ["good"]
    (sentence,) = collection.refused
    return str(sentence)


def test_the_examples_in_the_docstrings_hold() -> None:
    assert doctest.testmod(FOLDER).attempted > 0
    assert doctest.testmod(FOLDER).failed == 0


def test_each_table_of_the_index_is_a_set_with_one_split_and_the_metric_of_its_kind(tmp_path: Path) -> None:
    entries = ("flats.csv.gz,pkg::flats,binary,y,yes", "sales.csv.gz,pkg::sales,regression,price,")
    collection = FOLDER.read_folder(write(tmp_path, *entries, flats=table(), sales=table()))
    flats, sales = collection.sets
    assert (flats.name, flats.kind, flats.metric, flats.repeats) == ("flats", "binary", "roc_auc", 1)
    assert (sales.name, sales.kind, sales.metric, sales.about) == ("sales", "regression", "root_mean_squared_error", "pkg::sales")
    assert flats.frame(tmp_path)["y"].to_list() == (table()["y"] == "yes").cast(pl.Int8).to_list()
    assert sales.frame(tmp_path)["price"].to_list() == table()["price"].to_list()
    assert collection.refused == ()


def test_four_fifths_are_for_training_and_the_deal_is_the_same_each_time(tmp_path: Path) -> None:
    collection = FOLDER.read_folder(write(tmp_path, "a.csv.gz,,binary,y,yes", a=table()))
    (split,) = collection.splits(collection.sets[0], tmp_path / "cache")
    (again,) = collection.splits(collection.sets[0], tmp_path / "another cache")
    assert (split.n_train, split.n_test) == (160, 40)
    assert split.digest == again.digest
    assert "y" not in pl.read_parquet(split.test).columns


def test_another_positive_value_in_the_index_writes_the_splits_anew(tmp_path: Path) -> None:
    digests = []
    for positive in ("yes", "no"):
        collection = FOLDER.read_folder(write(tmp_path, f"a.csv.gz,,binary,y,{positive}", a=table()))
        digests.append(collection.splits(collection.sets[0], tmp_path / "cache")[0].digest)
    assert digests[0] != digests[1]


def test_dates_are_times_and_truths_are_numbers_and_text_stays_text(tmp_path: Path) -> None:
    frame = table(
        day=["2024-02-03"] * ROWS, moment=["2024-02-03T04:05:06+02:00"] * ROWS, fine=[True, False] * 100, hour=["12:30:00"] * ROWS
    )
    collection = FOLDER.read_folder(write(tmp_path, "a.csv.gz,,binary,y,yes", a=frame))
    read = only(collection)
    assert read["day"][0] == datetime(2024, 2, 3)
    assert read["moment"][0] == datetime(2024, 2, 3, 2, 5, 6)
    assert read["fine"].to_list() == [1, 0] * 100
    assert read["hour"].dtype == read["color"].dtype == pl.String


def test_rows_without_a_label_and_columns_without_a_value_are_left_out(tmp_path: Path) -> None:
    y = ["", "NA", " ", *table()["y"].to_list()[3:]]
    collection = FOLDER.read_folder(write(tmp_path, "a.csv.gz,,binary,y,yes", a=table(y=y, empty=[None] * ROWS)))
    read = only(collection)
    assert read.height == ROWS - 3
    assert read["y"].null_count() == 0
    assert "empty" not in read.columns


def test_a_regression_label_that_is_missing_or_endless_in_some_rows_is_left_out_there(tmp_path: Path) -> None:
    price = ["", "inf", *map(str, table()["price"].to_list()[2:])]
    read = only(FOLDER.read_folder(write(tmp_path, "a.csv.gz,,regression,price,", a=table(price=price))))
    assert read["price"].to_list() == table()["price"].to_list()[2:]


def test_bad_names_of_columns_become_plain_and_distinct_and_the_label_keeps_its_own(tmp_path: Path) -> None:
    frame = table().rename({"x": "y [%]", "color": "価格", "price": "y (%)"}).select("y [%]", "価格", "y (%)", "y")
    read = only(FOLDER.read_folder(write(tmp_path, "a.csv.gz,,binary,y,yes", a=frame)))
    assert read.columns == ["y", "y_2", "column_3", "y_3"]
    assert set(read["y"]) == {0, 1}


def test_blanks_around_names_in_header_and_index_do_not_matter(tmp_path: Path) -> None:
    frame = table().rename({"y": " y "})
    folder = write(tmp_path, " a.csv.gz , , Binary , y , yes ", header="file , from, kind,label,positive", a=frame)
    assert only(FOLDER.read_folder(folder)).columns[0] == "y"


def test_one_file_with_two_labels_gives_two_sets_of_distinct_names(tmp_path: Path) -> None:
    collection = FOLDER.read_folder(write(tmp_path, "a.csv.gz,,binary,y,yes", "a.csv.gz,,regression,price,", a=table()))
    assert [one.name for one in collection.sets] == ["a", "a_2"]


@pytest.mark.parametrize(
    ("positive", "written"), [("1", ["0", "1"]), ("", ["0", "1"]), ("1", ["0.0", "1.0"]), ("", ["0.0", "1.0"])]
)
def test_a_positive_value_may_be_a_number_however_written(tmp_path: Path, positive: str, written: list[str]) -> None:
    y = np.where(table()["y"] == "yes", written[1], written[0])
    collection = FOLDER.read_folder(write(tmp_path, f"a.csv.gz,,binary,y,{positive}", a=table(y=y)))
    assert only(collection)["y"].to_list() == (table()["y"] == "yes").cast(pl.Int8).to_list()


@pytest.mark.parametrize(
    ("entry", "changes", "sentence"),
    [
        ("a.csv.gz,,binary,z,yes", {}, "a.csv.gz has no column 'z' for its label; it has x, color, price, y."),
        (
            "a.csv.gz,,multiclass,y,",
            {},
            "a.csv.gz is of kind 'multiclass', and only binary and regression tables are compared here.",
        ),
        ("b.csv.gz,,binary,y,yes", {}, "b.csv.gz is not in the folder."),
        ("../b.csv.gz,,binary,y,yes", {}, "../b.csv.gz is outside the folder."),
        (",,binary,y,yes", {}, "line 2 of index.csv names no file."),
        ("a.csv.gz,,binary,y,ja", {}, "a.csv.gz has no label with the positive value 'ja'; there are no, yes."),
        ("a.csv.gz,,binary,y,", {}, "a.csv.gz needs the positive value of its label in index.csv; there are no, yes."),
        ("a.csv.gz,,binary,x,1", {"x": [1, 2, 3, 4] * 50}, "a.csv.gz has a binary label of 4 values (1, 2, 3, 4), not of two."),
        ("a.csv.gz,,binary,y,yes", {"y": [None] * ROWS}, "a.csv.gz has a binary label of 0 values (), not of two."),
        ("a.csv.gz,,regression,color,", {}, "a.csv.gz has a regression label that is no number in 200 rows, as in 'blue'."),
        ("a.csv.gz,,regression,x,", {"x": [7] * ROWS}, "a.csv.gz has a regression label that never changes."),
        (
            "a.csv.gz,,binary,y,yes",
            {"y": ["yes"] * 3 + ["no"] * 197},
            "a.csv.gz has 3 rows of its rarer class, and at least 10 are needed.",
        ),
        (
            "a.csv.gz,,regression,price,",
            {"price": [None] * 160 + list(range(40))},
            "a.csv.gz has 40 rows with a label, and at least 50 are needed.",
        ),
        (
            "a.csv.gz,,regression,price,",
            {"x": [1] * ROWS, "color": ["red"] * ROWS, "y": ["no"] * ROWS},
            "a.csv.gz has so few different rows that a training or test part holds one value of the label only.",
        ),
        (
            "a.csv.gz,,regression,price,",
            {"x": [None] * ROWS, "color": [None] * ROWS, "y": [None] * ROWS},
            "a.csv.gz has no value in any column beside its label.",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_table_that_does_not_serve_is_refused_in_one_sentence_and_the_others_are_compared(
    tmp_path: Path, entry: str, changes: dict[str, Any], sentence: str
) -> None:
    assert refusal(tmp_path, entry, table(**changes)) == sentence


@pytest.mark.parametrize("content", [b"", b"\x1f\x8bbroken", b"x,y\n1,2,3,4\n5,6,7,8\n"], ids=["empty", "no gzip", "ragged"])
def test_a_file_that_is_no_table_is_refused_in_one_sentence(tmp_path: Path, content: bytes) -> None:
    folder = write(tmp_path, "a.csv.gz,,binary,y,yes", "good.csv.gz,,regression,price,", good=table())
    (folder / "a.csv.gz").write_bytes(content)
    (sentence,) = FOLDER.read_folder(folder).refused
    assert sentence.startswith("a.csv.gz cannot be read as CSV: ")
    assert sentence.count("\n") == 0


@pytest.mark.parametrize(
    ("index", "sentence"),
    [
        (None, "has no index.csv: it names each table by file, kind, label and positive."),
        ("", "cannot be read as CSV"),
        ("file,label\na.csv,y\n", "has no column kind; it has file, label."),
        ("file,kind,label\n", "names no table."),
        ("file,kind,label\na,b\nc,d,e,f,g\n", "cannot be read as CSV"),
        ("file,kind,label\na.csv,binary,y\n", "can be compared on: a.csv is not in the folder."),
    ],
)
def test_a_folder_without_an_index_to_go_by_is_refused_in_one_sentence(tmp_path: Path, index: str | None, sentence: str) -> None:
    if index is not None:
        (tmp_path / "index.csv").write_text(index)
    with pytest.raises(SystemExit) as caught:
        MAIN.main(["--folder", str(tmp_path)])
    assert str(caught.value).startswith("peers: ")
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--folder", "no-such-folder"], "there is no folder no-such-folder."),
        (["--name", "b"], "give the folder by --folder."),
        (["--sets", "nowhere"], "no set is called 'nowhere'"),
        (["--systems", "nobody"], "no system is called 'nobody'"),
        (["--seconds", "0"], "a run needs more than 0 seconds"),
    ],
)
def test_a_wrong_command_line_ends_with_one_sentence(options: Sequence[str], sentence: str) -> None:
    with pytest.raises(SystemExit, match=sentence):
        MAIN.main(list(options))


def request(*options: str) -> Any:
    """What a command line asks for."""
    parser: argparse.ArgumentParser = MAIN.arguments()
    return MAIN.read_request(parser.parse_args(list(options)))


def test_tables_of_a_folder_are_chosen_by_name(tmp_path: Path) -> None:
    folder = write(tmp_path, "a.csv.gz,,binary,y,yes", "b.csv.gz,,regression,price,", a=table(), b=table())
    assert [one.name for one in request("--folder", str(folder), "--sets", "b").sets] == ["b"]
    assert request("--folder", str(folder), "--name", "my tables").collection.name == "peers-my_tables"


def answer(run: Any, python: Path, cache: Path) -> tuple[dict[str, Any], Any]:
    """A result as a run leaves it: ours behind on AUC, ahead on RMSE."""
    truth = pl.read_parquet(run.split.truth)["label"].to_numpy()
    off = 0.45 if run.system.is_ours == (run.dataset.kind == "binary") else 0.05
    noise = np.random.default_rng(len(run.system.name)).uniform(-1, 1, len(truth))
    predictions = np.clip(truth * 0.6 + 0.2 + off * noise, 0, 1) if run.dataset.kind == "binary" else truth + off * noise
    measured = {
        "seconds_to_model": 5.0,
        "predict_seconds": 0.1,
        "row_ms": {"row": 2.0},
        "peak_rss_mb": 100.0,
        "machine": "a machine",
    }
    stored = {**RUNS._identity(run), "status": "ok", "message": "", "disturbed": False, "others_cpu_share": 0.0, "version": "1"}
    return stored | measured | {"at": "2026-01-01", "scores": RUNS.scores_of(run.dataset, truth, predictions)}, predictions


@pytest.fixture
def pretended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder `toys` of two tables and one that is away, with systems that answer at once and results below tmp_path."""
    monkeypatch.setattr(MAIN, "perform", answer)
    monkeypatch.setattr(MAIN, "_ready", lambda system: Path("python"))
    monkeypatch.setattr(MAIN, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(MAIN, "PAGE", tmp_path / "page.md")
    monkeypatch.setattr(MAIN, "README", tmp_path / "readme.md")
    folder = tmp_path / "toys"
    folder.mkdir()
    entries = ("a.csv.gz,,binary,y,yes", "b.csv.gz,,regression,price,", "c.csv.gz,,binary,y,yes")
    return write(folder, *entries, a=table(), b=table())


def compare(folder: Path, *options: str) -> int:
    """Ours beside one peer on the folder."""
    line = ["--folder", str(folder), "--systems", "epic22", "mljar", "--cache", str(folder.parent / "cache"), *options]
    return int(MAIN.main(line))


@pytest.mark.slow
def test_a_folder_has_results_and_a_section_of_its_own_and_every_loss_is_printed(pretended: Path, tmp_path: Path) -> None:
    assert compare(pretended) == 0
    stored = sorted(path.relative_to(tmp_path / "results").as_posix() for path in (tmp_path / "results").rglob("*-0.json"))
    runs = [f"peers-toys/runs/{name}/{system}-0.json" for name in "ab" for system in ("epic22", "mljar")]
    assert stored == runs
    page = (tmp_path / "page.md").read_text()
    assert "<!-- begin: peers-toys -->" in page
    assert "* Not compared: c.csv.gz is not in the folder." in page
    losses = page[page.index("### Every loss") : page.index("### Scores")]
    assert "| a | AUC | mljar-supervised, Compete |" in losses
    assert "| b |" not in losses
    assert "| mljar-supervised, Compete | 2 | 1 | 0 | 1 |" in page
    assert "AutoGluon, medium_quality: " not in page
    assert not (tmp_path / "readme.md").exists()
    summary = json.loads((tmp_path / "results" / "peers-toys" / "summary.json").read_text())
    assert [loss["set"] for loss in summary["losses"]] == ["a"]
    assert summary["mean ranks"]["epic22"][0] == 1.5


@pytest.mark.slow
def test_what_is_stored_is_not_run_again(pretended: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compare(pretended)
    monkeypatch.setattr(MAIN, "perform", lambda run, python, cache: pytest.fail(f"{run.name} was run again"))
    assert compare(pretended) == 0


@pytest.mark.slow
def test_each_limit_has_its_own_results_where_they_are_to_be_kept_and_else_stays_in_the_cache(
    pretended: Path, tmp_path: Path
) -> None:
    for options in ([], ["--seconds", "5", "--keep"], ["--seconds", "600", "--keep"], ["--seconds", "20"]):
        compare(pretended, *options)
    assert sorted(path.name for path in (tmp_path / "results").iterdir()) == ["peers-toys", "peers-toys-5s", "peers-toys-600s"]
    page = (tmp_path / "page.md").read_text()
    assert [f"<!-- begin: peers-toys{end} -->" in page for end in ("", "-5s", "-600s", "-20s")] == [True, True, True, False]
    assert (tmp_path / "cache" / "trial-peers-toys-20s" / "page.md").exists()


def test_tables_that_no_system_ran_under_another_limit_are_not_waited_for(pretended: Path, tmp_path: Path) -> None:
    compare(pretended, "--seconds", "5", "--keep", "--sets", "a")
    summary = json.loads((tmp_path / "results" / "peers-toys-5s" / "summary.json").read_text())
    assert summary["mean ranks"] == {"epic22": [2.0, 2.0, 2.0], "mljar": [1.0, 1.0, 1.0]}


@pytest.mark.slow
def test_the_memory_and_the_time_a_row_takes_are_held_against_their_bars(tmp_path: Path) -> None:
    collection = FOLDER.read_folder(write(tmp_path, "a.csv.gz,,binary,y,yes", a=table()))
    (dataset,) = collection.sets
    store, systems = (
        RUNS.Store(tmp_path / "results"),
        [ENVIRONMENTS.system_named(name) for name in ("epic22", "autogluon-medium")],
    )
    runs = [RUNS.Run(dataset, *collection.splits(dataset, tmp_path / "cache"), system, RUNS.Limits()) for system in systems]

    def judged(row_ms: float, memory: float, sets: Sequence[Any] = (dataset,)) -> list[str]:
        for run in runs:
            result, predictions = answer(run, tmp_path, tmp_path)
            ours = {"row_ms": {"row": row_ms}, "peak_rss_mb": memory} if run.system.is_ours else {}
            store.keep(run, result | ours, predictions)
        results = TABLE.Results.gather(dataset, runs, store)
        return [bar.met for bar in FINDINGS.judge([results], sets, store).bars[-2:]]

    assert judged(4.9, 100.0) == ["met", "met"]
    assert judged(5.1, 99.0) == ["not met", "met"]
    assert judged(4.9, 101.0) == ["met", "not met"]
    assert judged(4.9, 100.0, (dataset, dataclasses.replace(dataset, name="another"))) == ["incomplete", "incomplete"]
