"""Answers by CoreML: believed once they are the processor's, and the processor's wherever they are not."""

import logging
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from tests.fake_runtime import FakeRuntime, FunctionSession

from epic22.bootstrap import assemble
from epic22.bootstrap.doctor import read_providers
from epic22.cli.doctor import _describe_providers
from epic22.config import Settings
from epic22.core.errors import UserError
from epic22.core.models.networks import graph_provider
from epic22.core.models.networks.graph_provider import COREML, N_CHECKED, PROCESSOR
from epic22.core.models.networks.graph_session import GraphSession
from epic22.core.task import Array

X = np.array([[1.0, 2.0]], dtype=np.float32)


def double(x: Array) -> Array:
    return 2 * x[:, :1]


def open_fake(monkeypatch: pytest.MonkeyPatch, choice: str, factor: float, *offered: str) -> FakeRuntime:
    """onnxruntime of a Mac whose CoreML answers with this share of what is right, and a process that asks for `choice`."""
    runtime = FakeRuntime(lambda graph: FunctionSession(double), factor, offered or (COREML, PROCESSOR))
    monkeypatch.setitem(sys.modules, "onnxruntime", runtime)
    monkeypatch.setattr(graph_provider.CHOICE, "name", choice)
    return runtime


@pytest.mark.parametrize("choice", ["coreml", "auto"])
def test_what_answers_the_golden_rows_as_the_processor_does_answers_from_then_on(
    monkeypatch: pytest.MonkeyPatch, choice: str
) -> None:
    runtime = open_fake(monkeypatch, choice, 1 + 1e-7)
    session = GraphSession(b"graph", is_served=True)
    for _ in range(N_CHECKED + 3):
        assert session.run(X) == pytest.approx(2.0)
    assert runtime.opened[COREML].n_answers == N_CHECKED + 3
    assert runtime.opened[PROCESSOR].n_answers == N_CHECKED
    assert session.takes("x")


@pytest.mark.parametrize(
    ("factor", "fault"),
    [
        (1.001, "answers by up to 0.00067 otherwise than the processor, expected 1e-05 at most"),
        (float("nan"), "answers by up to nan otherwise"),
        (0.0, r"it cannot answer \(Unable to compute the prediction using a neural network model\.\)"),
    ],
)
def test_what_answers_otherwise_is_never_heard_and_the_reason_is_logged_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, factor: float, fault: str
) -> None:
    runtime = open_fake(monkeypatch, "coreml", factor)
    session = GraphSession(b"graph", is_served=True)
    with caplog.at_level(logging.WARNING):
        assert [session.run(X)[0, 0] for _ in range(12)] == [2.0] * 12
    assert runtime.opened[COREML].n_answers == 1
    (record,) = caplog.records
    assert re.search(fault, record.getMessage())
    assert "the processor answers" in record.getMessage()


def test_where_it_is_not_offered_the_processor_answers_and_only_who_asked_for_it_is_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for choice, n_records in (("auto", 0), ("coreml", 1)):
        runtime = open_fake(monkeypatch, choice, 1.0, PROCESSOR)
        caplog.clear()
        assert GraphSession(b"graph", is_served=True).run(X) == pytest.approx(2.0)
        assert list(runtime.opened) == [PROCESSOR]
        assert len(caplog.records) == n_records


def test_one_that_cannot_be_opened_leaves_the_processor(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    runtime = open_fake(monkeypatch, "coreml", 1.0)
    calls: list[bytes] = []

    def open_once(graph: bytes) -> FunctionSession:
        calls.append(graph)
        if len(calls) == 2:
            raise RuntimeError("no compiler of models")
        return FunctionSession(double)

    runtime.open_session = open_once
    assert GraphSession(b"graph", is_served=True).run(X) == pytest.approx(2.0)
    assert "it opens none (no compiler of models)" in caplog.text


def test_folds_are_judged_on_the_processor_whatever_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = open_fake(monkeypatch, "coreml", 1.5)
    assert GraphSession(b"graph").run(X) == pytest.approx(2.0)
    assert list(runtime.opened) == [PROCESSOR]


def test_the_setting_is_read_once_and_the_doctor_says_what_it_comes_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    open_fake(monkeypatch, "cpu", 1.0)
    with pytest.raises(UserError, match="EPIC22_ONNX_PROVIDER is 'metal'; give cpu, coreml, auto"):
        Settings.read({"EPIC22_ONNX_PROVIDER": "metal"})
    settings = Settings.read({"EPIC22_ONNX_PROVIDER": "coreml", "EPIC22_HOME": str(tmp_path)})
    assemble(settings)
    assert graph_provider.CHOICE.name == "coreml"
    plan = read_providers(settings)
    assert plan is not None
    assert _describe_providers(plan) == (
        "onnxruntime offers CoreML, CPU; networks answer by CoreML, where it answers golden rows as the processor does"
    )
    plan = read_providers(Settings.read({}))
    assert plan is not None
    assert _describe_providers(plan).endswith("networks answer by CPU")
    open_fake(monkeypatch, "cpu", 1.0, PROCESSOR)
    plan = read_providers(settings)
    assert plan is not None
    assert _describe_providers(plan).endswith("by CPU: CoreMLExecutionProvider is not offered by this onnxruntime")
