"""What a prediction costs in calls and in files read: a batch is one call of the kernels, and reasons are not another prediction.

Broken once on purpose: with a loop over rows around `decision_function`, four of these fail.
"""

from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from tests.performance.counts import Counter, count_calls, files_opened
from tests.predictions import predict_columns, predict_frame
from tests.toy import inputs
from tests.trained import NAMES, opened, trained

from epic22.adapters.model_store import ModelStore
from epic22.api.app import create_app
from epic22.core.artifact.bundle import Bundle
from epic22.core.lineage import ModelVersion
from epic22.core.models.linear import Linear
from epic22.core.models.trees.forest import BATCH_ROWS, Forest

pytestmark = pytest.mark.slow

ROW = {"wear": 0.5, "load <b>$kN$</b>": -1, "maker": "brook", "indoors": True, "fitted on": "2014-05-01"}
URL = "/v1/tasks/toy/predictions"
OURS = "src/epic22"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ModelStore:
    return trained(tmp_path_factory.mktemp("counted"))[1]


@pytest.fixture(scope="module")
def model(store: ModelStore) -> tuple[ModelVersion, Bundle]:
    return opened(store)


@pytest.mark.parametrize("n", [1, 10, 1000])
def test_values_of_a_thousand_rows_take_as_many_calls_as_those_of_one(model: tuple[ModelVersion, Bundle], n: int) -> None:
    frame = inputs(1000).rename(NAMES)
    predict_columns(model[1], frame.head(1))
    one = count_calls(lambda: predict_columns(model[1], frame.head(1)), OURS)
    assert count_calls(lambda: predict_columns(model[1], frame.head(n)), OURS) <= one + 2


def test_a_thousand_rows_are_scored_and_explained_by_one_call_each(
    model: tuple[ModelVersion, Bundle], monkeypatch: pytest.MonkeyPatch
) -> None:
    scores, reasons = Counter(), Counter()
    scores.watch(monkeypatch, type(model[1].estimator), "decision_function")
    reasons.watch(monkeypatch, type(model[1].estimator), "shap_values")
    predict_frame(*model, inputs(1000).rename(NAMES))
    assert (scores.total, reasons.total) == (1, 1)


def test_without_reasons_nothing_is_explained(model: tuple[ModelVersion, Bundle], monkeypatch: pytest.MonkeyPatch) -> None:
    reasons = Counter()
    reasons.watch(monkeypatch, type(model[1].estimator), "shap_values")
    predict_frame(*model, inputs(10).rename(NAMES), with_reasons=False)
    assert reasons.total == 0


def test_the_reasons_of_one_row_take_at_most_as_many_calls_as_its_answer(model: tuple[ModelVersion, Bundle]) -> None:
    row = inputs(1).rename(NAMES)
    predict_frame(*model, row)
    alone = count_calls(lambda: predict_frame(*model, row, with_reasons=False), OURS)
    assert count_calls(lambda: predict_frame(*model, row), OURS) <= 2 * alone


def test_each_further_row_costs_the_same(model: tuple[ModelVersion, Bundle]) -> None:
    """From ten rows to a hundred, and from a hundred to a thousand: as much more a row, and no more than a hundred calls."""
    frame = inputs(1000).rename(NAMES)
    ten, hundred, thousand = (count_calls(lambda n=n: predict_frame(*model, frame.head(n)), OURS) for n in (10, 100, 1000))  # type: ignore[misc]
    first, second = (hundred - ten) / 90, (thousand - hundred) / 900
    assert second <= 1.1 * first
    assert second < 100


def test_trees_are_walked_once_a_batch_of_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernels take whole batches: 1,000 rows are one call, one row more than a batch is two."""
    from tests.contract.test_every_family import fitted
    from tests.toy import toy

    from epic22.core.models.catalog import get_family
    from epic22.core.models.trees import forest_kernels

    estimator, X = fitted(get_family("boosting"), toy("binary"))
    forest = estimator.forest  # type: ignore[attr-defined]
    assert isinstance(forest, Forest)
    calls: list[int] = []
    kernel = forest_kernels.sum_leaves

    def counted(rows, *arrays):  # type: ignore[no-untyped-def]
        calls.append(len(rows))
        return kernel(rows, *arrays)

    monkeypatch.setattr(forest_kernels, "sum_leaves", counted)
    forest.decision_function(X[:1])
    forest.decision_function(X[[0] * BATCH_ROWS])
    forest.decision_function(X[[0] * (BATCH_ROWS + 1)])
    assert calls == [1, BATCH_ROWS, BATCH_ROWS, 1]


def assert_read_once(files: list[Path], bundle: Path) -> None:
    assert sorted(files) == sorted(path for path in bundle.rglob("*") if path.is_file())


def test_requests_read_the_bundle_from_the_disk_once(store: ModelStore) -> None:
    bundle = store.folder("toy", store.champion("toy").version) / "bundle"
    with files_opened(bundle) as files, TestClient(create_app(store)) as client:
        for _ in range(5):
            assert client.post(URL, json={"rows": [ROW] * 3}).status_code == 200
    assert_read_once(files, bundle)


def test_opening_a_bundle_reads_each_of_its_files_once(store: ModelStore) -> None:
    bundle = store.folder("toy", store.champion("toy").version) / "bundle"
    with files_opened(bundle) as files:
        store.load("toy")
    assert_read_once(files, bundle)


def test_a_request_of_many_rows_is_scored_at_once(store: ModelStore, monkeypatch: pytest.MonkeyPatch) -> None:
    estimator = opened(store)[1].estimator
    with TestClient(create_app(store)) as client:
        client.post(URL, json={"rows": [ROW]})
        scores = Counter()
        scores.watch(monkeypatch, type(estimator), "decision_function")
        assert len(client.post(URL, json={"rows": [ROW] * 50}).json()["predictions"]) == 50
    assert scores.total == 1


def test_the_toy_s_champion_is_linear_so_that_counts_are_of_one_kind(model: tuple[ModelVersion, Bundle]) -> None:
    assert isinstance(model[1].estimator, Linear)


def test_a_bundle_of_the_toy_is_small(store: ModelStore) -> None:
    """A model of five columns takes kilobytes: nothing of the training rows travels with it."""
    folder: Path = store.folder("toy", store.champion("toy").version) / "bundle"
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < 100_000
