"""Layers beside float64: sound ones pass, one broken on purpose is found, named, and runs on the processor."""

import math
from dataclasses import replace
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from tests.fake_accelerator import BackwardWithoutMask, break_gradient, break_layer  # noqa: E402

from epic22.core.models.networks.architecture import build_network  # noqa: E402
from epic22.core.models.networks.device import (  # noqa: E402
    ARCHITECTURE_LAYERS,
    FORWARD_TOLERANCE,
    GRADIENT_TOLERANCE,
    LayerCheck,
    choose_device,
)
from epic22.core.models.networks.device_training import ARCHITECTURES, TRAINING_CHECKS, measure_step  # noqa: E402
from epic22.core.models.networks.dropout_checks import KEEP_SHARE, judge_dropout  # noqa: E402
from epic22.core.models.networks.layer_checks import LAYER_CHECKS  # noqa: E402
from epic22.core.models.networks.layer_comparison import LayerCase, check_layer, compare_tensors, use_full_precision  # noqa: E402
from epic22.core.models.networks.lstm import RecurrentEncoder  # noqa: E402
from epic22.core.models.networks.specification import NetworkSpec  # noqa: E402

pytestmark = pytest.mark.slow
CHECKS = {**TRAINING_CHECKS, **LAYER_CHECKS}
CONTAINERS = {
    "Mlp",
    "SequenceNetwork",
    "RecurrentEncoder",
    "ConvolutionEncoder",
    "ModuleList",
}
"""Modules that only hold others; what they do between them is checked by the first steps of a training."""


@pytest.fixture(scope="module")
def on_processor() -> list[LayerCheck]:
    return [check_layer(layer, "cpu", CHECKS) for layer in CHECKS]


def on_accelerator(*checks: LayerCheck) -> list[LayerCheck]:
    """The same, as if an accelerator had computed them."""
    return [replace(check, device="cuda") for check in checks]


@pytest.mark.parametrize("layer", CHECKS)
def test_every_layer_in_float32_is_what_it_is_in_float64(layer: str, on_processor: list[LayerCheck]) -> None:
    (check,) = (one for one in on_processor if one.layer == layer)
    assert check.reason is None
    # The tolerances leave an accelerator room; a processor needs a fiftieth of it.
    assert check.forward_error < FORWARD_TOLERANCE / 50
    assert check.gradient_error < GRADIENT_TOLERANCE / 50


@pytest.mark.parametrize("layer", [name for name, check in LAYER_CHECKS.items() if isinstance(check, LayerCase)])
def test_a_gradient_that_is_wrong_by_one_per_cent_is_found_in_every_layer(layer: str) -> None:
    check = check_layer(layer, "cpu", {layer: break_gradient(LAYER_CHECKS[layer])})
    assert check.forward_error < FORWARD_TOLERANCE
    assert check.gradient_error == pytest.approx(0.01, rel=0.05)
    assert check.reason is not None
    assert "its gradients are wrong by 1 %" in check.reason


def test_a_broken_layer_runs_on_the_processor_and_with_it_what_is_built_of_it(on_processor: list[LayerCheck]) -> None:
    broken = check_layer("LSTM", "cpu", {"LSTM": break_gradient(LAYER_CHECKS["LSTM"])})
    plan = choose_device(on_accelerator(*(broken if one.layer == "LSTM" else one for one in on_processor)), "cuda")
    assert [(one.name, one.device) for one in plan.fallbacks] == [("LSTM", "cpu")]
    assert {one.name: one.device for one in plan.architectures} == {
        "mlp": "cuda",
        "lstm": "cpu",
        "gru": "cuda",
        "transformer": "cuda",
        "cnn": "cuda",
    }
    assert plan.get_placement("lstm").fault == "LSTM: its gradients are wrong by 1 %; up to 0.1 % is rounding"


def test_a_layer_that_is_not_there_is_the_fault_of_the_device() -> None:
    check = check_layer("GRU", "cpu", {"GRU": break_layer(LAYER_CHECKS["GRU"])})
    assert check.reason == "it cannot be computed there (no kernel of that name)"


def test_a_layer_whose_outputs_are_no_numbers_is_found() -> None:
    case = LAYER_CHECKS["attention layer"]
    assert isinstance(case, LayerCase)
    broken = replace(case, compute=lambda layer, x: layer(x) / (0.0 if x.dtype == torch.float32 else 1.0))
    check = check_layer("attention layer", "cpu", {"attention layer": broken})
    assert check.reason == "some of its outputs are no numbers"


