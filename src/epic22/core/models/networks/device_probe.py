"""A process that looks at PyTorch and its devices for one that must not: whatever ends it ends nothing else.

    python -m epic22.core.models.networks.device_probe devices
    python -m epic22.core.models.networks.device_probe layers cuda --skip "LSTM;GRU"
    python -m epic22.core.models.networks.device_probe speed cuda lstm --batch 1024 --seconds 4

Each line of its standard output is a JSON object; what is begun is said before it is done, so that the last line names what a
dead process was doing.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import torch

from epic22.core.models.networks.device import Device
from epic22.core.models.networks.device_training import ARCHITECTURES, TRAINING_CHECKS, measure_step
from epic22.core.models.networks.layer_checks import LAYER_CHECKS
from epic22.core.models.networks.layer_comparison import check_layer


def list_devices() -> tuple[Device, ...]:
    """The accelerators that PyTorch knows, with the reason where one cannot be used here."""
    return _describe_cuda(), _describe_metal()


def _describe_cuda() -> Device:
    if torch.version.cuda is None:
        return Device("cuda", "", f"this build of PyTorch, {torch.__version__}, has no CUDA")
    if not torch.cuda.is_available():
        return Device("cuda", "", "PyTorch sees no graphics processor of NVIDIA, or no driver of it")
    facts = torch.cuda.get_device_properties(0)
    return Device("cuda", facts.name, None, facts.total_memory, f"GPU-{facts.uuid}")


def _describe_metal() -> Device:
    if not torch.backends.mps.is_built():
        return Device("mps", "", f"this build of PyTorch, {torch.__version__}, has no Metal")
    if not torch.backends.mps.is_available():
        return Device("mps", "", "this machine has no graphics processor of Apple, or a macOS before 14")
    return Device("mps", torch.backends.mps.get_name(), None, torch.mps.recommended_max_memory())


def print_devices(options: argparse.Namespace) -> None:
    """Print the version of PyTorch, and a line for each accelerator."""
    _print_record(torch=torch.__version__)
    for device in list_devices():
        _print_record(device=asdict(device))


def print_layer_checks(options: argparse.Namespace) -> None:
    """Print what each check finds on a device, a real training before the layers."""
    checks = {**TRAINING_CHECKS, **LAYER_CHECKS}
    torch.set_num_threads(options.threads)
    for layer in checks:
        if layer not in options.skip:
            _print_record(begins=layer)
            _print_record(check=asdict(check_layer(layer, options.device, checks)))


def print_speed(options: argparse.Namespace) -> None:
    """Print how long a step of training takes; a line before it says that the steps begin that count."""
    torch.set_num_threads(options.threads)
    speed = measure_step(
        options.architecture, options.device, options.batch, options.seconds, lambda: _print_record(begins=options.architecture)
    )
    _print_record(speed=asdict(speed))


def _print_record(**record: Any) -> None:
    sys.stdout.write(json.dumps(record) + "\n")
    sys.stdout.flush()


def read_options(arguments: Sequence[str]) -> argparse.Namespace:
    """What the process is to look at, by its arguments; `run` prints it."""
    parser = argparse.ArgumentParser(prog="device_probe")
    stages = parser.add_subparsers(required=True)
    stages.add_parser("devices").set_defaults(run=print_devices)
    layers, speed = stages.add_parser("layers"), stages.add_parser("speed")
    for stage in (layers, speed):
        stage.add_argument("device")
        stage.add_argument("--threads", type=int, default=1)
    layers.add_argument("--skip", type=lambda text: tuple(text.split(";")), default=())
    layers.set_defaults(run=print_layer_checks)
    speed.add_argument("architecture", choices=tuple(ARCHITECTURES))
    speed.add_argument("--batch", type=int, default=1024)
    speed.add_argument("--seconds", type=float, default=2.0)
    speed.set_defaults(run=print_speed)
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> None:
    """Print what the arguments ask for."""
    options = read_options(arguments)
    options.run(options)


if __name__ == "__main__":
    main(sys.argv[1:])
