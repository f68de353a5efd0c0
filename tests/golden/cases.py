"""What is asked of the product, case by case: commands, and requests of the served process."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Make:
    """Write the tables of that name into the case's folder."""

    table: str


@dataclass(frozen=True)
class Command:
    """One run of the command line; `prints` says how its standard output is read: json, text, or the options it names."""

    name: str
    arguments: tuple[str, ...]
    prints: str = "json"


@dataclass(frozen=True)
class Request:
    """One request of the served process: the body as JSON, as it is where `raw`, or the golden rows of a task's champion."""

    name: str
    path: str
    body: Any = None
    raw: str | None = None
    golden_of: str | None = None
    headers: Mapping[str, str] | None = None


@dataclass(frozen=True)
class Serve:
    """Start the server, ask it, stop it."""

    name: str
    requests: tuple[Request, ...]


@dataclass(frozen=True)
class Case:
    """What is asked, in order, in one folder and one home; `quick` ones run in the fast half of the suite."""

    name: str
    steps: tuple[Make | Command | Serve, ...]
    quick: bool = False


def _do(name: str, words: str, prints: str = "json") -> Command:
    arguments = (*words.split(" "), *(("--json",) if prints == "json" else ()))
    return Command(name, arguments, prints)


def _asked(task: str, rows: list[dict[str, Any]], *more: Request) -> Serve:
    """The requests that every task answers, with its rows."""
    return Serve(
        "served",
        (
            Request("health", "/health"),
            Request("tasks", "/v1/tasks"),
            Request("task", f"/v1/tasks/{task}"),
            Request("explanation", f"/v1/tasks/{task}/explanation"),
            Request("predictions", f"/v1/tasks/{task}/predictions", {"rows": rows}),
            Request("openapi", "/openapi.json"),
            Request("not_there", "/v1/tasks/nope"),
            Request("no_rows", f"/v1/tasks/{task}/predictions", {"rows": []}),
            Request("wrong_body", f"/v1/tasks/{task}/predictions", {"lines": [{}], "rows": 3}),
            *more,
        ),
    )


ROWS: list[dict[str, Any]] = [
    {"wear": 0.7, "strain": -0.4, "maker": "brook", "indoors": True, "fitted": "2019-04-01"},
    {"wear": None, "strain": 1.2, "maker": None, "indoors": False, "fitted": "2016-11-30"},
    {"wear": -1.1, "strain": 0.3, "maker": "delta", "indoors": False, "fitted": None},
]
FEW = "--folds 3 --repeats 1"
WITH_CATBOOST = "--search-family linear,boosting,catboost"
VERBS = ("sample", "ingest", "audit", "train", "decide", "predict", "explain", "lineage", "serve", "models", "demo", "data log")

