"""The server that answers over HTTP."""

import sys

import uvicorn

from epic22.adapters.prediction_log import BufferedPredictionLog
from epic22.api.app import create_app
from epic22.bootstrap import Components, open_served_registry

SWITCH_SECONDS = 0.001
"""So long a thread that computes keeps Python from the event loop. Five milliseconds, Python's own, are paid at each of the four
or five steps of a short answer."""


def build_server(components: Components) -> uvicorn.Server:
    """The server of the registered models; answers are noted in the log of predictions."""
    sys.setswitchinterval(SWITCH_SECONDS)
    app = create_app(open_served_registry(components.settings), BufferedPredictionLog(components.prediction_log))
    return uvicorn.Server(uvicorn.Config(app, log_level="warning", server_header=False, timeout_graceful_shutdown=5))
