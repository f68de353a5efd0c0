"""Every entity of a feature predicted at a moment, with where each stands on the list of decisions: the same list as `decide`.

Answers are worked out a batch at a time and wait on disk, for an entity's rank is known once all are answered.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import numpy as np
import polars as pl

from epic22.core.artifact.answer_frame import find_first_rows
from epic22.core.artifact.model import Model
from epic22.core.artifact.portfolio_schema import PORTFOLIO_SCHEMA, RANKING_SCHEMA
from epic22.core.artifact.prediction_request import FrameRequest
from epic22.core.data.task_data import BoundTask
from epic22.core.evaluation.costs import rank_entities
from epic22.core.lineage import ModelVersion, canonical_json, sha256
from epic22.core.progress import Progress
from epic22.core.tables.versions import LakeVersion
from epic22.core.task import Array
from epic22.services.assess import build_cost_matrix
from epic22.services.batch_answers import BatchSettings, answer_batches, count_rows_at_once
from epic22.services.decide import SHOWN_HORIZON, compute_relative_change

ID_DIGITS = 16


@dataclass(frozen=True)
class PortfolioRequest:
    """What is asked of whom: a model at a moment, of the entities in a data version, for a capacity."""

    model: ModelVersion
    data: LakeVersion
    at: datetime
    capacity: int
    in_sample: bool
    with_reasons: bool = True

    @property
    def id(self) -> str:
        """The same for the same request, whenever it is made; the number of the data version stays when a person is erased."""
        model = (self.model.task, self.model.version, self.model.model_hash)
        what = (self.data.number, self.at.isoformat(), self.capacity, self.with_reasons)
        return sha256(canonical_json([*model, *what]))[:ID_DIGITS]


@dataclass
class RankedValues:
    """The value that is acted on of each of n entities, as they are answered."""

    entities: list[str] = field(default_factory=list)
    values: list[float] = field(default_factory=list)


def predict_entities(
    model: Model, data: BoundTask, request: PortfolioRequest, folder: Path, settings: BatchSettings, progress: Progress
) -> list[Path]:
    """Parquet files in the folder with all rows of a request (`PORTFOLIO_SCHEMA`), in the order of the entities.

    Raises ColumnError where nobody is eligible.
    """
    progress.begin(f"{request.model.task}: inputs of all entities at {request.at:%Y-%m-%d}", 1)
    eligible = data.list_eligible(request.at)
    inputs = data.build_request(eligible)
    progress.step()
    ranked, parts = RankedValues(), []
    rule = RULES[data.data_type]
    n_at_once = count_rows_at_once(model)
    progress.begin(f"{request.model.task}: predicting {inputs.height:,} entities", -(-inputs.height // n_at_once))
    requests = (FrameRequest(inputs[a : a + n_at_once], a + 1) for a in range(0, inputs.height, n_at_once))
    for number, answers in enumerate(answer_batches(model, requests, settings)):
        named = rule.name_entities(answers, eligible[number * n_at_once : (number + 1) * n_at_once])
        acted_on = rule.select_values(named)
        ranked.entities += named["entity"].gather(acted_on).to_list()
        ranked.values += named["value"].gather(acted_on).to_list()
        parts.append(folder / f"answers-{number:05d}.parquet")
        named.with_columns(is_ranked=pl.int_range(pl.len()).is_in(acted_on.tolist())).write_parquet(parts[-1])
        progress.step()
    ranking = rule.rank(model.costs, data, inputs, ranked)
    return list(_write_ranked(parts, ranking, request))


def _write_ranked(parts: list[Path], ranking: pl.DataFrame, request: PortfolioRequest) -> Iterator[Path]:
    """The files again with ranks and origins; a file's entities follow those of the file before."""
    listed = (ranking["rank"] <= request.capacity).fill_null(value=False).alias("is_listed")
    ranking, first = ranking.with_columns(listed), 0
    for path in parts:
        answers = pl.read_parquet(path)
        is_ranked = answers["is_ranked"]
        count = int(is_ranked.sum())
        place = first + (is_ranked.cast(pl.Int64).cum_sum() - 1).clip(0)
        rows = answers.drop("is_ranked").hstack(ranking[place].with_columns(pl.when(is_ranked).then(pl.all())))
        _add_origin(rows, request).write_parquet(path)
        first += count
        yield path


