"""Neural networks as a family of models: trained by PyTorch where it is installed, answering through ONNX anywhere."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from typing import Any, Self

import numpy as np

from epic22.core.data.folds import Fold
from epic22.core.errors import BundleError
from epic22.core.lineage import canonical_json
from epic22.core.models.base import (
    BaseEstimator,
    Capabilities,
    Family,
    FoldData,
    Hyperparameters,
    check_fit_arrays,
    never_expires,
    require_library,
)
from epic22.core.models.hazard import HazardEstimator, check_survival_data, compute_at_risk, split_inner_arrays
from epic22.core.models.learning_problem import LearningProblem
from epic22.core.models.loss import SQUARED, Loss, list_quantile_levels
from epic22.core.models.networks.device_use import occupy_device
from epic22.core.models.networks.exportable import ScoringNetwork, restore_spec, spec_to_json
from epic22.core.models.networks.graph_session import GraphSession
from epic22.core.models.networks.integrated_gradients import ReasonGraph
from epic22.core.models.networks.jobs import NetworkRows, TrainingJob, TrainingSettings
from epic22.core.models.networks.parts import CONVOLUTION_PARTS, MLP_PARTS, SEQUENCE_PARTS, TRANSFORMER_PARTS
from epic22.core.models.networks.specification import (
    ConvolutionLayers,
    Layers,
    LstmLayers,
    MlpLayers,
    NetworkColumns,
    NetworkSpec,
    Output,
    TransformerLayers,
)
from epic22.core.models.networks.training_process import export_reason_graph, train_network_rows
from epic22.core.models.target_transform import add_log_support
from epic22.core.models.value_scale import EXPONENTIAL, IDENTITY, ValueScale
from epic22.core.targets import KINDS, get_kind
from epic22.core.task import Array, Kind

SCORE_FILE, REASON_FILE, STATE_FILE = "score.onnx", "reasons.onnx", "network.json"
ROWS_PER_CALL = 4096
"""More rows than this are scored part by part, so that memory stays bounded."""

SMALL_TABLE = 2000
"""Rows up to which batches are smaller, so that an epoch has enough steps."""

LARGE_TABLE = 50_000
"""Rows beyond which batches are larger, so that a step's fixed cost is shared by more of them."""


DEFAULT_LAYERS, DEFAULT_SETTINGS = MlpLayers(), TrainingSettings()


