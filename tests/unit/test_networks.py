"""Networks for rows: what they learn, how they are kept, and that they answer without what trained them."""

import copy
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.absent_libraries import WITHOUT_TRAINING_STACK
from tests.toy import toy

from epic22.core.data.folds import Fold
from epic22.core.data.preprocess import Preprocessor
from epic22.core.errors import InternalError
from epic22.core.models.catalog import get_family
from epic22.core.models.ensemble import Ensemble, Member
from epic22.core.models.learning_problem import LearningProblem
from epic22.core.models.loss import Loss, list_quantile_levels
from epic22.core.models.networks import graph_memory
from epic22.core.models.networks.estimator import NetworkEstimator
from epic22.core.models.networks.graph_memory import GraphMemory
from epic22.core.models.networks.graph_session import GraphSession
from epic22.core.models.networks.integrated_gradients import TOLERANCE
from epic22.core.models.networks.jobs import NetworkRows, TrainingJob, TrainingSettings
from epic22.core.models.networks.specification import MlpLayers, NetworkColumns, NetworkSpec
from epic22.core.models.networks.training_process import TrainingProcess, train_network_rows
from epic22.core.task import Array, Kind, LossName

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.slow

Weights = Mapping[str, Array]
SMALL: dict[str, Any] = {"width": 16, "members": 2, "embedding": 4, "n_bins": 8, "depth": 1, "epochs": 6, "default_epochs": 3}
SPEC = NetworkSpec(
    NetworkColumns((0, 1), (2,), (3,)), MlpLayers(n_bins=8, embedding=4, width=16, depth=1, members=2), 1, "log_odds"
)


def draw_rows(n: int = 300, seed: int = 0) -> tuple[Array, Array]:
    """Two numbers and a category of three levels, some missing, and two classes that depend on all of them."""
    rng = np.random.default_rng(seed)
    X = np.column_stack([rng.normal(size=n), rng.exponential(size=n), rng.integers(0, 3, n)]).astype(np.float32)
    score = 2 * X[:, 0] - X[:, 1] + 1.5 * (X[:, 2] == 1)
    X[rng.random(n) < 0.1, 0] = np.nan
    return X, (score + rng.logistic(size=n) > 0).astype(np.float64)


def build_mlp(kind: Kind = "binary", categorical: tuple[bool, ...] = (False, False, True), **params: Any) -> NetworkEstimator:
    """An unfitted perceptron for columns of these types."""
    names = tuple(f"x{j}" for j in range(len(categorical)))
    return NetworkEstimator.of(LearningProblem(kind, names, categorical, n_classes=2), **params)


def fit_small(kind: Kind = "binary") -> tuple[NetworkEstimator, Array]:
    """A small network on a toy's rows, and their matrix."""
    made = toy(kind, 300)
    X = Preprocessor.fit(made.task.input_columns, made.examples.X).transform(made.examples.X)
    estimator = NetworkEstimator.of(LearningProblem.of(made.task), seed=1, **SMALL)
    return estimator.fit(X, made.examples.y), X


def test_a_stored_network_answers_and_explains_without_what_trained_it(tmp_path: Path) -> None:
    estimator, X = fit_small()
    for name, content in estimator.files().items():
        (tmp_path / name).write_bytes(content)
    np.save(tmp_path / "rows.npy", X[:5])
    script = """
from pathlib import Path
import numpy as np
from epic22.core.models.catalog import get_family
folder = Path(sys.argv[1])
model = get_family("mlp").restore({p.name: p.read_bytes() for p in folder.iterdir() if p.suffix in (".onnx", ".json")})
X = np.load(folder / "rows.npy")
np.save(folder / "score.npy", model.decision_function(X))
np.save(folder / "parts.npy", model.shap_values(X))
"""
    subprocess.run([sys.executable, "-c", WITHOUT_TRAINING_STACK + script, str(tmp_path)], check=True)
    assert np.array_equal(np.load(tmp_path / "score.npy"), estimator.decision_function(X[:5]))
    assert np.array_equal(np.load(tmp_path / "parts.npy"), estimator.shap_values(X[:5]))


