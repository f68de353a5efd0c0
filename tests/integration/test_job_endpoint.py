"""Jobs over HTTP as a client meets them: how far they are, their events as they come, and nothing of the server's own."""

import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI
from fastapi.testclient import TestClient
from tests.shell import Shell
from tests.waiting import wait_until

from epic22.adapters.metadata.database import Database
from epic22.adapters.metadata.job_events import JobEventTable
from epic22.adapters.metadata.jobs import JobTable
from epic22.adapters.model_store import ModelStore
from epic22.api.app import create_app
from epic22.api.job_answers import answer_event
from epic22.api.job_stream import Listeners, StreamPace
from epic22.api.jobs import add_job_routes
from epic22.bootstrap.job_feed import DatabaseFeed
from epic22.core.errors import StorageError
from epic22.core.job import AttemptId, JobRecord, JobRequest, NextStep
from epic22.core.job_event import JobEvent
from epic22.core.progress import (
    PROGRESS_SETTING,
    AttemptStarted,
    DeviceUsed,
    EpochFinished,
    Noted,
    ProcessSample,
    ProgressEvent,
    StageStarted,
    WorkAdvanced,
    WorkStarted,
)
from epic22.core.progress_lines import read_event

START = datetime(2026, 1, 1, tzinfo=UTC)
EVENTS: tuple[ProgressEvent, ...] = (
    AttemptStarted(1),
    StageStarted("evaluate"),
    WorkStarted("families", 3, "family"),
    WorkStarted("mlp: 5 folds", 5, "fold", 1),
    DeviceUsed("cpu"),
    WorkAdvanced(1),
    EpochFinished(3, 100, float("nan"), None, 0.01, 100.0, 10.0),
    Noted("what served cannot be opened: /srv/secret/place"),
    ProcessSample(0.5, 123_000_000, 2),
)
SECRET = "/srv/secret/place"
WORKS = tuple(
    WorkStarted("reading and auditing …", 1, about=name)
    for name in (
        *(f"{SECRET}/churn.csv", "secret data/churn.csv file", "C:\\secret data\\churn.csv", "'secret' \"churn.csv\"", "secret"),
        *("https://secret@host/churn.csv", "~/secret churn.csv", "…secret"),
    )
)
"""Work on files that nobody's pattern would all recognise."""


@dataclass
class Place:
    """A place with jobs, and the API over it."""

    database: Database
    folder: Path
    app: FastAPI
    jobs: JobTable = field(init=False)
    events: JobEventTable = field(init=False)

    def __post_init__(self) -> None:
        self.jobs, self.events = JobTable(self.database), JobEventTable(self.database)

    def begin(self, *arguments: str, verb: str = "train") -> AttemptId:
        job = self.jobs.add(JobRequest(verb, arguments or ("tenant_churn",), self.folder / "secret", 2, memory=2_000_000_000))
        attempt = AttemptId(job.id, 1)
        assert self.jobs.claim(attempt, "worker-of-host") is not None
        return attempt

    def happen(self, attempt: AttemptId, *events: ProgressEvent) -> None:
        moments = [START + timedelta(seconds=10 * i) for i in range(len(events))]
        assert self.events.append(attempt, list(zip(moments, events, strict=True)))

    def settle(self, attempt: AttemptId) -> None:
        assert self.jobs.settle(attempt, NextStep("dead", f"the table {SECRET} is not there", 1))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    database = Database(f"sqlite:///{tmp_path}/jobs.sqlite")
    return Place(database, tmp_path, create_app(ModelStore(tmp_path / "models"), jobs=DatabaseFeed(database)))


@pytest.fixture
def client(place: Place) -> TestClient:
    return TestClient(place.app, raise_server_exceptions=False)


