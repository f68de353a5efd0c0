"""A network as other programs compute it: its specification as JSON, what its output becomes, and what is refused."""

import json
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import pytest
from tests.toy import toy

from epic22.core.artifact.bundle import Bundle, GoldenRows, Schema
from epic22.core.artifact.portable_network import PortableNetwork
from epic22.core.artifact.row_model import RowModel
from epic22.core.artifact.row_network import CALIBRATION_FORMULAS, RowNetwork
from epic22.core.data.folds import Fold
from epic22.core.data.preprocess import Preprocessor
from epic22.core.errors import BundleError, InternalError, UserError
from epic22.core.evaluation.calibration import METHODS
from epic22.core.lineage import ModelVersion, canonical_json
from epic22.core.models.base import BaseEstimator
from epic22.core.models.ensemble import Ensemble, Member
from epic22.core.models.networks.estimator import NetworkEstimator
from epic22.core.models.networks.exportable import ScoringNetwork, find_network, restore_spec, spec_to_json
from epic22.core.models.networks.specification import (
    ConvolutionLayers,
    Layers,
    LstmLayers,
    MlpLayers,
    NetworkColumns,
    NetworkSpec,
    TransformerLayers,
)
from epic22.core.models.target_transform import CenteredRegressor, LogTargetRegressor
from epic22.core.task import Array
from epic22.services.export import ExportFormat, export_network, get_export_format

COLUMNS = NetworkColumns((0, 3), (1,), (4,), ((2, 4), (5, 6)))
SPEC = NetworkSpec(COLUMNS, MlpLayers(width=8), 1, "value")


@dataclass
class DoublingNetwork(BaseEstimator):
    """Stands for a network: its output is the first column, its score twice that and one."""

    kind: Any = "regression"

    @property
    def network(self) -> ScoringNetwork:
        return ScoringNetwork(SPEC, b"graph", slope=2.0, intercept=1.0)

    def fit(self, X: Array, y: Array, inner: Fold | None = None) -> Self:
        return self

    def shap_values(self, X: Array) -> Array:
        return np.column_stack([2.0 * X[:, 0], np.ones(len(X))])


@pytest.mark.parametrize(
    "layers",
    [
        MlpLayers(width=16),
        LstmLayers(cell="gru"),
        LstmLayers(skip=False),
        TransformerLayers(patch=3),
        ConvolutionLayers(kernel=2),
    ],
)
def test_a_specification_is_restored_from_its_json(layers: Layers) -> None:
    spec = NetworkSpec(COLUMNS, layers, 10, "quantiles", n_quantiles=5, deciding=7)
    assert restore_spec(json.loads(json.dumps(spec_to_json(spec)))) == spec


def test_what_the_output_becomes_holds_for_labels_that_were_centred() -> None:
    network = find_network(CenteredRegressor(DoublingNetwork(), center=1000.0, scale=10.0))
    assert network is not None
    assert (network.slope, network.intercept) == (20.0, 1010.0)
    assert find_network(LogTargetRegressor(DoublingNetwork())) == DoublingNetwork().network


def test_an_ensemble_is_no_network_though_its_member_is() -> None:
    assert find_network(Ensemble("regression", (Member("mlp", 1.0, DoublingNetwork()),))) is None


def test_a_network_of_a_version_that_kept_no_layers_opens_and_says_why_it_is_not_exported() -> None:
    state = {
        "kind": "regression",
        "categorical": [False],
        "n_classes": 2,
        "edges": [],
        "loss": {"name": "squared", "quantile": 0.5, "power": None},
        "level": 0.0,
        "spread": 1.0,
        "epochs": 3,
    }
    files = {"score.onnx": b"score", "reasons.onnx": b"reasons", "network.json": canonical_json(state)}
    model = NetworkEstimator.restore(files)
    assert model.files() == files
    with pytest.raises(BundleError, match="train it again to export it"):
        find_network(model)


def build_model(estimator: BaseEstimator, family: str = "mlp") -> RowModel:
    """A model of the toy's rows with this estimator."""
    made = toy("regression", 60)
    preprocessor = Preprocessor.fit(made.task.input_columns, made.examples.X)
    bundle = Bundle(Schema.of(made.task), family, "proven", "hash", "data", 0, preprocessor, estimator, None)
    return RowModel(ModelVersion("wear", "3", family, "hash", "data", "proven", "2026-01-01"), bundle)


def read_golden(network: PortableNetwork) -> GoldenRows:
    assert isinstance(network, RowNetwork)
    bundle = network.bundle
    X = bundle.preprocessor.transform(toy("regression", 60).examples.X)[:8]
    X = np.nan_to_num(X)
    return GoldenRows(X, bundle.estimator.decision_function(X))


