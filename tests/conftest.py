"""What holds for the whole suite."""

from collections.abc import Iterator, Mapping
from typing import IO, Any

import pytest
from hypothesis import settings

from epic22.core.models.networks import graph_memory
from epic22.reports.figures import style
from tests.graph_folder import GraphFolder
from tests.servers import stop_all

# No test measures seconds: on a busy machine an example that is slow once says nothing.
settings.register_profile("suite", parent=settings.default, deadline=None)
settings.load_profile("suite")


@pytest.fixture(scope="session", autouse=True)
def keep_graphs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Export each shape of network once: seconds each, which dozens of tests would take again in every process."""
    has_cache = request.config.pluginmanager.hasplugin("cacheprovider")
    folder = request.config.cache.mkdir("graphs") if has_cache else tmp_path_factory.mktemp("graphs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(graph_memory, "GRAPHS", GraphFolder(folder))
        yield


@pytest.fixture(scope="session", autouse=True)
def stop_servers() -> Iterator[None]:
    """Stop what tests started."""
    yield
    stop_all()


@pytest.fixture(scope="module")
def blank_pictures() -> Iterator[None]:
    """Plot pictures, and write empty ones: two fifths of a small training, for tests of other things than what a page shows."""

    def write_blank(figure: object, file: IO[Any], image_format: str, metadata: Mapping[str, None]) -> None:
        file.write("<svg xmlns='http://www.w3.org/2000/svg'></svg>" if image_format == "svg" else b"")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(style, "save_figure", write_blank)
        yield
