"""The only place where the parts meet: settings in, services that work out."""

from epic22.bootstrap.answers import decide_feature, predict_file, rows_of_feature
from epic22.bootstrap.champions import explained, trace_back
from epic22.bootstrap.forecasts import Forecast, train_panel_assignment, train_panel_file
from epic22.bootstrap.parts import Parts, assemble, lake_of, studies_of, user
from epic22.bootstrap.tables import audit_feature, audit_file, audit_stored, ingest_folder, task_of_audit
from epic22.bootstrap.training import Finished, override_by_key, train_assignment, train_feature, train_file

__all__ = [
    "Finished",
    "Forecast",
    "Parts",
    "assemble",
    "audit_feature",
    "audit_file",
    "audit_stored",
    "decide_feature",
    "explained",
    "ingest_folder",
    "lake_of",
    "override_by_key",
    "predict_file",
    "rows_of_feature",
    "studies_of",
    "task_of_audit",
    "trace_back",
    "train_assignment",
    "train_feature",
    "train_file",
    "train_panel_assignment",
    "train_panel_file",
    "user",
]
