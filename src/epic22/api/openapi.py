"""The OpenAPI document: the fixed routes, and one path a task with its own row model."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from epic22.api.champions import Champion, Champions

REF = "#/components/schemas/{model}"
ERRORS = {
    "400": "Not JSON",
    "404": "No such task",
    "413": "Over 1 MB",
    "415": "Not JSON by its type",
    "422": "Rows that do not fit",
    "503": "Model not readable",
}
DESCRIPTION = """Predictions with intervals and reasons that sum to the score.

A row names every input column. `null` is a missing value, which models treat natively. An absent column, an unknown
name, a text for a number, NaN and infinite numbers are refused with 422. A category that training never saw is treated as
missing, and said in `warnings`.
"""


def describe(app: FastAPI, champions: Champions) -> dict[str, Any]:
    """The document as of now: a task trained since is in it."""
    document = get_openapi(title=app.title, version=app.version, description=DESCRIPTION, routes=app.routes)
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    schemas["Problem"] = _problem_schema()
    for champion in champions.all():
        model = champion.body.model_json_schema(by_alias=True, ref_template=REF)
        schemas.update(model.pop("$defs", {}))
        schemas[champion.body.__name__] = model
        document["paths"][f"/v1/tasks/{champion.version.task}/predictions"] = {"post": _operation(champion)}
    return document


def _operation(champion: Champion) -> dict[str, Any]:
    schema = champion.bundle.schema
    body = {"schema": {"$ref": REF.format(model=champion.body.__name__)}, "example": {"rows": [_example(champion)]}}
    answer = {"application/json": {"schema": {"$ref": REF.format(model="Predictions")}}}
    problem = {"application/problem+json": {"schema": {"$ref": REF.format(model="Problem")}}}
    return {
        "summary": f"Predict {schema.target}",
        "description": schema.about,
        "operationId": f"predict_{schema.task}",
        "requestBody": {"required": True, "content": {"application/json": body}},
        "responses": {"200": {"description": "One answer a row", "content": answer}}
        | {status: {"description": said, "content": problem} for status, said in ERRORS.items()},
    }


def _example(champion: Champion) -> dict[str, Any]:
    values: dict[str, Any] = {"category": "…", "time": "2024-03-01T13:00:00", "bool": True, "int": 1, "float": 1.5}
    return {c.name: c.levels[0] if c.levels else values.get(c.dtype) for c in champion.bundle.schema.inputs}


def _problem_schema() -> dict[str, Any]:
    text = {"type": "string"}
    entry = {"type": "object", "properties": {"pointer": text, "detail": text}}
    return {
        "type": "object",
        "description": "A problem document (RFC 9457).",
        "properties": {
            "type": text,
            "title": text,
            "status": {"type": "integer"},
            "detail": text,
            "instance": text,
            "errors": {"type": "array", "items": entry},
        },
        "required": ["type", "title", "status", "detail"],
    }
