"""The steps of the demonstration, from raw tables to decisions and a served answer."""

import json
import shutil
import threading
import time
import urllib.request
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

import uvicorn

from epic22.api.app import create_app
from epic22.api.responses import Predictions
from epic22.bootstrap import (
    Components,
    FeatureConfig,
    IngestOptions,
    assemble,
    audit_stored,
    decide_feature,
    ingest_folder,
    read_feature_rows,
    train_feature,
)
from epic22.cli.decide import print_decisions
from epic22.cli.demo_gate import demonstrate_gate
from epic22.cli.terminal import format_answer, print_line, print_table, show_progress
from epic22.config import Settings
from epic22.core.text import describe_difference, format_figure
from epic22.features.catalog import FEATURES
from epic22.reports.html.portfolio import PortfolioPage, write_portfolio_report
from epic22.services.decide import DecisionList
from epic22.services.portfolio import FeatureResult, summarise_run
from epic22.simulator.portfolio import Portfolio, select_truth, simulate, write_portfolio

N_LISTED = 5


def demonstrate(folder: Path, seed: int) -> None:
    """Go from a simulated portfolio with this seed to a served answer, and print each step; everything is written to `folder`."""
    components = assemble(Settings.read())
    print_line("1. A simulated portfolio: 40 properties, tables with the traps that real ones have", "bold")
    shutil.rmtree(folder / "sample", ignore_errors=True)
    with show_progress() as bars:
        portfolio = simulate("small", seed, on_part=lambda what: bars.begin(what, 1))
        write_portfolio(portfolio, folder / "sample")
    print_line("2. Ingest: checked against the contracts, kept as a version", "bold")
    ingestion = ingest_folder(components, folder / "sample" / "tables", options=IngestOptions(portfolio.end, "sample"))
    version = components.table_store.resolve_version()
    rows = sum(stored_table.rows for stored_table in version.tables.values())
    print_line(
        f"Data version {version.number} ({version.id[:12]}): {rows:,} rows, "
        f"{sum(ingestion.quarantined.values()):,} in quarantine."
    )
    print_line("3. Audit of the tables", "bold")
    with show_progress() as bars:
        _, findings = audit_stored(components, version.number, bars)
    for finding in findings:
        print_line(f"· {finding.table}.{finding.column or '(rows)'}: {finding.what}. {finding.evidence}")
    if not findings:
        print_line("Nothing suspicious.")
    print_line("4. Five features, each against doing nothing, the rule of today and the best possible", "bold")
    results = [_train_feature(components, feature.name, portfolio) for feature in FEATURES if feature.main]
    print_results(results)
    print_line("5. Decisions in money: this week's lists", "bold")
    lists = [_decide_feature(components, result.name) for result in results]
    origin = [("data version", version.id), *((s.name, f"SHA-256 {s.sha256}") for s in version.sources)]
    print_line("6. The API answers, with reasons", "bold")
    churn = next(one for one in lists if one.task == "tenant_churn")
    print_answer(ask_api(components, churn.task, _build_row(components, churn)))
    print_line("7. What promotion does when a class is treated unlike the others", "bold")
    gate = demonstrate_gate(components, portfolio, folder / "gate", seed)
    title = f"simulated portfolio, seed {seed}"
    report = write_portfolio_report(folder / "report.html", PortfolioPage(title, results, lists, findings, origin, gate))
    print_line(f"The report is in {report}", "bold green")
    print_line(
        f"Look again with: EPIC22_HOME={components.settings.home} epic22 serve, data log, decide "
        "predictive_maintenance --capacity 10"
    )


def _train_feature(components: Components, name: str, portfolio: Portfolio) -> FeatureResult:
    config = FeatureConfig(truth=select_truth(portfolio, name))
    with show_progress() as bars:
        return summarise_run(train_feature(components, name, progress=bars, config=config).run)


def print_results(results: list[FeatureResult]) -> None:
    """Print the features side by side, what each champion gains and lacks, and what the fairness gate decided."""
    rows = [
        # A blank lets a narrow terminal break the metric's name between words.
        [r.name, r.metric.replace("_", " "), *(format_figure(score) for score in (r.constant, r.incumbent, r.champion, r.oracle))]
        for r in results
    ]
    headers = ["feature", "metric", "nothing", "rule", "champion", "best"]
    print_table("Rows that no model had seen", headers, rows)
    print_line("Champions beside the rule and the best possible, with paired 95 % intervals:")
    for r in results:
        best = "" if r.shortfall is None else f"; {describe_difference(r.shortfall)} than the best possible"
        print_line(f"{r.name}: {describe_difference(r.gain)} than the rule{best}.")
        if r.accuracy is not None:
            accuracies = ", ".join(f"{name} {100 * share:.2f} %" for name, share in r.accuracy.items())
            print_line(f"{r.name}: accuracy {accuracies}: it rewards doing nothing.", "dim")
        if r.saving is not None:
            more = (
                ""
                if r.saving_gain is None
                else f"; {describe_difference(r.saving_gain, directions=('more', 'less'))} than the rule"
            )
            print_line(f"{r.name}: saves {r.saving} a year and 1,000 entities at capacity{more}.")
        if r.fairness is not None:
            print_line(f"{r.name}: fairness {r.fairness}. Promotion: {r.promotion}.")


def _decide_feature(components: Components, name: str) -> DecisionList:
    decisions = decide_feature(components, name, at=None, capacity=N_LISTED)
    print_decisions(decisions)
    return decisions


def _build_row(components: Components, decisions: DecisionList) -> Mapping[str, object]:
    """The inputs of the first on the list, as the company's backend would send them."""
    first = decisions.listed[0].prediction.entity
    return read_feature_rows(components, decisions.task, decisions.at, [first]).to_dicts()[0]


def ask_api(components: Components, task: str, row: Mapping[str, object]) -> Predictions:
    """The API's answer to a row over HTTP; the server runs on a free port for this one request."""
    server = uvicorn.Server(uvicorn.Config(create_app(components.registry), host="127.0.0.1", port=0, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        while not server.started:
            if not thread.is_alive():
                raise RuntimeError("the API ended before it listened")
            time.sleep(0.02)
        port = server.servers[0].sockets[0].getsockname()[1]
        return _post_row(f"http://127.0.0.1:{port}", task, row)
    finally:
        server.should_exit = True
        thread.join(timeout=10)


def _post_row(address: str, task: str, row: Mapping[str, object]) -> Predictions:
    """The answer to a row, sent with the columns that /v1/tasks lists."""
    with urllib.request.urlopen(f"{address}/v1/tasks/{task}", timeout=30) as answer:
        names = [column["name"] for column in json.load(answer)["columns"]]
    body = json.dumps({"rows": [{name: row.get(name) for name in names}]}, default=_to_text).encode()
    print_line(f"POST /v1/tasks/{task}/predictions {body.decode()}")
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{address}/v1/tasks/{task}/predictions", body, headers)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return Predictions.model_validate_json(answer.read())


def _to_text(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def print_answer(answer: Predictions) -> None:
    """Print the first prediction, its reasons and their sum."""
    prediction = answer.predictions[0]
    value = prediction.values[0]
    print_line(f"{prediction.entity}: {value.target} with a probability of {format_answer(value.value, is_probability=True)}")
    rows = [[reason.text, f"{reason.contribution:+.4f}"] for reason in prediction.reasons]
    total = sum(reason.contribution for reason in prediction.reasons)
    print_table("Reasons", ["because", prediction.score.unit], [*rows, ["together = the score", f"{total:+.4f}"]])
    print_line(f"receipt {prediction.receipt[:16]}…, model version {answer.model.version} ({answer.model.status})")