def test_a_job_says_how_far_it_is_and_what_it_takes(place: Place, client: TestClient) -> None:
    attempt = place.begin()
    place.happen(attempt, *EVENTS)
    answer = client.get(f"/v1/jobs/{attempt.job}").json()
    assert {name: answer[name] for name in ("id", "verb", "subject", "state", "attempt", "threads", "memory_limit")} == {
        "id": attempt.job,
        "verb": "train",
        "subject": "tenant_churn",
        "state": "running",
        "attempt": 1,
        "threads": 2,
        "memory_limit": 2_000_000_000,
    }
    progress = answer["progress"]
    assert progress["stage"] == "evaluate"
    assert [(work["what"], work["unit"], work["done"], work["steps"]) for work in progress["works"]] == [
        ("families", "family", 0, 3),
        ("mlp: 5 folds", "fold", 1, 5),
    ]
    assert progress["works"][1]["share"] == pytest.approx((1 + 0.03) / 5)
    assert progress["works"][1]["seconds_left"] > 0
    assert progress["epoch"] == {"epoch": 3, "epochs": 100, "loss": None, "validation_loss": None}
    assert (progress["device"], progress["processor_share"], progress["memory_bytes"]) == ("cpu", 0.5, 123_000_000)
    place.happen(attempt, WorkAdvanced(1))
    assert client.get(f"/v1/jobs/{attempt.job}").json()["progress"]["works"][1]["done"] == 2, "only what is new is read"


def test_jobs_are_listed_newest_first_and_one_that_waits_has_no_progress(place: Place, client: TestClient) -> None:
    first, waiting = place.begin(), place.jobs.add(JobRequest("ingest", ("--from", SECRET), place.folder, 1))
    answer = client.get("/v1/jobs").json()
    assert [(job["id"], job["state"], job["subject"]) for job in answer["jobs"]] == [
        (waiting.id, "waiting", None),
        (first.job, "running", "tenant_churn"),
    ]
    assert client.get(f"/v1/jobs/{waiting.id}").json()["progress"] is None


def test_no_answer_names_a_place_of_the_server_or_why_a_job_failed(place: Place, client: TestClient) -> None:
    attempt = place.begin("--csv", SECRET, "--label", "y")
    place.happen(attempt, *EVENTS, *WORKS)
    place.settle(attempt)
    answers = [client.get(f"/v1/jobs{path}") for path in ("", f"/{attempt.job}", f"/{attempt.job}/events")]
    for answer in answers:
        assert answer.status_code == 200
        for inner in (SECRET, "secret", "churn.csv", str(place.folder), "worker-of-host", "reason", "noted"):
            assert inner not in answer.text
    assert answers[1].json()["progress"]["works"][0]["what"] == "reading and auditing …"
    assert answers[2].text.count('"what":"reading and auditing …"') == len(WORKS)


def test_what_an_older_version_wrote_among_its_words_is_kept_from_clients_too(place: Place, client: TestClient) -> None:
    event = read_event(json.dumps({"event": "work_started", "what": f"reading {SECRET}/our data.csv", "steps": 1}))
    assert isinstance(event, WorkStarted)
    assert event.text == f"reading {SECRET}/our data.csv"
    place.happen(attempt := place.begin(), event)
    assert client.get(f"/v1/jobs/{attempt.job}").json()["progress"]["works"][0]["what"] == "…"


def test_work_on_a_file_is_said_in_words_that_do_not_name_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shell, lines = Shell(tmp_path, capsys, monkeypatch), tmp_path / "events"
    folder = tmp_path / "our data"
    folder.mkdir()
    rows = "".join(f"{n},{n % 7},{n % 2}\n" for n in range(120))
    (folder / "churn file.csv").write_text(f"n,seven,churned\n{rows}")
    monkeypatch.setenv(PROGRESS_SETTING, str(lines))
    file = ("--csv", str(folder / "churn file.csv"), "--label", "churned")
    assert shell("audit", *file)[0] == 0
    assert shell("train", *file, "--task", "toy", "--families", "constant,linear", "--folds", "2")[0] == 0
    assert shell("predict", "toy", file[1])[0] == 0
    events = [event for line in lines.read_text().splitlines() if isinstance(event := read_event(line), WorkStarted)]
    assert {event.text for event in events} >= {"reading and auditing churn file.csv", "predicting churn file.csv"}
    answers = [answer_event(JobEvent(1, START, event)) for event in events]
    assert [one for one in answers if one is None or "file" in str(one) or "data" in str(one)] == []


