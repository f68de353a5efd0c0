"""`epic22 serve`: the API, in one process."""

from typing import Annotated

import typer


def serve(
    host: Annotated[str, typer.Option(help="Address to listen on; only this machine by default.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on.")] = 8022,
) -> None:
    """Answer predictions over HTTP: /health, /v1/tasks, /v1/tasks/TASK/predictions, /docs."""
    import uvicorn

    from epic22.api.app import create_app
    from epic22.bootstrap import assemble
    from epic22.config import Settings

    app = create_app(assemble(Settings.read()).registry)
    uvicorn.run(app, host=host, port=port, log_level="warning", server_header=False)
