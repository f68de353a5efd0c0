"""Events of progress as lines of JSON, and back: how one process lets another know, and how they are stored."""

import json
import math
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from epic22.core.progress import (
    BLANK,
    AttemptStarted,
    DeviceUsed,
    EpochFinished,
    Noted,
    ProcessSample,
    ProgressEvent,
    StageFinished,
    StageStarted,
    WorkAdvanced,
    WorkStarted,
)

EVENT_TYPES: Mapping[str, type[ProgressEvent]] = {
    "stage_started": StageStarted,
    "stage_finished": StageFinished,
    "work_started": WorkStarted,
    "work_advanced": WorkAdvanced,
    "epoch_finished": EpochFinished,
    "noted": Noted,
    "device_used": DeviceUsed,
    "process_sample": ProcessSample,
    "attempt_started": AttemptStarted,
}
"""Each event by its name in a line. One more event is one more line here."""
EVENT_NAMES = {event_type: name for name, event_type in EVENT_TYPES.items()}
MAX_LINE_CHARACTERS = 8_192
"""What is longer is no event of ours; a note is shortened to it."""


def write_event(event: ProgressEvent) -> str:
    r"""The event as one line of canonical JSON without its end; numbers that are none, such as a loss that diverged, as text.

    >>> write_event(WorkAdvanced(1))
    '{"depth":1,"event":"work_advanced"}'
    """
    values = {one.name: _write_value(getattr(event, one.name)) for one in fields(event)}
    return json.dumps({"event": EVENT_NAMES[type(event)], **values}, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _write_value(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value[: MAX_LINE_CHARACTERS // 12] if isinstance(value, str) else value


def read_event(line: str | bytes) -> ProgressEvent | None:
    """The event of a line; None for what is none, such as one that a kill cut off, or that only a newer version knows.

    >>> read_event('{"event":"stage_started","stage":"fit"}')
    StageStarted(stage='fit')
    """
    if len(line) > MAX_LINE_CHARACTERS:
        return None
    try:
        values = json.loads(line)
    except ValueError:
        return None
    event_type = EVENT_TYPES.get(str(values.get("event"))) if isinstance(values, dict) else None
    return None if event_type is None else _build_event(event_type, values)


def _build_event(event_type: type[ProgressEvent], values: Mapping[str, Any]) -> ProgressEvent | None:
    from pydantic import TypeAdapter, ValidationError

    if event_type is WorkStarted and "about" not in values:
        # Of a version that wrote what the work is about among its words.
        values = {**values, "what": BLANK, "about": values.get("what")}
    names = {one.name for one in fields(event_type)}
    try:
        return TypeAdapter(event_type).validate_python({name: value for name, value in values.items() if name in names})
    except ValidationError:
        return None