@dataclass
class NetworkEstimator(BaseEstimator):
    """A network of some `layers`. The inner fold picks the epochs, up to `settings.epochs`; without one `default_epochs`.

    `steps` (s, c) are positions of the columns that are steps of a sequence; a perceptron sees them as other numbers. A training
    whose validation rows are watched ends where it falls behind the `bar` (`TrainingJob`).
    """

    kind: Kind
    categorical: tuple[bool, ...]
    n_classes: int = 2
    edges: tuple[float, ...] = ()
    steps: tuple[tuple[int, ...], ...] = ()
    seed: int = 0
    threads: int = 1
    loss: Loss = SQUARED
    default_epochs: int = 15
    layers: Layers = DEFAULT_LAYERS
    settings: TrainingSettings = DEFAULT_SETTINGS
    bar: tuple[float, ...] = ()

    @classmethod
    def of(cls, problem: LearningProblem, seed: int = 0, threads: int = 1, **params: Any) -> Self:
        """An unfitted one for a problem's columns and target; parameters may be those of its layers and of its training."""
        given = dict(params)
        layers: Layers = given.pop("layers", cls.layers)
        settings: TrainingSettings = given.pop("settings", cls.settings)
        layers = replace(layers, **{f.name: given.pop(f.name) for f in fields(layers) if f.name in given})
        settings = replace(settings, **{f.name: given.pop(f.name) for f in fields(settings) if f.name in given})
        return super().of(problem, seed, threads, layers=layers, settings=settings, **given)

    def fit(self, X: Array, y: Array, inner: Fold | None = None) -> Self:
        """Find the epochs on the inner fold, then train on all rows for as many.

        Raises NotInstalledError without PyTorch or what exports its networks.
        """
        check_fit_arrays(X, y)
        self.epochs_ = self.default_epochs
        if inner is not None:
            train, validation = self._split_inner(X, y, inner)
            if self._can_learn_from(train[1]):
                self._train(*train, self.settings.epochs, validation)
        self._train(X, y, self.epochs_)
        return self

    def _split_inner(self, X: Array, y: Array, inner: Fold) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
        return (X[inner.train], y[inner.train]), (X[inner.test], y[inner.test])

    def _can_learn_from(self, y: Array) -> bool:
        return True

    def fit_with_validation(self, data: FoldData, expired: Callable[[], bool] = never_expires) -> Array:
        """Train on the part's rows until the loss of the validation rows no longer falls; the best epoch is kept."""
        if not len(data.y_valid):
            self.epochs_ = self.default_epochs
            self._train(data.X, data.y, self.epochs_)
            return np.zeros(0)
        self._train(data.X, data.y, self.settings.epochs, (data.X_valid, data.y_valid), expired)
        return self.decision_function(data.X_valid)

    def _train(
        self,
        X: Array,
        y: Array,
        epochs: int,
        validation: tuple[Array, Array] | None = None,
        expired: Callable[[], bool] = never_expires,
    ) -> None:
        for library in ("torch", "onnx", "onnxscript", "safetensors"):
            require_library("a neural network", library, extra="neural")
        self._fit_label_scale(y)
        settings = replace(
            self.settings, epochs=epochs, seed=self.seed, batch_size=choose_batch_size(len(X), self.settings.batch_size)
        )
        objective = KINDS[self.kind].name_objective(self.loss.name)
        self.spec_: NetworkSpec | None = (spec := self._build_spec(X))
        validation_rows = None if validation is None else NetworkRows(validation[0], self._scale_labels(validation[1]))
        with occupy_device(self.layers) as device:
            bar = () if validation is None else self.bar
            job = TrainingJob(spec, objective, self.loss, settings, self.threads, device, bar)
            trained = train_network_rows(job, NetworkRows(X, self._scale_labels(y)), validation_rows, expired)
        self.epochs_, self.losses_ = trained.best_epochs, trained.losses
        self.score_, self.trained_ = GraphSession(trained.score_graph), trained
        self.reasons_: ReasonGraph | None = None

    @property
    def network(self) -> ScoringNetwork:
        """What scores rows, for programs other than this one. Raises BundleError for a model of a version that kept no layers."""
        if self.spec_ is None:
            raise BundleError("this network was stored by a version that kept no layers of it; train it again to export it.")
        is_log = self._output == "log_mean"
        slope, intercept = (1.0, float(np.log(self.spread_))) if is_log else (self.spread_, self.level_)
        return ScoringNetwork(self.spec_, self.score_.graph, slope, intercept)

    @property
    def _reasons(self) -> ReasonGraph:
        """The graph of reasons, made at the first question: a fold that is only scored needs none."""
        if self.reasons_ is None:
            self.reasons_ = ReasonGraph(GraphSession(export_reason_graph(self.trained_)))
        return self.reasons_

    def _build_spec(self, X: Array) -> NetworkSpec:
        steps = () if isinstance(self.layers, MlpLayers) else self.steps
        is_step = {position for step in steps for position in step}
        numbers = tuple(j for j, is_category in enumerate(self.categorical) if not is_category and j not in is_step)
        categories = tuple(j for j, is_category in enumerate(self.categorical) if is_category)
        codes = [X[:, j][np.isfinite(X[:, j])] for j in categories]
        n_levels = tuple(int(known.max()) + 1 if len(known) else 0 for known in codes)
        columns, levels = NetworkColumns(numbers, categories, n_levels, steps), self._quantile_levels
        spec = NetworkSpec(columns, self.layers, self._n_outputs, self._output)
        return replace(spec, n_quantiles=len(levels), deciding=levels.index(self.loss.quantile)) if levels else spec

    @property
    def _quantile_levels(self) -> tuple[float, ...]:
        """Of values the levels that are learned at once, the asked one among them; none where a mean is asked for."""
        return list_quantile_levels(self.loss) if KINDS[self.kind].is_regression else ()

    @property
    def _n_outputs(self) -> int:
        return self.n_classes if KINDS[self.kind].has_score_per_class else len(self._quantile_levels) or 1

    @property
    def _output(self) -> Output:
        kind = get_kind(self.kind, self.loss.name)
        if kind.has_score_per_class:
            return "class_scores"
        if kind.is_classification:
            return "log_odds"
        if self._quantile_levels:
            return "quantiles"
        return "log_mean" if kind.has_log_link else "value"

    @property
    def value_scale_(self) -> ValueScale:
        """Counts and sums are predicted by their logarithms."""
        return EXPONENTIAL if get_kind(self.kind, self.loss.name).has_log_link else IDENTITY

    def _fit_label_scale(self, y: Array) -> None:
        """Values are learned as distances from their mean in parts of their spread, counts in parts of their mean."""
        self.level_, self.spread_ = 0.0, 1.0
        if self._output in ("value", "quantiles"):
            self.level_, self.spread_ = float(np.mean(y)), float(np.std(y)) or 1.0
        if self._output == "log_mean":
            self.spread_ = float(np.mean(y)) or 1.0

    def _scale_labels(self, y: Array) -> Array:
        return np.asarray((np.asarray(y, dtype=np.float64) - self.level_) / self.spread_)

    def best_params(self) -> Hyperparameters:
        """The epochs that the inner fold picked."""
        return {"default_epochs": self.epochs_}

    def decision_function(self, X: Array) -> Array:
        """Scores before the link, (n,) or (n, k); of several quantiles the one that was asked for."""
        outputs = self._compute_outputs(X)
        return outputs if self._has_many_scores else self._restore_scale(outputs[:, self._deciding or 0])

    def predict_quantiles(self, X: Array) -> Array | None:
        """The quantiles `list_quantile_levels`, (n, q), which never cross; None where a mean was asked for."""
        return None if self._deciding is None else self._restore_scale(self._compute_outputs(X))

    def _compute_outputs(self, X: Array) -> Array:
        """The network's, (n, o)."""
        parts = [self.score_.run(X[i : i + ROWS_PER_CALL]) for i in range(0, len(X), ROWS_PER_CALL)]
        return np.concatenate(parts) if parts else np.zeros((0, self._n_outputs))

    @property
    def _deciding(self) -> int | None:
        """Which output is the score, of several quantiles; the first versions had the one alone."""
        return None if self.spec_ is None else self.spec_.deciding

    @property
    def _has_many_scores(self) -> bool:
        return KINDS[self.kind].has_score_per_class

    def _restore_scale(self, scores: Array) -> Array:
        if self._output == "log_mean":
            return np.asarray(scores + np.log(self.spread_))
        return np.asarray(scores * self.spread_ + self.level_)

    def shap_values(self, X: Array) -> Array:
        """Integrated gradients from the average row, whose score is last; they sum to the score but for the integral's error."""
        shares = np.eye(self._n_outputs if self._has_many_scores or self._deciding is not None else 1)
        if self._has_many_scores:
            return np.stack([self.explain_outputs(X, np.tile(share, (len(X), 1))) for share in shares], axis=1)
        parts = self.explain_outputs(X, np.tile(shares[self._deciding or 0], (len(X), 1)))
        if self._output != "log_mean":
            parts[:, :-1] *= self.spread_
        parts[:, -1] = self._restore_scale(parts[:, -1])
        return parts

    def explain_outputs(self, X: Array, shares: Array) -> Array:
        """The gradients of the outputs' sum, which cost as much as those of one."""
        return self._reasons.explain(X, shares, self._compute_outputs(X))

    def files(self) -> dict[str, bytes]:
        """Both graphs with their weights, and what is needed to read their answers as JSON."""
        state = {
            "kind": self.kind,
            "categorical": [bool(c) for c in self.categorical],
            "n_classes": self.n_classes,
            "edges": list(self.edges),
            "loss": asdict(self.loss),
            "level": self.level_,
            "spread": self.spread_,
            "epochs": self.epochs_,
        }
        layers = {} if self.spec_ is None else {"network": spec_to_json(self.spec_)}
        return {SCORE_FILE: self.score_.graph, REASON_FILE: self._reasons.graph, STATE_FILE: canonical_json(state | layers)}

    @classmethod
    def restore(cls, files: Mapping[str, bytes]) -> Self:
        """From its files, without PyTorch."""
        state: dict[str, Any] = json.loads(files[STATE_FILE])
        loss, edges = Loss(**state["loss"]), tuple(state.get("edges", ()))
        model = cls(state["kind"], tuple(state["categorical"]), state["n_classes"], edges, loss=loss)
        model.level_, model.spread_, model.epochs_ = state["level"], state["spread"], state["epochs"]
        # The first versions kept no layers.
        model.spec_ = restore_spec(state["network"]) if "network" in state else None
        model.score_ = GraphSession(files[SCORE_FILE], is_served=True)
        model.reasons_ = ReasonGraph(GraphSession(files[REASON_FILE], is_served=True))
        return model