OPTIONS = Case("options", tuple(_do(verb.replace(" ", "_"), f"{verb} --help", "options") for verb in VERBS), quick=True)
ERRORS = Case(
    "errors",
    (
        Make("nothing"),
        *(
            _do(name, words, "text")
            for name, words in {
                "no_file": "train --csv absent.csv --label y",
                "empty": "train --csv empty.csv --label y",
                "ragged": "train --csv ragged.csv --label y",
                "one_class": "train --csv one_class.csv --label y",
                "few": "train --csv few.csv --label y",
                "no_label": "train --csv plain.csv --label z",
                "no_time": "train --csv plain.csv --label y --group-by day",
                "wrong_kind": "train --csv plain.csv --label y --kind guess",
                "wrong_metric": "train --csv plain.csv --label y --metric guess",
                "wrong_loss": "train --csv plain.csv --label y --loss guess",
                "two_holdouts": "train --csv plain.csv --label y --holdout-from 2024-01-01 --holdout-last 3",
                "wrong_cap": "train --csv plain.csv --label y --memory-cap much",
                "wrong_family": "train --csv plain.csv --label y --trials 2 --search-family guess",
                "panel_without_id": "train --csv plain.csv --label y --panel long --time a --frequency M",
                "panel_option": "train --csv plain.csv --label y --frequency M",
                "feature_and_table": "train tenant_churn --csv plain.csv",
                "nothing_named": "train",
                "feature_unknown": "train nope",
                "no_versions": "train tenant_churn",
                "no_model": "predict nope plain.csv",
                "no_task": "explain nope",
                "no_trace": "lineage nope",
                "no_folder": "ingest absent",
                "no_moment": "ingest . --as-of soon",
                "unknown_option": "train --nope",
            }.items()
        ),
        _do("models", "models"),
        _do("versions", "data log"),
    ),
    quick=True,
)
BINARY = Case(
    "binary",
    (
        Make("machines"),
        _do("audit", "audit --csv machines.csv --label failed --id serial"),
        _do("audit_text", "audit --csv machines.csv --label failed --id serial --write-task audited.yaml", "text"),
        _do(
            "train",
            "train --csv machines.csv --label failed --id serial --repeats 1 --coverage-by maker --cost-miss 500 "
            "--cost-false-alarm 40 --prefer-simpler --learning-curve --task machines",
        ),
        _do(
            "train_text", f"train --csv machines.csv --label failed --id serial {FEW} --task again --seed 3 --keep repair", "text"
        ),
        _do("predict", "predict machines new_machines.csv"),
        _do("predict_quickly", "predict machines new_machines.csv --no-reasons"),
        _do("predict_text", "predict machines new_machines.csv", "text"),
        _do("explain", "explain machines"),
        _do("explain_text", "explain machines --version 1", "text"),
        _do("models", "models"),
        _do("models_text", "models machines", "text"),
        _do("lineage", "lineage machines"),
        _do("lineage_text", "lineage machines/1 --svg trace.svg", "text"),
        _asked(
            "machines",
            [{**row, "serial": f"N{i}"} for i, row in enumerate(ROWS)],
            Request("docs", "/docs"),
            Request("no_json", "/v1/tasks/machines/predictions", raw="{", headers={"Content-Type": "application/json"}),
            Request("no_type", "/v1/tasks/machines/predictions", raw="wear", headers={"Content-Type": "text/plain"}),
            Request("wrong_value", "/v1/tasks/machines/predictions", {"rows": [{"wear": "high", "strain": True}]}),
            Request("unknown_column", "/v1/tasks/machines/predictions", {"rows": [{**ROWS[0], "colour": 1}]}),
        ),
    ),
)
VISITS = "train --csv visits.csv --label overdue --id site"
FORWARD = Case(
    "forward",
    (
        Make("visits"),
        _do("walk_forward", f"{VISITS} --time read_at --horizon 30 --gap 7 --folds 4 --task walk"),
        _do("holdout_from", f"{VISITS} --time read_at --holdout-from 2021-09-01 --task from"),
        _do("holdout_last", f"{VISITS} --time read_at --holdout-last 60 --task last"),
        _do("random", f"{VISITS} --time read_at --random-rows-despite-time {FEW} --task random"),
        _do("predict", "predict walk visits_after.csv --no-reasons"),
    ),
)
GROUPS = Case(
    "groups",
    (
        Make("visits"),
        _do("group", f"train --csv visits.csv --label overdue --group site --drop read_at {FEW} --task group"),
        _do("group_and_time", "train --csv visits.csv --label overdue --time read_at --group site --folds 3 --task both"),
        _do("group_by", f"{VISITS} --time read_at --group-by month {FEW} --task month"),
        _do(
            "test_file",
            "train --csv visits_before.csv --label overdue --id site --time read_at --test visits_after.csv --task test",
        ),
    ),
)
MULTICLASS = Case(
    "multiclass",
    (
        Make("grades"),
        _do("train", f"train --csv grades.csv --label grade {FEW} --task grades --coverage-by maker"),
        _do("predict", "predict grades grades.csv --no-reasons"),
        _asked("grades", ROWS),
    ),
)
REGRESSION = Case(
    "regression",
    (
        Make("flats"),
        _do("train", f"train --csv flats.csv --label price {FEW} --task flats --coverage-by maker --log auto"),
        _do("predict", "predict flats flats.csv --no-reasons"),
        _asked("flats", ROWS),
        _do("absolute", f"train --csv flats.csv --label price {FEW} --task absolute --loss absolute"),
        _do("quantile", f"train --csv flats.csv --label price {FEW} --task quantile --loss quantile:0.9"),
        _do("engineer", f"train --csv flats.csv --label price {FEW} --task engineered --engineer --log no"),
        _do("formula", f"train --csv flats.csv --label price {FEW} --task formula --formula both=wear*strain --log yes"),
    ),
)
COUNTS = Case(
    "counts",
    (
        Make("claims"),
        _do("train", f"train --csv claims.csv --label claims --offset years_insured --loss poisson {FEW} --task claims"),
        _asked("claims", [{**row, "years_insured": 0.5 + i} for i, row in enumerate(ROWS)]),
        _do("tweedie", f"train --csv claims.csv --label claims --offset years_insured --loss tweedie:1.4 {FEW} --task tweedie"),
    ),
)
SEARCH = Case(
    "search",
    (
        Make("machines"),
        _do(
            "nested",
            "train --csv machines.csv --label failed --drop repair --id serial --folds 2 --trials 8 "
            f"{WITH_CATBOOST} --task nested",
        ),
        _do(
            "flat",
            "train --csv machines.csv --label failed --drop repair --id serial --trials 8 --no-nested --seed 1 "
            f"{WITH_CATBOOST} --task flat",
        ),
        _do(
            "grid",
            "train --csv machines.csv --label failed --drop repair --id serial --trials 4 --no-nested --sampling grid "
            "--search-family linear --no-engineer --task grid",
        ),
        _do(
            "trees",
            "train --csv machines.csv --label failed --drop repair --id serial --trials 2 --no-nested --sampling random "
            "--search-family lightgbm --search-family catboost --no-prune --task trees",
        ),
        _do(
            "one_model",
            "train --csv machines.csv --label failed --drop repair --id serial --folds 2 --trials 3 --no-engineer --row-ms 0.01 "
            f"{WITH_CATBOOST} --task one",
        ),
        _do("predict", "predict nested new_machines.csv"),
        _do("text", "predict flat new_machines.csv", "text"),
        _asked("nested", [{**row, "serial": f"N{i}"} for i, row in enumerate(ROWS)]),
    ),
)
LARGE = Case(
    "large",
    (
        Make("batches"),
        _do("timed", "train --csv batches.parquet --label overdue --time read_at --memory-cap 1 --task timed"),
        _do("values", "train --csv batches.csv --label price --memory-cap 1 --folds 3 --task values"),
        _do("predict", "predict timed batches.parquet --no-reasons"),
        _asked("timed", [{**row, "read_at": "2024-01-05T00:00:00"} for row in ROWS]),
    ),
)
PANEL = Case(
    "panel",
    (
        Make("series"),
        _do(
            "train",
            "train --csv rents_wide.csv --panel wide --id zip --time month --label rent --frequency M --horizon 6 --task rents",
        ),
        _do(
            "long",
            "train --csv rents_long.csv --panel long --id zip --time month --label rent --frequency M --horizon 2 --task long "
            "--season 1 --holdout-last 24",
            "text",
        ),
        _do("predict", "predict rents"),
        _do("predict_file", "predict rents rents_wide.csv"),
        _do("explain", "explain rents"),
        _do("models", "models"),
        _asked(
            "rents",
            [
                {"series": "zip 01"},
                {"series": "zip 02", "values": [500.0 + 3 * i + 9 * (i % 12) for i in range(60)], "last": "2021-04-01T00:00:00Z"},
            ],
            Request("short", "/v1/tasks/rents/predictions", {"rows": [{"series": "zip 01", "values": [1.0], "last": None}]}),
        ),
    ),
)
TASK_FILE = Case(
    "task_file",
    (
        Make("machines"),
        _do(
            "written",
            f"train --csv machines.csv --label failed --id serial {FEW} --task machines --drop repair --cost-miss 500 "
            "--cost-false-alarm 40 --metric log_loss --write-task task.yaml",
        ),
        _do("repeated", "train --task-file task.yaml"),
        _do("overridden", "train --task-file task.yaml --seed 7 --metric roc_auc --task other"),
        _do("audit", "audit --task-file task.yaml"),
    ),
)


