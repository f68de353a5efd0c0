"""Tables read a batch at a time: what is found, held and learned is what the whole table would give, whatever the batches are."""

import re
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.folders import folder_of_process
from tests.folds import count_leaking_rows
from tests.role_options import list_role_options
from tests.toy import inputs, labels

from epic22.core.column import ColumnOverride
from epic22.core.data.batches import Batch, Batches, CsvBatches, ParquetBatches, open_batches
from epic22.core.data.files import read_table
from epic22.core.data.folds import SplitRequest
from epic22.core.data.large_split import EMBARGO, TEST, TRAIN, VALIDATION, plan_large_folds
from epic22.core.data.large_table import LabelEncoder, LargeTable, is_in_sample, mix_bits, read_large_table
from epic22.core.data.preprocess import Preprocessor
from epic22.core.data.profile import profile_batches
from epic22.core.data.schema_inference import Roles, infer_schema
from epic22.core.data.split import plan_walk_forward
from epic22.core.data.task_data import BatchedTaskData
from epic22.core.errors import ColumnError, FileError, SplitError, UserError
from epic22.core.evaluation.crossval_large import TableTrainingPart, TrainingResources, build_matrix, fit_fold, select_sample
from epic22.core.evaluation.inner_folds import split_inner_fold
from epic22.core.experiment import Experiment
from epic22.core.models.catalog import get_family
from epic22.core.models.learning_problem import LearningProblem
from epic22.core.models.trees.boosted import TREE_SHAPES
from epic22.core.models.xgboost import XGBoostEstimator
from epic22.core.models.xgboost_batches import LARGE_TABLE_PARAMS, build_quantile_matrix, fit_matrix, search_matrix
from epic22.core.task import Array
from epic22.spec.flat_file import load_task_data
from epic22.spec.large_file import load_batched_task_data
from epic22.spec.training_spec import build_spec


class Cut:
    """A frame cut into batches of any sizes."""

    notes = ()

    def __init__(self, frame: pl.DataFrame, sizes: list[int]) -> None:
        self.frame, self.sizes = frame, sizes
        self.paths, self.names = (Path("cut"),), tuple(frame.columns)

    def __iter__(self) -> Iterator[Batch]:
        first = 0
        for size in [*self.sizes, self.frame.height]:
            if first < self.frame.height:
                yield Batch(self.paths[0], first, self.frame.slice(first, size))
                first += size


def table(n: int = 300, seed: int = 0, timed: bool = False) -> pl.DataFrame:
    """The toy rows with a label, missing values and, if asked, a time and repeated ids."""
    X = inputs(n, seed)
    frame = X.with_columns(
        pl.Series("count", np.arange(n) % 7),
        pl.Series("y", ["yes" if v else "no" for v in labels(X, "binary", seed)]),
    )
    if not timed:
        return frame
    at = np.datetime64("2024-01-01", "us") + (np.arange(n) // 3) * np.timedelta64(1, "D")
    return frame.with_columns(pl.Series("at", at), pl.Series("who", [f"person {i % 40}" for i in range(n)]))


def large(folder: Path, frame: pl.DataFrame, roles: Roles = Roles("y"), batch: int = 64) -> BatchedTaskData:
    """The frame as a large table in a folder."""
    path = folder / "t.parquet"
    frame.write_parquet(path)
    scratch = folder / f"scratch-{batch}"
    scratch.mkdir()
    return load_batched_task_data(build_spec(csv=path, **list_role_options(roles)), ParquetBatches((path,), batch), scratch)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["csv", "csv.gz", "parquet"])
def test_columns_are_what_the_whole_table_says(tmp_path: Path, form: str) -> None:
    frame = table(timed=True).with_columns(
        pl.Series("always", ["same"] * 300),
        pl.Series("words", [f"text {i}" for i in range(300)]),
        pl.Series("amounts", [f"{i},000.5" if i > 200 else str(i) for i in range(300)]),
        pl.Series("late", [None] * 250 + ["true"] * 50),
        pl.Series("years", [f"{2000 + i % 9}" * (1 + i % 20) for i in range(300)]),
    )
    path = tmp_path / f"t.{form}"
    if form == "parquet":
        frame.write_parquet(path)
    else:
        frame.write_csv(path, compression="gzip" if form == "csv.gz" else "uncompressed", check_extension=False)
    roles = Roles("y", time=("at",), id="who")
    whole = infer_schema(read_table(path), roles)
    found = profile_batches(open_batches(path, 37), roles)
    assert found.columns == whole.columns
    read = list(found.iterate_typed_rows(open_batches(path, 50)))
    assert pl.concat([batch for batch, _ in read]).equals(whole.frame)
    assert whole.times is not None
    assert pl.concat([times for _, times in read if times is not None]).equals(whole.times)


@pytest.mark.parametrize("values", [range(1990, 2290), range(18000, 18300), [20240101 + i % 28 for i in range(300)]])
@pytest.mark.slow
def test_whole_numbers_are_the_same_times_in_every_batch(values: list[int]) -> None:
    frame = table().with_columns(pl.Series("at", list(values)))
    found = profile_batches(Cut(frame, [1, 2, 100]), Roles("y", time=("at",)))
    times = pl.concat([t for _, t in found.iterate_typed_rows(Cut(frame, [5, 50])) if t is not None])
    path_times = infer_times(frame)
    assert times.equals(path_times)