class HazardNetwork(NetworkEstimator, HazardEstimator):
    """A network with an output for each interval of a grid: the log-odds of the event in it, all learned at once.

    Gensheimer and Narasimhan 2019, "A scalable discrete-time survival model for neural networks".
    """

    def fit(self, X: Array, y: Array, inner: Fold | None = None) -> Self:
        """Learn from durations and whether the event was observed, y (n, 2)."""
        check_survival_data(X, y)
        return super().fit(X, y, inner)

    def _split_inner(self, X: Array, y: Array, inner: Fold) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
        return split_inner_arrays(X, y, inner)

    def _can_learn_from(self, y: Array) -> bool:
        return bool(y[:, 1].any())

    def _scale_labels(self, y: Array) -> Array:
        return np.concatenate(compute_at_risk(y, self.edges), axis=1)

    def _fit_label_scale(self, y: Array) -> None:
        self.level_, self.spread_ = 0.0, 1.0

    @property
    def _n_outputs(self) -> int:
        return len(self.edges)

    @property
    def _output(self) -> Output:
        return "log_odds"

    @property
    def _has_many_scores(self) -> bool:
        return True


def choose_batch_size(n_rows: int, largest: int) -> int:
    """Rows a step: few of a small table, so that an epoch has enough steps.

    >>> choose_batch_size(1000, 256), choose_batch_size(20_000, 256), choose_batch_size(200_000, 256)
    (64, 256, 1024)
    """
    if n_rows <= SMALL_TABLE:
        return min(largest, 64)
    return largest if n_rows <= LARGE_TABLE else max(largest, 1024)


