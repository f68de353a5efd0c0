"""What the OpenAPI document says of events: their form, who may send them, and what is answered."""

from typing import Any

from epic22.api.events import MAX_EVENTS
from epic22.api.problems import MEDIA_TYPE
from epic22.api.task_document import REF, build_request_body
from epic22.core.tables.events import MAX_ID_LENGTH, TABLES

EVENT_SCHEMAS: dict[str, Any] = {
    "Event": {
        "type": "object",
        "description": "A statement of one row. An id counts once; a correction is an event of its own id, of the same key.",
        "properties": {
            "id": {"type": "string", "minLength": 1, "maxLength": MAX_ID_LENGTH},
            "row": {
                "type": "object",
                "description": "Columns of the table. `known_at` is when it became known, the moment of arrival where absent.",
                "additionalProperties": {"type": ["string", "number", "boolean", "null"]},
            },
        },
        "required": ["id", "row"],
    },
    "Events": {
        "type": "object",
        "properties": {
            "events": {"type": "array", "minItems": 1, "maxItems": MAX_EVENTS, "items": {"$ref": REF.format(model="Event")}}
        },
        "required": ["events"],
    },
    "EventsAccepted": {
        "type": "object",
        "properties": {"accepted": {"type": "integer"}, "waiting": {"type": "integer", "description": "Not yet in a version."}},
        "required": ["accepted", "waiting"],
    },
}
SECURITY = {"event-token": {"type": "http", "scheme": "bearer"}}
EXAMPLE = {
    "events": [
        {
            "id": "gateway-7:184467",
            "row": {
                "equipment_id": "E1",
                "measured_at": "2026-03-01T12:00:00Z",
                "kind": "temperature",
                "value": 61.5,
                "quality": 1,
            },
        }
    ]
}
REFUSALS = {
    "400": "The body is no JSON",
    "401": "No token, or one that is not known",
    "404": "No such table",
    "413": "The body is over 1 MB",
    "415": "The body is not said to be JSON",
    "422": "Events that cannot be read; none was taken; `errors` has a JSON pointer each",
    "429": "As many events wait as may; `Retry-After` says when to send them again",
    "503": "Events cannot be stored now; `Retry-After` says when to send them again",
}
EVENTS_OPERATION: dict[str, Any] = {
    "description": "Stored for good once answered with 202. `epic22 consume` takes them into a data version; each counts "
    "once, and a row that breaks the contract of its table goes to quarantine there.",
    "parameters": [
        {"name": "table", "in": "path", "required": True, "schema": {"type": "string", "enum": list(TABLES)}},
    ],
    "requestBody": build_request_body({"$ref": REF.format(model="Events")}, EXAMPLE),
    "security": [{"event-token": []}],
    "responses": {
        "202": {
            "description": "They are stored",
            "content": {"application/json": {"schema": {"$ref": REF.format(model="EventsAccepted")}}},
        }
    }
    | {
        status: {"description": what, "content": {MEDIA_TYPE: {"schema": {"$ref": REF.format(model="Problem")}}}}
        for status, what in REFUSALS.items()
    },
}
