"""The HTTP interface: /health, /v1/tasks, /v1/tasks/{task}, its /explanation and /predictions, /v1/events/{table}, /v1/jobs,
/openapi.json, /docs."""

import os
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Literal

import orjson
from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response
from starlette.concurrency import run_in_threadpool

from epic22 import __version__
from epic22.api.bodies import read_body, refuse_other_types
from epic22.api.events import EventIntake, add_event_route
from epic22.api.jobs import add_job_routes
from epic22.api.limits import BodyLimit
from epic22.api.model_cache import CachedModel, ModelCache
from epic22.api.openapi import build_openapi, list_task_bodies
from epic22.api.problems import Problem, add_problem_handlers
from epic22.api.requests import read_rows
from epic22.api.responses import ExplanationAnswer, Health, HealthWithoutReceipts, Predictions, TaskAnswer, Tasks
from epic22.api.security_headers import SecurityHeaders
from epic22.core.artifact.prediction_request import RowsRequest
from epic22.core.job_event import JobFeed
from epic22.core.lineage import describe_absent_explanation
from epic22.core.models.panel.estimation import estimate_apart
from epic22.core.ports import CacheLink, Registry, ServedPredictionLog
from epic22.core.prediction import PREDICTION_VIEWS
from epic22.core.serialization import to_json
from epic22.reports.html.page import render_page

QUICK_BYTES = 1 << 15
"""So much is read on the event loop; more would keep other requests waiting."""
MAX_WORKERS = min(4, os.cpu_count() or 1)
"""Requests of one task that are worked on at once beside the event loop; more wait, and no other task with them."""
HEALTH_SECONDS = 1.0
"""So long `/health` waits for champions that are new, before it says that they are opening."""
START_SECONDS = 60.0
"""So long the server waits for its models before it takes requests; what takes longer is opened beside them."""


def create_app(
    registry: Registry,
    prediction_log: ServedPredictionLog | None = None,
    intake: EventIntake | None = None,
    cache: CacheLink | None = None,
    jobs: JobFeed | None = None,
) -> FastAPI:
    """The API over a registry; nothing else is needed to answer. Answers are written to the prediction log where there is one;
    `/health` says whether a cache that is set can be reached, and whether receipts wait or are lost.

    Events are taken in where there is an intake, jobs are shown where there is a feed of them.
    """
    models = ModelCache(registry)
    # A redirect to the address without its last slash would be built from the client's own Host header.
    app = FastAPI(
        title="Epic 22",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        lifespan=_build_lifespan(models, prediction_log),
    )
    add_problem_handlers(app)
    app.add_middleware(BodyLimit)
    app.add_middleware(SecurityHeaders)
    _add_routes(app, models, prediction_log, cache)
    if intake is not None:
        add_event_route(app, intake)
    if jobs is not None:
        add_job_routes(app, jobs)
    app.openapi = lambda: build_openapi(app, models)  # type: ignore[method-assign]
    return app


