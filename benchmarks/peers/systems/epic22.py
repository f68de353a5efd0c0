"""Ours, through what `epic22 train` and the HTTP API call; the test's labels are not in this process."""

import polars as pl

import epic22
from epic22.bootstrap import assemble, train_file
from epic22.config import Settings
from epic22.core.bundle import Bundle
from epic22.core.data.contract import Roles
from epic22.core.data.split import SplitRequest
from epic22.core.task import Kind
from epic22.features.flat_file import FlatFile, read_rows
from epic22.services.predict import predict_frame, predict_rows
from peers.systems.harness import Fitted, Order, perform

KINDS: dict[str, Kind] = {"binary": "binary", "regression": "regression"}


def fit(order: Order) -> Fitted:
    """Train on the file, then open the registered champion."""
    roles = Roles(order.label, time=times(order), group=order.group, positive="1" if order.kind == "binary" else None)
    parts = assemble(Settings(home=order.out / "home", threads=order.cores))
    file = FlatFile(order.train, roles, kind=KINDS[order.kind])
    finished = train_file(parts, file, SplitRequest(seed=order.seed))
    version, bundle = parts.registry.load(finished.run.version.task)
    if not isinstance(bundle, Bundle):
        raise TypeError(f"the champion is a {type(bundle).__name__}; expected one that scores rows.")
    return Fitted(
        version=epic22.__version__,
        answer=lambda frame: [told.values[0].value for told in predict_frame(version, bundle, frame)],
        one=lambda row: predict_rows(version, bundle, [row])[0].values[0].value,
        also={"score only": lambda row: bundle.estimator.raw(bundle.preprocessor.transform_row(row))},
        read=lambda path: read_rows(path, bundle.schema.columns),
        row=lambda frame, i: frame.row(i, named=True),
        notes={
            "chosen": version.family,
            "left out by the audit": sorted(s.column for s in finished.run.audit if s.withheld and s.column),
            "folds": f"{finished.run.plan.kind}, {finished.run.plan.n} × {finished.run.plan.repeats}",
        },
    )


def times(order: Order) -> tuple[str, ...]:
    """The time to tell; none where training has too few moments for forward folds: then the group alone splits."""
    if order.time is None:
        return ()
    moments = pl.read_parquet(order.train, columns=[order.time])[order.time].n_unique()
    return (order.time,) if moments > SplitRequest().n else ()


if __name__ == "__main__":
    perform(fit)
