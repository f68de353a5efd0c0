"""Planning of columns: what helps is found, what is left out costs nothing, rows outside the training part are not looked at."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from tests.predictions import predict_frame, predict_rows
from tests.toy import task as toy_task

from epic22.adapters.model_store import ModelStore
from epic22.core.artifact.row_model import RowModel
from epic22.core.data.examples import Examples
from epic22.core.data.feature_engineering import CategoryEncoding, FeatureRecipe
from epic22.core.data.folds import FoldPlan, SplitRequest
from epic22.core.data.preprocess import Preprocessor
from epic22.core.data.split import plan_folds
from epic22.core.evaluation.crossval import fit_family
from epic22.core.evaluation.metrics import ROC_AUC
from epic22.core.evaluation.predictions import FittedFold
from epic22.core.experiment import Experiment
from epic22.core.models.base import Family, predict_response
from epic22.core.models.learning_problem import LearningProblem
from epic22.core.models.xgboost import XGBoostEstimator
from epic22.core.selection.feature_selection import ColumnBudget, plan_columns
from epic22.core.serialization import to_json
from epic22.core.task import Array, Column, Formula, RowMetadata, Task
from epic22.reports.html.training import render_report
from epic22.reports.json import VIEWS
from epic22.services.pipelines.rows import RowPipeline
from epic22.services.train import train
from epic22.spec.flat_file import load_task_data
from epic22.spec.training_spec import build_spec

COLUMNS = (
    Column("torque", "float"),
    Column("speed", "float"),
    Column("noise", "float"),
    Column("site", "category"),
    Column("street", "category"),
)
TASK = toy_task("binary", COLUMNS)


def made(n: int, seed: int, signal: float) -> tuple[Task, Examples, FoldPlan]:
    """Rows whose label hangs on torque × speed as strongly as `signal`; with 0 on nothing at all. `street` has 150 levels."""
    rng = np.random.default_rng(seed)
    torque, speed = rng.uniform(-1, 1, n), rng.uniform(-1, 1, n)
    y = (signal * torque * speed + rng.logistic(size=n) > 0.8).astype(float)
    X = pl.DataFrame(
        {
            "torque": torque,
            "speed": speed,
            "noise": rng.normal(size=n),
            "site": [f"s{i}" for i in rng.integers(0, 5, n)],
            "street": [f"r{i}" for i in rng.integers(0, 150, n)],
        }
    )
    moments = np.full(n, np.datetime64(0, "us"))
    examples = Examples(X, y[:, None], np.arange(n).astype(str).astype(object), moments, "v0")
    return TASK, examples, plan_folds(examples, "binary", SplitRequest(repeats=1))


@pytest.mark.slow
def test_a_product_is_found_and_what_is_left_out_costs_nothing() -> None:
    task, examples, plan = made(900, 0, 12.0)
    train = plan.folds[0].train
    found = plan_columns(Experiment(task, examples, plan), train)
    products = {"torque * speed", "speed * torque"}
    assert products & {formula.name for formula in found.recipe.formulas}
    assert found.after < found.before
    gained = next(gain for gain in found.gains if gain.change == "combinations")
    assert gained.accepted
    assert gained.gain.low > 0
    assert found.strengths[0].column in products
    assert found.strengths[0].stability == 1.0
    out = [gain for gain in found.gains if gain.change == "left out"]
    assert all(gain.accepted == (gain.gain.value >= 0) for gain in out)
    assert {s.column for s in found.strengths if not s.selected} == set(next((g.columns for g in out if g.accepted), ()))
    assert found.fits <= ColumnBudget().fits
    elsewhere = np.setdiff1d(np.arange(len(examples)), train)
    Y = examples.Y.copy()
    Y[elsewhere] = 1 - Y[elsewhere]
    other = replace(
        examples, Y=Y, X=examples.X.with_columns(torque=pl.Series(_shuffled(examples.X["torque"].to_numpy(), elsewhere)))
    )
    assert plan_columns(Experiment(task, other, plan), train) == found


def _shuffled(values: Array, rows: Array) -> Array:
    changed = values.copy()
    changed[rows] = changed[rows][::-1] * 7
    return changed


def test_a_declared_formula_stays_and_the_budget_is_kept() -> None:
    task, examples, plan = made(400, 1, 0.0)
    declared = replace(task, formulas=(Formula("useless", "noise * 2"),))
    found = plan_columns(Experiment(declared, examples, plan), plan.folds[0].train, budget=ColumnBudget(fits=7))
    assert found.fits <= 7
    assert next(s for s in found.strengths if s.column == "useless").selected
    none = plan_columns(Experiment(declared, examples, plan), plan.folds[0].train, budget=ColumnBudget(fits=3))
    assert none.recipe == FeatureRecipe()
    late = plan_columns(Experiment(declared, examples, plan), plan.folds[0].train, budget=ColumnBudget(seconds=0.0))
    assert late.fits == 3


TALLIES = FeatureRecipe(None, (), tuple(CategoryEncoding(name, "target", 1) for name in ("site", "street")))


def _quick(problem: LearningProblem, seed: int = 0, threads: int = 1, **params: Any) -> XGBoostEstimator:
    categorical = problem.categorical
    return XGBoostEstimator(
        "binary", categorical, 2, seed, threads, rounds=60, patience=10, max_depth=4, min_child_weight=5.0, colsample_bytree=1.0
    )


QUICK = Family("quick", frozenset({"binary"}), _quick, lambda files: XGBoostEstimator("binary", ()))
Fit = Callable[[Task, Examples, FoldPlan, Array], FittedFold]


def honest(task: Task, examples: Examples, plan: FoldPlan, train: Array) -> FittedFold:
    """The pipeline as it is: planned columns and label means of every category."""
    planned = plan_columns(Experiment(task, examples, plan), train, budget=ColumnBudget(fits=18)).recipe
    recipe = replace(planned, encodings=tuple(dict.fromkeys((*planned.encodings, *TALLIES.encodings))))
    return fit_family(Experiment(task, examples, plan), QUICK, train, recipe)


def leaking(task: Task, examples: Examples, plan: FoldPlan, train: Array) -> FittedFold:
    """The mistake: label means of all rows, the test rows among them."""
    preprocessor = Preprocessor.fit(COLUMNS, examples.X, examples.y, recipe=TALLIES)
    part = examples.take(train)
    estimator = _quick(LearningProblem.of(replace(task, columns=preprocessor.outputs))).fit(
        preprocessor.transform(part.X), part.y
    )
    return FittedFold(preprocessor, estimator)


def permuted_auc(fit: Fit, seed: int) -> tuple[float, float]:
    """AUC out of fold where the labels are drawn by lot, and half its 95 % interval around a half."""
    task, examples, plan = made(700, seed, 0.0)
    areas = []
    for fold in plan.folds:
        fitted = fit(task, examples, plan, fold.train)
        response = predict_response(fitted.estimator, fitted.preprocessor.transform(examples.X[fold.test]), "binary", None)
        areas.append(ROC_AUC.score(examples.y[fold.test], response, RowMetadata()))
    positives = float(examples.y.sum())
    negatives = len(examples) - positives
    return float(np.mean(areas)), 1.96 * np.sqrt((positives + negatives + 1) / (12 * positives * negatives))


@pytest.mark.slow
def test_labels_by_lot_cannot_be_predicted_and_means_of_all_rows_would_fail_this_test() -> None:
    """The draw is one in which streets differ by more than chance has it, as in half of all draws; in the other half empirical
    Bayes gives every street the general mean, and even the mistake would do no harm."""
    found, half = permuted_auc(honest, seed=11)
    assert abs(found - 0.5) <= half
    leaked, half = permuted_auc(leaking, seed=11)
    assert leaked > 0.5 + 2 * half


@pytest.mark.slow
def test_planned_columns_reach_bundle_answers_and_report(tmp_path: Path) -> None:
    _, examples, _ = made(500, 2, 12.0)
    day = [datetime(2024, 1, 1) + timedelta(days=int(i) // 5) for i in range(500)]
    examples.X.with_columns(day=pl.Series(day), y=pl.Series(examples.y).cast(pl.Int64)).write_csv(tmp_path / "t.csv")
    assignment = load_task_data(build_spec(csv=tmp_path / "t.csv", label="y", time=("day",), task="toy"))
    assignment = replace(assignment, task=replace(assignment.task, families=("constant", "linear")))
    store = ModelStore(tmp_path / "models")
    run = train(RowPipeline(assignment, SplitRequest(holdout_last=20), threads=1, engineer=True), store)
    assert run.column_plan is not None
    products = {formula.name for formula in run.column_plan.recipe.formulas}
    assert products & {"torque * speed", "speed * torque"}
    assert run.champion.family == "linear"
    model = store.load("toy", run.version.version)
    assert isinstance(model, RowModel)
    version, bundle = model.version, model.bundle
    assert products <= {column.name for column in bundle.preprocessor.outputs}
    row = {"torque": 0.9, "speed": 0.9, "noise": 0.0, "site": "s1", "street": "never seen"}
    (alone,), (batch,) = predict_rows(version, bundle, [row]), predict_frame(version, bundle, pl.DataFrame([row]))
    assert alone == batch
    assert products & {reason.column for reason in alone.reasons}
    told = to_json(run, VIEWS)["column_plan"]
    assert {f["name"] for f in told["formulas"]} == products
    assert "Columns were planned" in render_report(run, {})
