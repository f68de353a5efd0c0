"""The OpenAPI document: the fixed routes, and one path a task with its own row model."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from epic22.api.event_document import EVENT_SCHEMAS, EVENTS_OPERATION, SECURITY
from epic22.api.events import EVENTS_PATH
from epic22.api.job_document import describe_job_routes
from epic22.api.model_cache import ModelCache
from epic22.api.responses import ProblemAnswer
from epic22.api.task_document import PREDICTIONS_PATH, PROBLEM_RESPONSES, REF, build_request_body

TASK_ERRORS = ("404", "503")
DESCRIPTION = """Predictions with intervals and reasons that sum to the score.

A row names every required column. `null` is a missing value, which models treat natively. An absent required column, an unknown
name, a name given twice, a text for a number, NaN and infinite numbers are refused with 422. A category that training
never saw is treated as missing, and said in `warnings`. Times are ISO 8601, UTC where no zone is given.

A value has an interval from `low` to `high`; for classes `set` names those the outcome may be of. Of outcomes like those of the
training, at least a share `coverage` (stated by the task) lies inside, in each class.

A forecasting task is asked by series: its name alone, or its name with its latest values. It answers a value and an 80 %
interval for each horizon, which counts periods; where the stretches of time that calibrated it are too few for 80 %, or the
test did not bear it out, `interval_note` says so.
"""
ANY_ROWS = {
    "type": "object",
    "description": "Rows of any task; what each task's rows hold is described at its own path.",
    "properties": {"rows": {"type": "array", "minItems": 1, "maxItems": 1000, "items": {"type": "object"}}},
    "required": ["rows"],
}


@dataclass(frozen=True)
class TaskBody:
    """What is posted to a task: its path, what it is, the schema of a row, an example of the body."""

    path: str
    summary: str
    description: str
    row: Mapping[str, Any]
    example: str


def build_openapi(app: FastAPI, models: ModelCache) -> dict[str, Any]:
    """The document as of now: a task trained since is in it."""
    document = get_openapi(title=app.title, version=app.version, description=DESCRIPTION, routes=app.routes)
    schemas, paths = document.setdefault("components", {}).setdefault("schemas", {}), document["paths"]
    problem = ProblemAnswer.model_json_schema(ref_template=REF)
    schemas |= problem.pop("$defs") | {"Problem": problem}
    # FastAPI's own form of a refusal is never answered here.
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    for path in ("/v1/tasks/{task}", "/v1/tasks/{task}/explanation"):
        responses = paths[path]["get"]["responses"]
        responses |= {status: PROBLEM_RESPONSES[status] for status in TASK_ERRORS}
        del responses["422"]
    paths[PREDICTIONS_PATH]["post"] |= {"requestBody": build_request_body({"$ref": REF.format(model="AnyRows")})}
    paths[PREDICTIONS_PATH]["post"]["responses"] |= PROBLEM_RESPONSES
    schemas["AnyRows"] = ANY_ROWS
    if EVENTS_PATH in paths:
        schemas |= EVENT_SCHEMAS
        document["components"]["securitySchemes"] = SECURITY
        paths[EVENTS_PATH]["post"] |= EVENTS_OPERATION
    describe_job_routes(document)
    for champion in models.load_all():
        schemas.update(champion.document.schemas)
        paths[champion.document.path] = {"post": champion.document.operation}
    return document


def list_task_bodies(document: dict[str, Any]) -> Iterator[TaskBody]:
    """The tasks that a document has a path of their own for, and what their rows are made of."""
    schemas = document["components"]["schemas"]
    for path, methods in document["paths"].items():
        if path.endswith("/predictions") and "{" not in path:
            operation = methods["post"]
            content = operation["requestBody"]["content"]["application/json"]
            body = schemas[content["schema"]["$ref"].rsplit("/", 1)[1]]
            row = schemas[body["properties"]["rows"]["items"]["$ref"].rsplit("/", 1)[1]]
            example = json.dumps(content["example"], indent=1, ensure_ascii=False)
            yield TaskBody(path, operation["summary"], operation["description"], row, example)
