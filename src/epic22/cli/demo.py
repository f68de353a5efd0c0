"""`epic22 demo`: the product's main job once, on a simulated portfolio, from raw tables to decisions and a served answer."""

import shutil
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from epic22.cli.terminal import figure, progress, say, table

if TYPE_CHECKING:
    from epic22.bootstrap import Parts
    from epic22.services.decide import DecisionList
    from epic22.services.portfolio_results import FeatureResult
    from epic22.simulator.portfolio import Portfolio

LISTED = 5


def demo(
    folder: Annotated[Path, typer.Option(help="Where the tables, the report and the answer are written.")] = Path("demo"),
    seed: Annotated[int, typer.Option(min=0, help="Another seed, another portfolio.")] = 0,
) -> None:
    """Simulate a portfolio, ingest, audit, train the five features, decide in money, ask the API, show the fairness gate."""
    from epic22.bootstrap import assemble, audit_stored, ingest_folder
    from epic22.cli.demo_gate import show_gate
    from epic22.config import Settings
    from epic22.features.catalog import FEATURES
    from epic22.services.portfolio_report import write_portfolio_report
    from epic22.simulator.portfolio import simulate, write_portfolio

    parts = assemble(Settings.read())
    say("1. A simulated portfolio: 40 properties, tables with the traps that real ones have", "bold")
    shutil.rmtree(folder / "sample", ignore_errors=True)
    with progress() as watch:
        portfolio = simulate("small", seed, begin=lambda what: watch.begin(what, 1))
        write_portfolio(portfolio, folder / "sample")
    say("2. Ingest: checked against the contracts, kept as a version", "bold")
    done = ingest_folder(parts, folder / "sample" / "tables", source="sample", as_of=portfolio.end)
    version = parts.versions.chosen()
    rows = sum(held.rows for held in version.tables.values())
    say(f"Data version {version.number} ({version.id[:12]}): {rows:,} rows, {sum(done.quarantined.values()):,} in quarantine.")
    say("3. Audit of the tables", "bold")
    with progress() as watch:
        _, findings = audit_stored(parts, version.number, watch)
    for finding in findings:
        say(f"· {finding.table}.{finding.column or '(rows)'}: {finding.what}. {finding.evidence}")
    if not findings:
        say("Nothing suspicious.")
    say("4. Five features, each against doing nothing, the rule of today and the best possible", "bold")
    results = [_train(parts, feature.name, portfolio) for feature in FEATURES if feature.main]
    show_results(results)
    say("5. Decisions in money: this week's lists", "bold")
    lists = [_decide(parts, result.name) for result in results]
    origin = [("data version", version.id), *((s.name, f"SHA-256 {s.sha256}") for s in version.sources)]
    say("6. The API answers, with reasons", "bold")
    churn = next(one for one in lists if one.task == "tenant_churn")
    show_answer(ask_api(parts, churn.task, _row(parts, churn)))
    say("7. What promotion does when a class is treated unlike the others", "bold")
    gate = show_gate(parts, portfolio, folder / "gate", seed)
    title = f"simulated portfolio, seed {seed}"
    report = write_portfolio_report(folder / "report.html", title, results, lists, findings, origin, gate)
    say(f"The report is in {report}", "bold green")
    say(f"Look again with: EPIC22_HOME={parts.settings.home} epic22 serve, data log, decide predictive_maintenance --capacity 10")


def _train(parts: "Parts", name: str, portfolio: "Portfolio") -> "FeatureResult":
    from epic22.bootstrap import train_feature
    from epic22.services.portfolio_results import result_of
    from epic22.simulator.portfolio import truth_of

    with progress() as watch:
        return result_of(train_feature(parts, name, watch=watch, truth=truth_of(portfolio, name)).run)


