"""XGBoost tuned by Optuna as most people do it: TPE, one random inner split, the best configuration again on all rows."""

import time
from typing import Any

from peers.systems.columns import encoded, levels_of
from peers.systems.harness import Fitted, Order, pandas_frame, perform

METRICS = {"average_precision": "aucpr", "roc_auc": "auc", "root_mean_squared_error": "rmse"}
INNER_SHARE = 0.2
MOST_ROUNDS, PATIENCE = 1000, 50
RESERVE = 1.5
"""Room is kept for one more trial and for a last fit of so many times the longest: it has a quarter more rows."""

LAST_SHARE = 0.3
"""No trial goes on into this last share of the seconds."""


def fit(order: Order) -> Fitted:
    """Search until what is left is needed for the last fit."""
    import optuna
    import xgboost
    from sklearn.model_selection import train_test_split

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    train = pandas_frame(order.train)
    levels = levels_of(train[order.inputs])
    X, y = encoded(train[order.inputs], levels), train[order.label]
    parts = train_test_split(X, y, test_size=INNER_SHARE, random_state=order.seed, stratify=y if order.kind == "binary" else None)
    made = xgboost.XGBClassifier if order.kind == "binary" else xgboost.XGBRegressor
    metric = METRICS[order.metric]
    fixed = {"enable_categorical": True, "n_jobs": order.cores, "random_state": order.seed, "eval_metric": metric}
    longest = 0.0

    class Overdue(xgboost.callback.TrainingCallback):
        """Ends a trial that alone would use up the time; few would write it, but without a model there is nothing to compare."""

        def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
            return order.left() < LAST_SHARE * order.seconds

    def objective(trial: Any) -> float:
        nonlocal longest
        began = time.perf_counter()
        stopping = {"early_stopping_rounds": PATIENCE, "callbacks": [Overdue()]}
        model = made(n_estimators=MOST_ROUNDS, **stopping, **fixed, **space(trial))
        model.fit(parts[0], parts[2], eval_set=[(parts[1], parts[3])], verbose=False)
        if model.get_booster().attr("best_iteration") is None:
            raise optuna.TrialPruned("ended in its first round: the time was up")
        trial.set_user_attr("rounds", model.best_iteration + 1)
        longest = max(longest, time.perf_counter() - began)
        return float(model.best_score)

    def enough(study: Any, trial: Any) -> None:
        if order.left() < longest * (1 + RESERVE) + 1:
            study.stop()

    sampler = optuna.samplers.TPESampler(seed=order.seed)
    study = optuna.create_study(direction="minimize" if metric == "rmse" else "maximize", sampler=sampler)
    study.optimize(objective, callbacks=[enough], timeout=order.left())
    model = made(n_estimators=study.best_trial.user_attrs["rounds"], **fixed, **study.best_params)
    model.fit(X, y, verbose=False)

    def answer(frame: Any) -> Any:
        asked = encoded(frame[order.inputs], levels)
        return model.predict_proba(asked)[:, 1] if order.kind == "binary" else model.predict(asked)

    return Fitted(f"{xgboost.__version__}, Optuna {optuna.__version__}", answer, {"trials": len(study.trials)})


def space(trial: Any) -> dict[str, Any]:
    """The usual space."""
    return {
        "learning_rate": trial.suggest_float("learning_rate", 0.01, 0.3, log=True),
        "max_depth": trial.suggest_int("max_depth", 3, 10),
        "min_child_weight": trial.suggest_float("min_child_weight", 1.0, 20.0, log=True),
        "subsample": trial.suggest_float("subsample", 0.5, 1.0),
        "colsample_bytree": trial.suggest_float("colsample_bytree", 0.5, 1.0),
        "reg_lambda": trial.suggest_float("reg_lambda", 1e-3, 10.0, log=True),
        "reg_alpha": trial.suggest_float("reg_alpha", 1e-3, 10.0, log=True),
        "gamma": trial.suggest_float("gamma", 1e-3, 5.0, log=True),
    }


if __name__ == "__main__":
    perform(fit)
