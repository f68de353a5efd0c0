"""Trees grown leaf by leaf, by LightGBM: an optional family. Its trees answer from flat arrays, without the library.

LightGBM sends a row left where its value is at most the threshold, a category where it is in the node's set; a missing number
goes where the node says, or as zero where training saw none missing; a missing category goes right.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from epic22.core.errors import InternalError
from epic22.core.models.base import Family, LibraryParams
from epic22.core.models.target_transform import add_log_support
from epic22.core.models.trees.boosted import choose_max_bin
from epic22.core.models.trees.external import BoostingData, ExternalTrees
from epic22.core.models.trees.forest import ExternalTree, Forest, build_forest, next_float32_above
from epic22.core.task import Array

OBJECTIVES: Mapping[str, tuple[str, str]] = {
    "binary": ("binary", "binary_logloss"),
    "multiclass": ("multiclass", "multi_logloss"),
    "squared": ("regression", "l2"),
    "absolute": ("regression_l1", "l1"),
    "quantile": ("quantile", "quantile"),
    "poisson": ("poisson", "poisson"),
    "tweedie": ("tweedie", "tweedie"),
}
END_OF_TREES = "end of trees\n"
IS_CATEGORY, DEFAULT_LEFT, MISSING = 1, 2, 12
MISSING_NONE, MISSING_NAN = 0, 8
WORD_BITS = 32


@dataclass
class LightGBMEstimator(ExternalTrees):
    """LightGBM's trees; with `extra_trees` each column is split at one threshold drawn by chance (Geurts et al. 2006)."""

    library: ClassVar[str] = "lightgbm"

    num_leaves: int = 31
    max_depth: int = 10
    min_data_in_leaf: int = 20
    feature_fraction: float = 0.7
    bagging_fraction: float = 0.7
    lambda_l2: float = 1.0
    max_bin: int = 255
    extra_trees: bool = False

    def _train(self, training: BoostingData) -> tuple[bytes, int]:
        import lightgbm

        params, categories = self._params(self._choose_threads(training.X)), np.flatnonzero(self.categorical).tolist()
        dtrain = lightgbm.Dataset(training.X, training.y, categorical_feature=categories, params=params)
        if training.validation is None:
            booster = lightgbm.train(params, dtrain, training.rounds)
        else:
            callbacks: list[Callable[..., Any]] = [
                lightgbm.early_stopping(self.patience, verbose=False),
                _build_stop_callback(training.expired),
            ]
            dvalid = lightgbm.Dataset(*training.validation, reference=dtrain, params=params)
            booster = lightgbm.train(params, dtrain, training.rounds, valid_sets=[dvalid], callbacks=callbacks)
        text = booster.model_to_string(num_iteration=-1 if training.validation is None else max(1, booster.best_iteration))
        # What follows the trees says how they were made (threads, seed), not what they answer.
        return text[: text.index(END_OF_TREES) + len(END_OF_TREES)].encode(), max(1, int(booster.best_iteration))

    def _params(self, threads: int) -> LibraryParams:
        objective, metric = OBJECTIVES[self._objective_name]
        objective_params: dict[str, LibraryParams] = {
            "multiclass": {"num_class": self.n_classes},
            "quantile": {"alpha": self.loss.quantile},
            "tweedie": {"tweedie_variance_power": self.power_},
        }
        return {
            "objective": objective,
            "metric": metric,
            "verbosity": -1,
            "seed": self.seed,
            "deterministic": True,
            "force_row_wise": True,
            "num_threads": threads,
            "learning_rate": self.learning_rate,
            "num_leaves": self.num_leaves,
            "max_depth": self.max_depth,
            "min_data_in_leaf": self.min_data_in_leaf,
            "feature_fraction": self.feature_fraction,
            "bagging_fraction": self.bagging_fraction,
            "bagging_freq": 1,
            "lambda_l2": self.lambda_l2,
            "max_bin": self.max_bin,
            "extra_trees": self.extra_trees,
            "feature_pre_filter": False,
            **objective_params.get(self._objective_name, {}),
        }

    def _parse_forest(self) -> Forest:
        return parse_model_text(self.text_.decode(), self.columns_)


def parse_model_text(text: str, n_columns: int) -> Forest:
    """The forest of a LightGBM model's text; `n_columns` of its matrix.

    Raises InternalError for trees that the arrays cannot hold: linear leaves, zeros taken for missing.
    """
    head, *tree_texts = text[: text.index(END_OF_TREES)].split("\nTree=")
    n_outputs = int(_parse_fields(head)["num_tree_per_iteration"])
    trees = [_parse_tree(_parse_fields(tree)) for tree in tree_texts]
    return build_forest(trees, np.arange(len(trees)) % n_outputs, n_columns, np.zeros(n_outputs))


