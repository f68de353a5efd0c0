"""Losses, the scale of logarithms, and what the command line makes of them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from sklearn.linear_model import QuantileRegressor, TweedieRegressor
from sklearn.metrics import mean_pinball_loss, mean_poisson_deviance, mean_tweedie_deviance, root_mean_squared_log_error
from tests.predictions import predict_rows
from tests.toy import toy

from epic22.adapters.model_store import ModelStore
from epic22.core.artifact.bundle import Bundle, open_bundle
from epic22.core.data.folds import Fold, SplitRequest
from epic22.core.data.split import plan_folds
from epic22.core.errors import ColumnError, UserError
from epic22.core.evaluation import metrics
from epic22.core.evaluation.bootstrap import compute_replicates, draw_cluster_counts
from epic22.core.evaluation.metrics import METRICS, MeanLoss, choose_metric, list_metrics
from epic22.core.evaluation.predictions import ClusteredPredictions
from epic22.core.experiment import Experiment
from epic22.core.models.linear import Linear
from epic22.core.models.loss import Loss
from epic22.core.models.target_transform import LogTargetRegressor
from epic22.core.models.value_scale import EXPONENTIAL, ValueScale, estimate_smearing, fit_smearing_scale
from epic22.core.models.xgboost import XGBoostEstimator
from epic22.core.selection.target_transform import choose_log_target, compute_log_gain
from epic22.core.serialization import to_json
from epic22.core.task import Array, Metric, RowMetadata
from epic22.reports.json import VIEWS
from epic22.services.pipelines.rows import RowPipeline
from epic22.services.train import train
from epic22.spec.flat_file import load_task_data
from epic22.spec.task_request import parse_loss, refuse_contradictions
from epic22.spec.training_spec import TrainingSpec, apply_options, build_spec


def scattered(n: int, uneven: bool, seed: int = 0) -> tuple[Array, Array, Array]:
    """True mean logarithms, their scatter, and labels of log-normal rows."""
    rng = np.random.default_rng(seed)
    raw = rng.uniform(3, 8, n)
    sigma = np.where(uneven, 0.2 + 0.16 * (raw - 3), 0.6)
    return raw, sigma, np.exp(raw + sigma * rng.normal(size=n))


def test_losses_are_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    y, value, weight = rng.poisson(2.0, 200).astype(float), rng.gamma(2.0, 1.0, 200), rng.uniform(size=200)
    rows = RowMetadata(weight=weight)
    assert MeanLoss(Loss("poisson"))(y, value, rows) == pytest.approx(mean_poisson_deviance(y, value, sample_weight=weight))
    assert MeanLoss(Loss("tweedie", power=1.7))(y, value, rows) == pytest.approx(
        mean_tweedie_deviance(y, value, sample_weight=weight, power=1.7)
    )
    assert MeanLoss(Loss("quantile", 0.9))(y, value, rows) == pytest.approx(
        mean_pinball_loss(y, value, sample_weight=weight, alpha=0.9)
    )
    assert MeanLoss(Loss("tweedie", power=2.0))(y + 1, value) == pytest.approx(mean_tweedie_deviance(y + 1, value, power=2))
    log = metrics.root_mean_squared_log_error(y + 1, value + 1, rows)
    assert log == pytest.approx(root_mean_squared_log_error(y, value, sample_weight=weight))  # theirs adds one to both
    assert np.isnan(metrics.root_mean_squared_log_error(y, value))


@pytest.mark.parametrize("loss", [Loss("quantile", 0.7), Loss("poisson"), Loss("tweedie", power=1.4), Loss("absolute")])
def test_the_constant_of_a_loss_is_the_one_with_the_least_loss(loss: Loss) -> None:
    y = np.random.default_rng(1).poisson(3.0, 501) + 0.01 * np.arange(501)
    best = loss.compute_losses(y, np.full(501, loss.fit_constant(y))).mean()
    assert all(loss.compute_losses(y, np.full(501, other)).mean() >= best - 1e-9 for other in np.linspace(0.5, 8, 60))


def test_what_decides_follows_the_loss_and_stands_first() -> None:
    target = toy("regression").task.target
    assert list_metrics(target) == METRICS["regression"]
    for loss in (Loss("absolute"), Loss("quantile", 0.9), Loss("poisson"), Loss("tweedie")):
        metric = choose_metric("regression", loss)
        asked = replace(target, loss=loss.name, metric=metric)
        assert list_metrics(asked)[0] is metric
        others = {m.name for m in METRICS["regression"] if not (loss.log_link and "percentage" in m.name)}
        assert {m.name for m in list_metrics(asked)} == {metric.name} | others
    assert list_metrics(replace(target, log=True))[-1].name == "root_mean_squared_log_error"


def test_many_draws_of_a_loss_equal_it_draw_by_draw() -> None:
    rng = np.random.default_rng(2)
    part = ClusteredPredictions(rng.poisson(2.0, 80) + 0.5, rng.gamma(2.0, 1.0, 80), rng.integers(0, 9, 80))
    measured = [
        Metric("pinball", MeanLoss(Loss("quantile", 0.2)), False, "value"),
        metrics.MEAN_POISSON_DEVIANCE,
        metrics.ROOT_MEAN_SQUARED_LOG_ERROR,
    ]
    part = ClusteredPredictions(part.y, part.response, np.unique(part.cluster, return_inverse=True)[1])
    found = compute_replicates(measured, [part], 12, 0)
    times = np.concatenate(list(draw_cluster_counts(part.cluster.max() + 1, 12, 0, 80)))
    for metric, values in zip(measured, found, strict=True):
        expected = [metric.score(part.y, part.response, RowMetadata(weight=t[part.cluster])) for t in times]
        assert np.allclose(values[:, 0], expected)


@pytest.mark.filterwarnings("error")
def test_counts_that_are_all_zero_in_a_part_have_the_mean_0_and_warn_nobody() -> None:
    X = np.arange(40, dtype=np.float32).reshape(20, 2)
    trees = XGBoostEstimator("regression", (False, False), loss=Loss("poisson"))
    assert np.allclose(trees.fit(X, np.zeros(20)).predict(X), 0.0, atol=1e-6)


def test_linear_poisson_and_tweedie_are_scikit_learns() -> None:
    rng = np.random.default_rng(3)
    X = rng.normal(size=(300, 2)).astype(np.float32)
    y = rng.poisson(np.exp(0.5 + X @ [0.6, -0.4])).astype(float)
    for loss in (Loss("poisson"), Loss("tweedie", power=1.6)):
        ours = Linear("regression", (False, False), penalty=3.0, loss=loss).fit(X, y)
        Z = (X - X.mean(axis=0)) / X.std(axis=0)
        power = 1.0 if loss.name == "poisson" else 1.6
        theirs = TweedieRegressor(power=power, alpha=0.03, link="log", tol=1e-9, max_iter=2000).fit(Z, y / y.mean())
        assert np.allclose(ours.predict(X), theirs.predict(Z) * y.mean(), rtol=1e-4)


def test_linear_quantiles_are_those_of_linear_programming() -> None:
    rng = np.random.default_rng(4)
    X = rng.normal(size=(200, 2)).astype(np.float32)
    y = X @ [1.0, -2.0] + rng.exponential(size=200)
    ours = Linear("regression", (False, False), penalty=1e-6, loss=Loss("quantile", 0.8)).fit(X, y)
    theirs = QuantileRegressor(quantile=0.8, alpha=0.0).fit(X, y)
    assert Loss("quantile", 0.8).compute_losses(y, ours.predict(X)).mean() == pytest.approx(
        Loss("quantile", 0.8).compute_losses(y, theirs.predict(X)).mean(), rel=2e-3
    )


def test_smearing_gives_the_mean_back_where_the_exponential_alone_is_too_low() -> None:
    raw, _, y = scattered(4000, uneven=False)
    scale = fit_smearing_scale(raw, y)
    assert np.exp(raw).mean() < 0.9 * y.mean()
    assert scale(raw).mean() == pytest.approx(y.mean(), rel=0.03)
    assert len(scale.shifts) == 1
    assert scale.shifts[0] == pytest.approx(0.6**2 / 2, abs=0.03)


def test_thirds_are_taken_where_the_scatter_grows_with_the_prediction() -> None:
    raw, sigma, y = scattered(6000, uneven=True)
    scale = fit_smearing_scale(raw, y)
    assert len(scale.shifts) == 3
    truth = np.exp(raw + sigma**2 / 2)
    one = estimate_smearing(np.sort(raw), y[np.argsort(raw)], 1)
    assert np.mean(np.abs(scale(raw) / truth - 1)) < 0.5 * np.mean(np.abs(one(raw) / truth - 1))


def test_few_rows_have_one_factor_and_the_scale_comes_back_from_json() -> None:
    raw, _, y = scattered(40, uneven=True)
    scale = fit_smearing_scale(raw, y)
    assert len(scale.shifts) == 1
    assert ValueScale.from_state(to_json(scale)) == scale
    assert np.array_equal(EXPONENTIAL(raw), np.exp(raw))


@pytest.mark.slow
def test_the_factor_is_that_of_held_out_residuals_not_of_the_rows_it_learned() -> None:
    """Trees that fit their own rows closely leave residuals that are far too small."""
    rng = np.random.default_rng(6)
    X = rng.normal(size=(400, 6)).astype(np.float32)
    y = np.exp(4 + 0.3 * X[:, 0] + 0.7 * rng.normal(size=400))
    overfitted = XGBoostEstimator("regression", (False,) * 6, default_rounds=150, learning_rate=0.2, min_child_weight=1.0)
    model = LogTargetRegressor(overfitted).fit(X, y)
    own = float(np.log(np.mean(np.exp(np.log(y) - model.decision_function(X)))))
    assert own < 0.05
    assert model.value_scale_.shifts[0] > 0.2  # 0.7² / 2 and the error of the trees


def test_a_tweedie_model_does_not_depend_on_the_currency() -> None:
    rng = np.random.default_rng(7)
    X = rng.normal(size=(300, 3)).astype(np.float32)
    y = np.where(rng.uniform(size=300) < 0.5, 0.0, rng.gamma(2.0, np.exp(X[:, 0])))
    made = [
        XGBoostEstimator("regression", (False,) * 3, default_rounds=30, loss=Loss("tweedie", power=1.5)).fit(X, y * k)
        for k in (1, 4096)
    ]
    assert np.allclose(made[1].predict(X), 4096 * made[0].predict(X), rtol=1e-4)


@pytest.mark.slow
def test_the_power_is_found_on_the_inner_fold() -> None:
    rng = np.random.default_rng(8)
    X = rng.normal(size=(600, 2)).astype(np.float32)
    y = rng.gamma(0.7, np.exp(X[:, 0])) * (rng.uniform(size=600) < 0.9)
    inner = Fold(np.arange(450), np.arange(450, 600))
    for model in (
        XGBoostEstimator("regression", (False, False), rounds=30, loss=Loss("tweedie")),
        Linear("regression", (False, False), loss=Loss("tweedie")),
    ):
        model.fit(X, y, inner)
        assert model.power_ in (1.2, 1.5, 1.8)
        assert model.best_params()["loss"] == replace(model.loss, power=model.power_)


def test_the_log_is_settled_by_what_is_better_held_out() -> None:
    made = toy("regression", 500)
    y = np.exp((made.examples.y - 10) / 2)
    examples, task = replace(made.examples, Y=y[:, None]), replace(made.task, families=("constant", "linear"))
    plan = plan_folds(examples, "regression", SplitRequest(repeats=1))
    asking = replace(task, targets=(replace(task.target, log=None),))
    settled, notes = choose_log_target(Experiment(asking, examples, plan))
    assert settled.target.log is True
    assert "by its logarithm" in notes[0]
    assert notes[0].endswith("without; errors beyond nine in ten counted by their size.")
    straight = replace(made.examples, Y=np.maximum(made.examples.y, 0.1)[:, None])
    assert choose_log_target(Experiment(asking, straight, plan))[0].target.log is False
    zeros = replace(made.examples, Y=np.where(y < 1, 0.0, y)[:, None])
    settled, notes = choose_log_target(Experiment(asking, zeros, plan))
    assert settled.target.log is False
    assert "0 or less" in notes[0]
    narrow = replace(made.examples, Y=(10 + y / y.max())[:, None])
    settled, notes = choose_log_target(Experiment(asking, narrow, plan))
    assert settled.target.log is False
    assert "less than 10-fold" in notes[0]
    assert choose_log_target(Experiment(task, examples, plan)) == (task, ())
    settled, notes = choose_log_target(Experiment(replace(asking, families=("constant",)), examples, plan))
    assert settled.target.log is False
    assert "only baselines" in notes[0]


def test_a_few_enormous_labels_do_not_settle_the_log() -> None:
    y = np.exp(np.random.default_rng(3).normal(size=200))
    logged, plain = y * 1.02, y * 1.6
    y[:2] = plain[:2] = 30.0
    target = replace(toy("regression", 100).task.target, log=None)
    assert target.metric.gain(*(target.metric.score(y, response, RowMetadata()) for response in (logged, plain))) < 0
    assert compute_log_gain(target, y, plain, logged) > 0


@pytest.mark.parametrize(
    ("label", "options", "log"),
    [
        ("paid", {}, None),
        ("paid", {"log": "auto", "loss": "absolute"}, None),
        ("paid", {"log": "no"}, False),
        ("paid", {"log": "yes"}, True),
        ("paid", {"loss": "absolute"}, False),
        ("paid", {"loss": "tweedie"}, False),
        ("late", {}, False),
    ],
)
def test_the_log_of_values_is_tried_unless_something_else_is_said(
    tmp_path: Path, label: str, options: dict[str, object], log: bool | None
) -> None:
    assert load_task_data(build_spec(csv=claims(tmp_path), label=label, **options)).task.target.log is log


def claims(folder: Path, n: int = 240) -> Path:
    rng = np.random.default_rng(9)
    size = rng.normal(size=n)
    path = folder / "claims.csv"
    pl.DataFrame(
        {
            "size": size,
            "kind": np.array(["a", "b"])[rng.integers(0, 2, n)],
            "number": rng.poisson(np.exp(size)),
            "paid": np.exp(8 + size + 0.5 * rng.normal(size=n)).round(2),
            "change": rng.normal(size=n).round(3),
            "late": np.array(["yes", "no"])[rng.integers(0, 2, n)],
        }
    ).write_csv(path)
    return path


@pytest.mark.parametrize(
    ("label", "options", "said"),
    [
        ("late", {"loss": "poisson"}, "holds text"),
        ("change", {"loss": "poisson"}, "values below zero"),
        ("change", {"log": "yes"}, "no logarithm"),
        ("number", {"log": "yes"}, "no logarithm"),
        ("number", {"loss": "tweedie", "log": "yes"}, "already"),
        ("late", {"kind": "binary", "log": "yes"}, "go with values"),
    ],
)
def test_a_loss_that_does_not_go_with_the_label_is_refused(
    tmp_path: Path, label: str, options: dict[str, object], said: str
) -> None:
    with pytest.raises(ColumnError, match=said):
        load_task_data(build_spec(csv=claims(tmp_path), label=label, **options))


def test_a_loss_makes_counts_values_and_is_said_in_the_notes(tmp_path: Path) -> None:
    assignment = load_task_data(build_spec(csv=claims(tmp_path), label="number", loss="poisson"))
    target = assignment.task.target
    assert (target.kind, target.loss, target.metric.name) == ("regression", "poisson", "mean_poisson_deviance")
    assert any("Poisson deviance" in note for note in assignment.notes)


@pytest.mark.parametrize(("text", "loss"), [("quantile:0.9", Loss("quantile", 0.9)), ("tweedie:1.5", Loss("tweedie", power=1.5))])
def test_a_loss_is_written_with_its_figure(text: str, loss: Loss) -> None:
    assert parse_loss(text) == loss
    assert parse_loss("tweedie") == Loss("tweedie")


@pytest.mark.parametrize("text", ["quantile", "quantile:1.2", "quantile:x", "tweedie:2", "poisson:3", "huber"])
def test_an_unknown_loss_is_refused_with_what_there_is(text: str) -> None:
    with pytest.raises(UserError, match="--loss"):
        parse_loss(text)
    with pytest.raises(UserError, match="--log"):
        refuse_contradictions(apply_options(TrainingSpec(), {"csv": Path("t.csv"), "label": "y", "log": text}))


@pytest.mark.slow
def test_a_log_model_is_trained_stored_and_explained_in_multiples(tmp_path: Path) -> None:
    store = ModelStore(tmp_path / "models")
    assignment = load_task_data(build_spec(csv=claims(tmp_path), label="paid", drop=("number",), task="paid", log="yes"))
    assignment = replace(assignment, task=replace(assignment.task, families=("constant", "linear")))
    run = train(RowPipeline(assignment, SplitRequest(repeats=1), threads=1), store)
    assert to_json(run, VIEWS)["loss"] == {"name": "squared", "log": True, "metric": "root_mean_squared_error"}
    assert run.champion.family == "linear"
    bundle = open_bundle(store.folder("paid", run.version.version) / "bundle")
    assert isinstance(bundle, Bundle)
    answer = predict_rows(run.version, bundle, [{"size": 2.0, "kind": "a"}])[0]
    told = to_json(answer, VIEWS)
    assert told["score"]["unit"] == "log of paid"
    assert sum(reason.contribution for reason in answer.reasons) == pytest.approx(answer.score.value, abs=1e-9)
    assert any("× " in reason.text for reason in answer.reasons)
    assert answer.values[0].value == pytest.approx(np.exp(answer.score.value + bundle.estimator.value_scale_.shifts[0]), rel=0.2)  # type: ignore[attr-defined]
    value = answer.values[0].value
    assert isinstance(value, float)
    assert value == pytest.approx(np.exp(10.0 + 0.125), rel=0.25)
