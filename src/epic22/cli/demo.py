"""`epic22 demo`: the product's main job once, on a small table of its own, from raw rows to a served answer."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from epic22.cli.terminal import figure, progress, say, table
from epic22.cli.train import show

if TYPE_CHECKING:
    from epic22.bootstrap import Parts

ROLES: dict[str, Any] = {"label": "failed_within_30_days", "time": ["read_at"], "id": "boiler", "horizon": 30.0}


def demo(
    folder: Annotated[Path, typer.Option(help="Where the table, the report and the answer are written.")] = Path("demo"),
) -> None:
    """Simulate boilers, audit and train, report, start the API, ask it for one prediction, and end."""
    from epic22.bootstrap import assemble, best_possible, train_file
    from epic22.cli.table_options import flat_file
    from epic22.config import Settings
    from epic22.core.data.split import SplitRequest
    from epic22.simulator.boilers import simulate_boilers

    folder.mkdir(parents=True, exist_ok=True)
    boilers = simulate_boilers()
    path = folder / "boilers.csv"
    boilers.rows.write_csv(path)
    say(f"1. Raw rows: {boilers.rows.height:,} simulated boiler readings in {path}", "bold")
    file = flat_file(
        path, ROLES["label"], ROLES["time"], None, [ROLES["id"]], None, None, None, None, "boilers", ROLES["horizon"]
    )
    parts = assemble(Settings.read())
    say("2. Audit, honest folds, families compared, champion registered", "bold")
    with progress() as watch:
        finished = train_file(parts, file, SplitRequest(horizon=ROLES["horizon"]), watch)
    show(finished)
    ceiling = best_possible(finished.run, boilers.truth)
    metric = finished.run.task.target.metric.name
    say(f"The best possible {metric}, by the simulator's true probabilities on the same folds: {figure(ceiling)}")
    report = folder / "report.html"
    shutil.copyfile(finished.report, report)
    say("3. The API answers", "bold")
    row = boilers.rows.filter(boilers.truth == boilers.truth.max()).head(1)
    show_answer(ask_api(parts, "boilers", row.to_dicts()[0]))
    say(f"The report is in {report}; look again with: EPIC22_HOME={parts.settings.home} epic22 serve")


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
    body = json.dumps({"rows": [{name: row[name] for name in wanted}]}, default=str).encode()
    say(f"POST /v1/tasks/{task}/predictions {body.decode()}")
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{address}/v1/tasks/{task}/predictions", body, headers)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return dict(json.load(answer))


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
