"""The contract of a model family and of the estimators it builds.

An estimator follows scikit-learn's contract: the constructor only assigns, `fit` checks, learns names ending in `_` and
returns self. It sees numpy alone: X (n, p) float32 with NaN for missing, categories as codes. `fit` may be handed an inner
fold (positions in X) that early stopping or the choice of a penalty may watch.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from importlib.util import find_spec
from typing import Any, ClassVar, Self, TypeVar, cast

import numpy as np

from epic22.core.data.folds import Fold
from epic22.core.errors import NotInstalledError
from epic22.core.fit_store import list_array_bytes
from epic22.core.lineage import canonical_json, sha256
from epic22.core.models.learning_problem import LearningProblem
from epic22.core.models.value_scale import IDENTITY, ValueScale
from epic22.core.targets import KINDS, lift_to_floor
from epic22.core.task import Array, Kind

T = TypeVar("T")

Hyperparameters = Mapping[str, object]
"""Arguments of an estimator's constructor by name."""

LibraryParams = dict[str, float | str | bool | None]
"""What a library of trees is given beside the rows, by its own names."""


@dataclass(frozen=True)
class FoldData:
    """Rows to fit, X (n, p) and y (n,), and validation rows, (m, p) and (m,): one inner fold, alike for every trial of a search.

    Of counts that grow with an exposure it is beside X, (n,) and (m,), and scores are for an exposure of 1.
    With no validation rows (m = 0) it is the last fit, on all rows, by parameters that are settled. `get_cached` keeps what
    estimators make of the rows, such as a quantised matrix, so that all trials share it.
    """

    X: Array
    y: Array
    X_valid: Array
    y_valid: Array
    cache: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)
    exposure: Array | None = None
    exposure_valid: Array | None = None

    def get_cached(self, name: str, build: Callable[[], T]) -> T:
        """What `build` gives, made at the first call of that name and kept."""
        if name not in self.cache:
            self.cache[name] = build()
        return cast(T, self.cache[name])

    @property
    def digest(self) -> str:
        """The hash of all rows, made once."""
        arrays = (self.X, self.y, self.X_valid, self.y_valid, self.exposure, self.exposure_valid)
        return self.get_cached("digest", lambda: sha256(*list_array_bytes(*arrays)))


def never_expires() -> bool:
    """No end to the time there is."""
    return False


class BaseEstimator(ABC):
    """What a family builds, a dataclass: it writes `fit` and `shap_values`, the rest follows or is made faster by its own.

    `decision_function` is the score before the link: log-odds (n,) for binary, log-odds (n, k) for multiclass, for regression
    the value (n,), or its logarithm where the estimator's `value_scale_` says so (`get_value_scale`); of a hazard the log-odds
    of the event in each of its intervals, (n, h). `shap_values` sum to `decision_function` along the last axis, the last entry
    being the average: (n, p + 1), (n, k, p + 1) or (n, h, p + 1).

    `kind` is that of the target. Constructor arguments that are named as fields of `LearningProblem`, `seed` or `threads` are
    given to it by themselves.
    """

    kind: Kind
    state_file: ClassVar[str] = "model.json"

    @classmethod
    def of(cls, problem: LearningProblem, seed: int = 0, threads: int = 1, **params: Any) -> Self:
        """An unfitted one for a problem's columns and target."""
        known = {**vars(problem), "edges": problem.horizons, "seed": seed, "threads": threads}
        return cls(**{name: known[name] for name in cls.list_params() if name in known} | params)

    @classmethod
    def list_params(cls) -> list[str]:
        """The names of the constructor's arguments."""
        return [f.name for f in fields(cls) if f.init]  # type: ignore[arg-type]

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The constructor's arguments by name."""
        return {name: getattr(self, name) for name in self.list_params()}

    def set_params(self, **params: Any) -> Self:
        """Assign constructor arguments by name."""
        for name, value in params.items():
            setattr(self, name, value)
        return self

    def best_params(self) -> Hyperparameters:
        """The constructor's arguments that state what `fit` picked on the inner fold, for a fit that watches none."""
        return {}

    @abstractmethod
    def fit(self, X: Array, y: Array, inner: Fold | None = None) -> Self:
        """Learn from X (n, p) and y (n,), class codes or values; of a hazard y (n, 2), duration and observed."""

    def fit_with_validation(self, data: FoldData, expired: Callable[[], bool] = never_expires) -> Array:
        """Learn from the part's rows alone, and the scores of its validation rows before the link.

        These may end the training sooner, as may the time when it has `expired`; here nothing is settled by them.
        """
        fit_params: dict[str, Any] = {} if data.exposure is None else {"exposure": data.exposure}
        return self.fit(data.X, data.y, **fit_params).decision_function(data.X_valid)

    @abstractmethod
    def shap_values(self, X: Array) -> Array:
        """What each column adds to the score, the average last."""

    def explain_outputs(self, X: Array, shares: Array) -> Array:
        """What each column adds to the sum of a row's scores, each times its share (n, k): (n, p + 1), the average last.

        An answer shows one class, or a mean over intervals: a model whose reasons take time need not find those of all outputs.
        """
        return sum_by_shares(self.shap_values(X), shares)

    def decision_function(self, X: Array) -> Array:
        """Scores before the link: the sum of what the columns and the average add."""
        return np.asarray(self.shap_values(X).sum(axis=-1))

    def predict_proba(self, X: Array) -> Array:
        """Class probabilities, (n, k)."""
        kind = KINDS[self.kind]
        return kind.expand_response(kind.inverse_link(self.decision_function(X)))

    def predict(self, X: Array) -> Array:
        """Class codes or values, (n,)."""
        return (
            np.asarray(self.predict_proba(X).argmax(axis=1))
            if KINDS[self.kind].is_classification
            else get_value_scale(self)(self.decision_function(X))
        )

    def predict_quantiles(self, X: Array) -> Array | None:
        """Quantiles of the label that the model states itself, (n, q) ascending, in the label's unit; None of most models."""
        return None

    def files(self) -> dict[str, bytes]:
        """One JSON file with the constructor's arguments and what `fit` learned, whose names end in `_`."""
        state = {name.removesuffix("_"): np.asarray(value).tolist() for name, value in vars(self).items()}
        return {self.state_file: canonical_json(state)}

    @classmethod
    def restore(cls, files: Mapping[str, bytes]) -> Self:
        """The fitted one of these files."""
        state = json.loads(files[cls.state_file])
        params = {name: state.pop(name) for name in cls.list_params()}
        model = cls(**{name: tuple(value) if isinstance(value, list) else value for name, value in params.items()})
        vars(model).update({f"{name}_": np.asarray(value) for name, value in state.items()})
        return model


