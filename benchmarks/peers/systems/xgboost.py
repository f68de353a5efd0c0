"""XGBoost as it comes: its defaults, its own categories; it needs no budget."""

from typing import Any

from peers.systems.columns import encoded, levels_of
from peers.systems.harness import Fitted, Order, pandas_frame, perform


def fit(order: Order) -> Fitted:
    """Fit its 100 rounds on the training file."""
    import xgboost

    train = pandas_frame(order.train)
    levels = levels_of(train[order.inputs])
    made = xgboost.XGBClassifier if order.kind == "binary" else xgboost.XGBRegressor
    model = made(enable_categorical=True, n_jobs=order.cores, random_state=order.seed)
    model.fit(encoded(train[order.inputs], levels), train[order.label])

    def answer(frame: Any) -> Any:
        asked = encoded(frame[order.inputs], levels)
        return model.predict_proba(asked)[:, 1] if order.kind == "binary" else model.predict(asked)

    return Fitted(xgboost.__version__, answer)


if __name__ == "__main__":
    perform(fit)
