"""A feature's rows above the memory cap: built in parts from the versioned tables, and the same as those built at once."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from tests.portfolios import portfolio_assignment, tiny_portfolio
from tests.shell import Shell

from epic22.bootstrap import assemble
from epic22.bootstrap.training import FeatureConfig, open_row_pipeline, select_rows_above_cap, train_and_promote
from epic22.config import Settings
from epic22.core.data.folds import SplitRequest
from epic22.core.data.large_examples import (
    MIN_BATCH_ROWS,
    build_large_examples,
    compute_batch_rows,
    drop_columns,
    select_eligible_rows,
)
from epic22.core.data.large_split import EMBARGO, TEST, TRAIN, UNUSED, VALIDATION, plan_large_folds
from epic22.core.data.preprocess import Preprocessor
from epic22.core.data.task_data import TaskData
from epic22.core.progress import Progress
from epic22.core.task import AsOfView
from epic22.features.catalog import FEATURES
from epic22.services.pipelines.batches import can_train_in_batches

pytestmark = pytest.mark.usefixtures("blank_pictures")

IN_BATCHES = [feature.name for feature in FEATURES if can_train_in_batches(feature.task)]


def assigned(name: str) -> TaskData:
    """A feature of rows on the tiny portfolio."""
    found = portfolio_assignment(name)
    assert isinstance(found, TaskData)
    return found


def test_features_of_rows_but_no_hazard_and_no_forecast_go_in_batches() -> None:
    assert IN_BATCHES == ["predictive_maintenance", "tenant_churn", "fair_rent", "risk_assessment"]


@pytest.mark.slow
@pytest.mark.parametrize("name", IN_BATCHES)
def test_rows_built_in_parts_are_those_built_at_once_to_the_bit_and_never_more_are_held(name: str, tmp_path: Path) -> None:
    made = assigned(name)
    task, whole = made.task, made.examples()
    asked: list[int] = []
    built: list[int] = []

    def rows(known: AsOfView, cutoffs: pl.DataFrame) -> pl.DataFrame:
        asked.append(cutoffs.height)
        return task.rows(known, cutoffs)

    def inputs(known: AsOfView) -> pl.LazyFrame:
        built.append(known.at.height)
        return task.inputs(known)

    watched = replace(task, rows=rows, inputs=inputs)
    few, most = made.cutoffs.height // 5, len(whole) // 3
    at = select_eligible_rows(watched, made.tables, made.cutoffs, few)
    table, drawn = build_large_examples(watched, made.tables, at, "v0", most, tmp_path)
    assert (max(asked), sum(asked)) == (few, made.cutoffs.height)
    assert (max(built), sum(built)) == (most, len(whole))
    assert_frame_equal(drawn.X, whole.X, check_exact=True)
    for field in ("Y", "entity", "at", "incumbent", "stake", "cluster", "trainable"):
        ours, theirs = getattr(drawn, field), getattr(whole, field)
        assert (ours is None) == (theirs is None)
        assert ours is None or np.array_equal(ours, theirs, equal_nan=field in ("Y", "incumbent", "stake"))
    assert (drawn.slices is None) == (whole.slices is None)
    if drawn.slices is not None and whole.slices is not None:
        assert_frame_equal(drawn.slices, whole.slices)
    fitted = Preprocessor.fit(task.input_columns, whole.X)
    assert table.fit_preprocessor() == fitted
    matrix = np.concatenate([X for _, X in table.iterate_matrices(fitted)])
    assert np.array_equal(matrix, fitted.transform(whole.X), equal_nan=True)
    assert np.array_equal(table.y, whole.y)


@pytest.mark.slow
def test_only_every_so_manieth_cutoff_trains_but_all_are_tested(tmp_path: Path) -> None:
    made = assigned("tenant_churn")
    at = select_eligible_rows(made.task, made.tables, made.cutoffs, MIN_BATCH_ROWS)
    table, examples = build_large_examples(made.task, made.tables, at, "v0", MIN_BATCH_ROWS, tmp_path)
    plan = plan_large_folds(table, "binary", SplitRequest(horizon=90.0), None, False)
    assert examples.trainable is not None
    for fold in range(plan.n_folds):
        side = plan.assign_rows(fold)
        assert not (~examples.trainable & np.isin(side, (TRAIN, VALIDATION, EMBARGO))).any()
        assert (~examples.trainable & (side == TEST)).any()
        assert (side == UNUSED).any()
        start = table.at[side == TEST].min()  # type: ignore[index]
        assert (table.at[np.isin(side, (TRAIN, VALIDATION, EMBARGO))] + np.timedelta64(90, "D") <= start).all()  # type: ignore[index]


def test_a_withheld_column_leaves_the_rows_on_disk_too(tmp_path: Path) -> None:
    made = assigned("fair_rent")
    table, examples = build_large_examples(made.task, made.tables, made.cutoffs.head(300), "v0", 100, tmp_path)
    kept = drop_columns(table, {"rent_before", "zip_code"})
    task = replace(
        made.task,
        columns=tuple(replace(c, role="never") if c.name in ("rent_before", "zip_code") else c for c in made.task.columns),
    )
    wanted = Preprocessor.fit(task.input_columns, examples.X)
    matrix = np.concatenate([X for _, X in kept.iterate_matrices(kept.fit_preprocessor())])
    assert np.array_equal(matrix, wanted.transform(examples.X), equal_nan=True)


def test_numbers_that_are_large_beside_their_spread_stay_apart_in_parts(tmp_path: Path) -> None:
    made = assigned("fair_rent")
    name = next(c.name for c in made.task.input_columns if c.dtype == "float")
    far = replace(made.task, inputs=lambda known: made.task.inputs(known).with_columns(pl.col(name) % 32 + 1e9))
    table, examples = build_large_examples(far, made.tables, made.cutoffs.head(300), "v0", 100, tmp_path)
    fitted = Preprocessor.fit(far.input_columns, examples.X)
    assert table.fit_preprocessor() == fitted
    matrix = np.concatenate([X for _, X in table.iterate_matrices(fitted)])
    assert np.array_equal(matrix, fitted.transform(examples.X), equal_nan=True)
    assert fitted.centers[name] == pytest.approx(1e9, abs=32)


@pytest.mark.slow
def test_rows_that_fit_are_trained_whole(tmp_path: Path) -> None:
    made = assigned("risk_assessment")
    assert select_rows_above_cap(made, 1 << 40) is None
    found = select_rows_above_cap(made, 1)
    assert found is not None
    assert found.height == len(made.examples())
    assert compute_batch_rows(made.task, 1) == MIN_BATCH_ROWS
    assert select_rows_above_cap(assigned("churn_hazard"), 1) is None
    assert tiny_portfolio().end - found["cutoff"].max() >= timedelta(days=90)  # type: ignore[operator]


@pytest.mark.slow
def test_a_feature_above_the_cap_is_trained_judged_and_says_how(tmp_path: Path) -> None:
    made = assigned("fair_rent")
    rows = select_rows_above_cap(made, 1)
    assert rows is not None
    parts = assemble(Settings(tmp_path, 1, memory_cap=1))
    with open_row_pipeline(parts, made, FeatureConfig(), Progress()) as pipeline:
        finished = train_and_promote(parts, pipeline)
    run = finished.run
    told = " ".join(run.notes)
    assert f"at most {MIN_BATCH_ROWS:,} at once" in told
    assert "Trained a batch at a time" in told
    assert {e.family for e in run.leaderboard} == {"constant", "linear", "boosting", "incumbent"}
    assert {v.against for v in run.verdicts} >= {"constant", "incumbent"}
    assert run.n_rows == rows.height
    assert run.data_version == made.data_version
    model = parts.registry.load("fair_rent")
    assert model.bundle.model_hash == run.version.model_hash
    columns = [column.name for column in model.request_model().columns if column.role == "input"]
    assert columns == [column.name for column in run.task.input_columns]
    assert not list((tmp_path / "scratch").iterdir())


@pytest.mark.slow
def test_a_search_above_the_cap_is_refused_with_the_way_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from epic22.bootstrap import IngestOptions, ingest_folder
    from epic22.simulator.portfolio import write_portfolio

    shell = Shell(tmp_path, capsys, monkeypatch)
    write_portfolio(tiny_portfolio(), tmp_path / "sample")
    ingest_folder(assemble(Settings(shell.home, 1)), tmp_path / "sample" / "tables", options=IngestOptions(tiny_portfolio().end))
    code, _, err = shell("train", "risk_assessment", "--memory-cap", "1MB", "--trials", "2")
    assert code == 2
    assert "raise --memory-cap" in err
