"""OpenLineage events: EPIC22_HOME/lineage/events.jsonl, and a server's HTTP address where one is set.

The library's transports are used directly: its client would also read OPENLINEAGE_* variables, configuration files and the git
repository around it, and so send things where nobody asked for it.
"""

import fcntl
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import structlog

from epic22 import __version__
from epic22.core.address import hide_secrets
from epic22.core.lineage import Dataset

if TYPE_CHECKING:
    from openlineage.client.event_v2 import RunEvent
    from openlineage.client.facet_v2 import DatasetFacet, OutputDatasetFacet
    from openlineage.client.transport import Transport

NAMESPACE = "epic22"
PRODUCER = f"urn:epic22:{__version__}"
DATASET_TYPES = {"source": "FILE", "table": "TABLE", "model": "MODEL", "champion": "MODEL", "predictions": "JOB_OUTPUT"}
HTTP_TIMEOUT_SECONDS = 5.0
MAX_ERROR_CHARS = 2000


class OpenLineageEvents:
    """START, COMPLETE and FAIL of every piece of work. What cannot be written or sent is logged."""

    def __init__(self, path: Path, url: str | None = None) -> None:
        self.path, self.url = path, url

    def start(self, job: str, inputs: Sequence[Dataset]) -> str:
        """Say that a job begins; gives a UUID of version 7."""
        from openlineage.client.uuid import generate_new_uuid

        run = str(generate_new_uuid())
        self._emit("START", job, run, inputs)
        return run

    def complete(self, job: str, run: str, inputs: Sequence[Dataset], outputs: Sequence[Dataset]) -> None:
        """Say that it is done."""
        self._emit("COMPLETE", job, run, inputs, outputs)

    def fail(self, job: str, run: str, inputs: Sequence[Dataset], error: str) -> None:
        """Say that it ended without a result, and why."""
        self._emit("FAIL", job, run, inputs, error=error)

    def _emit(
        self,
        state: str,
        job: str,
        run: str,
        inputs: Sequence[Dataset],
        outputs: Sequence[Dataset] = (),
        error: str | None = None,
    ) -> None:
        try:
            event = _build_event(state, job, run, inputs, outputs, error)
            self._write(event)
            if self.url is not None:
                _open_http_transport(self.url).emit(event)
        except (RuntimeError, OSError, ValueError, TypeError) as fault:
            log = structlog.wrap_logger(structlog.PrintLogger(sys.stderr))
            # The library says the whole address, with a password.
            reason = hide_secrets(f"{type(fault).__name__}: {fault}")
            log.warning("lineage event not written", job=job, state=state, reason=reason)

    def _write(self, event: "RunEvent") -> None:
        """Add the event's line to the file; one process at a time, and on a line of its own."""
        from openlineage.client.transport.file import FileConfig, FileTransport

        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a+b") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            if stream.tell():
                stream.seek(-1, os.SEEK_END)
                if stream.read(1) != b"\n":
                    stream.write(b"\n")
                    stream.flush()
            FileTransport(FileConfig(str(self.path.resolve()), append=True)).emit(event)


def _open_http_transport(url: str) -> "Transport":
    from openlineage.client.transport.http import HttpConfig, HttpTransport

    # A server that does not answer must not keep a training waiting.
    return HttpTransport(HttpConfig(url=url, timeout=HTTP_TIMEOUT_SECONDS, retry={"total": 0}))


def _build_event(
    state: str, job: str, run: str, inputs: Sequence[Dataset], outputs: Sequence[Dataset], error: str | None
) -> "RunEvent":
    from openlineage.client.event_v2 import InputDataset, Job, OutputDataset, Run, RunEvent, RunState
    from openlineage.client.facet_v2 import error_message_run, job_type_job

    facets: dict[str, Any] = {}
    if error is not None:
        facets["errorMessage"] = error_message_run.ErrorMessageRunFacet(error[:MAX_ERROR_CHARS], "PYTHON", producer=PRODUCER)
    kind = job_type_job.JobTypeJobFacet("BATCH", "EPIC22", "JOB", producer=PRODUCER)
    return RunEvent(
        eventTime=datetime.now(UTC).isoformat(),
        producer=PRODUCER,
        eventType=RunState[state],
        run=Run(run, facets),
        job=Job(NAMESPACE, job, {"jobType": kind}),
        inputs=[InputDataset(_namespace(d), d.name, facets=_build_facets(d)) for d in inputs],
        outputs=[OutputDataset(_namespace(d), d.name, _build_statistics(d), facets=_build_facets(d)) for d in outputs],
    )


def _namespace(dataset: Dataset) -> str:
    """Equal names of different kinds of things stay apart."""
    return f"{NAMESPACE}.{dataset.type}"


def _build_facets(dataset: Dataset) -> "dict[str, DatasetFacet]":
    from openlineage.client.facet_v2 import DatasetFacet, dataset_type_dataset, dataset_version_dataset

    facets: dict[str, DatasetFacet] = {
        "version": dataset_version_dataset.DatasetVersionDatasetFacet(dataset.version, producer=PRODUCER),
        "datasetType": dataset_type_dataset.DatasetTypeDatasetFacet(DATASET_TYPES[dataset.type], producer=PRODUCER),
    }
    if dataset.digest is not None:
        content = {"rowDigest" if dataset.type == "table" else "sha256": dataset.digest}
        facet = DatasetFacet(producer=PRODUCER).with_additional_properties(**content)
        facets["epic22_content"] = cast(DatasetFacet, facet)  # the library states the base class
    return facets


def _build_statistics(dataset: Dataset) -> "dict[str, OutputDatasetFacet]":
    from openlineage.client.facet_v2 import output_statistics_output_dataset as statistics

    if dataset.rows is None:
        return {}
    return {"outputStatistics": statistics.OutputStatisticsOutputDatasetFacet(dataset.rows, producer=PRODUCER)}
