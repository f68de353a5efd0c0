"""What every feature must do; a new feature is greeted here.

The catalog's features are joined by one made as CONTRIBUTING's recipe says, and by a flat file's task: all take the same path.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from tests.contract import elevator_outage
from tests.portfolios import portfolio_assignment, scrambled_portfolio

from epic22.adapters.model_store import ModelStore
from epic22.bootstrap.python_api import collect_scores
from epic22.core.artifact.panel_bundle import MANIFEST_VIEWS, PanelSchema
from epic22.core.data.folds import SplitRequest
from epic22.core.data.period_times import PanelReading
from epic22.core.data.point_in_time import Table, Tables
from epic22.core.data.task_data import PanelTaskData, TaskData, refuse_unmet_requirements
from epic22.core.errors import ColumnError, Epic22Error
from epic22.core.lineage import DataVersion, canonical_json
from epic22.core.models.catalog import get_family, name_families
from epic22.core.serialization import to_json
from epic22.core.tables.canonical import build_canonical_tables
from epic22.core.task import Array
from epic22.features.catalog import FEATURES, Feature
from epic22.reports.html.training import render_report
from epic22.services.pipelines.rows import RowPipeline
from epic22.services.train import train
from epic22.spec.flat_file import load_task_data
from epic22.spec.training_spec import build_spec


@dataclass(frozen=True)
class Case:
    """A feature and how to get tables for it."""

    name: str
    assign: Callable[[Path], TaskData]


def elevator(folder: Path) -> TaskData:
    return TaskData(elevator_outage.TASK, elevator_outage.tables(), elevator_outage.cutoffs(), DataVersion("v0", ()))


def flat(folder: Path) -> TaskData:
    rng = np.random.default_rng(0)
    n = 400
    wear = rng.normal(size=n)
    frame = pl.DataFrame(
        {
            "read_at": pl.datetime_range(pl.datetime(2024, 1, 1), pl.datetime(2025, 2, 3), "1d", eager=True)[:n],
            "wear": wear,
            "maker": rng.choice(["arden", "brook"], n),
            "failed": (wear + rng.logistic(size=n) > 0.5).astype(int),
        }
    )
    path = folder / "boilers.csv"
    frame.write_csv(path)
    return load_task_data(build_spec(csv=path, label="failed", time=("read_at",)))


def of_catalog(name: str) -> Case:
    def assign(folder: Path) -> TaskData:
        assigned = portfolio_assignment(name)
        assert isinstance(assigned, TaskData)
        return assigned

    return Case(name, assign)


ROWS = [feature.name for feature in FEATURES if feature.task.frequency is None]
FORECASTS = [feature.name for feature in FEATURES if feature.task.frequency is not None]
CASES = [Case("elevator_outage", elevator), Case("flat_file", flat), *(of_catalog(name) for name in ROWS)]


def test_every_feature_of_the_catalog_is_among_the_cases() -> None:
    """Forgetting is loud: a feature added to the catalog needs its tables here."""
    assert {feature.name for feature in FEATURES} <= {case.name for case in CASES} | set(FORECASTS)
    assert len({feature.capability for feature in FEATURES}) == 5


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
class TestEveryFeature:
    @pytest.mark.slow
    def test_its_inputs_are_the_columns_it_declares_within_their_bounds(self, case: Case, tmp_path: Path) -> None:
        assignment = case.assign(tmp_path)
        X = assignment.examples().X
        assert X.columns == [column.name for column in assignment.task.input_columns]
        for column in assignment.task.input_columns:
            if column.low is not None:
                assert (X[column.name].drop_nulls() >= column.low).all()
            if column.high is not None:
                assert (X[column.name].drop_nulls() <= column.high).all()

    def test_its_families_exist_and_fit_its_kind(self, case: Case, tmp_path: Path) -> None:
        task = case.assign(tmp_path).task
        assert task.families
        assert all(task.target.kind in get_family(name).kinds for name in task.families)

    @pytest.mark.slow
    def test_the_same_tables_give_the_same_examples(self, case: Case, tmp_path: Path) -> None:
        a, b = case.assign(tmp_path).examples(), case.assign(tmp_path).examples()
        assert a.X.equals(b.X)
        assert np.array_equal(a.Y, b.Y)
        assert np.array_equal(a.entity, b.entity)

    @pytest.mark.slow
    def test_no_input_comes_from_the_future(self, case: Case, tmp_path: Path) -> None:
        """Whatever becomes known after the middle cutoff is replaced at random; inputs up to it stay the same."""
        assignment = case.assign(tmp_path)
        middle = assignment.cutoffs["cutoff"].sort()[assignment.cutoffs.height // 2]
        early = assignment.cutoffs.filter(pl.col("cutoff") <= middle)

        def compute(tables: Tables) -> pl.DataFrame:
            return assignment.task.inputs(tables.as_of(assignment.task.rows(tables.as_of(early), early))).collect()

        before = compute(assignment.tables)
        for seed in range(5):
            changed = {name: scrambled_after(table, middle, seed) for name, table in assignment.tables.tables.items()}
            after = compute(Tables(changed, assignment.tables.end))
            # Sums over windows are differences of running sums, whose last bit hangs on all rows of the table.
            assert_frame_equal(before, after, rel_tol=1e-9, abs_tol=1e-9)

    @pytest.mark.slow
    def test_labels_lie_within_the_horizon(self, case: Case, tmp_path: Path) -> None:
        assignment = case.assign(tmp_path)
        if assignment.task.target.kind == "hazard":
            examples = assignment.examples()
            assert examples.follow_up_days is not None
            assert (examples.Y[:, 0] <= examples.follow_up_days).all()
            assert examples.follow_up_days.min() >= min(assignment.task.target.horizons)
            assert (
                examples.at + examples.follow_up_days * np.timedelta64(86_400, "s") <= np.datetime64(assignment.tables.end)
            ).all()
            return
        horizon = timedelta(days=max(assignment.task.target.horizons, default=0.0))
        end = assignment.cutoffs["cutoff"].max()
        assert end + horizon <= assignment.tables.end  # type: ignore[operator]

    def test_empty_tables_give_a_clear_error(self, case: Case, tmp_path: Path) -> None:
        assignment = case.assign(tmp_path)
        emptied = {name: replace(table, frame=table.frame.clear()) for name, table in assignment.tables.tables.items()}
        empty = replace(assignment, tables=Tables(emptied, assignment.tables.end))
        if assignment.task.requirements:
            with pytest.raises(Epic22Error, match=f"{assignment.task.name} needs more .* rows \\(there are 0\\)"):
                refuse_unmet_requirements(assignment.task, empty.tables)
        with pytest.raises(Epic22Error, match=r"rows|missing"):
            train(RowPipeline(empty, SplitRequest(), threads=1), ModelStore(tmp_path / "models"))

    @pytest.mark.slow
    def test_it_trains_to_a_registered_champion(self, case: Case, tmp_path: Path) -> None:
        assignment = case.assign(tmp_path)
        horizon = max(assignment.task.target.horizons, default=30.0)
        run = train(RowPipeline(assignment, SplitRequest(horizon=horizon), threads=2), ModelStore(tmp_path / "models"))
        against = {verdict.against for verdict in run.verdicts}
        assert "constant" in against | {run.champion.family}
        assert ("incumbent" in against) == (assignment.task.incumbent is not None)
        for metric in assignment.task.target.secondary_metrics:
            assert all(collect_scores(evaluation)[metric.name].is_defined for evaluation in run.leaderboard)
            assert metric.name in render_report(run, {}).replace("<wbr>", "")
        # A hazard's training rows wait for nothing: their outcomes count as far as they were known when the test part began.
        assert run.plan.embargo == (0.0 if assignment.task.target.kind == "hazard" else horizon)
        assert ModelStore(tmp_path / "models").load(run.task.name, run.version.version).version.family == run.champion.family


@pytest.mark.slow
@pytest.mark.parametrize("name", [feature.name for feature in FEATURES if feature.task.sequence is not None])
class TestEverySequence:
    """What a family that reads a sequence sees of a feature beside its inputs."""

    def test_no_step_comes_from_the_future(self, name: str) -> None:
        assignment = portfolio_assignment(name)
        assert isinstance(assignment, TaskData)
        task = name_families(assignment.task, ["cnn"])
        middle = assignment.cutoffs["cutoff"].sort()[assignment.cutoffs.height // 2]
        early = assignment.cutoffs.filter(pl.col("cutoff") <= middle)

        def compute(tables: Tables) -> pl.DataFrame:
            return task.inputs(tables.as_of(task.rows(tables.as_of(early), early))).collect()

        before = compute(assignment.tables)
        assert before.columns == [column.name for column in task.input_columns]
        steps = before.select(c.name for c in task.input_columns if c.step is not None)
        assert steps.null_count().sum_horizontal().item() < steps.height * steps.width
        changed = {table: scrambled_after(held, middle, 0) for table, held in assignment.tables.tables.items()}
        assert_frame_equal(before, compute(Tables(changed, assignment.tables.end)), rel_tol=1e-9, abs_tol=1e-9)

    def test_families_that_read_rows_are_raced_without_it(self, name: str) -> None:
        task = portfolio_assignment(name).task
        assert name_families(task, []) is task
        assert name_families(task, ["mlp"]).input_columns == task.input_columns


def scrambled_after(table: Table, moment: Any, seed: int) -> Table:
    """The table with every row that became known after the moment shuffled column by column."""
    known, later = (table.frame.filter(keep) for keep in (pl.col(table.known_at) <= moment, pl.col(table.known_at) > moment))
    fixed = {table.entity, table.known_at, table.event_at}
    shuffled = later.with_columns(pl.col(c).shuffle(seed) for c in later.columns if c not in fixed)
    return replace(table, frame=pl.concat([known, shuffled.sample(fraction=0.7, seed=seed)]))


@pytest.mark.parametrize("name", FORECASTS)
class TestEveryForecast:
    def test_no_history_comes_from_the_future(self, name: str) -> None:
        """Whatever becomes known after a moment is replaced at random; histories and the incumbent up to it stay the same."""
        before = portfolio_assignment(name)
        assert isinstance(before, PanelTaskData)
        moment = before.task.frequency.start(before.last - 9)  # type: ignore[union-attr]
        changed = portfolio_assignment(name, scrambled_portfolio(moment, seed=1))
        assert isinstance(changed, PanelTaskData)
        for assigned in (before, changed):
            assert assigned.entities.equals(before.entities)
        at = pl.DataFrame({"entity": before.entities}).with_columns(pl.lit(moment).alias("cutoff"))
        one, other = (known_then(assigned, at) for assigned in (before, changed))
        assert np.array_equal(one, other, equal_nan=True)

    def test_its_figures_are_there_for_each_series(self, name: str) -> None:
        assigned = portfolio_assignment(name)
        assert isinstance(assigned, PanelTaskData)
        examples = assigned.examples(np.array([assigned.last - 12]))
        assert len(examples) == len(assigned.entities)
        assert np.isfinite(examples.Y).mean() > 0.95
        assert examples.incumbent is not None
        assert examples.incumbent.shape == examples.Y.shape

    def test_its_forecasts_end_at_zero_where_its_series_do_as_those_of_a_file(self, name: str) -> None:
        assigned = portfolio_assignment(name)
        assert isinstance(assigned, PanelTaskData)
        schema = PanelSchema.of(assigned)
        stored = json.loads(canonical_json(to_json(schema, MANIFEST_VIEWS)))
        assert PanelReading.restore(stored["reading"]) == schema.reading
        assert schema.has_floor


def known_then(assigned: PanelTaskData, at: pl.DataFrame) -> Array:
    """All values known of each series at its cutoff, (n, periods)."""
    assert assigned.task.sequences is not None
    histories = assigned.task.sequences(assigned.tables.as_of(at))
    return np.stack([histories.lag(steps) for steps in range(24)], axis=1)


@pytest.mark.parametrize("feature", FEATURES, ids=lambda feature: feature.name)
def test_without_rows_a_feature_is_refused_with_all_that_it_lacks(feature: Feature) -> None:
    nothing = Tables(build_canonical_tables({}), datetime(2024, 1, 1))
    # A feature that declares no needs says what its first step lacks.
    message = " needs more than is stored: " if feature.task.requirements else ": "
    with pytest.raises(ColumnError, match=f"^task {feature.name}{message}") as refusal:
        feature.bind(feature.task, nothing, DataVersion("none", ()))
    for need in feature.task.requirements:
        lack = f"{need.table}.{need.column} filled" if need.column else f"table {need.table} with"
        assert lack in str(refusal.value)