def build_format(answer_first_column: float = 1.0) -> ExportFormat:
    """A format whose file answers with the first column, times a factor."""
    return ExportFormat("toy", ".toy", lambda network: network.graph, lambda content, suffix, X: answer_first_column * X[:, :1])


def test_a_file_is_described_beside_it_and_its_description_suffices_to_score_golden_rows() -> None:
    exported = export_network(build_model(DoublingNetwork()), read_golden, build_format(), "wear.toy")
    said = json.loads(json.dumps(exported.description, allow_nan=False))
    assert exported.content == b"graph"
    assert exported.largest_difference < 1e-6
    x, score = np.array(said["golden"]["x"], dtype=np.float64), said["output"]["score"]
    assert score["slope"] * x[:, 0] + score["intercept"] == pytest.approx(np.array(said["golden"]["score"]))
    assert said["model"] == {"task": "wear", "version": "3", "family": "mlp", "model_hash": "hash"}
    assert said["file"]["name"] == "wear.toy"


@dataclass
class QuantileNetwork(DoublingNetwork):
    """Stands for a network of five quantiles, the fourth of which is the one asked for."""

    @property
    def network(self) -> ScoringNetwork:
        spec = replace(SPEC, n_outputs=5, output="quantiles", n_quantiles=5, deciding=3)
        return ScoringNetwork(spec, b"graph", slope=2.0, intercept=1.0)


def test_of_several_quantiles_in_a_file_the_deciding_one_is_the_score() -> None:
    form = ExportFormat("toy", ".toy", lambda network: network.graph, lambda content, suffix, X: X[:, :1] + np.arange(-3.0, 2.0))
    exported = export_network(build_model(QuantileNetwork()), read_golden, form, "wear.toy")
    assert exported.largest_difference < 1e-6
    assert exported.description["output"]["deciding"] == 3
    assert exported.description["steps"][0] == "score = slope · output[:, 3] + intercept"


def test_inputs_are_described_in_the_order_of_the_matrix_with_the_place_of_each_level() -> None:
    model = build_model(DoublingNetwork())
    exported = export_network(model, read_golden, build_format(), "wear.toy")
    columns = exported.description["input"]["columns"]
    assert [one["name"] for one in columns] == [column.name for column in model.bundle.preprocessor.outputs]
    (maker,) = [one for one in columns if one["name"] == "maker"]
    row = {"maker": maker["levels"][1]}
    assert model.bundle.preprocessor.transform_row(row)[0, maker["position"]] == 1.0


def test_a_file_that_answers_otherwise_than_the_model_is_not_handed_out() -> None:
    with pytest.raises(InternalError, match="otherwise than the model"):
        export_network(build_model(DoublingNetwork()), read_golden, build_format(1.001), "wear.toy")
    with pytest.raises(InternalError, match="otherwise than the model"):
        export_network(build_model(DoublingNetwork()), read_golden, build_format(float("nan")), "wear.toy")


def test_a_model_that_is_no_network_is_refused_with_the_families_that_are() -> None:
    model = build_model(DoublingNetwork())
    trees = replace(model, bundle=replace(model.bundle, estimator=LogTargetRegressor(None), family="boosting"))
    with pytest.raises(UserError, match=r"wear version 3 is of family boosting, not a network; .*--families mlp, lstm"):
        export_network(trees, read_golden, build_format(), "wear.toy")
    members = (Member("mlp", 0.25, DoublingNetwork()), Member("boosting", 0.75, DoublingNetwork()))
    ensemble = replace(model, bundle=replace(model.bundle, estimator=Ensemble("regression", members), family="ensemble"))
    with pytest.raises(UserError, match=r"an ensemble of mlp \(25%\) and boosting \(75%\), not a network"):
        export_network(ensemble, read_golden, build_format(), "wear.toy")


@pytest.mark.parametrize(("name", "reason"), [("torchscript", "its archive holds pickles"), ("tflite", "expected toy")])
def test_a_format_that_is_not_written_is_refused_with_the_reason_where_there_is_one(name: str, reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        get_export_format(name, (build_format(),))
    assert get_export_format("toy", (build_format(),)).suffix == ".toy"


def test_golden_rows_hold_a_missing_value_as_null() -> None:
    model = build_model(DoublingNetwork())

    def with_missing(network: PortableNetwork) -> GoldenRows:
        rows = read_golden(network)
        rows.X[0, 1] = np.nan
        return rows

    said = export_network(model, with_missing, build_format(), "wear.toy").description
    assert said["golden"]["x"][0][1] is None


def test_a_model_of_rows_has_no_members_to_choose_from() -> None:
    with pytest.raises(UserError, match="--member mlp: wear version 3 answers rows, by one model"):
        export_network(build_model(DoublingNetwork()), read_golden, build_format(), "wear.toy", "mlp")


def test_every_method_of_calibration_has_its_formula() -> None:
    assert {"none", *CALIBRATION_FORMULAS} == set(METHODS)