def _build_lifespan(
    models: ModelCache, prediction_log: ServedPredictionLog | None
) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    """The lifespan of the application, which opens the models at its start and closes the prediction log at its end."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await run_in_threadpool(models.list_degraded, START_SECONDS)
        try:
            yield
        finally:
            if prediction_log is not None:
                await run_in_threadpool(prediction_log.close)

    return lifespan


def _add_routes(app: FastAPI, models: ModelCache, prediction_log: ServedPredictionLog | None, cache: CacheLink | None) -> None:
    # Limits of their own: whatever else waits for a thread, health is answered, and one task's requests keep no other's waiting.
    health_checks, workers = CapacityLimiter(1), defaultdict[str, CapacityLimiter](lambda: CapacityLimiter(MAX_WORKERS))

    # Monitors and load balancers ask so.
    @app.head("/health", include_in_schema=False)
    @app.get(
        "/health",
        summary="Whether the process answers, and which tasks' champions do not answer",
        responses={200: {"model": Health}},
    )
    async def health() -> Response:
        state = await run_sync(_check_health, models, cache, prediction_log, limiter=health_checks)
        return Response(state.model_dump_json(), media_type="application/json")

    @app.get("/v1/tasks", summary="The tasks that can be predicted")
    def tasks() -> Tasks:
        return Tasks(tasks=[champion.task for champion in models.load_all()])

    @app.get("/v1/tasks/{task}", summary="One task with its columns")
    def one_task(task: str) -> TaskAnswer:
        return models.get(task).task

    @app.get(
        "/v1/tasks/{task}/explanation", summary="What a task's champion looks at", responses={200: {"model": ExplanationAnswer}}
    )
    def explanation(task: str) -> Response:
        version = models.get(task).version
        document = models.registry.load_explanation(task, version.version)
        if document is None:
            raise Problem(404, describe_absent_explanation(version))
        return Response(orjson.dumps(document), media_type="application/json", headers={"Cache-Control": "no-store"})

    @app.post("/v1/tasks/{task}/predictions", summary="Predict rows", responses={200: {"model": Predictions}})
    async def predictions(task: str, request: Request) -> Response:
        champion = models.peek(task)
        if champion is None:
            champion = await run_in_threadpool(models.get, task)
        refuse_other_types(request)
        content = await read_body(request)
        if len(content) > QUICK_BYTES or not champion.quick_rows:
            return await run_sync(_answer_body, champion, content, prediction_log, limiter=workers[task])
        rows = read_rows(champion.request_model, content)
        if len(rows) > champion.quick_rows:
            return await run_sync(_answer_rows, champion, rows, prediction_log, limiter=workers[task])
        return _answer_rows(champion, rows, prediction_log)

    # FastAPI's own is answered on the event loop, where opening a model would keep everybody waiting.
    @app.get("/openapi.json", include_in_schema=False)
    def openapi() -> JSONResponse:
        return JSONResponse(app.openapi())

    @app.get("/docs", include_in_schema=False)
    def docs() -> HTMLResponse:
        document = app.openapi()
        return HTMLResponse(render_page("api.html", document=document, tasks=list_task_bodies(document)))


def _check_health(models: ModelCache, cache: CacheLink | None, prediction_log: ServedPredictionLog | None) -> Health:
    degraded = models.list_degraded(HEALTH_SECONDS)
    receipts = _check_receipts(prediction_log)
    health = Health(
        status="degraded" if degraded or receipts is not None or not models.can_list_tasks() else "ok",
        tasks=len(models.list_tasks()),
        version=__version__,
        degraded=list(degraded),
        cache=None if cache is None else "ok" if cache.fault is None else "away",
    )
    return health if receipts is None else HealthWithoutReceipts(**health.model_dump(), receipts=receipts)


def _check_receipts(prediction_log: ServedPredictionLog | None) -> Literal["lost", "waiting"] | None:
    """What became of receipts that could not be written; None where all were."""
    if prediction_log is None or (prediction_log.fault is None and not prediction_log.is_waiting):
        return None
    return "waiting" if prediction_log.fault is None else "lost"


def _answer_body(champion: CachedModel, content: bytes, prediction_log: ServedPredictionLog | None) -> Response:
    return _answer_rows(champion, read_rows(champion.request_model, content), prediction_log)


def _answer_rows(champion: CachedModel, rows: list[dict[str, Any]], prediction_log: ServedPredictionLog | None) -> Response:
    model = champion.model
    with estimate_apart():
        predictions = model.predict(RowsRequest(rows))
    if prediction_log is not None:
        prediction_log.log_predictions(model.version, predictions)
    answers = [to_json(prediction, PREDICTION_VIEWS) for prediction in predictions]
    for answer, row in zip(answers, rows, strict=True):
        answer["warnings"] = model.list_warnings(row)
    content = {"task": model.version.task, "model": to_json(model.version, PREDICTION_VIEWS), "predictions": answers}
    return Response(orjson.dumps(content), media_type="application/json", headers={"Cache-Control": "no-store"})
