"""A verb as an attempt at a job: what earlier attempts left, and one training at a time a device."""

from collections.abc import Iterator
from contextlib import contextmanager

from epic22.bootstrap.jobs_database import open_jobs_database
from epic22.config import Settings
from epic22.core.job import AttemptId, list_devices


@contextmanager
def begin_training(settings: Settings, device: str = "auto") -> Iterator[frozenset[str]]:
    """The tasks that earlier attempts at this job have finished, none where no job trains; what they registered and did not
    finish is removed first. Until the end no other job on this machine trains on the device."""
    if settings.attempt is None:
        yield frozenset()
        return
    from epic22.adapters.device_lock import hold_devices

    with hold_devices(list_devices(device), settings.home):
        yield _resume(settings, settings.attempt)


def _resume(settings: Settings, attempt: AttemptId) -> frozenset[str]:
    if attempt.number == 1:
        return frozenset()
    from epic22.adapters.metadata.jobs import JobTable
    from epic22.bootstrap.components import assemble
    from epic22.bootstrap.promotion import mirror_versions

    components = assemble(settings)
    components.registry.match_job()
    versions = JobTable(open_jobs_database(settings)).list_versions(attempt.job)
    decided = frozenset(version.task for version in versions if version.is_decided)
    for version in versions:
        if not version.is_decided:
            components.registry.discard(version.task, version.version)
    for task in decided:
        # The mirror of the champion follows its promotion, and a kill may have come between them.
        mirror_versions(components, task)
    return decided
