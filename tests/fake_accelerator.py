"""A program in the place of `device_probe`: an accelerator that is none, computed by the processor, with faults on purpose.

    python tests/fake_accelerator.py 'LSTM=gradient;GRU=kill' layers cuda

`gradient`: gradients of the layer are wrong by 1 %. `kill`: the process ends by a segmentation fault. `raise`: there is no such
layer.
"""

import os
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch

from epic22.core.models.networks import device_probe, device_training, layer_checks
from epic22.core.models.networks.device import Device, StepSpeed
from epic22.core.models.networks.dropout_checks import KEEP_SHARE
from epic22.core.models.networks.layer_comparison import Check, Errors, LayerCase

PROGRAM = __file__
TITLE = "Fake 1000"


class WrongGradient(torch.autograd.Function):  # type: ignore[misc]
    """What comes in, with a gradient that is wrong by 1 %."""

    @staticmethod
    def forward(context: Any, x: Any) -> Any:
        return x.clone()

    @staticmethod
    def backward(context: Any, gradient: Any) -> Any:
        return 1.01 * gradient


class BackwardWithoutMask(torch.autograd.Function):  # type: ignore[misc]
    """Dropout as Metal had it between the layers of an LSTM: the gradient passes where the value did not."""

    @staticmethod
    def forward(context: Any, x: Any) -> Any:
        return torch.nn.functional.dropout(x, 1 - KEEP_SHARE, True)

    @staticmethod
    def backward(context: Any, gradient: Any) -> Any:
        return gradient / KEEP_SHARE


def break_gradient(check: Check) -> Check:
    """The check of a layer whose gradient on the device, in float32, is wrong by 1 %."""
    assert isinstance(check, LayerCase)
    compute = check.compute

    def bend(output: Any) -> Any:
        return WrongGradient.apply(output) if output.dtype == torch.float32 else output

    return replace(check, compute=lambda layer, x: bend(compute(layer, x)))


def break_process(check: Check) -> Check:
    def end(device: str) -> Errors:
        os.kill(os.getpid(), signal.SIGSEGV)
        return check(device)

    return end


def break_layer(check: Check) -> Check:
    def refuse(device: str) -> Errors:
        raise NotImplementedError("no kernel of that name.\nA second line.")

    return refuse


BREAKS: Mapping[str, Callable[[Check], Check]] = {"gradient": break_gradient, "kill": break_process, "raise": break_layer}


def run_on_processor(check: Check) -> Check:
    """The check, whatever the device is called."""
    return lambda device: check("cpu")


def main(faults: str, arguments: list[str]) -> None:
    named = dict(fault.split("=") for fault in faults.split(";") if fault)
    for checks in (layer_checks.LAYER_CHECKS, device_training.TRAINING_CHECKS):
        for name, check in checks.items():
            broken = BREAKS[named[name]](check) if name in named else check
            checks[name] = run_on_processor(broken)  # type: ignore[index]
    device_probe.list_devices = lambda: (Device("cuda", TITLE, None, 8 << 30), Device("mps", "", "no Metal"))
    measure, seconds = device_training.measure_step, {"cuda": 0.01, "cpu": 0.02}

    def measure_fake(architecture: str, device: str, batch: int, *rest: Any) -> StepSpeed:
        return replace(measure(architecture, "cpu", 16, 0.01, rest[-1]), device=device, seconds=seconds[device])

    setattr(device_probe, "measure_step", measure_fake)  # noqa: B010  it is not that module's own name
    device_probe.main(arguments)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