def infer_times(frame: pl.DataFrame) -> pl.Series:
    """The times of the whole frame by the ordinary way."""
    from epic22.core.data.files import RawTable

    times = infer_schema(RawTable("t", frame, "", "parquet", None, None), Roles("y", time=("at",))).times
    assert times is not None
    return times


@pytest.mark.slow
@settings(max_examples=8, deadline=None)
@given(st.lists(st.integers(1, 120), max_size=8))
def test_batch_boundaries_change_nothing(tmp_path_factory: pytest.TempPathFactory, sizes: list[int]) -> None:
    first, second = spool_uncut(), spooled(tmp_path_factory.mktemp("cut") / "b", Cut(table(200), sizes))
    assert first.matrix_file.path.read_bytes() == second.matrix_file.path.read_bytes()
    assert (first.y == second.y).all()
    assert (first.cluster_hash == second.cluster_hash).all()
    assert first.sample.equals(second.sample)


@cache
def spool_uncut() -> LargeTable:
    """The table of the examples above in one batch."""
    return spooled(folder_of_process() / "a", Cut(table(200), []))


def spooled(folder: Path, batches: Batches) -> LargeTable:
    folder.mkdir()
    found = profile_batches(batches, Roles("y"))
    return read_large_table(found, batches, found.columns, LabelEncoder("y", {"no": 0.0, "yes": 1.0}), folder)


@pytest.mark.slow
def test_the_spool_is_the_matrix_of_the_preprocessor(tmp_path: Path) -> None:
    made = large(tmp_path, table())
    some = np.arange(300) % 3 > 0
    fitted = made.table.fit_preprocessor(some)
    X = made.examples.X
    assert fitted == Preprocessor.fit(made.task.input_columns, X.filter(some))
    parts = list(made.table.iterate_matrices(fitted, some, block_rows=41))
    np.testing.assert_array_equal(np.concatenate([part for _, part in parts]), fitted.transform(X.filter(some)))
    assert (np.concatenate([rows for rows, _ in parts]) == np.flatnonzero(some)).all()


def test_numbers_and_times_that_are_large_beside_their_spread_stay_apart_in_batches(tmp_path: Path) -> None:
    numbers = np.arange(300)
    account = pl.Series("account", np.where(numbers == 7, 0, 10**9 + numbers * 7 % 32))
    seen = pl.Series("seen", np.datetime64("2024-03-01", "us") + (numbers * 37 % 301) * np.timedelta64(1, "s"))
    made = large(tmp_path, table(300).with_columns(account, seen))
    fitted = made.table.fit_preprocessor()
    assert fitted == Preprocessor.fit(made.task.input_columns, made.examples.X)
    matrix = np.concatenate([part for _, part in made.table.iterate_matrices(fitted)])
    names = [column.name for column in fitted.columns]
    assert [len(np.unique(matrix[:, names.index(name)])) for name in ("account", "seen")] == [33, 300]


@pytest.mark.slow
@pytest.mark.parametrize("on_disk", [False, True])
def test_trees_are_those_of_the_whole_matrix(tmp_path: Path, on_disk: bool) -> None:
    made = large(tmp_path, table(400))
    assert boosted(made, on_disk, tmp_path) == whole_trees(made)


def boosted(made: BatchedTaskData, on_disk: bool, folder: Path) -> dict[str, bytes]:
    """Boosting of fixed shape and rounds on all rows, block by block."""
    setting = TrainingResources(1, 0 if on_disk else 1 << 40, folder)
    every = np.ones(len(made.table), dtype=bool)
    fitted = made.table.fit_preprocessor()
    part = TableTrainingPart(fitted, every)
    sample = select_sample(made.task, made.table, part)
    model, matrix = build_matrix(made.task, made.table, part, sample, setting)
    return fit_matrix(model, matrix, TREE_SHAPES[0], 20).files()


def whole_trees(made: BatchedTaskData) -> dict[str, bytes]:
    """The same in the ordinary way."""
    model = get_family("boosting").build(
        LearningProblem.of(made.task), seed=0, threads=1, **LARGE_TABLE_PARAMS, default_rounds=20
    )
    X = Preprocessor.fit(made.task.input_columns, made.examples.X).transform(made.examples.X)
    return model.fit(X, made.table.y).files()


@pytest.mark.slow
def test_rounds_are_found_without_the_rows_that_are_put_aside(tmp_path: Path) -> None:
    """Rows of weight zero shape no tree: with their labels turned in the matrix, the same shape and rounds are found."""
    made = large(tmp_path, table(600))
    side = plan_large_folds(made.table, "binary", SplitRequest(), None, False).assign_rows(0)
    train = side != TEST
    fitted = made.table.fit_preprocessor(train)
    sample = select_sample(made.task, made.table, TableTrainingPart(fitted, train, side))
    aside = side[train] != TRAIN
    found = []
    for turned in (aside, np.zeros_like(aside)):
        y = np.where(turned, 1 - made.table.y[train], made.table.y[train])
        model = get_family("boosting").build(LearningProblem.of(made.task), seed=0, threads=1, **LARGE_TABLE_PARAMS)
        assert isinstance(model, XGBoostEstimator)
        block = sample.X, y
        matrix = build_quantile_matrix(model, lambda block=block: iter([block]), sample, sample.X.size, None)  # type: ignore[misc]
        found.append(search_matrix(model, matrix, aside, sample))
    assert found[0] == found[1]


