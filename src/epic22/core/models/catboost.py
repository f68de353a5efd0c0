"""Trees that ask the same question at a whole level, by CatBoost: an optional family. They answer without the library.

A category is given as one column for each of its frequent levels, so that a tree asks whether the row is of that level.
CatBoost's own statistics of categories are not used: they depend on tables that arrays of trees cannot hold, and target
statistics are columns of their own here.
"""

import json
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from epic22.core.errors import InternalError
from epic22.core.lineage import canonical_json
from epic22.core.models.base import BaseEstimator, Family, LibraryParams
from epic22.core.models.learning_problem import LearningProblem
from epic22.core.models.target_transform import add_log_support
from epic22.core.models.trees.boosted import FINE_BINS, choose_max_bin
from epic22.core.models.trees.external import BoostingData, ExternalTrees
from epic22.core.models.trees.forest import ExternalTree, Forest, build_forest, next_float32_above
from epic22.core.targets import KINDS
from epic22.core.task import Array

OBJECTIVES: Mapping[str, str] = {
    "binary": "Logloss",
    "multiclass": "MultiClass",
    "squared": "RMSE",
    "absolute": "MAE",
    "quantile": "Quantile:alpha={quantile}",
    "poisson": "Poisson",
    "tweedie": "Tweedie:variance_power={power}",
}
MAX_LEVELS = 64
"""This many levels of a category, the most frequent first, have a column of their own."""

MEAN_FAMILY_POWER = 1.5
"""Tweedie's power: rows count by their size, more than by logarithms and less than by squared errors."""

REGRESSION_PATIENCE_FACTOR = 3
"""So many times the patience where values are predicted: a few rows make most of the watched loss, which falls unsteadily."""


@dataclass
class CatBoostEstimator(ExternalTrees):
    """CatBoost's symmetric trees."""

    library: ClassVar[str] = "catboost"
    scaled_losses: ClassVar[tuple[str, ...]] = ("poisson", "tweedie")

    depth: int = 6
    l2_leaf_reg: float = 3.0
    rsm: float = 0.7
    subsample: float = 0.8
    border_count: int = 254

    def _train(self, training: BoostingData) -> tuple[bytes, int]:
        from catboost import CatBoost, Pool

        self.levels_ = find_frequent_levels(training.X, self.categorical)
        model = CatBoost(self._params(self._choose_threads(training.X), training.rounds))
        rows = Pool(one_hot_encode(training.X, self.levels_), training.y)
        if training.validation is None:
            model.fit(rows)
            return _dump_model(model), training.rounds
        X, y = training.validation
        model.fit(
            rows,
            eval_set=Pool(one_hot_encode(X, self.levels_), y),
            use_best_model=True,
            early_stopping_rounds=self.patience * (REGRESSION_PATIENCE_FACTOR if KINDS[self.kind].is_regression else 1),
            callbacks=[_StopCallback(training.expired)],
        )
        return _dump_model(model), int(model.get_best_iteration()) + 1

    def _params(self, threads: int, rounds: int) -> LibraryParams:
        return {
            "loss_function": OBJECTIVES[self._objective_name].format(quantile=self.loss.quantile, power=self.power_),
            "iterations": rounds,
            "random_seed": self.seed,
            "thread_count": threads,
            "learning_rate": self.learning_rate,
            "depth": self.depth,
            "l2_leaf_reg": self.l2_leaf_reg,
            "rsm": self.rsm,
            "bootstrap_type": "Bernoulli",
            "subsample": self.subsample,
            "border_count": self.border_count,
            "nan_mode": "Min",
            "allow_const_label": True,
            "allow_writing_files": False,
            "logging_level": "Silent",
            **({"classes_count": self.n_classes} if KINDS[self.kind].has_score_per_class else {}),
        }

    def _parse_forest(self) -> Forest:
        return parse_model_json(self.text_, self.levels_)

    def _extra_state(self) -> Mapping[str, object]:
        return {"levels": [None if codes is None else list(codes) for codes in self.levels_]}

    def _restore_extra_state(self, state: Mapping[str, Any]) -> None:
        self.levels_ = tuple(None if codes is None else tuple(codes) for codes in state["levels"])


