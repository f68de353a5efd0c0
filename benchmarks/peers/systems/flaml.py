"""FLAML's AutoML.

Its split by time is not used where a set has a time: it then draws its samples from the oldest rows.
"""

from importlib.metadata import version
from typing import Any

from peers.systems.harness import Fitted, Order, pandas_frame, perform

METRICS = {"average_precision": "ap", "roc_auc": "roc_auc", "root_mean_squared_error": "rmse"}


def fit(order: Order) -> Fitted:
    """Fit on the training file with the seconds left."""
    from flaml import AutoML

    train = pandas_frame(order.train)
    model = AutoML()
    model.fit(
        X_train=train[order.inputs],
        y_train=train[order.label],
        task="classification" if order.kind == "binary" else "regression",
        metric=METRICS[order.metric],
        time_budget=order.left(),
        n_jobs=order.cores,
        seed=order.seed,
        verbose=1,
    )

    def answer(frame: Any) -> Any:
        asked = frame[order.inputs]
        return model.predict_proba(asked)[:, 1] if order.kind == "binary" else model.predict(asked)

    notes = {"chosen": model.best_estimator, "tried": sorted(model.best_config_per_estimator)}
    return Fitted(version("FLAML"), answer, notes)


if __name__ == "__main__":
    perform(fit)
