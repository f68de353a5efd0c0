"""The columns of a portfolio's predictions: answers, where each stands on the list of decisions, and what they came from."""

import polars as pl

from epic22.core.artifact.answer_frame import ANSWER_SCHEMA

REQUEST = "request"
"""The column of the id of the request that a row belongs to."""

RANKING_SCHEMA = pl.Schema({"rank": pl.Int64(), "saving": pl.Float64(), "change": pl.Float64(), "is_listed": pl.Boolean()})
"""Of the value that is acted on, null for the others: its place among all (null where acting does not pay), what acting is
expected to save, of a forecast its change relative to the last value, and whether the list of that capacity has it."""

ORIGIN_SCHEMA = pl.Schema(
    {
        "family": pl.String(),
        "model_version": pl.String(),
        "model_hash": pl.String(),
        "data_version": pl.Int64(),
        "data_id": pl.String(),
        "in_sample": pl.Boolean(),
    }
)
"""The model that answered, the data version that it was asked on, and whether it learned from data after the moment."""

PORTFOLIO_SCHEMA = pl.Schema({**ANSWER_SCHEMA, **RANKING_SCHEMA, **ORIGIN_SCHEMA})
