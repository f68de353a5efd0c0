"""The only place where the parts meet: settings in, services that work out."""

from epic22.bootstrap.components import Components, assemble, current_user, open_lake, open_studies
from epic22.bootstrap.ingest_and_audit import audit_feature, audit_file, audit_stored, infer_task_spec, ingest_folder
from epic22.bootstrap.predictions import decide_feature, predict_file, read_feature_rows
from epic22.bootstrap.promotion import load_explanation, trace_back
from epic22.bootstrap.training import (
    FeatureConfig,
    TrainingResult,
    override_by_key,
    train_and_promote,
    train_feature,
    train_file,
    train_panel_file,
)
from epic22.bootstrap.tuning import build_tuning

__all__ = [
    "Components",
    "FeatureConfig",
    "TrainingResult",
    "assemble",
    "audit_feature",
    "audit_file",
    "audit_stored",
    "build_tuning",
    "current_user",
    "decide_feature",
    "infer_task_spec",
    "ingest_folder",
    "load_explanation",
    "open_lake",
    "open_studies",
    "override_by_key",
    "predict_file",
    "read_feature_rows",
    "trace_back",
    "train_and_promote",
    "train_feature",
    "train_file",
    "train_panel_file",
]
