"""Ours, as `epic22 train --time-limit SECONDS --no-nested` does it, and as its model and the HTTP API answer.

With the option `also` the search tries those families beside its own; with `only` that family is trained without a search. The
test's labels are not in this process. One row alone is answered with its reasons, as the API does.
"""

import epic22
from epic22.bootstrap import assemble, train_file
from epic22.config import Settings
from epic22.core.artifact.prediction_columns import compute_columns
from epic22.core.artifact.prediction_request import RowsRequest
from epic22.core.artifact.row_model import RowModel
from epic22.core.models.catalog import default_search_families
from epic22.spec.flat_file import read_rows
from epic22.spec.training_spec import build_spec
from peers.systems.harness import Fitted, Order, perform


def choose_families(order: Order) -> dict[str, object]:
    """The options of the search, or of the race where one family alone is to be trained."""
    if "only" in order.options:
        return {"families": (order.options["only"],)}
    also = tuple(filter(None, order.options.get("also", "").split(",")))
    names = (*default_search_families("binary" if order.kind == "binary" else "regression"), *also) if also else ()
    return {"time_limit": order.seconds, "nested": False, "search_family": names}


def fit(order: Order) -> Fitted:
    """Train on the file, then open the registered champion."""
    spec = build_spec(
        csv=order.train,
        label=order.label,
        time=order.time,
        group=order.group,
        positive="1" if order.kind == "binary" else None,
        kind=order.kind,
        metric=order.metric,
        seed=order.seed,
        repeats=1,
        **choose_families(order),
    )
    finished = train_file(assemble(Settings(home=order.out / "home", threads=order.cores)), spec)
    version, bundle = finished.run.version, finished.run.bundle
    model, found = RowModel(version, bundle), finished.run.search_result
    return Fitted(
        version=epic22.__version__,
        answer=lambda frame: compute_columns(bundle, bundle.preprocessor.transform(frame), None).response,
        one=lambda row: model.predict(RowsRequest([row]))[0].values[0].value,
        also={"score only": lambda row: bundle.estimator.decision_function(bundle.preprocessor.transform_row(row))},
        read=lambda path: read_rows(path, bundle.schema.columns),
        row=lambda frame, i: frame.row(i, named=True),
        notes={
            "chosen": version.family,
            "left out by the audit": sorted(s.column for s in finished.run.audit if s.withheld and s.column),
            "trials": 0 if found is None else len(found.trials),
            "members": [] if found is None else [[found.trials[turn].family, round(w, 3)] for turn, w in found.weights],
            "folds": f"{finished.run.plan.strategy}, {finished.run.plan.n_folds} × {finished.run.plan.repeats}",
        },
    )


if __name__ == "__main__":
    perform(fit)