@pytest.mark.slow
def test_forward_folds_are_those_of_a_table_that_fits(tmp_path: Path) -> None:
    made = large(tmp_path, table(1200, timed=True), Roles("y", time=("at",), drop=("who",)))
    request = SplitRequest(horizon=4.0, n_folds=3)
    plan = plan_large_folds(made.table, "binary", request, None, False)
    whole = plan_walk_forward(made.examples, request)
    assert plan.n_folds == len(whole.folds)
    for number, fold in enumerate(whole.folds):
        side = plan.assign_rows(number)
        train = np.flatnonzero((side != 0) & (side != TEST))
        assert (train == fold.train).all()
        assert (np.flatnonzero(side == TEST) == fold.test).all()
        inner = split_inner_fold(Experiment(made.task, made.examples, whole), fold.train)
        assert (np.flatnonzero(side == VALIDATION) == inner.test).all()
        assert (np.flatnonzero(side == TRAIN) == inner.train).all()
        assert (side == EMBARGO).any()
    assert count_leaking_rows(whole.folds, made.examples.at, 4.0) == 0


@pytest.mark.slow
@pytest.mark.parametrize("whose", ["group", "id", None])
def test_whole_units_are_on_one_side(tmp_path: Path, whose: str | None) -> None:
    roles = Roles("y", drop=("at", "who")) if whose is None else Roles("y", drop=("at",))
    roles = replace(roles, group="who" if whose == "group" else None, id="who" if whose == "id" else None)
    twice = pl.concat([table(300, timed=True)] * 2)
    made = large(tmp_path, twice, roles)
    plan = plan_large_folds(made.table, "binary", SplitRequest(), made.group_column, made.group_repeats)
    tested = np.zeros(600, dtype=int)
    for number in range(plan.n_folds):
        side = plan.assign_rows(number)
        for part in (TRAIN, VALIDATION, TEST):
            others = (side != part) & (side != 0)
            assert not np.isin(made.table.cluster_hash[side == part], made.table.cluster_hash[others]).any()
            assert (side == part).any()
        tested += side == TEST
    assert (tested == 1).all()
    assert made.group_repeats == (roles.group is not None or roles.id is not None)


@pytest.mark.slow
def test_a_fold_that_lacks_a_class_is_refused(tmp_path: Path) -> None:
    frame = table(300, timed=True).with_columns(y=pl.Series(["no"] * 200 + ["yes"] * 100))
    made = large(tmp_path, frame, Roles("y", time=("at",), drop=("who",)))
    with pytest.raises(SplitError, match="lacks a class"):
        plan_large_folds(made.table, "binary", SplitRequest(), None, False)


@pytest.mark.slow
def test_few_groups_of_one_class_each_leave_some_to_validate_on(tmp_path: Path) -> None:
    frame = table(360).with_columns(who=pl.Series([f"g{i // 40}" for i in range(360)]), y=pl.Series(["a", "b", "c"] * 120).sort())
    made = large(tmp_path, frame, Roles("y", group="who"))
    plan = plan_large_folds(made.table, "multiclass", SplitRequest(), made.group_column, made.group_repeats)
    for number in range(plan.n_folds):
        assignment = plan.assign_rows(number)
        assert (assignment == VALIDATION).any()
        assert len(np.unique(made.table.y[assignment == TRAIN])) == 3


@pytest.mark.slow
def test_one_group_to_learn_from_is_refused_with_what_it_takes(tmp_path: Path) -> None:
    frame = table(300).with_columns(who=pl.Series(["a", "b"] * 150))
    made = large(tmp_path, frame, Roles("y", group="who"))
    with pytest.raises(SplitError, match="which takes two groups in the training part"):
        plan_large_folds(made.table, "binary", SplitRequest(), made.group_column, made.group_repeats)


@pytest.mark.slow
def test_alike_rows_of_few_categories_are_units_of_their_own(tmp_path: Path) -> None:
    frame = pl.DataFrame({"a": ["x", "z"] * 150, "b": ["u", "u", "v"] * 100, "y": ["no", "yes", "no", "no"] * 75})
    made = large(tmp_path, frame)
    assert len(np.unique(made.table.cluster_hash)) == 300


@pytest.mark.slow
def test_what_is_only_done_in_memory_is_refused(tmp_path: Path) -> None:
    made = large(tmp_path, table(300, timed=True), Roles("y", time=("at",), drop=("who",)))
    with pytest.raises(UserError, match="fit into memory"):
        plan_large_folds(made.table, "binary", SplitRequest(random_rows_despite_time=True), None, False)


def test_the_sample_is_about_as_large_as_asked_and_the_same_in_any_pieces() -> None:
    whole = is_in_sample(np.arange(200_000), 200_000, 10_000)
    pieces = np.concatenate([is_in_sample(np.arange(a, a + 50_000), 200_000, 10_000) for a in range(0, 200_000, 50_000)])
    assert (whole == pieces).all()
    assert 9_500 < whole.sum() < 10_500
    assert len(np.unique(mix_bits(np.arange(100_000)))) == 100_000