def _build(problem: LearningProblem, seed: int = 0, threads: int = 1, **params: Any) -> NetworkEstimator:
    estimator = HazardNetwork if problem.traits.is_time_to_event else NetworkEstimator
    return estimator.of(problem, seed, threads, **params)


def _restore(files: Mapping[str, bytes]) -> NetworkEstimator:
    is_hazard = KINDS[json.loads(files[STATE_FILE])["kind"]].is_time_to_event
    return (HazardNetwork if is_hazard else NetworkEstimator).restore(files)


TRAINING_SPACE: Mapping[str, tuple[Any, ...]] = {
    "learning_rate": (3e-4, 5e-3, "log"),
    "weight_decay": (1e-5, 3e-2, "log"),
    "dropout": (0.0, 0.4),
}
AUGMENTATION_SPACE: Mapping[str, tuple[Any, ...]] = {"augmentation": (0.0, 0.15)}
RECURRENT_SPACE: Mapping[str, tuple[Any, ...]] = {"width": (24, 96), "depth": (1, 3), **AUGMENTATION_SPACE}
TRANSFORMER_SPACE: Mapping[str, tuple[Any, ...]] = {"depth": (1, 3), "patch": (2, 8), **AUGMENTATION_SPACE}
CONVOLUTION_SPACE: Mapping[str, tuple[Any, ...]] = {"width": (24, 96), "depth": (2, 6), **AUGMENTATION_SPACE}


def build_network_family(
    name: str, layers: Layers, space: Mapping[str, tuple[Any, ...]], parts: Mapping[str, Hyperparameters]
) -> Family:
    """The family of networks with these layers, which a search may change by their `space` and the training's."""
    reads_sequences = not isinstance(layers, MlpLayers)
    return add_log_support(
        Family(
            name,
            frozenset({"binary", "multiclass", "regression", "hazard"}),
            partial(_build, layers=layers),
            _restore,
            space={**TRAINING_SPACE, **space},
            needs="torch",
            extra="neural",
            capabilities=Capabilities(
                exact_reasons=False, same_bits_for_one_row=False, reads_sequences=reads_sequences, reports_epochs=True
            ),
            parts=parts,
        )
    )


FAMILIES: tuple[Family, ...] = (
    build_network_family("mlp", MlpLayers(), {"width": (64, 256), "depth": (1, 3)}, MLP_PARTS),
    build_network_family("lstm", LstmLayers(), RECURRENT_SPACE, SEQUENCE_PARTS),
    build_network_family("gru", LstmLayers(cell="gru"), RECURRENT_SPACE, SEQUENCE_PARTS),
    build_network_family("transformer", TransformerLayers(), TRANSFORMER_SPACE, TRANSFORMER_PARTS),
    build_network_family("cnn", ConvolutionLayers(), CONVOLUTION_SPACE, CONVOLUTION_PARTS),
)
"""The families of networks by their names."""