Levels = tuple[tuple[int, ...] | None, ...]
"""Of each column the codes that have a column of their own, None for a number."""


def find_frequent_levels(X: Array, categorical: tuple[bool, ...]) -> Levels:
    """The most frequent codes of each category, by code."""
    levels: list[tuple[int, ...] | None] = []
    for j, is_category in enumerate(categorical):
        if not is_category:
            levels.append(None)
            continue
        codes, counts = np.unique(X[:, j][~np.isnan(X[:, j])].astype(np.int64), return_counts=True)
        levels.append(tuple(sorted(codes[np.argsort(-counts, kind="stable")[:MAX_LEVELS]].tolist())))
    return tuple(levels)


def one_hot_encode(X: Array, levels: Levels) -> Array:
    """Numbers as they are, categories as one column a level, (n, q) float32."""
    parts = [X[:, [j]] if codes is None else X[:, [j]] == np.array(codes)[None, :] for j, codes in enumerate(levels)]
    return np.ascontiguousarray(np.hstack(parts), np.float32)


def _dump_model(model: Any) -> bytes:
    """What the model answers as JSON, without its times and its random name."""
    with tempfile.TemporaryDirectory(prefix="epic22-") as folder:
        path = Path(folder) / "model.json"
        model.save_model(str(path), format="json")
        model_json = json.loads(path.read_bytes())
    return canonical_json({name: model_json[name] for name in ("features_info", "oblivious_trees", "scale_and_bias")})


def parse_model_json(text: bytes, levels: Levels) -> Forest:
    """The forest of a CatBoost model's JSON over the columns that `levels` were spread from.

    Raises InternalError for trees that the arrays cannot hold.
    """
    model_json = json.loads(text)
    input_columns = [(j, code) for j, codes in enumerate(levels) for code in (codes if codes is not None else (None,))]
    scale, base = float(model_json["scale_and_bias"][0]), np.array(model_json["scale_and_bias"][1], np.float64)
    for feature in model_json["features_info"]["float_features"]:
        if feature["has_nans"] and feature["nan_value_treatment"] != "AsFalse":
            raise InternalError(f"a missing number is taken as {feature['nan_value_treatment']!r}, not as below every bound.")
    trees = [tree for one in model_json["oblivious_trees"] for tree in _parse_trees(one, input_columns, scale, len(base))]
    return build_forest(trees, np.arange(len(trees)) % len(base), len(levels), base)


