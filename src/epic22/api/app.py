"""The HTTP interface: /health, /v1/tasks, /v1/tasks/{task}, /v1/tasks/{task}/predictions, /openapi.json, /docs."""

import html
from typing import Any

import orjson
from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, Response
from starlette.concurrency import run_in_threadpool

from epic22 import __version__
from epic22.api.bodies import ColumnAnswer, Health, Predictions, TaskAnswer, Tasks, read_rows, unseen
from epic22.api.body_limit import BodyLimit
from epic22.api.champions import Champion, Champions
from epic22.api.openapi import describe
from epic22.api.problems import Problem, add_problem_handlers
from epic22.core.ports import Registry
from epic22.core.prediction import model_json, prediction_json
from epic22.services.predict import predict_rows

QUICK_ROWS = 50
"""So many rows are answered on the event loop; more would keep other requests waiting."""

SAFE_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
}


def create_app(registry: Registry) -> FastAPI:
    """The API over a registry; nothing else is needed to answer."""
    app = FastAPI(title="Epic 22", version=__version__, docs_url=None, redoc_url=None)
    champions = Champions(registry)
    add_problem_handlers(app)
    app.add_middleware(BodyLimit)
    app.middleware("http")(_safe_headers)
    _add_routes(app, champions)
    app.openapi = lambda: describe(app, champions)  # type: ignore[method-assign]
    return app


async def _safe_headers(request: Request, call_next: Any) -> Response:
    response: Response = await call_next(request)
    response.headers.update(SAFE_HEADERS)
    return response


def _add_routes(app: FastAPI, champions: Champions) -> None:
    @app.get("/health", summary="Whether the process answers")
    def health() -> Health:
        return Health(status="ok", tasks=len(champions.registry.tasks()), version=__version__)

    @app.get("/v1/tasks", summary="The tasks that can be asked")
    def tasks() -> Tasks:
        return Tasks(tasks=[_task(champion) for champion in champions.all()])

    @app.get("/v1/tasks/{task}", summary="One task with its columns")
    def one_task(task: str) -> TaskAnswer:
        return _task(champions.get(task))

    @app.post("/v1/tasks/{task}/predictions", summary="Predict rows", responses={200: {"model": Predictions}})
    async def predictions(task: str, request: Request) -> Response:
        champion = champions.get(task)
        _refuse_other_types(request)
        rows = read_rows(champion.body, await request.body())
        if len(rows) <= QUICK_ROWS:
            return _answer(champion, rows)
        return await run_in_threadpool(_answer, champion, rows)

    @app.get("/docs", include_in_schema=False)
    def docs() -> HTMLResponse:
        return HTMLResponse(_page(app.openapi()))


def _refuse_other_types(request: Request) -> None:
    stated = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if stated and stated != "application/json" and not stated.endswith("+json"):
        raise Problem(415, f"The body is {stated}; send application/json.")


def _answer(champion: Champion, rows: list[dict[str, Any]]) -> Response:
    answers = [prediction_json(prediction) for prediction in predict_rows(champion.version, champion.bundle, rows)]
    for answer, row in zip(answers, rows, strict=True):
        answer["warnings"] = unseen(champion.bundle, row)
    content = {"task": champion.version.task, "model": model_json(champion.version), "predictions": answers}
    return Response(orjson.dumps(content), media_type="application/json", headers={"Cache-Control": "no-store"})


def _task(champion: Champion) -> TaskAnswer:
    schema = champion.bundle.schema
    columns = [
        ColumnAnswer(
            name=c.name,
            dtype=c.dtype,
            role=c.role,
            unit=c.unit,
            low=c.low,
            high=c.high,
            levels=list(c.levels),
            optional=c.optional or c.role != "input",
            about=c.about,
        )
        for c in schema.columns
    ]
    return TaskAnswer.model_validate(
        {
            "task": schema.task,
            "about": schema.about,
            "target": schema.target,
            "kind": schema.kind,
            "classes": list(schema.classes),
            "model": model_json(champion.version),
            "columns": columns,
        }
    )


def _page(document: dict[str, Any]) -> str:
    """A plain page of all routes, made here: nothing is loaded from anywhere."""
    rows = [
        f"<tr><td><code>{method.upper()}</code></td><td><code>{html.escape(path)}</code></td>"
        f"<td>{html.escape(operation.get('summary', ''))}</td></tr>"
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Epic 22: API</title>'
        '<meta name="viewport" content="width=device-width"><style>:root{color-scheme:light dark}'
        "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
        "div{overflow-x:auto}td{padding:.3rem 1rem .3rem 0;border-bottom:1px solid #8886;vertical-align:top}</style></head>"
        f"<body><h1>Epic 22 API {html.escape(document['info']['version'])}</h1>"
        '<p>The whole description, with every task\'s columns, is in <a href="/openapi.json">/openapi.json</a> (OpenAPI 3.1). '
        "Errors are problem documents (RFC 9457).</p>"
        f"<div><table>{''.join(rows)}</table></div></body></html>"
    )