@pytest.mark.parametrize(
    ("absent", "act", "extra"),
    [("torch", "model.fit(X, y)", "neural"), ("onnxruntime", "model.fit(X, y).decision_function(X)", "neural-serve")],
)
def test_a_missing_library_is_named_with_what_installs_it(absent: str, act: str, extra: str) -> None:
    script = f"""
import sys
sys.modules[{absent!r}] = None
import numpy as np
from epic22.core.errors import NotInstalledError
from epic22.core.models.catalog import get_family
from epic22.core.models.learning_problem import LearningProblem
X, y = np.zeros((20, 1), np.float32), np.arange(20) % 2
problem = LearningProblem("binary", ("x",), (False,), n_classes=2)
model = get_family("mlp").build(problem, default_epochs=1, members=1, width=4)
try:
    {act}
except NotInstalledError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert f"{absent!r} is not installed; pip install 'epic22[{extra}]'" in done.stdout


def test_the_command_line_starts_without_pytorch() -> None:
    script = "import sys, epic22.cli.main, epic22.core.models.catalog; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout == "False\n"


@pytest.mark.parametrize("kind", ["binary", "multiclass", "regression"])
def test_reasons_sum_to_the_score_but_for_the_integral(kind: Kind) -> None:
    estimator, X = fit_small(kind)
    scores, parts = estimator.decision_function(X), estimator.shap_values(X)
    assert parts.shape == (*scores.shape, X.shape[1] + 1)
    unit = estimator.spread_ if kind == "regression" else 1.0
    missing, way = np.abs(parts.sum(axis=-1) - scores) / unit, np.abs(scores - parts[..., -1]) / unit
    assert (missing <= TOLERANCE * np.maximum(1, way)).mean() > 0.95
    assert np.abs(missing).max() < 0.015 * np.ptp(scores / unit)


def test_a_class_alone_is_explained_as_it_is_among_all_of_them() -> None:
    estimator, X = fit_small("multiclass")
    likeliest = estimator.decision_function(X[:5]).argmax(axis=1)
    shares = np.eye(3)[likeliest]
    values, alone = estimator.shap_values(X[:5]), estimator.explain_outputs(X[:5], shares)
    assert np.array_equal(alone, values[np.arange(5), likeliest])
    both = Ensemble("multiclass", (Member("mlp", 0.25, estimator), Member("mlp", 0.75, estimator)))
    assert both.explain_outputs(X[:5], shares) == pytest.approx(alone)


def test_a_column_that_nothing_depends_on_adds_little() -> None:
    X, y = draw_rows(600)
    noise = np.random.default_rng(1).normal(size=(600, 1)).astype(np.float32)
    estimator = build_mlp(categorical=(False, False, True, False), **{**SMALL, "default_epochs": 10})
    sizes = np.abs(estimator.fit(np.hstack([X, noise]), y).shap_values(np.hstack([X, noise])[:200])).mean(axis=0)
    assert sizes[3] < 0.5 * sizes[:3].min()


def test_the_epoch_that_was_best_on_the_inner_fold_is_trained_for_on_all_rows() -> None:
    X, y = draw_rows()
    estimator = build_mlp(**SMALL)
    estimator.fit(X, y, Fold(np.arange(200), np.arange(200, 300)))
    assert 1 <= estimator.epochs_ <= SMALL["epochs"]
    assert estimator.best_params() == {"default_epochs": estimator.epochs_}
    again = build_mlp(**{**SMALL, **estimator.best_params()}).fit(X, y)
    assert again.files() == estimator.files()


def build_job(epochs: int = 3, seed: int = 0, patience: int = 8) -> TrainingJob:
    return TrainingJob(SPEC, "binary", Loss(), TrainingSettings(epochs, 64, patience=patience, seed=seed), 1)


def test_what_the_best_epoch_had_is_what_is_kept() -> None:
    from epic22.core.models.networks.training import train

    X, y = draw_rows()
    rows, validation = NetworkRows(X[:200], y[:200]), NetworkRows(X[200:], 1 - y[200:])
    trained = train(build_job(10, patience=2), rows, validation)
    # Labels turned round are foretold worse by every epoch, so the first one is kept.
    assert trained.best_epochs == 1 + int(np.argmin(trained.losses))
    assert len(trained.losses) == trained.best_epochs + 2
    assert train(build_job(trained.best_epochs), rows).score_graph == trained.score_graph


def test_a_training_ends_after_the_epoch_in_which_its_time_was_over() -> None:
    from epic22.core.models.networks.training import train

    X, y = draw_rows()
    assert train(build_job(50), NetworkRows(X, y), expired=lambda: True).best_epochs == 1


def test_another_seed_gives_another_network_and_leaves_random_numbers_of_others_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    from epic22.core.models.networks.training import train

    X, y = draw_rows()
    monkeypatch.setattr(graph_memory, "GRAPHS", GraphMemory())
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    first, second = train(build_job(1), NetworkRows(X, y)), train(build_job(1, seed=1), NetworkRows(X, y))
    assert first.score_graph != second.score_graph
    assert torch.equal(before, torch.random.get_rng_state())


def test_a_graph_that_scores_otherwise_than_the_trained_network_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    from epic22.core.models.networks import training
    from epic22.core.models.networks.onnx_graph import bind_weights

    def bend(graph: bytes, weights: Weights) -> bytes:
        return bind_weights(graph, {**weights, "stack.head": weights["stack.head"] * 1.001})

    monkeypatch.setattr(training, "bind_weights", bend)
    X, y = draw_rows()
    with pytest.raises(InternalError, match="otherwise than the trained network, expected 1e-05 at most"):
        training.train(build_job(2), NetworkRows(X, y))


def test_log_odds_far_out_are_those_of_the_network_in_the_graph_too() -> None:
    """Broken once: by the logarithm of onnxruntime's sigmoid a graph answered to four digits at -8, and to none beyond -17."""
    from epic22.core.models.networks.architecture import build_network
    from epic22.core.models.networks.onnx_graph import bind_weights, export_score_graph, simplify_spec

    network, (X, _) = build_network(SPEC).eval(), draw_rows(20)
    with torch.no_grad():
        network.stack.head_bias -= 25
        raw = network(torch.from_numpy(X)).double()
    weights = {name: value.detach().numpy() for name, value in network.state_dict().items()}
    scores = GraphSession(bind_weights(export_score_graph(simplify_spec(SPEC)), weights)).run(X)
    up, down = (torch.nn.functional.logsigmoid(sign * raw).logsumexp(1) for sign in (1, -1))
    assert np.abs(scores - (up - down).numpy()).max() < 1e-5


