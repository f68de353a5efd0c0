"""AutoGluon-Tabular with a preset; which of its kinds of models came to be is in the notes."""

from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

from peers.systems.harness import Fitted, Order, pandas_frame, perform

METRICS = {"average_precision": "average_precision", "roc_auc": "roc_auc", "root_mean_squared_error": "root_mean_squared_error"}
OPTIONAL = ("lightgbm", "catboost", "xgboost", "torch", "fastai", "ray", "tabpfn", "tabicl")


def fit(order: Order) -> Fitted:
    """Fit on the training file with the seconds left."""
    from autogluon.tabular import TabularPredictor

    train = pandas_frame(order.train)[[*order.inputs, order.label]]
    predictor = TabularPredictor(
        label=order.label,
        problem_type=order.kind,
        eval_metric=METRICS[order.metric],
        path=str(order.out / "model"),
        verbosity=2,
    )
    predictor.fit(train, presets=order.options["preset"], time_limit=order.left(), num_cpus=order.cores)

    def answer(frame: Any) -> Any:
        asked = frame[order.inputs]
        if order.kind == "binary":
            return predictor.predict_proba(asked, as_multiclass=True)[1]
        return predictor.predict(asked)

    return Fitted(version("autogluon.tabular"), answer, _notes(predictor))


def _notes(predictor: Any) -> dict[str, Any]:
    kinds = sorted({info["model_type"] for info in predictor.info()["model_info"].values()})
    return {
        "chosen": predictor.model_best,
        "models": predictor.model_names(),
        "kinds": kinds,
        "libraries at hand": [name for name in OPTIONAL if find_spec(name)],
    }


if __name__ == "__main__":
    perform(fit)