@pytest.mark.slow
def test_a_ragged_line_is_named_by_file_and_line(tmp_path: Path) -> None:
    path = tmp_path / "broken.csv"
    path.write_text("a,b,y\n" + "1,2,yes\n" * 20_000 + "1,2\n" + "1,2,no\n" * 20)
    with pytest.raises(FileError, match=r"broken\.csv, line 20002: 2 fields where the header has 3"):
        profile_batches(CsvBatches(path, 1000), Roles("y"))


@pytest.mark.slow
def test_a_number_that_is_none_is_named_by_file_and_row(tmp_path: Path) -> None:
    path = tmp_path / "broken.csv"
    path.write_text("a,y\n" + "".join(f"{i},{'yes' if i % 2 else 'no'}\n" for i in range(9_000)) + "1O,no\n")
    with pytest.raises(ColumnError, match=r"column 'a' holds numbers, but not in 1 of its rows: '1O' in row 9,001;"):
        profile_batches(CsvBatches(path, 1000), Roles("y"))


@pytest.mark.slow
@pytest.mark.parametrize("n", [300, 15_000])
def test_notations_are_read_a_batch_at_a_time_as_in_the_whole(tmp_path: Path, n: int) -> None:
    frame = pl.DataFrame(
        {
            "price": [f"${i % 12_000:,}.50" for i in range(n)],
            "size": ["-" if i == 2 else f"{i % 90},5 m2" for i in range(n)],
            "at": [
                f"{1 + i % 28:02}-{1 + i % 12:02}-2023" if i % 2 else f"2023-{1 + i % 12:02}-{1 + i % 28:02}" for i in range(n)
            ],
            "zip": [f"{i % 900:05}" for i in range(n)],
            "garage": [("None", "Attached", "own")[i % 3] for i in range(n)],
            "opens": [f"{6 + i % 5}:{i % 60:02}" for i in range(n)],
            "seen": [f"2023-{1 + i % 12:02}-{1 + i % 28:02}T10:00:00+0{1 + i % 2}:00" for i in range(n)],
            "income": [f"{i % 7} - {7 + i % 7}" for i in range(n)],
            "y": ["no", "yes"] * (n // 2),
        }
    )
    path = tmp_path / "t.csv"
    frame.write_csv(path)
    whole = infer_schema(read_table(path), Roles("y", missing=("own",)))
    profile = profile_batches(open_batches(path, n // 4), Roles("y", missing=("own",)))
    assert profile.columns == whole.columns
    assert {note.split(" (")[0] for note in profile.notes} == {note.split(" (")[0] for note in whole.notes}
    assert pl.concat([rows for rows, _ in profile.iterate_typed_rows(open_batches(path, 1000))]).equals(whole.frame)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_numbers_that_stand_for_missing_are_so_in_batches_too(tmp_path: Path, form: str) -> None:
    n = 600
    frame = pl.DataFrame(
        {
            "pressure": [-999.0 if i % 50 == 7 else 20.0 + i % 37 for i in range(n)],
            "level": [9999 if i % 40 == 3 else i % 90 for i in range(n)],
            "both": [-99 if i % 60 == 1 else 99999 if i % 60 == 2 else i % 30 for i in range(n)],
            "honest": [-999 - i if i % 50 == 7 else i for i in range(n)],
            "once": [-999 if i == 300 else i % 37 for i in range(n)],
            "named": [-1 if i % 9 == 0 else i % 5 for i in range(n)],
            "kept": [-999 if i % 50 == 7 else i % 37 for i in range(n)],
            "y": ["no", "yes"] * (n // 2),
        }
    )
    path, roles = tmp_path / f"t.{form}", Roles("y", missing=("-1",))
    frame.write_csv(path) if form == "csv" else frame.write_parquet(path)
    whole, same = infer_schema(read_table(path), roles), [name for name in frame.columns if name != "kept"]
    profile = profile_batches(open_batches(path, 70), roles, {"kept": ColumnOverride("kept", low=-1000)})
    assert {c.name: c.reading.sentinels for c in profile.columns if c.reading and c.role == "input"} == {
        "pressure": (-1.0, -999.0),
        "level": (-1.0, 9999.0),
        "both": (-1.0, -99.0, 99999.0),
        "honest": (-1.0,),
        "once": (-1.0,),
        "named": (-1.0,),
        "kept": (-1.0,),
    }
    assert [c for c in profile.columns if c.name in same] == [c for c in whole.columns if c.name in same]
    assert profile.counts["pressure"].range == (20.0, 56.0)
    read = pl.concat([rows for rows, _ in profile.iterate_typed_rows(open_batches(path, 70))])
    assert read.select(same).equals(whole.frame.select(same))
    assert read["kept"].min() == -999


@pytest.mark.slow
def test_a_value_that_is_written_otherwise_is_named_by_file_and_row(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,y\n" + "".join(f"${i},{'yes' if i % 2 else 'no'}\n" for i in range(12_000)) + "€5,no\n")
    with pytest.raises(ColumnError, match=r"column 'a' holds numbers or times, and '€5' in row 12,001 is none"):
        profile_batches(CsvBatches(path, 5000), Roles("y"))


@pytest.mark.slow
def test_numbers_of_which_two_stand_in_one_cell_are_names_in_whichever_batch(tmp_path: Path) -> None:
    numbers = [str(659_000_000 + 7 * i) for i in range(299)]
    for values in (["701100-0000", *numbers], [*numbers, "701100-0000"]):
        found = profile_batches(Cut(table(300).with_columns(x=pl.Series(values)), [100, 100]), Roles("y"))
        assert next(c for c in found.columns if c.name == "x").dtype not in ("int", "float")
        assert any("x holds two numbers in one ('701100-0000')" in note for note in found.notes)
    with pytest.raises(ColumnError, match="mend them"):
        profile_batches(Cut(table(300).with_columns(x=pl.Series([*numbers, "7011O0"])), [100, 100]), Roles("y"))


@pytest.mark.slow
def test_long_digits_among_numbers_with_decimals_are_damage_in_whichever_batch(tmp_path: Path) -> None:
    for values in (["9" * 60, *["1.5"] * 299], [*["1.5"] * 299, "9" * 60]):
        with pytest.raises(ColumnError, match=r"'x': 1 infinite or enormous values, first in row (1|300)"):
            profile_batches(Cut(table(300).with_columns(x=pl.Series(values)), [100, 100]), Roles("y"))


@pytest.mark.slow
def test_an_infinite_number_is_named_by_file_and_row(tmp_path: Path) -> None:
    frame = table(300).with_columns(load=pl.when(pl.int_range(300) == 217).then(float("inf")).otherwise("load"))
    with pytest.raises(ColumnError, match=r"'load': 1 infinite or enormous values, first in row 218"):
        large(tmp_path, frame)


def test_a_truncated_file_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    table(300).write_parquet(path)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(FileError, match=r"t\.parquet is a damaged or truncated Parquet file"):
        open_batches(path)


@pytest.mark.parametrize(("values", "what"), [(range(300), "row number"), (np.random.default_rng(0).permutation(300), "id")])
@pytest.mark.slow
def test_a_column_that_counts_the_rows_is_withheld(
    tmp_path: Path, values: Array, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a sample of the rows its numbers are neither in a row nor dense; the whole table's bounds tell."""
    monkeypatch.setattr("epic22.core.data.large_table.is_in_sample", lambda numbers, rows: numbers % 5 == 0)
    made = large(tmp_path, table(300).with_columns(pl.Series("key", np.array(values))))
    assert [(s.column, s.suspicion, s.withheld) for s in made.suspicions] == [("key", what, True)]
    assert "key" not in made.examples.X.columns


@pytest.mark.slow
def test_the_same_task_and_data_version_as_read_whole(tmp_path: Path) -> None:
    made = large(tmp_path, table())
    whole = load_task_data(build_spec(csv=tmp_path / "t.parquet", label="y"))
    assert made.data_version == whole.data_version
    assert made.task.columns == whole.task.columns
    assert made.task.target.classes == whole.task.target.classes
    assert (made.table.y == whole.examples().y).all()


@pytest.mark.slow
def test_rows_without_a_label_are_left_out(tmp_path: Path) -> None:
    frame = table().with_columns(y=pl.when(pl.int_range(300) % 10 == 3).then(None).otherwise("y"))
    made = large(tmp_path, frame)
    assert len(made.table) == 270
    assert made.notes[0] == "30 rows without a label were left out."


@pytest.mark.slow
def test_a_disk_without_room_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = Usage(10_000)
    monkeypatch.setattr("epic22.core.data.large_table.shutil.disk_usage", lambda folder: usage)
    with pytest.raises(UserError, match="GB of disk while they train"):
        large(tmp_path, table())


@dataclass(frozen=True)
class Usage:
    """What the system says of a disk."""

    free: int


@pytest.mark.slow
def test_the_linear_family_and_the_constant_are_fitted_too(tmp_path: Path) -> None:
    made = large(tmp_path, table(400))
    side = plan_large_folds(made.table, "binary", SplitRequest(), None, False).assign_rows(0)
    setting = TrainingResources(1, 1 << 40, tmp_path)
    share = made.table.y[side != TEST].mean()
    fitted, _ = fit_fold(get_family("constant"), made.task, made.table, side, setting)
    assert fitted.estimator.predict_proba(np.zeros((1, 1), dtype=np.float32))[0, 1] == pytest.approx(share)
    fitted, chosen = fit_fold(get_family("linear"), made.task, made.table, side, setting)
    assert chosen is None
    assert replace(setting, seed=1) != setting


@pytest.mark.slow
def test_batches_read_decimal_commas_of_three_digits_and_the_order_of_day_and_month_that_is_stated(
    tmp_path: Path,
) -> None:
    rows = [f"0,{100 + i};0{i % 9 + 1}/0{i % 7 + 1}/23;{'yes' if i % 3 else 'no'}" for i in range(60)]
    path = tmp_path / "t.csv"
    path.write_text("\n".join(["v;d;y", *rows]))
    profile = profile_batches(open_batches(path, 20), Roles("y"))
    values, _ = next(iter(profile.iterate_typed_rows(open_batches(path, 20))))
    assert values["v"].head(2).to_list() == [0.1, 0.101]
    assert "d: years of two digits are those of 1970 to 2069." in profile.notes
    spec = build_spec(csv=path, label="y", columns=(ColumnOverride("d", day_first=True),))
    batched, whole = load_batched_task_data(spec, open_batches(path, 20), tmp_path), load_task_data(spec)
    assert batched.task.columns == whole.task.columns
    assert batched.examples.X.equals(whole.examples().X)


def test_classes_that_differ_by_case_are_refused_with_the_rows_of_each(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("x,y\n" + "1,yes\n2,Yes\n3,no\n4,yes\n" * 10)
    with pytest.raises(ColumnError, match=r"'yes' \(20 rows\) and 'Yes' \(10 rows\)"):
        load_batched_task_data(build_spec(csv=path, label="y"), open_batches(path, 20), tmp_path)


def test_a_file_in_single_quotes_with_a_line_of_units_is_read_in_batches_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("id,'a, b',y\n,kW,\n" + "".join(f"'{n}','{n}.5',{n % 2}\n" for n in range(60)))
    batches = CsvBatches(path, 1000)
    frame = pl.concat([batch.frame for batch in batches])
    assert frame.equals(read_table(path).frame)
    assert batches.notes == read_table(path).notes


LINES = {
    "quotes behind blanks": 'id, "a, b",y\n' + "".join(f'{n}, "x, {n}",{n % 2}\n' for n in range(600)),
    "a late quote behind a blank": "id,a,y\n" + "".join(f"{n}, {n},{n % 2}\n" for n in range(600)) + '7, "x, y",1\n' * 400,
    "text formulas of a spreadsheet": "id,a,y\n" + "".join(f'="00{n % 7}","=""{n}""",{n % 2}\n' for n in range(600)),
    "headers that come again": "id,a,y\n" + ("".join(f"{n},{n},{n % 2}\n" for n in range(300)) + "id,a,y\n") * 2,
    "blank lines": "\n\nid,a,y\n" + "".join(f"{n},{n},{n % 2}\n" + "\n" * (n % 50 == 3) for n in range(600)),
    "separators at the ends": "id,a,y\n" + "".join(f"{n},{n},{n % 2},\n" for n in range(600)),
    "a line break in a value": "id,a,y\n" + "".join(f'{n},"a\nb {n}",{n % 2}\n' for n in range(600)),
    "Windows line ends": "id,a,y\r\n" + "".join(f"{n},x,{n % 2}\r\n" for n in range(600)),
    "a late letter of Windows-1252": "id,a,y\n" + "".join(f"{n},x,{n % 2}\n" for n in range(600)) + "7,Straße,1\n",
    "a total of all rows": "id,a,y\n" + "".join(f"Ort {chr(97 + n % 26)},{n},{n % 2}\n" for n in range(600)) + "Sum,179700,300\n",
    "a class called total": "id,a,y\nTotal,5,1\n" + "".join(f"x,{n},{n % 2}\n" for n in range(600)) + "Total,7,1\n",
}


@pytest.mark.parametrize("lines", LINES.values(), ids=LINES)
@pytest.mark.parametrize("encoding", ["cp1252", "utf-16"])
def test_the_lines_of_a_file_are_the_same_rows_in_batches(
    tmp_path: Path, lines: str, encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(lines.encode(encoding))
    whole, batches = read_table(path), CsvBatches(path, 250)
    assert pl.concat([batch.frame for batch in batches]).equals(whole.frame)
    assert batches.notes == whole.notes
    monkeypatch.setattr("epic22.core.data.csv_records.CsvRecords._read_plain_lines", lambda self, names, n_lines: None)
    assert read_table(path).frame.equals(whole.frame)
    assert pl.concat([batch.frame for batch in CsvBatches(path, 7)]).equals(whole.frame)


@pytest.mark.parametrize("place", [300, 990])
@pytest.mark.parametrize("damage", ["1,2", "1,2,3,4", '1,"2,3'])
def test_a_broken_line_is_named_alike_in_batches(tmp_path: Path, place: int, damage: str) -> None:
    path, lines = tmp_path / "t.csv", [f"{n},x,{n % 2}" for n in range(1000)]
    path.write_text("\n".join(["id,a,y", *lines[:place], damage, *lines[place:]]))
    with pytest.raises(FileError) as of_whole:
        read_table(path)
    with pytest.raises(FileError) as of_batches:
        list(CsvBatches(path, 250))
    assert str(of_batches.value) == str(of_whole.value)


def test_months_that_are_written_as_numbers_are_times_in_batches_too(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("since,y\n" + "".join(f"{1 + n % 12:02d}.{2019 + n % 5},{n % 2}\n" for n in range(200)))
    profile = profile_batches(open_batches(path, 50), Roles("y"))
    whole = infer_schema(read_table(path), Roles("y"))
    read = pl.concat([rows for rows, _ in profile.iterate_typed_rows(open_batches(path, 50))])
    assert whole.frame["since"].dtype == pl.Datetime("us")
    assert read.equals(whole.frame)


KINDS = {
    "words for missing in a label of words": ["yes", "no", "n/a", "yes", "-", "no"],
    "a class that may mean missing": ["low", "unknown", "high"],
    "words for missing in a label of codes": ["0", "1", "n/a", "?", "1", "NA"],
    "words for missing in a label of numbers": ["1.5", "None", "2.25", "7", "na", "3.5"],
    "a label of times": ["2024-01-01", "2024-01-02", "2024-01-02"],
    "a label of quarters": ["Q1 2024", "Q2 2024", "Q3 2024"],
    "a label of numbers with units": ["1,5 €", "2 €", "7,25 €", "-"],
    "a label that is no number at the end": [*map(str, range(59)), "7.5"],
    "a rare class": [*["a", "b", "c"] * 19, "a", "b", "odd"],
}


@pytest.mark.parametrize("label", KINDS.values(), ids=KINDS)
def test_labels_are_read_in_batches_as_in_the_whole(tmp_path: Path, label: list[str]) -> None:
    labels = [label[n % len(label)] for n in range(180)] if len(label) < 20 else label * 3
    assert_alike(
        tmp_path,
        pl.DataFrame({"x": [f"{n * 37 % 101}.5" for n in range(180)], "z": [n * 7 % 11 for n in range(180)], "y": labels}),
    )


@pytest.mark.parametrize(
    ("label", "message"),
    [
        (
            [f"2024-0{1 + n % 9}-{10 + n % 19}" for n in range(180)],
            "171 different values",
        ),
        ([f"w{n}" for n in range(180)], "180 different values; up to 50 classes"),
        (["yes", "no", "true"] * 60, "says yes and no in more than two words"),
    ],
)
def test_labels_that_cannot_be_predicted_are_refused_alike(tmp_path: Path, label: list[str], message: str) -> None:
    frame = pl.DataFrame({"x": [f"{n * 37 % 101}.5" for n in range(180)], "y": label})
    with pytest.raises(ColumnError, match=message):
        assert_alike(tmp_path, frame)


def test_a_label_of_more_texts_than_are_counted_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("x,y\n" + "".join(f"{n % 7},w{n}\n" for n in range(10_500)))
    with pytest.raises(ColumnError, match="label 'y' has more than 10,000 different values"):
        load_batched_task_data(build_spec(csv=path, label="y"), open_batches(path, 4000), tmp_path)


@pytest.mark.slow
def test_words_for_missing_among_more_numbers_than_are_counted_say_that_there_is_no_label(tmp_path: Path) -> None:
    odd = {10_700: "n/a", 11_000: "None", 11_500: "-", 11_900: ""}
    rows = {
        "x": [f"{n * 37 % 10_007},{n % 10}" for n in range(12_000)],
        "code": [f"{n:06}" if n != 11_200 else "--" for n in range(12_000)],
        "size": [f"{n * 7 % 11_003} m2" if n != 10_900 else "none" for n in range(12_000)],
        "y": [odd.get(n, f"{n / 8}") for n in range(12_000)],
    }
    assert_alike(tmp_path, pl.DataFrame(rows), 3000)


def test_a_date_after_the_rows_own_time_is_named_in_batches_too(tmp_path: Path) -> None:
    days = [f"2024-01-{1 + n % 28:02}" for n in range(180)]
    frame = pl.DataFrame(
        {"x": [n * 7 % 11 for n in range(180)], "at": days, "closed": [f"2024-0{2 + n % 8}-05" for n in range(180)]}
    )
    batched = assert_alike(tmp_path, frame.with_columns(y=pl.Series(["no", "yes", "no"] * 60)), time=("at",))
    assert [(s.column, s.suspicion) for s in batched.suspicions] == [("closed", "post-event column")]


def test_whole_numbers_that_are_no_months_are_days_in_batches_too(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {"at": [202_400 + n for n in range(90)], "x": [n * 7 % 11 for n in range(90)], "y": ["no", "yes", "no"] * 30}
    )
    batched = assert_alike(tmp_path, frame, time=("at",))
    assert "at holds whole numbers, taken for days; --horizon and --gap count in them." in batched.notes


def test_values_beyond_stated_bounds_are_refused_with_the_bounds_that_there_are(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("x,y\n" + "".join(f"{i}.5,{i % 2}\n" for i in range(20)))
    override = ColumnOverride("x", high=5)
    with pytest.raises(ColumnError, match=r"values go from 0\.5 to 19\.5, expected at most 5: mend the rows"):
        profile_batches(open_batches(path, 7), Roles("y"), {"x": override})
    profile = profile_batches(open_batches(path, 7), Roles("y"), {"x": replace(override, low=0, high=20)})
    assert [(c.low, c.high) for c in profile.columns] == [(0, 20), (None, None)]


def test_ids_beyond_the_numbers_of_floats_stay_apart_in_batches(tmp_path: Path) -> None:
    ids = [9_007_199_254_740_992 + n for n in range(180)]
    frame = pl.DataFrame({"who": ids, "x": [n * 7 % 11 for n in range(180)], "y": ["no", "yes", "no"] * 60})
    batched = assert_alike(tmp_path, frame, id="who")
    assert len(np.unique(batched.table.cluster_hash)) == 180


UNCOUNTED = re.compile(r"\((more than 10,000|1\d,\d{3})")
"""Numbers of different values that are not counted."""


def assert_alike(folder: Path, frame: pl.DataFrame, batch: int = 25, **options: Any) -> BatchedTaskData:
    """The frame as a large table, once it is seen that it is read as in the whole: columns, classes, labels, rows and notes."""
    path = folder / "t.csv"
    frame.write_csv(path)
    spec = build_spec(csv=path, label="y", **options)
    whole = load_task_data(spec)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        batched = load_batched_task_data(spec, open_batches(path, batch), Path(scratch))
        examples = whole.examples()
        assert batched.task.columns == whole.task.columns
        assert (batched.task.target.kind, batched.task.target.classes) == (whole.task.target.kind, whole.task.target.classes)
        assert batched.table.y.tolist() == examples.y.tolist()
        assert batched.examples.X.equals(examples.X)
        assert batched.suspicions == whole.suspicions
        assert batched.data_version == whole.data_version
        notes, of_whole = ([UNCOUNTED.sub("(many", note) for note in data.notes] for data in (batched, whole))
        assert [note for note in notes if "an error in percent" not in note] == of_whole
    return batched


WORDS = ["", "NA", "-", "n/a", "?", "None", "unknown", "--"]
TEXTS: dict[str, Callable[[int], str]] = {
    "whole": lambda n: str(n % 50),
    "beyond floats": lambda n: str(9_007_199_254_740_900 + n),
    "decimal": lambda n: f"{n % 9}.{n % 7}",
    "decimal comma": lambda n: f"{n % 9},{n % 100}",
    "thousands": lambda n: f"{1 + n % 8}.{n % 1000:03}",
    "price": lambda n: f"${n % 900:,}.50",
    "percent": lambda n: f"{n % 100}%",
    "date": lambda n: f"2024-{1 + n % 12:02}-{1 + n % 28:02}",
    "day and month": lambda n: f"{1 + n % 12:02}/{1 + n % 11:02}/2023",
    "short date": lambda n: f"{1 + n % 28:02}/{1 + n % 12:02}/{18 + n % 6}",
    "two formats": lambda n: f"2024-0{1 + n % 9}-11" if n % 3 else f"1{n % 9}.0{1 + n % 9}.2024",
    "offsets": lambda n: f"2024-0{1 + n % 9}-11T1{n % 9}:00:00+0{n % 3}:00",
    "month": lambda n: f"{1 + n % 12:02}.{2015 + n % 9}",
    "clock": lambda n: f"{n % 24}:{n % 60:02}",
    "range": lambda n: f"{n % 7} - {7 + n % 9}",
    "truth": lambda n: ("true", "False")[n % 2],
    "yes and no": lambda n: ("yes", "no", "1")[n % 3],
    "names": lambda n: ("red", "Red", " blue", "green")[n % 4],
    "codes": lambda n: f"{n % 90:03}",
    "text formulas": lambda n: f'="0{n % 30}"',
    "a code for missing": lambda n: "-999" if n % 9 == 2 else str(20 + n % 30),
    "one odd value": lambda n: "abc" if n % 97 == 50 else str(n % 40),
    "mostly numbers": lambda n: "abc" if n % 5 == 1 else str(n % 9),
    "long digits": lambda n: "7" * (1 + n % 60),
    "free text": lambda n: f"text {n}",
    "one value": lambda n: "same",
    "nothing": lambda n: "",
}


@st.composite
def tables(draw: st.DrawFn) -> pl.DataFrame:
    """A few columns of texts of many kinds, some with words for missing, and a label."""
    n, numbers = 90, st.integers(0, 5000)
    names = draw(st.lists(st.sampled_from(sorted(TEXTS)), min_size=2, max_size=4, unique=True))
    columns = {}
    for name in [*names, "y"]:
        kind = name if name != "y" else draw(st.sampled_from(["names", "truth", "whole", "decimal", "price", "codes", "month"]))
        step, words = draw(st.sampled_from([1, 7, 37])), draw(st.lists(st.sampled_from(WORDS), max_size=2))
        first, every = draw(numbers), draw(st.sampled_from([5, 30]))
        texts = [TEXTS[kind](first + step * i) for i in range(n)]
        columns[name] = [words[i % len(words)] if words and i % every == 3 else text for i, text in enumerate(texts)]
    return pl.DataFrame(columns)


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(tables(), st.sampled_from([7, 25, 60]), st.sampled_from([(), ("1",), ("-999", "abc")]))
def test_what_is_read_in_batches_is_what_the_whole_says(frame: pl.DataFrame, batch: int, missing: tuple[str, ...]) -> None:
    """A table that cannot be learned from is refused in the same words."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.csv"
        frame.write_csv(path)
        spec = build_spec(csv=path, label="y", missing=missing)
        refusal = refuse(lambda: load_task_data(spec))
        if refusal is None:
            assert_alike(Path(folder), frame, batch, missing=missing)
        else:
            assert refuse(lambda: load_batched_task_data(spec, open_batches(path, batch), Path(folder))) == refusal


def refuse(load: Callable[[], object]) -> str | None:
    """Why a table cannot be learned from; None where it can."""
    try:
        load()
    except ColumnError as error:
        return str(error)
    return None
