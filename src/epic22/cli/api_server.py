"""The server that answers over HTTP."""

import uvicorn

from epic22.adapters.prediction_log import BufferedPredictionLog
from epic22.api.app import create_app
from epic22.bootstrap import Components


def build_server(components: Components) -> uvicorn.Server:
    """The server of the registered models; answers are noted in the log of predictions."""
    app = create_app(components.registry, BufferedPredictionLog(components.prediction_log))
    return uvicorn.Server(uvicorn.Config(app, log_level="warning", server_header=False, timeout_graceful_shutdown=5))