def sum_by_shares(values: Array, shares: Array) -> Array:
    """Contributions (n, k, p + 1) to k scores, summed with each row's shares (n, k): (n, p + 1)."""
    return np.array([share @ parts for share, parts in zip(shares, values, strict=True)])


def no_defaults(n_rows: int) -> Hyperparameters:
    """No parameter follows from how many rows there are."""
    return {}


@dataclass(frozen=True)
class Capabilities:
    """What holds of a family's models. `exact_reasons`: the reasons of a row sum to its score but for rounding.
    `same_bits_for_one_row`: a row alone scores as it does among others, to the last bit; else within a tolerance.
    `needs_sequences`: it reads a series' values over time, not a row; `reads_sequences`: of a row it reads the columns that are
    steps of a sequence as one, and needs some. `reports_epochs`: of a training with validation rows, `losses_` has their losses
    by epoch, and it ends where it falls behind the losses by epoch of a constructor argument `bar`."""

    exact_reasons: bool = True
    same_bits_for_one_row: bool = True
    needs_sequences: bool = False
    reads_sequences: bool = False
    reports_epochs: bool = False


@dataclass(frozen=True)
class Family:
    """A kind of model. `build(problem, seed, threads, **params)` makes an unfitted estimator of a
    `LearningProblem`; `restore` opens its files.

    `space` names the parameters a search may change, with (low, high, log?): whole numbers where both ends are; `initial_points`
    are configurations to begin with; `defaults_for(rows)` are parameters that follow from how many rows there are. A baseline is
    what others must beat; it is never a rival of its betters in the verdict against "the best other family". One that does not
    `races_by_default` is evaluated where it is named. `needs` is the
    library of an optional family, which is evaluated where it is named, `extra` what installs it where that has another name;
    its models open and answer without it. `supports_offset`
    ones can predict what grows with an exposure (`supports_offset.add_offset_support`). `parts` are what an ablation switches
    off, each by the constructor arguments that do so.
    """

    name: str
    kinds: frozenset[Kind]
    build: Callable[..., BaseEstimator]
    restore: Callable[[Mapping[str, bytes]], BaseEstimator]
    space: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    is_baseline: bool = False
    races_by_default: bool = True
    needs: str | None = None
    extra: str | None = None
    initial_points: tuple[Hyperparameters, ...] = ({},)
    defaults_for: Callable[[int], Hyperparameters] = no_defaults
    supports_offset: bool = False
    capabilities: Capabilities = Capabilities()
    parts: Mapping[str, Hyperparameters] = field(default_factory=dict)

    @property
    def is_installed(self) -> bool:
        """Whether its library is there, if it needs one."""
        return self.needs is None or find_spec(self.needs) is not None


def require_library(family: str, library: str, extra: str | None = None) -> None:
    """Raise NotInstalledError, with the way out, where the library of an optional family is absent; `extra` installs it."""
    if find_spec(library) is None:
        raise NotInstalledError(
            f"family {family!r}: the library {library!r} is not installed; "
            f"pip install 'epic22[{extra or library}]', or leave the family out."
        )


def predict_response(estimator: BaseEstimator, X: Array, kind: Kind, floor: float | None) -> Array:
    """What metrics judge: probability of the positive class (n,), class probabilities (n, k), or the value (n,).

    Of a hazard: the probability of the event up to each horizon, (n, h). What is served is what is judged, so that no value lies
    below the target's `floor`; None gives the model's own, as averages are made of.
    """
    return lift_to_floor(KINDS[kind].predict_response(estimator, X), floor)


def get_value_scale(estimator: Any) -> ValueScale:
    """How raw scores become values: identity for all but models of logarithms and counts."""
    scale: ValueScale = getattr(estimator, "value_scale_", IDENTITY)
    return scale


def compute_response(estimator: BaseEstimator, raw: Array, kind: Kind) -> Array:
    """The response that belongs to the estimator's raw scores."""
    return KINDS[kind].inverse_link(raw) if KINDS[kind].is_classification else get_value_scale(estimator)(raw)


def check_fit_arrays(X: Array, y: Array) -> None:
    """Refuse what no estimator can learn from.

    Raises ValueError for shapes that do not match and for infinite or missing labels.
    """
    if X.ndim != 2 or len(X) != len(y) or not len(X):
        raise ValueError(f"X must be (n, p) and y (n,) with n > 0, found {X.shape} and {y.shape}")
    if not np.isfinite(np.asarray(y, dtype=np.float64)).all():
        raise ValueError("y has missing or infinite values")
