"""The HTTP interface: /health, /v1/tasks, /v1/tasks/{task}, its /explanation and /predictions, /openapi.json, /docs."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import orjson
from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, Response
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from epic22 import __version__
from epic22.api.answers import ColumnAnswer, ExplanationAnswer, Health, Predictions, TaskAnswer, Tasks
from epic22.api.bodies import read_rows, unseen
from epic22.api.body_limit import BodyLimit
from epic22.api.champions import Champion, Champions
from epic22.api.docs_page import docs_page
from epic22.api.openapi import describe
from epic22.api.panel_bodies import series_requests
from epic22.api.problems import Problem, add_problem_handlers
from epic22.api.safe_headers import SafeHeaders
from epic22.core.bundle import Bundle
from epic22.core.panel_bundle import PanelBundle
from epic22.core.ports import Journal, Registry
from epic22.core.prediction import model_json, prediction_json
from epic22.services.predict import predict_rows
from epic22.services.predict_panel import forecast_series

QUICK_ROWS = 50
QUICK_BYTES = 1 << 15
"""So much is read and answered on the event loop; more would keep other requests waiting."""


def create_app(registry: Registry, journal: Journal | None = None) -> FastAPI:
    """The API over a registry; nothing else is needed to answer. Answers are noted in the journal where there is one."""
    # A redirect to the address without its last slash would be built from the client's own Host header.
    app = FastAPI(
        title="Epic 22", version=__version__, docs_url=None, redoc_url=None, redirect_slashes=False, lifespan=_closing(journal)
    )
    champions = Champions(registry)
    add_problem_handlers(app)
    app.add_middleware(BodyLimit)
    app.add_middleware(SafeHeaders)
    _add_routes(app, champions, journal)
    app.openapi = lambda: describe(app, champions)  # type: ignore[method-assign]
    return app


def _closing(journal: Journal | None) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    """What ends with the application: the journal writes down what still waits."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        try:
            yield
        finally:
            if journal is not None:
                await run_in_threadpool(journal.close)

    return lifespan


def _add_routes(app: FastAPI, champions: Champions, journal: Journal | None) -> None:
    @app.get("/health", summary="Whether the process answers")
    def health() -> Health:
        return Health(status="ok", tasks=len(champions.registry.tasks()), version=__version__)

    @app.get("/v1/tasks", summary="The tasks that can be asked")
    def tasks() -> Tasks:
        return Tasks(tasks=[_task(champion) for champion in champions.all()])

    @app.get("/v1/tasks/{task}", summary="One task with its columns")
    def one_task(task: str) -> TaskAnswer:
        return _task(champions.get(task))

    @app.get(
        "/v1/tasks/{task}/explanation", summary="What a task's champion looks at", responses={200: {"model": ExplanationAnswer}}
    )
    def explanation(task: str) -> Response:
        version = champions.get(task).version
        found = champions.registry.explanation(task, version.version)
        if found is None:
            raise Problem(404, f"Version {version.version} of {task} has no explanation; train it again for one.")
        return Response(orjson.dumps(found), media_type="application/json", headers={"Cache-Control": "no-store"})

    @app.post("/v1/tasks/{task}/predictions", summary="Predict rows", responses={200: {"model": Predictions}})
    async def predictions(task: str, request: Request) -> Response:
        champion = await _champion(champions, task)
        _refuse_other_types(request)
        content = await _content(request)
        if len(content) > QUICK_BYTES:
            return await run_in_threadpool(lambda: _answer(champion, read_rows(champion.body, content), journal))
        rows = read_rows(champion.body, content)
        if len(rows) > QUICK_ROWS:
            return await run_in_threadpool(_answer, champion, rows, journal)
        return _answer(champion, rows, journal)

    @app.get("/docs", include_in_schema=False)
    def docs() -> HTMLResponse:
        return HTMLResponse(docs_page(app.openapi()))


async def _champion(champions: Champions, task: str) -> Champion:
    ready = champions.ready(task)
    return await run_in_threadpool(champions.get, task) if ready is None else ready


def _refuse_other_types(request: Request) -> None:
    stated = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if stated != "application/json" and not stated.endswith("+json"):
        raise Problem(415, f"The body's Content-Type is {stated or 'not given'}; send it as application/json.")


async def _content(request: Request) -> bytes:
    try:
        return await request.body()
    except ClientDisconnect:
        raise Problem(400, "The connection ended before the body did.") from None


def _answer(champion: Champion, rows: list[dict[str, Any]], journal: Journal | None) -> Response:
    bundle = champion.bundle
    warnings: list[list[str]]
    if isinstance(bundle, PanelBundle):
        predictions, warnings = forecast_series(champion.version, bundle, series_requests(bundle, rows)), [[] for _ in rows]
    else:
        predictions, warnings = predict_rows(champion.version, bundle, rows), [unseen(bundle, row) for row in rows]
    if journal is not None:
        journal.note(champion.version, predictions)
    answers = [prediction_json(prediction) for prediction in predictions]
    for answer, said in zip(answers, warnings, strict=True):
        answer["warnings"] = said
    content = {"task": champion.version.task, "model": model_json(champion.version), "predictions": answers}
    return Response(orjson.dumps(content), media_type="application/json", headers={"Cache-Control": "no-store"})


def _loss(bundle: Bundle | PanelBundle) -> dict[str, Any]:
    if isinstance(bundle, PanelBundle) or bundle.schema.kind != "regression":
        return {}
    return {"loss": bundle.schema.loss, "log": bundle.schema.log}


def _task(champion: Champion) -> TaskAnswer:
    bundle = champion.bundle
    schema = bundle.schema
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
        for c in champion.body.columns
    ]
    return TaskAnswer.model_validate(
        {
            "task": schema.task,
            "about": schema.about,
            "target": schema.target,
            "kind": "quantiles" if isinstance(bundle, PanelBundle) else bundle.schema.kind,
            **_loss(bundle),
            "classes": [] if isinstance(bundle, PanelBundle) else list(bundle.schema.classes),
            "coverage": None if isinstance(bundle, PanelBundle) else bundle.coverage,
            "model": model_json(champion.version),
            "columns": columns,
        }
    )