def test_every_architecture_names_checks_that_there_are_and_no_check_is_for_none() -> None:
    assert set(ARCHITECTURE_LAYERS) == set(ARCHITECTURES)
    assert {layer for layers in ARCHITECTURE_LAYERS.values() for layer in layers} == set(CHECKS)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_layer_that_an_architecture_is_built_of_is_compared(architecture: str) -> None:
    columns, layers = ARCHITECTURES[architecture]
    network = build_network(NetworkSpec(columns, layers, 1, "log_odds"))
    cases = [LAYER_CHECKS[layer] for layer in ARCHITECTURE_LAYERS[architecture] if layer in LAYER_CHECKS]
    compared = {type(module).__name__ for case in cases if isinstance(case, LayerCase) for module in case.build().modules()}
    assert {type(module).__name__ for module in network.modules()} - CONTAINERS <= compared


def test_what_was_not_checked_is_trained_on_the_processor() -> None:
    plan = choose_device([LayerCheck("LSTM", "cuda", 0.0, 0.0)], "cuda")
    assert {one.device for one in plan.architectures} == {"cpu"}
    assert str(plan.get_placement("mlp").fault).endswith("it was not checked")
    assert plan.get_placement("boosting").device == "cpu"


def draw_mask(share: float) -> Any:
    return (torch.rand(16_384, generator=torch.Generator().manual_seed(1)) < share).float()


@pytest.mark.parametrize(("share", "is_right"), [(KEEP_SHARE, True), (KEEP_SHARE - 0.03, False), (1.0, False), (0.0, False)])
def test_dropout_that_keeps_another_share_is_found(share: float, is_right: bool) -> None:
    mask = draw_mask(share)
    assert (judge_dropout(mask, mask).fault is None) == is_right


def test_dropout_whose_gradient_knows_nothing_of_it_is_found() -> None:
    mask = draw_mask(KEEP_SHARE)
    errors = judge_dropout(mask, torch.ones_like(mask))
    assert not LayerCheck("dropout", "cuda", errors.forward, errors.gradient, errors.fault).is_sound


def test_a_lstm_that_forgets_its_dropout_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    train = torch.nn.LSTM.train
    monkeypatch.setattr(torch.nn.LSTM, "train", lambda self, mode=True: train(self, False))
    check = check_layer("LSTM with dropout", "cpu", LAYER_CHECKS)
    assert check.fault == "100.0 % of the values stayed where 75 % should"


def test_an_error_is_a_share_of_the_largest_value_and_of_no_tensor_that_is_next_to_nothing() -> None:
    one = torch.tensor([1.0, 100.0])
    assert compare_tensors([one], [one.double() + torch.tensor([0.0, 1.0])]) == pytest.approx(0.01, rel=0.02)
    nothing = torch.tensor([1e-9])
    assert compare_tensors([one, nothing], [one.double(), torch.zeros(1).double()]) < 1e-7
    assert math.isnan(compare_tensors([one], [one.double(), one.double()]))


def test_full_precision_is_given_back_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    with use_full_precision():
        assert not torch.backends.cudnn.allow_tf32
    assert torch.backends.cudnn.allow_tf32


def test_a_step_is_timed_after_those_that_choose_kernels() -> None:
    starts: list[int] = []
    speed = measure_step("transformer", "cpu", 32, 0.05, lambda: starts.append(1))
    assert starts == [1]
    assert speed.steps >= 1
    assert speed.rows_per_second == pytest.approx(32 / speed.seconds)


def test_a_lstm_that_goes_on_dropping_after_its_training_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    train = torch.nn.LSTM.train
    monkeypatch.setattr(torch.nn.LSTM, "train", lambda self, mode=True: train(self, True))
    check = check_layer("LSTM with dropout", "cpu", LAYER_CHECKS)
    assert check.fault is None
    assert str(check.reason).startswith("its outputs are wrong by")


def test_a_backward_pass_that_ignores_dropout_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def build_broken(*arguments: Any) -> Any:
        encoder = RecurrentEncoder(*arguments)
        lstm = encoder.cell
        encoder.cell.forward = lambda x: run_layers(lstm, x)
        return encoder

    def run_layers(lstm: Any, x: Any) -> Any:
        h = x
        for layer in range(2):
            single = torch.nn.LSTM(h.shape[2], lstm.hidden_size, batch_first=True)
            names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            weights = [getattr(lstm, f"{name}_l{layer}") for name in names]
            h = torch.func.functional_call(single, {f"{n}_l0": w for n, w in zip(names, weights, strict=True)}, (h,))[0]
            if layer == 0 and lstm.training:
                h = BackwardWithoutMask.apply(h)
        return h, None

    monkeypatch.setattr("epic22.core.models.networks.dropout_checks.RecurrentEncoder", build_broken)
    check = check_layer("LSTM with dropout", "cpu", LAYER_CHECKS)
    assert check.fault is None
    assert str(check.reason).startswith("its gradients are wrong by 100 %")