def show_results(results: "list[FeatureResult]") -> None:
    """The features side by side, and what the fairness gate said."""
    headers = ["feature", "metric", "nothing", "rule", "champion", "best", "champion − rule", "champion − best"]
    rows = [
        [
            r.name,
            r.metric,
            figure(r.constant),
            figure(r.incumbent),
            figure(r.champion),
            figure(r.best_possible),
            f"{figure(r.gain.value, 3)} ({figure(r.gain.low, 3)} … {figure(r.gain.high, 3)})",
            "–"
            if r.shortfall is None
            else f"{figure(r.shortfall.value, 3)} ({figure(r.shortfall.low, 3)} … {figure(r.shortfall.high, 3)})",
        ]
        for r in results
    ]
    table("Rows that no model had seen; 95 % intervals, paired", headers, rows)
    for r in results:
        if r.accuracy is not None:
            told = ", ".join(f"{name} {share:.2%}" for name, share in r.accuracy.items())
            say(f"{r.name}: accuracy {told}: it rewards doing nothing.", "dim")
        if r.saving is not None:
            more = "" if r.saving_gain is None else f"; {r.saving_gain} more than the rule"
            say(f"{r.name}: saves {r.saving} a year and 1,000 entities at capacity{more}.")
        if r.fairness is not None:
            say(f"{r.name}: fairness {r.fairness}. Promotion: {r.promotion}.")


def _decide(parts: "Parts", name: str) -> "DecisionList":
    from epic22.bootstrap import decide_feature
    from epic22.cli.decide import show

    found = decide_feature(parts, name, at=None, capacity=LISTED)
    show(found)
    return found


def _row(parts: "Parts", decided: "DecisionList") -> dict[str, Any]:
    """The inputs of the first on the list, as the company's backend would send them."""
    from epic22.bootstrap import rows_of_feature

    first = decided.listed[0].prediction.entity
    return rows_of_feature(parts, decided.task, decided.at, [first]).to_dicts()[0]


def ask_api(parts: "Parts", task: str, row: dict[str, Any]) -> dict[str, Any]:
    """Start the API on a free port of this machine, ask it once over HTTP, stop it again."""
    import threading
    import time

    import uvicorn

    from epic22.api.app import create_app

    server = uvicorn.Server(uvicorn.Config(create_app(parts.registry), host="127.0.0.1", port=0, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        while not server.started:
            if not thread.is_alive():
                raise RuntimeError("the API ended before it listened")
            time.sleep(0.02)
        port = server.servers[0].sockets[0].getsockname()[1]
        return _post(f"http://127.0.0.1:{port}", task, row)
    finally:
        server.should_exit = True
        thread.join(timeout=10)


def _post(address: str, task: str, row: dict[str, Any]) -> dict[str, Any]:
    """Ask for the columns the task wants, as a client would who has read /v1/tasks."""
    import json
    import urllib.request

    with urllib.request.urlopen(f"{address}/v1/tasks/{task}", timeout=30) as answer:
        wanted = [column["name"] for column in json.load(answer)["columns"]]
    body = json.dumps({"rows": [{name: row.get(name) for name in wanted}]}, default=_plain).encode()
    say(f"POST /v1/tasks/{task}/predictions {body.decode()}")
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{address}/v1/tasks/{task}/predictions", body, headers)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return dict(json.load(answer))


def _plain(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def show_answer(answer: dict[str, Any]) -> None:
    """The first prediction with its reasons, and the sum they make."""
    prediction = answer["predictions"][0]
    value = prediction["values"][0]
    say(f"{prediction['entity']}: {value['target']} = {figure(value['value'])}")
    rows = [[reason["text"], f"{reason['contribution']:+.4f}"] for reason in prediction["reasons"]]
    score = prediction["score"]
    total = sum(reason["contribution"] for reason in prediction["reasons"])
    table("Reasons", ["because", score["unit"]], [*rows, ["together = the score", f"{total:+.4f}"]])
    say(f"receipt {prediction['receipt'][:16]}…, model version {answer['model']['version']} ({answer['model']['status']})")