def _golden(*tasks: str) -> Serve:
    """The golden rows of the tasks, asked over HTTP with reasons, beside what the process says of itself."""
    rows = (Request(task, f"/v1/tasks/{task}/predictions", golden_of=task) for task in tasks)
    return Serve("served", (Request("tasks", "/v1/tasks"), Request("openapi", "/openapi.json"), *rows))


STORED = (
    _do("sample", "sample --folder sample", "text"),
    Make("portfolio"),
    _do("ingest", "ingest company --as-of 2026-01-01 --source books"),
)
FEATURES = Case(
    "features",
    (
        *STORED,
        _do("again", "ingest company --as-of 2026-01-01", "text"),
        _do("log", "data log"),
        _do("show", "data show"),
        _do("show_table", "data show --table units --rows 3"),
        _do("quarantine", "data quarantine"),
        Make("later"),
        _do("ingest_later", "ingest company_later --as-of 2026-01-02"),
        _do("quarantine_later", "data quarantine"),
        _do("diff", "data diff 1 2"),
        _do("diff_text", "data diff 1 2", "text"),
        _do("restore", "data restore 1"),
        _do("log_text", "data log", "text"),
        _do("audit", "audit"),
        _do("audit_feature", "audit tenant_churn --data 1"),
        *(_do(name, f"train {name} --data 1") for name in ("predictive_maintenance", "tenant_churn", "risk_assessment")),
        _do("fair_rent", "train fair_rent", "text"),
        _do("decide", "decide predictive_maintenance --capacity 3 --data 1"),
        _do("decide_churn", "decide tenant_churn --capacity 3 --at 2025-06-01", "text"),
        _do("decide_risk", "decide risk_assessment --capacity 2"),
        _do("explain", "explain risk_assessment"),
        _do("models", "models"),
        _do("lineage", "lineage tenant_churn"),
        _do("lineage_table", "lineage leases@1"),
        _golden("predictive_maintenance", "tenant_churn", "risk_assessment", "fair_rent"),
    ),
)
HAZARD = Case(
    "hazard",
    (
        *STORED,
        _do("train", "train maintenance_hazard"),
        _do("in_batches", "train risk_assessment --memory-cap 1"),
        _do("decide", "decide maintenance_hazard --capacity 2"),
        _do("explain", "explain maintenance_hazard"),
        _golden("maintenance_hazard"),
    ),
)
MARKET = Case(
    "market",
    (
        *STORED,
        _do("market", "train market_intelligence"),
        _do("reporting", "train reporting_analytics"),
        _do("predict", "predict reporting_analytics"),
        _do("decide", "decide market_intelligence --capacity 2"),
        _do("lineage", "lineage reporting_analytics"),
        Serve(
            "served",
            (
                Request("tasks", "/v1/tasks"),
                Request("openapi", "/openapi.json"),
                Request("predictions", "/v1/tasks/market_intelligence/predictions", {"rows": [{"series": "10102|2"}]}),
            ),
        ),
    ),
)
SAMPLE = Case(
    "sample",
    (
        _do("seeded", "sample --folder seeded --seed 3 --layout parquet", "text"),
        _do(
            "sample",
            "sample --folder sample --fault post_event_filled --fault fahrenheit_since --fault twice_new_known_at "
            "--fault twice_identical --fault drift_sensor",
            "text",
        ),
        Make("portfolio"),
        _do("ingest", "ingest company --as-of 2026-01-01"),
        _do("audit", "audit"),
        _do("audit_text", "audit tenant_churn", "text"),
        _do("unknown_fault", "sample --folder nothing --fault nope", "text"),
    ),
)
CASES = (
    OPTIONS,
    ERRORS,
    BINARY,
    FORWARD,
    GROUPS,
    MULTICLASS,
    REGRESSION,
    COUNTS,
    SEARCH,
    LARGE,
    PANEL,
    TASK_FILE,
    FEATURES,
    HAZARD,
    MARKET,
    SAMPLE,
)


def case_named(name: str) -> Case:
    """The case of that name. Raises KeyError."""
    return {case.name: case for case in CASES}[name]
