"""What the OpenAPI document says of jobs: the stream of their events, and what is refused."""

from typing import Any

from epic22.api.job_answers import StreamedEvent
from epic22.api.job_stream import MEDIA_TYPE as STREAM_TYPE
from epic22.api.jobs import JOB_PATH, JOBS_PATH, STREAM_PATH
from epic22.api.problems import MEDIA_TYPE
from epic22.api.task_document import REF

REFUSALS = {
    JOBS_PATH: {"503": "The place that has the jobs does not answer"},
    JOB_PATH: {"404": "No such job", "503": "The place that has the jobs does not answer"},
    STREAM_PATH: {
        "400": "Last-Event-ID is no number",
        "404": "No such job",
        "503": "As many clients listen as may, or the place that has the jobs does not answer",
    },
}
STREAM_DESCRIPTION = """Server-sent events. Messages named `progress` are what happened, each with an id; `job` is the job when
its state changes; `end` is the last, once the job has ended. After four seconds without any, a comment says that the server is
there.

A client that was cut off sends the last id as `Last-Event-ID`, as a browser does by itself, and misses nothing; where the job has
ended and nothing is left, 204 is answered. Samples and epochs of jobs that ended are thinned out.
"""
LAST_EVENT = {
    "name": "Last-Event-ID",
    "in": "header",
    "required": False,
    "description": "The id of the last event that was heard; the stream begins after it.",
    "schema": {"type": "string", "pattern": "^[0-9]{1,15}$"},
}


def describe_job_routes(document: dict[str, Any]) -> None:
    """Complete what a document says of the routes of jobs, where it has them."""
    paths = document["paths"]
    if JOBS_PATH not in paths:
        return
    for path, refusals in REFUSALS.items():
        responses = paths[path]["get"]["responses"]
        responses.pop("422", None)
        responses |= {
            status: {"description": what, "content": {MEDIA_TYPE: {"schema": {"$ref": REF.format(model="Problem")}}}}
            for status, what in refusals.items()
        }
    schema = StreamedEvent.model_json_schema(ref_template=REF)
    document["components"]["schemas"]["StreamedEvent"] = schema
    operation = paths[STREAM_PATH]["get"]
    operation["description"] = STREAM_DESCRIPTION
    operation["parameters"].append(LAST_EVENT)
    operation["responses"] |= {
        "200": {"description": "The stream", "content": {STREAM_TYPE: {"schema": {"type": "string"}}}},
        "204": {"description": "The job has ended, and nothing is left after Last-Event-ID"},
    }
