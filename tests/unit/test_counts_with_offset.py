"""Counts that grow with an exposure: fitted and judged by it, never learned from it, and asked for with every row."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import xgboost
from sklearn.linear_model import TweedieRegressor
from tests.predictions import predict_columns, predict_frame, predict_rows
from tests.searches import answers, searched
from tests.toy import Toy

from epic22.adapters.model_store import ModelStore
from epic22.api.problems import Problem
from epic22.api.requests import read_rows
from epic22.core.artifact.bundle import Bundle, open_bundle
from epic22.core.artifact.request_model import build_request_model
from epic22.core.data.examples import Examples
from epic22.core.data.feature_engineering import CategoryEncoding, FeatureRecipe
from epic22.core.data.folds import Fold, SplitRequest
from epic22.core.data.preprocess import Preprocessor
from epic22.core.errors import ColumnError, RowError, UserError
from epic22.core.evaluation.crossval import prepare_rows
from epic22.core.models.base import FoldData
from epic22.core.models.catalog import get_family
from epic22.core.models.learning_problem import LearningProblem
from epic22.core.models.loss import Loss
from epic22.core.models.offset import OffsetRegressor
from epic22.core.selection.budget import Budget
from epic22.core.task import Array, Column, Target, Task
from epic22.services.pipelines.rows import RowPipeline
from epic22.services.train import train
from epic22.services.tune import Tuning
from epic22.spec.flat_file import load_task_data
from epic22.spec.task_request import build_roles, refuse_contradictions
from epic22.spec.training_spec import TrainingSpec, build_spec

POISSON, TWEEDIE = Loss("poisson"), Loss("tweedie", power=1.5)


def policies(n: int = 400, seed: int = 0) -> pl.DataFrame:
    """Claims of policies insured for a month to five years; the years tell nothing of the rate."""
    rng = np.random.default_rng(seed)
    years, size = np.exp(rng.uniform(np.log(1 / 12), np.log(5), n)), rng.normal(size=n)
    kind = rng.choice(["a", "b"], n)
    claims = rng.poisson(years * np.exp(-0.4 + 0.7 * size + 0.5 * (kind == "b")))
    return pl.DataFrame({"size": size, "years": years, "kind": kind, "claims": claims})


def stored(folder: Path, frame: pl.DataFrame | None = None) -> Path:
    (policies() if frame is None else frame).write_csv(folder / "policies.csv")
    return folder / "policies.csv"


def asked(folder: Path, loss: str = "poisson", exposure: str | None = "years", **said: object) -> TrainingSpec:
    drop = () if exposure is not None else ("years",)
    return build_spec(csv=stored(folder), label="claims", drop=drop, offset=exposure, task="claims", loss=loss, **said)


def task(loss: Loss, offset: str | None = "years") -> Task:
    """A task over two numbers, the second the years."""
    from tests.toy import task as toy_task

    made = toy_task("regression", (Column("size", "float"), Column("years", "float")))
    target: Target = replace(made.target, loss=loss.name, power=loss.power, offset=offset)
    return replace(made, targets=(target,))


def counted(n: int, seed: int) -> tuple[Array, Array]:
    frame = policies(n, seed)
    return frame.select("size", "years").to_numpy().astype(np.float32), frame["claims"].to_numpy().astype(float)


@pytest.mark.slow
@pytest.mark.parametrize("loss", [POISSON, TWEEDIE], ids=["poisson", "tweedie"])
@pytest.mark.parametrize("name", ["linear", "boosting", "constant"])
def test_counts_of_rows_never_seen_are_told_better_with_their_exposure(name: str, loss: Loss) -> None:
    (X, y), (X_new, y_new) = counted(1500, 1), counted(1500, 2)
    inner = Fold(np.arange(1000), np.arange(1000, 1500))

    def lost(offset: str | None) -> float:
        model = get_family(name).build(LearningProblem.of(task(loss, offset)), seed=0, threads=1)
        return float(loss.compute_losses(y_new, model.fit(X, y, inner).predict(X_new)).mean())

    # Without it is an input like another, which trees follow in steps and a line of logarithms cannot follow at all.
    assert lost("years") < 0.97 * lost(None)


def test_the_trees_are_xgboosts_own_with_a_margin() -> None:
    X, y = counted(500, 3)
    made = get_family("boosting").build(LearningProblem.of(task(POISSON)), seed=0, threads=1, default_rounds=40)
    assert isinstance(made, OffsetRegressor)
    made.fit(X, y)
    years = X[:, 1].astype(np.float64)
    level = y.sum() / years.sum()
    start = xgboost.DMatrix(X[:, :1], base_margin=np.log(level * years), feature_types=["q"], enable_categorical=True)
    assert np.allclose(made.decision_function(X), made.model.booster_.predict(start, output_margin=True), atol=1e-4)


def test_linear_poisson_with_an_exposure_is_scikit_learns_of_rates_weighted_by_it() -> None:
    X, y = counted(500, 4)
    made = get_family("linear").build(LearningProblem.of(task(POISSON)), penalty=0.01).fit(X, y)
    years, Z = X[:, 1].astype(np.float64), (X[:, :1] - X[:, :1].mean()) / X[:, :1].std()
    level, mean = y.sum() / years.sum(), years.mean()
    # Its weights are normalised, ours are not: so is the penalty.
    theirs = TweedieRegressor(power=1.0, alpha=0.0001 / (level * mean), link="log", tol=1e-9, max_iter=3000)
    theirs.fit(Z, y / years, sample_weight=years)
    assert np.allclose(made.predict(X), theirs.predict(Z) * years, rtol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["linear", "boosting"])
def test_watched_rows_are_scored_as_ever(name: str) -> None:
    X, y = counted(400, 5)
    part = FoldData(X[:300], y[:300], X[300:], y[300:])
    for loss in (POISSON, TWEEDIE):
        made = get_family(name).build(LearningProblem.of(task(loss)), seed=0, threads=1)
        assert np.allclose(made.fit_with_validation(part), made.decision_function(X[300:]), atol=1e-4)
        part.cache.clear()


@pytest.mark.slow
def test_an_ensemble_adds_the_exposure_once_and_is_the_same_alone_stored_and_in_reasons(tmp_path: Path) -> None:
    assignment = load_task_data(asked(tmp_path))
    made = Toy(assignment.task, assignment.examples())
    found = searched(made, 6)
    model, X = found.fitted_fold.estimator, found.fitted_fold.preprocessor.transform(made.examples.X)
    raw, reasons = answers(found, made), model.shap_values(X)
    assert np.abs(reasons.sum(axis=1) - raw).max() < 1e-9
    place = [column.name for column in found.fitted_fold.preprocessor.outputs].index("years")
    assert np.allclose(reasons[:, place], np.log(made.examples.X["years"].to_numpy()), atol=1e-6)
    twice = X.copy()
    twice[:, place] *= 2
    assert np.allclose(model.predict(twice), 2 * model.predict(X), rtol=1e-6)
    again = get_family("ensemble").restore(model.files())
    assert (again.decision_function(X) == raw).all()
    assert again.files() == model.files()
    assert all(model.decision_function(X[row : row + 1])[0] == raw[row] for row in (0, 7, 399))


def test_a_trained_model_answers_for_the_exposure_that_it_is_asked_about(tmp_path: Path) -> None:
    store = ModelStore(tmp_path / "models")
    assignment = load_task_data(asked(tmp_path, families=("linear",)))
    assert "claims is predicted for each row's own years" in " ".join(assignment.notes)
    run = train(RowPipeline(assignment, SplitRequest(n_folds=3, repeats=1), threads=1, engineer=True), store)
    assert run.champion.family == "linear"
    assert run.column_plan is None  # of the exposure no columns are made
    bundle = open_bundle(store.folder("claims", run.version.version) / "bundle")
    assert isinstance(bundle, Bundle)
    row = {"size": 0.3, "years": 1.0, "kind": "b"}
    one, three = predict_rows(run.version, bundle, [row, {**row, "years": 3.0}])
    assert three.values[0].value == pytest.approx(3 * float(one.values[0].value), rel=1e-6)
    assert one.reasons[0].text == "the average over all rows, where years is 1"
    assert sum(reason.contribution for reason in three.reasons) == pytest.approx(three.score.value, abs=1e-9)
    assert any(reason.text == "years is 3: × 3" for reason in three.reasons)
    assert predict_frame(run.version, bundle, pl.DataFrame([row]))[0].receipt == one.receipt
    both = pl.DataFrame([row, {**row, "years": 3.0}])
    assert predict_columns(bundle, both).response.tolist() == [one.values[0].value, three.values[0].value]
    for wrong, said in ((None, "missing"), (0.0, "0,"), (-2.0, "-2,")):
        with pytest.raises(RowError, match=f"row 1: the exposure 'years' is {said}.*above zero"):
            predict_rows(run.version, bundle, [{**row, "years": wrong}])
        with pytest.raises(RowError, match=f"row 2: the exposure 'years' is {said}.*above zero"):
            predict_columns(bundle, both.with_columns(years=pl.Series([1.0, wrong])))
    _refused_by_the_api(bundle)


def _refused_by_the_api(bundle: Bundle) -> None:
    body = build_request_model(bundle.schema)
    assert read_rows(body, b'{"rows": [{"size": 1.0, "years": 0.5, "kind": "a"}]}')[0]["years"] == 0.5
    for sent, said in (("0", "must be above 0"), ("null", "must be a number"), ("-1.5", "must be above 0")):
        with pytest.raises(Problem, match=f"/rows/0/years: {said}"):
            read_rows(body, f'{{"rows": [{{"size": 1.0, "years": {sent}, "kind": "a"}}]}}'.encode())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (pl.lit(0.0), "zero or below in 400 rows, first 0.0 in labelled row 1"),
        (pl.when(pl.int_range(400) == 6).then(None).otherwise("years"), "in 1 rows, first None in labelled row 7"),
        (pl.lit("long"), "holds no numbers"),
    ],
)
def test_an_exposure_that_is_none_is_refused(tmp_path: Path, change: pl.Expr, said: str) -> None:
    path = stored(tmp_path, policies().with_columns(years=change))
    with pytest.raises(ColumnError, match=rf"--offset years: .*{said}"):
        load_task_data(build_spec(csv=path, label="claims", offset="years", loss="poisson"))


def test_what_cannot_add_an_exposure_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ColumnError, match="--offset years: goes with --loss poisson or tweedie"):
        load_task_data(asked(tmp_path, loss="squared"))
    with pytest.raises(ColumnError, match="families: lightgbm cannot add --offset"):
        load_task_data(asked(tmp_path, families=("lightgbm",)))
    with pytest.raises(ColumnError, match="uses 'years', which is the offset"):
        load_task_data(asked(tmp_path, formula=("each = size / years",)))
    with pytest.raises(ColumnError, match="label and offset at once"):
        load_task_data(asked(tmp_path, exposure="claims"))
    wanted = {"csv": stored(tmp_path), "label": "claims", "offset": "years", "loss": "poisson", "trials": 3}
    assert build_roles(build_spec(**wanted)).offset == "years"
    for search, option in (
        ({"engineer": True}, "--engineer"),
        ({"row_ms": 1.0}, "--row-ms"),
        ({"search_family": ("catboost",)}, "--search-family catboost"),
    ):
        with pytest.raises(UserError, match=f"{option} cannot go with --offset years"):
            refuse_contradictions(build_spec(**wanted, **search))


def test_a_search_tries_only_families_that_can_add_an_exposure() -> None:
    assert [family.name for family in Tuning(Budget(1)).list_families(task(POISSON))] == ["linear", "boosting"]
    named = Tuning(Budget(1), families=("linear", "boosting", "lightgbm", "catboost"))
    with pytest.raises(ColumnError, match="--search-family lightgbm cannot add --offset years; leave one of them out"):
        named.list_families(task(POISSON))
    assert len(named.list_families(task(POISSON, None))) == 4


def test_the_exposure_is_part_of_the_datas_version(tmp_path: Path) -> None:
    assert load_task_data(asked(tmp_path)).data_version.id != load_task_data(asked(tmp_path, exposure=None)).data_version.id


def test_means_of_labels_stay_out_of_fold_beside_an_exposure_that_is_large_beside_its_spread() -> None:
    n, rng = 300, np.random.default_rng(0)
    days, streets = 365.2 + 1e-6 * rng.integers(0, 9, n), [f"street {i % 100}" for i in range(n)]
    X = pl.DataFrame({"size": rng.normal(size=n), "days": days, "street": streets})
    made = replace(
        task(POISSON, "days"), columns=(Column("size", "float"), Column("days", "float"), Column("street", "category"))
    )
    y, at = rng.poisson(1.0, n).astype(float), np.full(n, np.datetime64(0, "us"))
    part = Examples(X, y[:, None], np.arange(n).astype(str), at, "v0")
    folds = [(np.flatnonzero(np.arange(n) % 3 != i), np.flatnonzero(np.arange(n) % 3 == i)) for i in range(3)]
    recipe = FeatureRecipe(encodings=(CategoryEncoding("street", "target", 1),))
    prepared = prepare_rows(made, part, recipe, folds)
    _, honest = Preprocessor.fit_transform(made.input_columns, X, y, folds, recipe=recipe)
    np.testing.assert_array_equal(prepared.X[:, 3], honest[:, 3])
    np.testing.assert_array_equal(prepared.X[:, 1], days.astype(np.float32))
    np.testing.assert_array_equal(prepared.preprocessor.transform(X)[:, :3], prepared.X[:, :3])