def test_threads_that_train_at_once_get_what_each_gets_alone() -> None:
    X, y = draw_rows()
    rows, jobs = NetworkRows(X, y), [build_job(2, seed) for seed in range(4)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda job: train_network_rows(job, rows, None, lambda: False), jobs))
    assert together == [train_network_rows(job, rows, None, lambda: False) for job in jobs]


def test_a_process_of_its_own_trains_the_same_network_and_raises_what_went_wrong_in_it() -> None:
    from epic22.core.models.networks.training import train

    X, y = draw_rows()
    process = TrainingProcess()
    rows = NetworkRows(X, y)
    assert process.train(build_job(2), rows, None, lambda: False) == train(build_job(2), rows)
    assert process.train(build_job(2000), rows, None, lambda: True).best_epochs < 2000
    with pytest.raises(KeyError, match="guess"):
        process.train(replace(build_job(), objective="guess"), rows, None, lambda: False)
    assert process.train(build_job(2), rows, None, lambda: False) == train(build_job(2), rows)


def test_a_level_or_a_value_never_seen_is_answered_as_one_that_is_missing() -> None:
    X, y = draw_rows()
    estimator = build_mlp(**SMALL).fit(X, y)
    row = X[:1].copy()
    unseen, missing = row.copy(), row.copy()
    unseen[0, 2], missing[0, 2] = 7, np.nan
    assert np.array_equal(estimator.decision_function(unseen), estimator.decision_function(missing))
    row[0, 0] = 1e30
    assert np.isfinite(estimator.decision_function(row)).all()


def test_a_label_far_from_zero_is_learned_as_one_near_it() -> None:
    X, _ = draw_rows()
    y = X[:, 1].astype(np.float64)
    near = build_mlp("regression", **SMALL).fit(X, y).decision_function(X)
    far = build_mlp("regression", **SMALL).fit(X, 1e6 + 1000 * y).decision_function(X)
    assert (far - 1e6) / 1000 == pytest.approx(near, abs=1e-3)