def _parse_trees(
    tree_json: Mapping[str, Any], input_columns: list[tuple[int, int | None]], scale: float, n_outputs: int
) -> list[ExternalTree]:
    """A tree for each output, level by level from the last question down to the first, which tells neighbouring leaves apart."""
    splits = list(reversed(tree_json["splits"] or []))
    if any(question["split_type"] != "FloatFeature" for question in splits):
        raise InternalError("a forest holds CatBoost trees that ask about numbers alone.")
    depth = len(splits)
    inner = 2**depth - 1
    leaf = np.concatenate([np.zeros((inner, n_outputs)), np.reshape(tree_json["leaf_values"], (inner + 1, n_outputs))])
    ends = _find_ends(leaf, depth)
    is_retained = np.append(True, ~ends[(np.arange(1, 2 * inner + 1) - 1) // 2])
    number = np.cumsum(is_retained) - 1
    first = np.where(ends, 0, 2 * np.arange(2 * inner + 1) + 1)
    left, right = (np.where(ends, -1, number[first + side * ~ends])[is_retained] for side in (0, 1))
    level = np.repeat(np.arange(depth + 1), 2 ** np.arange(depth + 1))[is_retained]
    split_columns = [input_columns[question["float_feature_index"]] for question in splits] + [(-1, None)]
    bounds = np.append(next_float32_above(np.array([question["border"] for question in splits], np.float64)), np.float32(0))
    codes = ((node, split_columns[at][1]) for node, at in enumerate(level) if left[node] >= 0)
    tree = ExternalTree(
        split=np.array([feature for feature, _ in split_columns], np.int64)[level],
        threshold=bounds[level],
        default_left=np.ones(len(level), np.bool_),
        left=left,
        right=right,
        leaf=scale * leaf[is_retained],
        cover=_compute_covers(np.array(tree_json["leaf_weights"], np.float64), inner)[is_retained],
        sets=tuple((node, np.array([code])) for node, code in codes if code is not None),
    )
    return [replace(tree, leaf=tree.leaf[:, output]) for output in range(n_outputs)]


def _find_ends(leaf: Array, depth: int) -> Array:
    """Where a tree may end, (m,): below these nodes all leaves, whose values are put in their place, are equal.

    Many leaves of symmetric trees are reached by no training row and have the value 0.
    """
    ends = np.ones(len(leaf), np.bool_)
    for level in reversed(range(depth)):
        nodes = np.arange(2**level - 1, 2 ** (level + 1) - 1)
        left, right = 2 * nodes + 1, 2 * nodes + 2
        ends[nodes] = ends[left] & ends[right] & (leaf[left] == leaf[right]).all(axis=1)
        leaf[nodes] = np.where(ends[nodes][:, None], leaf[left], 0.0)
    # A node below an end is no part of the tree either.
    for node in range(1, len(leaf)):
        ends[node] |= ends[(node - 1) // 2]
    return ends


def _compute_covers(weights: Array, inner: int) -> Array:
    """Of all nodes, from their leaves up; equal where no row reached any leaf, (m,)."""
    cover = np.concatenate([np.zeros(inner), weights])
    for node in range(inner - 1, -1, -1):
        cover[node] = cover[2 * node + 1] + cover[2 * node + 2]
    return cover


@dataclass(frozen=True)
class _StopCallback:
    """CatBoost's callback that ends the training when the time is over; the rounds until then stay."""

    expired: Callable[[], bool]

    def after_iteration(self, info: Any) -> bool:
        """Whether to go on."""
        return not self.expired()


def _build_mean_estimator(problem: LearningProblem, seed: int = 0, threads: int = 1, **params: Any) -> BaseEstimator:
    loss = replace(problem.loss, name="tweedie", power=MEAN_FAMILY_POWER)
    return CatBoostEstimator.of(replace(problem, loss=loss, log=False, smearing=False), seed, threads, **params)


BASE_FAMILY = Family(
    "catboost",
    frozenset({"binary", "multiclass", "regression"}),
    CatBoostEstimator.of,
    CatBoostEstimator.restore,
    space={
        "learning_rate": (0.02, 0.3, "log"),
        "depth": (3, 8),
        "l2_leaf_reg": (0.5, 30.0, "log"),
        "rsm": (0.4, 1.0),
        "subsample": (0.5, 1.0),
    },
    needs="catboost",
    defaults_for=lambda rows: {"border_count": 510 if choose_max_bin(rows) == FINE_BINS else 254},
    initial_points=(
        {"depth": 4, "learning_rate": 0.08},
        {"depth": 5, "learning_rate": 0.15, "rsm": 0.6},
        {"depth": 7, "learning_rate": 0.08},
    ),
    parts={
        "early stopping": {"patience": 0},
        "interactions": {"depth": 1},
        "small steps": {"learning_rate": 0.3},
        "subsampling of rows": {"subsample": 1.0},
        "subsampling of columns": {"rsm": 1.0},
        "penalty of leaves": {"l2_leaf_reg": 0.0},
    },
)
FAMILY = add_log_support(BASE_FAMILY)
MEAN_FAMILY = replace(
    BASE_FAMILY,
    name="catboost_tweedie",
    kinds=frozenset({"regression"}),
    build=_build_mean_estimator,
    initial_points=({"depth": 6, "learning_rate": 0.1}, {"depth": 4, "learning_rate": 0.1}),
)
"""The logarithm of the mean itself, by Tweedie deviance, where others learn the mean of logarithms: one unit, other errors."""