@pytest.mark.parametrize("job", ["999", "0", "-1", "x", "1e3", "9" * 40, "1%00", "%2e%2e"])
def test_a_job_that_is_not_there_is_a_problem_document(client: TestClient, job: str) -> None:
    for path in (f"/v1/jobs/{job}", f"/v1/jobs/{job}/events"):
        answer = client.get(path)
        assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
        assert answer.json()["detail"] == "There is no job of that number; GET /v1/jobs lists the newest."


def test_a_home_without_jobs_lists_none_and_makes_no_file(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/jobs/jobs.sqlite")
    client = TestClient(create_app(ModelStore(tmp_path / "models"), jobs=DatabaseFeed(database)))
    assert client.get("/v1/jobs").json() == {"jobs": []}
    assert client.get("/v1/jobs/1").status_code == 404
    assert not (tmp_path / "jobs").exists()


class AwayFeed:
    """A place of jobs that does not answer."""

    def list_jobs(self, limit: int) -> tuple[JobRecord, ...]:
        raise StorageError(f"no connection to {SECRET}.")

    def get(self, job: int) -> JobRecord:
        raise StorageError(f"no connection to {SECRET}.")

    def read_events(self, job: int, after: int) -> tuple[JobEvent, ...]:
        raise StorageError(f"no connection to {SECRET}.")


@pytest.mark.parametrize("path", ["", "/1", "/1/events"])
def test_a_place_that_does_not_answer_is_503_with_when_to_come_again(tmp_path: Path, path: str) -> None:
    client = TestClient(create_app(ModelStore(tmp_path), jobs=AwayFeed()), raise_server_exceptions=False)
    answer = client.get(f"/v1/jobs{path}")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert SECRET not in answer.text


def test_the_document_describes_the_stream_and_its_refusals_and_only_where_there_are_jobs(
    place: Place, client: TestClient
) -> None:
    document = client.get("/openapi.json").json()
    paths = document["paths"]
    assert set(paths["/v1/jobs/{job}/events"]["get"]["responses"]) == {"200", "204", "400", "404", "503"}
    assert set(paths["/v1/jobs/{job}"]["get"]["responses"]) == {"200", "404", "503"}
    assert [one["name"] for one in paths["/v1/jobs/{job}/events"]["get"]["parameters"]] == ["job", "Last-Event-ID"]
    assert {"JobDetail", "Jobs", "StreamedEvent", "Problem"} <= set(document["components"]["schemas"])
    assert not [path for path, methods in paths.items() if path.startswith("/v1/jobs") and set(methods) != {"get"}]
    other = TestClient(create_app(ModelStore(place.folder / "models")))
    assert not [path for path in other.get("/openapi.json").json()["paths"] if "jobs" in path]


@pytest.mark.parametrize("header", ["x", "-1", "1.5", "9" * 20])
def test_a_last_event_id_that_is_no_number_is_refused(place: Place, client: TestClient, header: str) -> None:
    attempt = place.begin()
    answer = client.get(f"/v1/jobs/{attempt.job}/events", headers={"Last-Event-ID": header})
    assert (answer.status_code, answer.json()["title"]) == (400, "The request cannot be read")


@dataclass(frozen=True)
class Message:
    name: str
    number: int | None
    content: Any


CLIENTS: list["StreamClient"] = []
"""Those that a server's end closes."""


class StreamClient:
    """A client of a stream over a real connection."""

    def __init__(self, port: int, path: str, last: int | None = None) -> None:
        self.connection = HTTPConnection("127.0.0.1", port, timeout=20)
        self.connection.request("GET", path, headers={} if last is None else {"Last-Event-ID": str(last)})
        self.response: HTTPResponse = self.connection.getresponse()
        CLIENTS.append(self)

    def close(self) -> None:
        self.response.close()
        self.connection.close()

    def read_block(self) -> list[str]:
        """The lines of the next message or comment; none at the end."""
        lines: list[str] = []
        while line := self.response.readline():
            text = line.decode().rstrip("\n")
            if not text:
                return lines
            lines.append(text)
        return []

    def read_message(self) -> Message | None:
        """The next message; None at the end. Comments and the time of coming again are passed over."""
        while lines := self.read_block():
            values = dict(line.split(": ", 1) for line in lines if not line.startswith(":"))
            if "data" in values:
                return Message(values["event"], int(values["id"]) if "id" in values else None, json.loads(values["data"]))
        return None

    def read_all(self) -> list[Message]:
        messages = []
        while (message := self.read_message()) is not None:
            messages.append(message)
        return messages


@contextmanager
def serve(app: FastAPI) -> Iterator[int]:
    """The port of a real server of the application."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=1))
    thread = Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        while CLIENTS:
            CLIENTS.pop().close()
        server.should_exit = True
        thread.join(20)


def test_a_client_hears_events_as_they_come_goes_on_where_it_was_cut_off_and_is_let_go_at_the_end(place: Place) -> None:
    attempt = place.begin()
    place.happen(attempt, *EVENTS)
    path = f"/v1/jobs/{attempt.job}/events"
    with serve(place.app) as port:
        first = StreamClient(port, path)
        assert first.response.getheader("content-type") == "text/event-stream; charset=utf-8"
        assert first.response.getheader("cache-control") == "no-store"
        heard = [first.read_message() for _ in range(len(EVENTS))]
        assert [message.name for message in heard if message is not None] == ["progress"] * (len(EVENTS) - 1) + ["job"]
        assert heard[2] == Message(
            "progress",
            3,
            {
                "at": "2026-01-01T00:00:20.000+00:00",
                "depth": 0,
                "event": "work_started",
                "steps": 3,
                "unit": "family",
                "what": "families",
            },
        )
        place.happen(attempt, WorkAdvanced(1))
        later = first.read_message()
        assert later is not None
        assert later.number is not None
        assert (later.number, later.content["event"]) == (len(EVENTS) + 1, "work_advanced")
        first.close()
        place.happen(attempt, WorkAdvanced(1), WorkAdvanced())
        second = StreamClient(port, path, last=later.number)
        resumed = [second.read_message() for _ in range(2)]
        assert [message.number for message in resumed if message is not None] == [later.number + 1, later.number + 2]
        place.settle(attempt)
        rest = second.read_all()
        assert [message.name for message in rest] == ["job", "end"]
        assert rest[-1].content["state"] == "dead"
        assert StreamClient(port, path, last=later.number + 2).response.status == 204, "by this a browser does not come again"
        assert [message.name for message in StreamClient(port, path).read_all()][-1] == "end"


def test_only_so_many_clients_listen_and_one_that_left_makes_room(place: Place) -> None:
    attempt, crowd = place.begin(), Listeners(2, StreamPace(look=0.05, heartbeat=0.1))
    app = create_app(ModelStore(place.folder / "models"))
    add_job_routes(app, DatabaseFeed(place.database), crowd)
    with serve(app) as port:
        clients = [StreamClient(port, f"/v1/jobs/{attempt.job}/events") for _ in range(2)]
        for client in clients:
            client.read_block()
        assert clients[0].read_block()[0] == "event: job"
        assert clients[0].read_block() == [": still here"]
        refused = StreamClient(port, f"/v1/jobs/{attempt.job}/events").response
        assert (refused.status, refused.getheader("content-type")) == (503, "application/problem+json")
        began = time.monotonic()
        assert StreamClient(port, "/health").response.status == 200
        assert time.monotonic() - began < 2, "listeners keep nobody waiting"
        for client in clients:
            client.close()
        wait_until(lambda: crowd.count == 0, 5)


def test_a_stream_of_a_job_that_waits_is_never_silent_for_five_seconds() -> None:
    assert StreamPace().heartbeat + StreamPace().look <= 5
