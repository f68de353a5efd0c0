"""What is kept and where, and its move to another place: the functions of `epic22 store`."""

from dataclasses import dataclass, replace
from pathlib import Path

from epic22.adapters.export_log import copy_exports
from epic22.adapters.metadata.job_copy import copy_jobs, count_jobs, refuse_running_jobs
from epic22.adapters.receipt_copy import CopyCounts, copy_receipts
from epic22.adapters.redis.server import SETTING
from epic22.adapters.store_copy import copy_lake, copy_models, copy_predictions
from epic22.bootstrap.events import SPOOL, open_redis_queue, open_spool
from epic22.bootstrap.jobs_database import open_jobs_database
from epic22.bootstrap.stores import (
    ARTIFACTS,
    SCRATCH,
    Stores,
    open_home_stores,
    open_shared_stores,
    open_stores,
    open_tracking_store,
)
from epic22.config import Settings, check_database_url, read_artifacts
from epic22.core.errors import UserError


@dataclass(frozen=True)
class StoreStatus:
    """What a store holds: `files` is where those of its tables are; `revision` is the step of its tables, None of files; `models`
    counts versions, `champions` tasks; `cache` is "ok", or why the Redis that is set does not answer, and None without one.
    """

    place: str
    files: str
    revision: str | None
    data_versions: int
    models: int
    champions: int
    receipts: int
    jobs: int
    cache: str | None


@dataclass(frozen=True)
class StoreCopy:
    """What was copied between two places; `not_copied` says what was not, in words."""

    source: str
    target: str
    data_versions: CopyCounts
    models: CopyCounts
    receipts: CopyCounts
    predictions: CopyCounts
    jobs: CopyCounts
    not_copied: tuple[str, ...]


def describe_store(settings: Settings) -> StoreStatus:
    """What the store of the settings holds. Raises StorageError where it cannot be reached."""
    return _count(open_stores(settings), count_jobs(open_jobs_database(settings)))


def count_models_left_in_files(settings: Settings) -> int:
    """How many model versions lie in the files of the home beside a database that has none; 0 without a database."""
    if settings.database_url is None or open_stores(settings).registry.list_all_versions():
        return 0
    return len(open_home_stores(settings.home).registry.list_all_versions())


def _count(stores: Stores, jobs: int) -> StoreStatus:
    receipts = sum(stores.prediction_log.count_predictions().values())
    # What is counted is in the database: a wrong address of the files would be seen by the first training alone.
    stores.table_store.files.list_files("erasures")
    return StoreStatus(
        stores.place,
        stores.table_store.files.place,
        _read_revision(stores),
        len(stores.table_store.versions.list_numbers()),
        len(stores.registry.list_all_versions()),
        len(stores.registry.list_tasks()),
        receipts,
        jobs,
        _check_cache(stores),
    )


def _check_cache(stores: Stores) -> str | None:
    if stores.link is None:
        return None
    stores.link.call(lambda client: client.ping())
    return stores.link.fault or "ok"


def _read_revision(stores: Stores) -> str | None:
    if stores.database is None:
        return None
    from epic22.adapters.metadata.migrations import read_revision

    with stores.database.read() as connection:
        return read_revision(connection)


def migrate_store(settings: Settings) -> StoreStatus:
    """What the store holds, once its tables are brought up to date. Raises UserError where it has none."""
    if settings.database_url is None:
        raise UserError(f"{settings.home} keeps files, which need no migration; set EPIC22_DATABASE_URL to name a database.")
    return describe_store(settings)


def copy_store(settings: Settings, to: str, artifacts: str | None = None) -> StoreCopy:
    """What was copied from the store of the settings to a database, its files to `artifacts`, or to the files of a home.

    Raises StorageError where other things are there already or a job runs, UserError where both are the same place.
    """
    source, target = open_stores(settings), _open_target(settings, to, artifacts)
    if source.table_store.files.place == target.table_store.files.place or source.place == target.place:
        raise UserError(f"{target.place}: what is there would be copied to itself; name another place.")
    target_settings = _name_target(settings, to)
    jobs, target_jobs = open_jobs_database(settings), open_jobs_database(target_settings)
    refuse_running_jobs(jobs)
    refuse_running_jobs(target_jobs)
    data_versions = copy_lake(source.table_store, target.table_store)
    models = copy_models(source.registry, target.registry)
    receipts = copy_receipts(source.prediction_log, target.prediction_log)
    predictions = copy_predictions(source.predictions, target.predictions, settings.home / SCRATCH)
    copied_jobs = copy_jobs(jobs, target_jobs)
    copy_exports(settings.home, target_settings.home)
    not_copied = (
        *_describe_waiting_events(settings),
        f"MLflow's runs, which stay in {open_tracking_store(settings).place} ('epic22 runs export' carries them)",
        "studies and fits of trainings that are not done, which begin again",
        "the logs of jobs, and workers: end those that work here, or what waits is carried out in both places",
    )
    return StoreCopy(source.place, target.place, data_versions, models, receipts, predictions, copied_jobs, not_copied)


def _describe_waiting_events(settings: Settings) -> tuple[str, ...]:
    """The events that no version has yet, in the home and in Redis where that is set, in words; nothing where there are none."""
    in_home, url = open_spool(settings).count_events(lambda _: True), settings.redis_url
    # The file of the home has what the API accepted before Redis was set.
    left_here = _describe_events(in_home, f"{settings.home / SPOOL}", "" if url is None else f" without {SETTING}")
    return left_here if url is None else (*left_here, *_describe_events_in_redis(url))


def _describe_events_in_redis(url: str) -> tuple[str, ...]:
    try:
        return _describe_events(open_redis_queue(url).count_waiting(), f"the Redis server of {SETTING}", "")
    except UserError as error:
        # All else is copied by now.
        return (f"accepted events that wait in the Redis server, if there are any, for nobody can count them: {error}",)


def _describe_events(n: int, place: str, how: str) -> tuple[str, ...]:
    if not n:
        return ()
    events = "1 accepted event" if n == 1 else f"{n:,} accepted events"
    return (f"{events} that no data version has yet, in {place} ('epic22 consume --once'{how} takes them in; then copy again)",)


def _name_target(settings: Settings, to: str) -> Settings:
    """The settings of the place that is copied to."""
    is_folder = "://" not in to
    home = Path(to).expanduser().resolve() if is_folder else settings.home
    return replace(settings, home=home, database_url=None if is_folder else to)


def _open_target(settings: Settings, to: str, artifacts: str | None) -> Stores:
    if "://" not in to:
        if artifacts is not None:
            raise UserError("--artifacts goes with a database; leave it out where the target is a folder.")
        return open_home_stores(Path(to).expanduser().resolve())
    check_database_url(to, "--to")
    return open_shared_stores(to, read_artifacts(artifacts, "--artifacts") or str(settings.home / ARTIFACTS), settings.home)
