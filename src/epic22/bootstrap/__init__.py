"""The only place where the parts meet: settings in, services that work out.

A name is loaded with its module when it is first used, so that the help of a verb waits for no library.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from epic22.adapters.answer_files import check_answer_file as check_answer_file
    from epic22.adapters.unfinished_work import count_unfinished_work as count_unfinished_work
    from epic22.bootstrap.answer_export import FileRequest as FileRequest
    from epic22.bootstrap.answer_export import WrittenAnswers as WrittenAnswers
    from epic22.bootstrap.answer_export import export_portfolio as export_portfolio
    from epic22.bootstrap.answer_export import write_answers as write_answers
    from epic22.bootstrap.attempt import begin_training as begin_training
    from epic22.bootstrap.comparison import AblationResult as AblationResult
    from epic22.bootstrap.comparison import ComparisonResult as ComparisonResult
    from epic22.bootstrap.comparison import ablate_feature as ablate_feature
    from epic22.bootstrap.comparison import ablate_file as ablate_file
    from epic22.bootstrap.comparison import compare_feature as compare_feature
    from epic22.bootstrap.comparison import compare_file as compare_file
    from epic22.bootstrap.components import Components as Components
    from epic22.bootstrap.components import assemble as assemble
    from epic22.bootstrap.components import current_user as current_user
    from epic22.bootstrap.components import open_studies as open_studies
    from epic22.bootstrap.doctor import examine_machine as examine_machine
    from epic22.bootstrap.erasure import erase_tenant as erase_tenant
    from epic22.bootstrap.erasure import list_erasures as list_erasures
    from epic22.bootstrap.events import STANDARD_INPUT as STANDARD_INPUT
    from epic22.bootstrap.events import StreamOptions as StreamOptions
    from epic22.bootstrap.events import consume_stream as consume_stream
    from epic22.bootstrap.events import open_event_queue as open_event_queue
    from epic22.bootstrap.export import export_model as export_model
    from epic22.bootstrap.follow import FollowOptions as FollowOptions
    from epic22.bootstrap.follow import describe_left_files as describe_left_files
    from epic22.bootstrap.follow import follow_folder as follow_folder
    from epic22.bootstrap.ingest_and_audit import IngestOptions as IngestOptions
    from epic22.bootstrap.ingest_and_audit import audit_feature as audit_feature
    from epic22.bootstrap.ingest_and_audit import audit_file as audit_file
    from epic22.bootstrap.ingest_and_audit import audit_stored as audit_stored
    from epic22.bootstrap.ingest_and_audit import ingest_address as ingest_address
    from epic22.bootstrap.ingest_and_audit import ingest_folder as ingest_folder
    from epic22.bootstrap.ingest_and_audit import ingest_objects as ingest_objects
    from epic22.bootstrap.job_feed import open_job_feed as open_job_feed
    from epic22.bootstrap.jobs import find_log as find_log
    from epic22.bootstrap.jobs import list_other_programs as list_other_programs
    from epic22.bootstrap.jobs import name_worker as name_worker
    from epic22.bootstrap.jobs import open_job_stores as open_job_stores
    from epic22.bootstrap.jobs import open_worker_parts as open_worker_parts
    from epic22.bootstrap.month import MonthInFastTime as MonthInFastTime
    from epic22.bootstrap.month import PlannedTraining as PlannedTraining
    from epic22.bootstrap.panel_extract import PanelWritten as PanelWritten
    from epic22.bootstrap.panel_extract import ingest_panel as ingest_panel
    from epic22.bootstrap.panel_extract import names_panel as names_panel
    from epic22.bootstrap.portfolio_predictions import PortfolioPredictions as PortfolioPredictions
    from epic22.bootstrap.portfolio_predictions import predict_portfolio as predict_portfolio
    from epic22.bootstrap.predictions import FeatureMoment as FeatureMoment
    from epic22.bootstrap.predictions import FilePredictions as FilePredictions
    from epic22.bootstrap.predictions import decide_feature as decide_feature
    from epic22.bootstrap.predictions import predict_file as predict_file
    from epic22.bootstrap.predictions import read_feature_rows as read_feature_rows
    from epic22.bootstrap.promotion import load_explanation as load_explanation
    from epic22.bootstrap.promotion import override_by_key as override_by_key
    from epic22.bootstrap.promotion import promote_version as promote_version
    from epic22.bootstrap.promotion import roll_back as roll_back
    from epic22.bootstrap.promotion import trace_back as trace_back
    from epic22.bootstrap.quality import assess_version as assess_version
    from epic22.bootstrap.quality import read_gate_options as read_gate_options
    from epic22.bootstrap.retraining import find_due as find_due
    from epic22.bootstrap.retraining import load_retraining_plan as load_retraining_plan
    from epic22.bootstrap.retraining import replay_past as replay_past
    from epic22.bootstrap.retraining import submit_due_trainings as submit_due_trainings
    from epic22.bootstrap.runs import export_runs as export_runs
    from epic22.bootstrap.runs import import_runs as import_runs
    from epic22.bootstrap.runs import list_runs as list_runs
    from epic22.bootstrap.runs import open_page as open_page
    from epic22.bootstrap.runs import read_run as read_run
    from epic22.bootstrap.sample import write_sample as write_sample
    from epic22.bootstrap.store import copy_store as copy_store
    from epic22.bootstrap.store import count_models_left_in_files as count_models_left_in_files
    from epic22.bootstrap.store import describe_store as describe_store
    from epic22.bootstrap.store import migrate_store as migrate_store
    from epic22.bootstrap.stores import open_lake as open_lake
    from epic22.bootstrap.stores import open_served_stores as open_served_stores
    from epic22.bootstrap.training import FeatureConfig as FeatureConfig
    from epic22.bootstrap.training import TrainingResult as TrainingResult
    from epic22.bootstrap.training import train_and_promote as train_and_promote
    from epic22.bootstrap.training import train_feature as train_feature
    from epic22.bootstrap.training import train_file as train_file
    from epic22.bootstrap.training import train_panel_file as train_panel_file
    from epic22.bootstrap.tuning import build_tuning as build_tuning
    from epic22.features.catalog import FEATURES as FEATURES
    from epic22.features.catalog import get_feature as get_feature
    from epic22.reports.json import VIEWS as VIEWS
    from epic22.reports.quality_document import build_quality_document as build_quality_document
    from epic22.services.consume import BatchPolicy as BatchPolicy
    from epic22.services.consume import Waiting as Waiting
    from epic22.services.forecast_findings import compute_forecast_coverage as compute_forecast_coverage
    from epic22.services.jobs import add_schedule as add_schedule
    from epic22.services.jobs import submit_job as submit_job
    from epic22.services.promote import describe_model as describe_model
    from epic22.services.promote import list_history as list_history
    from epic22.services.promote import list_models as list_models
    from epic22.services.training_run import RowRun as RowRun
    from epic22.services.training_run import SeriesRun as SeriesRun
    from epic22.services.work import Worker as Worker
    from epic22.spec.task_yaml import read_spec as read_spec

NAMES = {
    "epic22.adapters.unfinished_work": ("count_unfinished_work",),
    "epic22.adapters.answer_files": ("check_answer_file",),
    "epic22.bootstrap.answer_export": ("FileRequest", "WrittenAnswers", "export_portfolio", "write_answers"),
    "epic22.bootstrap.attempt": ("begin_training",),
    "epic22.bootstrap.comparison": (
        "AblationResult",
        "ComparisonResult",
        "ablate_feature",
        "ablate_file",
        "compare_feature",
        "compare_file",
    ),
    "epic22.bootstrap.components": ("Components", "assemble", "current_user", "open_studies"),
    "epic22.bootstrap.store": ("copy_store", "count_models_left_in_files", "describe_store", "migrate_store"),
    "epic22.bootstrap.stores": ("open_lake", "open_served_stores"),
    "epic22.bootstrap.doctor": ("examine_machine",),
    "epic22.bootstrap.events": ("STANDARD_INPUT", "StreamOptions", "consume_stream", "open_event_queue"),
    "epic22.bootstrap.erasure": ("erase_tenant", "list_erasures"),
    "epic22.bootstrap.export": ("export_model",),
    "epic22.bootstrap.follow": ("FollowOptions", "describe_left_files", "follow_folder"),
    "epic22.bootstrap.ingest_and_audit": (
        "IngestOptions",
        "audit_feature",
        "audit_file",
        "audit_stored",
        "ingest_address",
        "ingest_folder",
        "ingest_objects",
    ),
    "epic22.bootstrap.month": ("MonthInFastTime", "PlannedTraining"),
    "epic22.bootstrap.retraining": ("find_due", "load_retraining_plan", "replay_past", "submit_due_trainings"),
    "epic22.bootstrap.job_feed": ("open_job_feed",),
    "epic22.bootstrap.jobs": ("find_log", "list_other_programs", "name_worker", "open_job_stores", "open_worker_parts"),
    "epic22.bootstrap.panel_extract": ("PanelWritten", "ingest_panel", "names_panel"),
    "epic22.bootstrap.portfolio_predictions": ("PortfolioPredictions", "predict_portfolio"),
    "epic22.bootstrap.predictions": ("FeatureMoment", "FilePredictions", "decide_feature", "predict_file", "read_feature_rows"),
    "epic22.bootstrap.promotion": ("load_explanation", "override_by_key", "promote_version", "roll_back", "trace_back"),
    "epic22.bootstrap.quality": ("assess_version", "read_gate_options"),
    "epic22.bootstrap.runs": ("export_runs", "import_runs", "list_runs", "open_page", "read_run"),
    "epic22.bootstrap.sample": ("write_sample",),
    "epic22.bootstrap.training": (
        "FeatureConfig",
        "TrainingResult",
        "train_and_promote",
        "train_feature",
        "train_file",
        "train_panel_file",
    ),
    "epic22.bootstrap.tuning": ("build_tuning",),
    "epic22.features.catalog": ("FEATURES", "get_feature"),
    "epic22.reports.json": ("VIEWS",),
    "epic22.reports.quality_document": ("build_quality_document",),
    "epic22.services.consume": ("BatchPolicy", "Waiting"),
    "epic22.services.forecast_findings": ("compute_forecast_coverage",),
    "epic22.services.jobs": ("add_schedule", "submit_job"),
    "epic22.services.promote": ("describe_model", "list_history", "list_models"),
    "epic22.services.training_run": ("RowRun", "SeriesRun"),
    "epic22.services.work": ("Worker",),
    "epic22.spec.task_yaml": ("read_spec",),
}
"""What there is to use, by its module; for type checkers the same is imported above."""


def __getattr__(name: str) -> Any:
    """The value of that name, from its module."""
    for module, names in NAMES.items():
        if name in names:
            return getattr(import_module(module), name)
    raise AttributeError(f"module 'epic22.bootstrap' has no attribute {name!r}")