def _parse_fields(text: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


def _parse_tree(fields: Mapping[str, str]) -> ExternalTree:
    """A tree's inner nodes, then its leaves."""

    def read_array(name: str, dtype: Any) -> Array:
        return np.array(fields.get(name, "").split(), dtype)

    leaves = int(fields["num_leaves"])
    inner = leaves - 1
    kind = read_array("decision_type", np.int64)[:inner]
    bounds = read_array("threshold", np.float64)[:inner]
    missing = kind & MISSING
    if fields.get("is_linear", "0") != "0" or not np.isin(missing, (MISSING_NONE, MISSING_NAN)).all():
        raise InternalError("a forest holds trees with one value a leaf and NaN for missing alone.")
    category = (kind & IS_CATEGORY) != 0
    # Leaves are stated as -1, -2 …; here they come after the inner nodes.
    children = (read_array(name, np.int64)[:inner] for name in ("left_child", "right_child"))
    left, right = (np.where(child >= 0, child, inner - child - 1) for child in children)
    counts = read_array("leaf_count", np.float64)
    by_default = np.where(missing == MISSING_NAN, (kind & DEFAULT_LEFT) != 0, bounds >= 0)
    none = np.full(leaves, -1)
    return ExternalTree(
        split=np.concatenate([read_array("split_feature", np.int64)[:inner], none]),
        threshold=np.concatenate([next_float32_above(bounds), np.zeros(leaves, np.float32)]),
        # Ours go right where they are in the set, theirs left; what is missing is in no set.
        default_left=np.concatenate([category | by_default, np.zeros(leaves, np.bool_)]),
        left=np.concatenate([np.where(category, right, left), none]),
        right=np.concatenate([np.where(category, left, right), none]),
        leaf=np.concatenate([np.zeros(inner), read_array("leaf_value", np.float64)]),
        cover=np.concatenate(
            [read_array("internal_count", np.float64)[:inner], counts if len(counts) == leaves else np.ones(leaves)]
        ),
        sets=tuple(
            _iterate_category_sets(
                category, bounds, read_array("cat_boundaries", np.int64), read_array("cat_threshold", np.int64)
            )
        ),
    )


def _iterate_category_sets(category: Array, bounds: Array, boundaries: Array, words: Array) -> Iterator[tuple[int, Array]]:
    """Codes of each categorical node: its threshold says which words of bits are its own."""
    for node in np.flatnonzero(category):
        which = int(bounds[node])
        own = words[boundaries[which] : boundaries[which + 1]]
        bits = (own[:, None] >> np.arange(WORD_BITS)) & 1
        yield int(node), np.flatnonzero(bits.ravel())


def _build_stop_callback(expired: Callable[[], bool]) -> Callable[[Any], None]:
    """LightGBM's callback that ends the training when the time is over; the rounds until then stay."""
    from lightgbm.callback import EarlyStopException

    def stop(env: Any) -> None:
        if expired():
            raise EarlyStopException(env.iteration, env.evaluation_result_list)

    return stop


FAMILY = add_log_support(
    Family(
        "lightgbm",
        frozenset({"binary", "multiclass", "regression"}),
        LightGBMEstimator.of,
        LightGBMEstimator.restore,
        space={
            "learning_rate": (0.01, 0.3, "log"),
            "num_leaves": (7, 127, "log"),
            "min_data_in_leaf": (5, 100, "log"),
            "feature_fraction": (0.4, 1.0),
            "bagging_fraction": (0.5, 1.0),
            "lambda_l2": (0.01, 100.0, "log"),
        },
        needs="lightgbm",
        defaults_for=lambda rows: {"max_bin": choose_max_bin(rows) - 1},
        initial_points=(
            {"num_leaves": 8, "learning_rate": 0.06},
            {"num_leaves": 63, "learning_rate": 0.03, "extra_trees": True, "feature_fraction": 0.9, "min_data_in_leaf": 5},
            {"num_leaves": 95, "learning_rate": 0.05, "min_data_in_leaf": 30, "feature_fraction": 0.5},
        ),
        parts={
            "early stopping": {"patience": 0},
            "interactions": {"num_leaves": 2},
            "small steps": {"learning_rate": 0.3},
            "subsampling of rows": {"bagging_fraction": 1.0},
            "subsampling of columns": {"feature_fraction": 1.0},
            "least size of a leaf": {"min_data_in_leaf": 1},
            "penalty of leaves": {"lambda_l2": 0.0},
        },
    )
)
