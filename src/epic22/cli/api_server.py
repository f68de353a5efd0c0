"""The server that answers over HTTP."""

import sys

import uvicorn

from epic22.adapters.prediction_log import BufferedPredictionLog
from epic22.api.app import create_app
from epic22.api.events import EventIntake
from epic22.bootstrap import Components, open_event_queue, open_job_feed, open_served_stores

SWITCH_SECONDS = 0.001
"""So long a thread that computes keeps Python from the event loop. Five milliseconds, Python's own, are paid at each of the four
or five steps of a short answer."""


def build_server(components: Components) -> uvicorn.Server:
    """The server of the registered models; answers are noted in the log of predictions, events taken in where there are keys."""
    sys.setswitchinterval(SWITCH_SECONDS)
    settings = components.settings
    intake = EventIntake(open_event_queue(settings), settings.event_keys) if settings.event_keys else None
    stores = open_served_stores(settings)
    app = create_app(
        stores.registry, BufferedPredictionLog(components.prediction_log), intake, stores.link, open_job_feed(settings)
    )
    return uvicorn.Server(uvicorn.Config(app, log_level="warning", server_header=False, timeout_graceful_shutdown=5))