@pytest.mark.parametrize(
    ("name", "quantile"), [("squared", 0.5), ("absolute", 0.5), ("quantile", 0.8), ("poisson", 0.5), ("tweedie", 0.5)]
)
def test_the_constant_with_the_least_loss_is_that_of_the_loss_itself(name: LossName, quantile: float) -> None:
    from epic22.core.models.networks.losses import OUTPUT_LOSSES

    loss = Loss(name, quantile)
    y = np.random.default_rng(0).poisson(2.0, 4001).astype(np.float64) + (0.0 if loss.log_link else 0.5)
    y = y if loss.log_link else y + np.random.default_rng(1).uniform(0, 0.5, 4001)
    constants = np.linspace(0.2, 6, 581)
    levels = list_quantile_levels(loss)
    # Several quantiles are learned at once: all but the asked one are where they should be.
    outputs = torch.tensor(np.quantile(y, levels) if levels else [0.0]).repeat(len(y), 1)
    losses = []
    for raw in np.log(constants) if loss.log_link else constants:
        outputs[:, levels.index(loss.quantile) if levels else 0] = raw
        losses.append(float(OUTPUT_LOSSES[name](loss)(outputs, torch.tensor(y)).mean()))
    assert constants[int(np.argmin(losses))] == pytest.approx(loss.fit_constant(y), abs=0.02)


@pytest.mark.parametrize("name", ["poisson", "tweedie"])
def test_counts_are_predicted_by_their_logarithm_near_their_mean(name: LossName) -> None:
    X, _ = draw_rows(600)
    y = np.random.default_rng(2).poisson(np.exp(0.5 * np.nan_to_num(X[:, 0]))).astype(np.float64)
    estimator = build_mlp("regression", loss=Loss(name), **{**SMALL, "default_epochs": 15}).fit(X, y)
    assert estimator.predict(X) == pytest.approx(np.exp(estimator.decision_function(X)))
    assert estimator.predict(X).mean() == pytest.approx(y.mean(), rel=0.15)
    again = get_family("mlp").restore(estimator.files())
    assert np.array_equal(again.predict(X), estimator.predict(X))


def test_an_ensemble_with_a_network_answers_as_its_members_do_and_is_restored() -> None:
    network, X = fit_small()
    made = toy("binary", 300)
    line = get_family("linear").build(LearningProblem.of(made.task)).fit(X, made.examples.y)
    ensemble = Ensemble("binary", (Member("mlp", 0.25, network), Member("linear", 0.75, line)))
    expected = 0.25 * network.decision_function(X) + 0.75 * line.decision_function(X)
    assert ensemble.decision_function(X) == pytest.approx(expected)
    again = get_family("ensemble").restore(ensemble.files())
    assert np.array_equal(again.decision_function(X), ensemble.decision_function(X))
    assert np.array_equal(again.shap_values(X[:3]), ensemble.shap_values(X[:3]))


def test_a_graph_that_is_exported_again_after_others_has_the_same_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    from epic22.core.models.networks.onnx_graph import export_reason_graph, export_score_graph, simplify_spec

    spec = simplify_spec(SPEC)
    for export in (export_score_graph, export_reason_graph):
        # By an earlier run or another process, where there was one.
        first = export(spec)
        monkeypatch.setattr(graph_memory, "GRAPHS", GraphMemory())
        export(replace(spec, output="class_scores", n_outputs=3))
        assert export(spec) == first
        monkeypatch.undo()


def test_a_graph_names_neither_who_exported_it_nor_a_place_on_this_machine() -> None:
    network, _ = fit_small()
    for name in ("score.onnx", "reasons.onnx"):
        text = network.files()[name]
        assert all(word not in text for word in (b"pytorch", torch.__version__.encode(), b"site-packages", b"/src/"))


def test_a_copy_of_a_network_that_has_answered_answers_the_same() -> None:
    network, X = fit_small()
    scores = network.decision_function(X)
    assert np.array_equal(copy.deepcopy(network).decision_function(X), scores)


def test_models_of_other_levels_share_one_graph() -> None:
    X, y = draw_rows()
    build_mlp(**SMALL).fit(X, y)
    before = graph_memory.GRAPHS.n_misses
    more = X.copy()
    more[:4, 2] = 11
    build_mlp(**{**SMALL, "dropout": 0.3}).fit(more, y)
    assert graph_memory.GRAPHS.n_misses == before
