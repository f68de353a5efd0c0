"""H2O AutoML: the Java server starts, trains and answers within the run."""

import socket
from importlib.metadata import version
from typing import Any

from peers.systems.harness import Fitted, Order, pandas_frame, perform

METRICS = {"average_precision": "AUCPR", "roc_auc": "AUC", "root_mean_squared_error": "RMSE"}
MEMORY = "6g"


def fit(order: Order) -> Fitted:
    """Fit on the training file with the seconds left."""
    import h2o
    from h2o.automl import H2OAutoML

    h2o.init(
        port=free_port(),
        nthreads=order.cores,
        max_mem_size=MEMORY,
        ice_root=str(order.out),
        log_dir=str(order.out),
        bind_to_localhost=True,
        telemetry=False,
    )
    h2o.no_progress()
    frame = pandas_frame(order.train)
    train = to_h2o(frame[[*order.inputs, order.label]])
    if order.kind == "binary":
        train[order.label] = train[order.label].asfactor()
    run = H2OAutoML(
        max_runtime_secs=int(order.left()), sort_metric=METRICS[order.metric], seed=order.seed, verbosity=None, nfolds=-1
    )
    run.train(x=order.inputs, y=order.label, training_frame=train)
    if run.leader is None:
        raise RuntimeError("H2O AutoML gave no model within the time.")
    board = run.leaderboard["model_id"].as_data_frame(use_multi_thread=False)["model_id"]

    def answer(asked: Any) -> Any:
        found = run.leader.predict(to_h2o(asked[order.inputs])).as_data_frame(use_multi_thread=False)
        return found["p1"] if order.kind == "binary" else found["predict"]

    return Fitted(version("h2o"), answer, {"chosen": run.leader.model_id.split("_AutoML")[0], "models": len(board)})


def free_port() -> int:
    """A port where nobody listens: H2O would join a server that happens to be there."""
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        return int(asked.getsockname()[1])


def to_h2o(frame: Any) -> Any:
    """The frame on the server, text as categories, times as times."""
    import h2o

    types = {name: "numeric" if dtype.kind in "iufb" else "time" if dtype.kind == "M" else "enum"
             for name, dtype in frame.dtypes.items()}  # fmt: skip
    return h2o.H2OFrame(frame, column_types=types)


if __name__ == "__main__":
    perform(fit)
