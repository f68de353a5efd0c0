"""mljar-supervised in its Compete mode."""

from importlib.metadata import version
from typing import Any

from peers.systems.harness import Fitted, Order, pandas_frame, perform

METRICS = {"average_precision": "average_precision", "roc_auc": "auc", "root_mean_squared_error": "rmse"}


def fit(order: Order) -> Fitted:
    """Fit on the training file with the seconds left."""
    from supervised.automl import AutoML

    train = pandas_frame(order.train)
    model = AutoML(
        results_path=str(order.out / "model"),
        mode="Compete",
        ml_task="binary_classification" if order.kind == "binary" else "regression",
        eval_metric=METRICS[order.metric],
        total_time_limit=int(order.left()),
        n_jobs=order.cores,
        random_state=order.seed,
        verbose=1,
    )
    model.fit(train[order.inputs], train[order.label])

    def answer(frame: Any) -> Any:
        asked = frame[order.inputs]
        return model.predict_proba(asked)[:, 1] if order.kind == "binary" else model.predict(asked)

    board = model.get_leaderboard()
    notes = {"models": sorted(set(board["name"])), "kinds": sorted(set(board["model_type"]))}
    return Fitted(version("mljar-supervised"), answer, notes)


if __name__ == "__main__":
    perform(fit)
