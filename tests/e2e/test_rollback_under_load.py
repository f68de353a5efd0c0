"""A served process under load goes back to the version before: within a second, and without a failed request."""

import http.client
import json
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from time import monotonic

import pytest
from tests.e2e.test_shared_store import COMMAND, ROW
from tests.postgres import new_database
from tests.trained import trained
from tests.waiting import wait_until

from epic22.bootstrap import Components, assemble
from epic22.bootstrap.promotion import roll_back
from epic22.config import Settings

N_CLIENTS = 3
"""Programs a processor that wait for it: beyond so many no second is a measure of this one."""
BODY, HEADERS = json.dumps({"rows": [ROW]}), {"Content-Type": "application/json"}


@dataclass
class Load:
    """Clients that ask without a pause: when each answer came, by which version; and what failed."""

    port: int
    answers: list[tuple[float, str]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    stop: Event = field(default_factory=Event)

    def ask(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        while not self.stop.is_set():
            try:
                connection.request("POST", "/v1/tasks/toy/predictions", BODY, HEADERS)
                answer = connection.getresponse()
                content = json.loads(answer.read())
                self.answers.append((monotonic(), content["model"]["version"]))
            except Exception as error:  # noqa: BLE001 - whatever fails is what the test is about
                self.failures.append(repr(error))
        connection.close()

    def seconds_until(self, version: str, since: float) -> float:
        """Seconds from a moment to the first answer by that version after it."""
        found: list[float] = []

        def answered() -> bool:
            found[:] = [at for at, by in self.answers.copy() if by == version and at > since][:1]
            return bool(found)

        wait_until(answered)
        return found[0] - since


@contextmanager
def serve(environment: dict[str, str]) -> Iterator[int]:
    command = [*COMMAND, "serve", "--port", "0"]
    server = subprocess.Popen(command, env=os.environ | environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert server.stdout is not None
        match = re.search(r"http://[\d.]+:(\d+)", server.stdout.readline())
        assert match is not None
        yield int(match.group(1))
    finally:
        server.kill()
        server.communicate()


@contextmanager
def load(port: int) -> Iterator[Load]:
    clients = Load(port)
    threads = [Thread(target=clients.ask, daemon=True) for _ in range(N_CLIENTS)]
    for thread in threads:
        thread.start()
    try:
        yield clients
    finally:
        clients.stop.set()
        for thread in threads:
            thread.join(30)


def register_two(components: Components, folder: Path) -> None:
    """Two versions of one task, of which the second serves; the tracker knows neither."""
    for seed in (0, 1):
        run, store = trained(folder / str(seed), seed=seed)
        bundle, version = store.folder("toy", "1") / "bundle", run.version
        components.registry.save("toy", version.family, version.model_hash, "v0", "proven", bundle)
        components.registry.promote("toy", str(seed + 1), ())


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["files", "postgresql"])
def test_a_rollback_under_load_fails_no_request_and_soon_answers_by_the_old_version(kind: str, tmp_path: Path) -> None:
    home, url = tmp_path / "home", new_database() if kind == "postgresql" else None
    components = assemble(Settings(home, threads=1, database_url=url))
    register_two(components, tmp_path)
    environment = {"EPIC22_HOME": str(home)} | ({} if url is None else {"EPIC22_DATABASE_URL": url})
    with serve(environment) as port, load(port) as clients:
        clients.seconds_until("2", 0.0)
        assert roll_back(components, "toy").version == "1"
        # How soon is measured on a quiet machine, and waited for here (docs/decisions/0049-gates.md).
        clients.seconds_until("1", monotonic())
    assert clients.failures == []
    assert [record.why for record in components.registry.list_decisions("toy")][2].startswith("rolled back from version 2")