def _add_origin(rows: pl.DataFrame, request: PortfolioRequest) -> pl.DataFrame:
    model, data = request.model, request.data
    origin = {
        "family": model.family,
        "model_version": model.version,
        "model_hash": model.model_hash,
        "data_version": data.number,
        "data_id": data.id,
        "in_sample": request.in_sample,
    }
    named = rows.with_columns(pl.lit(value).alias(name) for name, value in origin.items())
    return named.select(pl.col(name).cast(dtype) for name, dtype in PORTFOLIO_SCHEMA.items())


@dataclass(frozen=True)
class RankingRule:
    """How answers of a type of data are named, which value of each entity is acted on, and how these are ranked: a frame with the
    columns of RANKING_SCHEMA but the last, a row an entity."""

    name_entities: Callable[[pl.DataFrame, pl.DataFrame], pl.DataFrame]
    select_values: Callable[[pl.DataFrame], Array]
    rank: Callable[[Mapping[str, float], BoundTask, pl.DataFrame, RankedValues], pl.DataFrame]


def _name_rows(answers: pl.DataFrame, eligible: pl.DataFrame) -> pl.DataFrame:
    """A row is asked without its name: it is that of the eligible entity in its place, at its cutoff."""
    rows = np.repeat(np.arange(eligible.height), answers.height // eligible.height)
    return answers.with_columns(
        entity=eligible["entity"].cast(pl.String)[rows], at=eligible["cutoff"].cast(pl.Datetime("us"))[rows]
    )


def _select_reported(answers: pl.DataFrame) -> Array:
    """The places of the values that are reported in money, the first of each entity where none is."""
    firsts = find_first_rows(answers)
    has_money = answers["expected_loss"].is_not_null().to_numpy()
    widths = np.diff(np.append(firsts, answers.height))
    width = int(widths[0]) if len(widths) else 1
    return np.asarray(firsts + has_money.reshape(-1, width).argmax(axis=1))


def _select_shown_horizon(answers: pl.DataFrame) -> Array:
    """The places of the values by which forecasts are ranked."""
    firsts = find_first_rows(answers)
    widths = np.diff(np.append(firsts, answers.height))
    return firsts + np.minimum(SHOWN_HORIZON, widths) - 1


def _rank_by_saving(costs: Mapping[str, float], data: BoundTask, inputs: pl.DataFrame, ranked: RankedValues) -> pl.DataFrame:
    """By expected saving, only where acting is expected to save anything; nothing where the model has no costs."""
    n = len(ranked.values)
    if not costs:
        return pl.DataFrame({"rank": [None] * n, "saving": [None] * n, "change": [None] * n}, schema=_RANKED)
    stake = data.task.stake_column
    matrix = build_cost_matrix(costs, None if stake is None else inputs[stake].cast(pl.Float64).to_numpy())
    p = np.array(ranked.values, dtype=np.float64)
    rank = np.zeros(n, dtype=np.int64)
    for place in rank_entities(ranked.entities, p, matrix):
        rank[place.row] = place.rank
    frame = pl.DataFrame({"rank": rank, "saving": matrix.compute_expected_saving(p), "change": [None] * n}, schema=_RANKED)
    return frame.with_columns(rank=pl.when(pl.col("rank") > 0).then("rank"), saving=pl.col("saving").fill_nan(None))


def _rank_by_change(_: Mapping[str, float], data: BoundTask, inputs: pl.DataFrame, ranked: RankedValues) -> pl.DataFrame:
    """By how far a forecast departs from the last value, relative to it, downwards first where figures tie."""
    last_values = inputs["values"].list.last().to_list()
    changes = np.array([compute_relative_change(v, last) for v, last in zip(ranked.values, last_values, strict=True)])
    rank = np.empty(len(changes), dtype=np.int64)
    rank[np.lexsort((changes, -np.abs(changes)))] = np.arange(1, len(changes) + 1)
    return pl.DataFrame({"rank": rank, "saving": [None] * len(rank), "change": changes}, schema=_RANKED)


_RANKED = {name: dtype for name, dtype in RANKING_SCHEMA.items() if name != "is_listed"}

RULES: Mapping[str, RankingRule] = {
    "rows": RankingRule(_name_rows, _select_reported, _rank_by_saving),
    "panel": RankingRule(lambda answers, eligible: answers, _select_shown_horizon, _rank_by_change),
}
"""By the type of data that models predict from."""
