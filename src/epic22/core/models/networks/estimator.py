"""Neural networks as a family of models: trained by PyTorch where it is installed, answering through ONNX anywhere."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np

from epic22.core.data.folds import Fold
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
from epic22.core.models.loss import SQUARED, Loss
from epic22.core.models.networks.graph_session import GraphSession
from epic22.core.models.networks.jobs import NetworkRows, TrainingJob, TrainingSettings
from epic22.core.models.networks.specification import MlpSpec, Output
from epic22.core.models.networks.training_process import train_network_rows
from epic22.core.models.target_transform import add_log_support
from epic22.core.models.value_scale import EXPONENTIAL, IDENTITY, ValueScale
from epic22.core.targets import KINDS, get_kind
from epic22.core.task import Array, Kind

SCORE_FILE, REASON_FILE, STATE_FILE = "score.onnx", "reasons.onnx", "network.json"
ROWS_PER_CALL = 4096
"""More rows than this are scored part by part, so that memory stays bounded."""

SMALL_TABLE = 2000
"""Rows up to which batches are smaller, so that an epoch has enough steps."""


@dataclass
class MlpEstimator(BaseEstimator):
    """A multilayer perceptron (see `mlp`). The inner fold picks the epochs, up to `epochs`; without one `default_epochs`."""

    kind: Kind
    categorical: tuple[bool, ...]
    n_classes: int = 2
    seed: int = 0
    threads: int = 1
    loss: Loss = SQUARED
    epochs: int = 100
    patience: int = 8
    default_epochs: int = 15
    learning_rate: float = 3e-3
    weight_decay: float = 3e-4
    dropout: float = 0.1
    width: int = 128
    depth: int = 2
    members: int = 8
    embedding: int = 12
    n_bins: int = 24

    def fit(self, X: Array, y: Array, inner: Fold | None = None) -> Self:
        """Find the epochs on the inner fold, then train on all rows for as many.

        Raises NotInstalledError without PyTorch or what exports its networks.
        """
        check_fit_arrays(X, y)
        self.epochs_ = self.default_epochs
        if inner is not None:
            self._train(X[inner.train], y[inner.train], self.epochs, (X[inner.test], y[inner.test]))
        self._train(X, y, self.epochs_)
        return self

    def fit_with_validation(self, data: FoldData, expired: Callable[[], bool] = never_expires) -> Array:
        """Train on the part's rows until the loss of the validation rows no longer falls; the best epoch is kept."""
        if not len(data.y_valid):
            self.epochs_ = self.default_epochs
            self._train(data.X, data.y, self.epochs_)
            return np.zeros(0)
        self._train(data.X, data.y, self.epochs, (data.X_valid, data.y_valid), expired)
        return self.decision_function(data.X_valid)

    def _train(
        self,
        X: Array,
        y: Array,
        epochs: int,
        validation: tuple[Array, Array] | None = None,
        expired: Callable[[], bool] = never_expires,
    ) -> None:
        for library in ("torch", "onnx", "onnxscript"):
            require_library("mlp", library, extra="neural")
        self._fit_label_scale(y)
        settings = TrainingSettings(
            epochs,
            64 if len(X) <= SMALL_TABLE else 256,
            self.learning_rate,
            self.weight_decay,
            self.patience,
            seed=self.seed,
        )
        objective = KINDS[self.kind].name_objective(self.loss.name)
        job = TrainingJob(self._build_spec(X), objective, self.loss, settings, self.threads)
        validation_rows = None if validation is None else NetworkRows(validation[0], self._scale_labels(validation[1]))
        trained = train_network_rows(job, NetworkRows(X, self._scale_labels(y)), validation_rows, expired)
        self.epochs_ = trained.best_epochs
        self._open_graphs(trained.score_graph, trained.reason_graph)

    def _open_graphs(self, score: bytes, reasons: bytes) -> None:
        self.score_, self.reasons_ = GraphSession(score), GraphSession(reasons)

    def _build_spec(self, X: Array) -> MlpSpec:
        numbers = tuple(j for j, is_category in enumerate(self.categorical) if not is_category)
        categories = tuple(j for j, is_category in enumerate(self.categorical) if is_category)
        codes = [X[:, j][np.isfinite(X[:, j])] for j in categories]
        return MlpSpec(
            numbers,
            categories,
            tuple(int(known.max()) + 1 if len(known) else 0 for known in codes),
            self.n_classes if KINDS[self.kind].has_score_per_class else 1,
            self._output,
            self.n_bins,
            self.embedding,
            self.width,
            self.depth,
            self.members,
            self.dropout,
        )

    @property
    def _output(self) -> Output:
        kind = get_kind(self.kind, self.loss.name)
        if kind.has_score_per_class:
            return "class_scores"
        if kind.is_classification:
            return "log_odds"
        return "log_mean" if kind.has_log_link else "value"

    @property
    def value_scale_(self) -> ValueScale:
        """Counts and sums are predicted by their logarithms."""
        return EXPONENTIAL if get_kind(self.kind, self.loss.name).has_log_link else IDENTITY

    def _fit_label_scale(self, y: Array) -> None:
        """Values are learned as distances from their mean in parts of their spread, counts in parts of their mean."""
        self.level_, self.spread_ = 0.0, 1.0
        if self._output == "value":
            self.level_, self.spread_ = float(np.mean(y)), float(np.std(y)) or 1.0
        if self._output == "log_mean":
            self.spread_ = float(np.mean(y)) or 1.0

    def _scale_labels(self, y: Array) -> Array:
        return np.asarray((np.asarray(y, dtype=np.float64) - self.level_) / self.spread_)

    def best_params(self) -> Hyperparameters:
        """The epochs that the inner fold picked."""
        return {"default_epochs": self.epochs_}

    def decision_function(self, X: Array) -> Array:
        """Scores before the link, (n,) or (n, k)."""
        parts = [self.score_.run(X[i : i + ROWS_PER_CALL]) for i in range(0, len(X), ROWS_PER_CALL)]
        scores = np.concatenate(parts) if parts else np.zeros((0, self.n_classes))
        return scores if KINDS[self.kind].has_score_per_class else self._restore_scale(scores[:, 0])

    def _restore_scale(self, scores: Array) -> Array:
        if self._output == "log_mean":
            return np.asarray(scores + np.log(self.spread_))
        return np.asarray(scores * self.spread_ + self.level_)

    def shap_values(self, X: Array) -> Array:
        """Integrated gradients from the average row, whose score is last; they sum to the score but for the integral's error."""
        parts = np.stack([self.reasons_.run(X[i : i + 1]) for i in range(len(X))])
        if KINDS[self.kind].has_score_per_class:
            return parts
        parts = parts[:, 0]
        if self._output == "value":
            parts[:, :-1] *= self.spread_
        parts[:, -1] = self._restore_scale(parts[:, -1])
        return parts

    def files(self) -> dict[str, bytes]:
        """Both graphs with their weights, and what is needed to read their answers as JSON."""
        state = {
            "kind": self.kind,
            "categorical": [bool(c) for c in self.categorical],
            "n_classes": self.n_classes,
            "loss": asdict(self.loss),
            "level": self.level_,
            "spread": self.spread_,
            "epochs": self.epochs_,
        }
        return {SCORE_FILE: self.score_.graph, REASON_FILE: self.reasons_.graph, STATE_FILE: canonical_json(state)}

    @classmethod
    def restore(cls, files: Mapping[str, bytes]) -> Self:
        """From its files, without PyTorch."""
        state: dict[str, Any] = json.loads(files[STATE_FILE])
        model = cls(state["kind"], tuple(state["categorical"]), state["n_classes"], loss=Loss(**state["loss"]))
        model.level_, model.spread_, model.epochs_ = state["level"], state["spread"], state["epochs"]
        model._open_graphs(files[SCORE_FILE], files[REASON_FILE])
        return model


FAMILY = add_log_support(
    Family(
        "mlp",
        frozenset({"binary", "multiclass", "regression"}),
        MlpEstimator.of,
        MlpEstimator.restore,
        space={
            "learning_rate": (3e-4, 5e-3, "log"),
            "weight_decay": (1e-5, 3e-2, "log"),
            "dropout": (0.0, 0.4),
            "width": (64, 256),
            "depth": (1, 3),
        },
        needs="torch",
        extra="neural",
        capabilities=Capabilities(exact_reasons=False, same_bits_for_one_row=False),
    )
)
