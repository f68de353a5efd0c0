"""What the OpenAPI document says of one task: the schema of its rows and the operation that predicts them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from epic22.api.problems import MEDIA_TYPE
from epic22.core.artifact.model import Model
from epic22.core.artifact.request_model import RequestModel

REF = "#/components/schemas/{model}"
ERRORS = {
    "400": "The body is no JSON",
    "404": "No such task",
    "413": "The body is over 1 MB",
    "415": "The body is not said to be JSON",
    "422": "Rows that do not fit the task; `errors` has a JSON pointer each",
    "503": "The task's model cannot be opened",
}
PROBLEM_RESPONSES = {
    status: {"description": what, "content": {MEDIA_TYPE: {"schema": {"$ref": REF.format(model="Problem")}}}}
    for status, what in ERRORS.items()
}
PREDICTIONS_PATH = "/v1/tasks/{task}/predictions"


@dataclass(frozen=True)
class TaskDocument:
    """A task's own path, the schemas it needs by name, and its operation."""

    path: str
    schemas: Mapping[str, Any]
    operation: Mapping[str, Any]


def build_task_document(model: Model, request_model: RequestModel) -> TaskDocument:
    """What the document says of a model's task."""
    schema, rows = model.schema, request_model.rows
    rows_schema = rows.model_json_schema(by_alias=True, ref_template=REF)
    schemas = {**rows_schema.pop("$defs", {}), rows.__name__: rows_schema}
    answer = {"application/json": {"schema": {"$ref": REF.format(model="Predictions")}}}
    operation = {
        "summary": f"Predict {schema.target}",
        "description": schema.about,
        "operationId": f"predict_{schema.task}",
        "requestBody": build_request_body({"$ref": REF.format(model=rows.__name__)}, {"rows": [dict(model.example_row())]}),
        "responses": {"200": {"description": "One answer a row", "content": answer}} | PROBLEM_RESPONSES,
    }
    return TaskDocument(PREDICTIONS_PATH.format(task=model.version.task), schemas, operation)


def build_request_body(schema: dict[str, Any], example: dict[str, Any] | None = None) -> dict[str, Any]:
    """The description of a JSON body."""
    body = {"schema": schema} | ({} if example is None else {"example": example})
    return {"required": True, "content": {"application/json": body}}
