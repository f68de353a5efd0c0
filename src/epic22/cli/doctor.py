"""`epic22 doctor`: what networks may be trained on here, what is wrong, and what to do about it."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from epic22 import bootstrap
from epic22.cli.options import Json
from epic22.cli.terminal import print_json, print_line, print_table, show_progress
from epic22.config import Settings
from epic22.core.serialization import to_json
from epic22.core.text import format_figure, format_percent

if TYPE_CHECKING:
    from epic22.core.models.networks.graph_provider import ProviderPlan
    from epic22.services.doctor import Diagnosis, SpeedUp


def doctor(
    device: Annotated[
        str, typer.Option(help="Check this device: cpu, cuda or mps; auto: the accelerator that there is, else the processor.")
    ] = "auto",
    json: Json = False,
) -> None:
    """Look at this machine: whether its devices compute networks right and how fast, what is wrong, what to do.

    Each layer is computed on the device in float32 and on the processor in float64, outputs and gradients; a layer that differs
    is not used there. What touches PyTorch runs in processes of its own.
    """
    settings = Settings.read()
    with show_progress() as progress:
        diagnosis = bootstrap.examine_machine(settings, device, progress)
    if json:
        print_json(to_json(diagnosis) | {"verdict": diagnosis.verdict})
        return
    print_diagnosis(diagnosis)


def print_diagnosis(diagnosis: "Diagnosis") -> None:
    """Print the table, what is good to know, a problem with its advice each, and the verdict."""
    print_table("This machine", ["what", "here"], [list(row) for row in _list_rows(diagnosis)])
    for note in diagnosis.notes:
        print_line(note, "dim")
    for problem in diagnosis.problems:
        print_line(problem.what, "bold red")
        print_line(f"  {problem.advice}")
    print_line(diagnosis.verdict, "bold" if diagnosis.problems else "bold green")


def _list_rows(diagnosis: "Diagnosis") -> Iterator[tuple[str, str]]:
    machine = diagnosis.machine
    yield "processor", f"{machine.processor}, {_describe_cores(diagnosis)}"
    yield "memory", _describe_memory(diagnosis)
    yield "system", f"{machine.system}; Python {machine.python}"
    present = [f"{one.distribution} {one.version}" for one in diagnosis.libraries if one.version is not None]
    absent = [one.name for one in diagnosis.libraries if one.version is None and one.name != "tensorflow-plugins"]
    yield "libraries", ", ".join(present)
    if absent:
        yield "not installed", ", ".join(absent)
    yield "accelerator", _describe_accelerator(diagnosis)
    if diagnosis.openmp is not None:
        yield "OpenMP", _describe_openmp(diagnosis)
    if diagnosis.checks:
        yield "layers", _describe_checks(diagnosis)
    if diagnosis.providers is not None:
        yield "answers", _describe_providers(diagnosis.providers)
    for one in diagnosis.speeds:
        yield f"speed of {one.architecture}", _describe_speed(one)


def _describe_cores(diagnosis: "Diagnosis") -> str:
    machine = diagnosis.machine
    usable, limit = machine.usable_cores, machine.limits.processors
    words = f"{machine.cores} core{'s' if machine.cores != 1 else ''}"
    if usable < machine.cores:
        words += f", {usable} for this process"
    return words if limit is None or limit >= usable else f"{words}, limited to the time of {limit:g}"


def _describe_memory(diagnosis: "Diagnosis") -> str:
    whole, limit = diagnosis.machine.memory, diagnosis.machine.limits.memory
    return f"{whole / 1e9:.1f} GB" + ("" if limit is None or limit >= whole else f", limited to {limit / 1e9:.1f} GB")


def _describe_accelerator(diagnosis: "Diagnosis") -> str:
    graphics = ", ".join(diagnosis.machine.graphics)
    devices = () if diagnosis.pytorch is None else diagnosis.pytorch.devices
    usable = [one for one in devices if one.reason is None]
    if not usable:
        return f"{graphics}; PyTorch uses none" if graphics else "none"
    memory = "" if usable[0].memory is None else f", {usable[0].memory / 1e9:.0f} GB"
    return f"{usable[0].title} by {usable[0].name}{memory}"


def _describe_openmp(diagnosis: "Diagnosis") -> str:
    runtimes, fault = (len(diagnosis.openmp.files), diagnosis.openmp.fault) if diagnosis.openmp is not None else (0, None)
    count = f"{runtimes} runtime{'s' if runtimes != 1 else ''} in a process with PyTorch and XGBoost"
    return f"{count}; both compute" if fault is None else f"{count}; it {fault}"


def _describe_providers(plan: "ProviderPlan") -> str:
    """What onnxruntime offers and what is used of it."""
    names = ", ".join(name.removesuffix("ExecutionProvider") for name in plan.offered)
    chosen = f"onnxruntime offers {names}; networks answer by {plan.provider.removesuffix('ExecutionProvider')}"
    if plan.reason is not None:
        return f"{chosen}: {plan.reason}"
    return chosen if plan.choice == "cpu" else f"{chosen}, where it answers golden rows as the processor does"


def _describe_checks(diagnosis: "Diagnosis") -> str:
    """How many are right, and the largest error of those."""
    sound = [check for check in diagnosis.checks if check.is_sound]
    worst = max((max(check.forward_error, check.gradient_error) for check in sound), default=0.0)
    count = f"{len(sound)} of {len(diagnosis.checks)} checks right on {diagnosis.device.title or diagnosis.device.name}"
    return f"{count}; float32 differs from float64 by {format_figure(100 * worst, 2)} % at most"


def _describe_speed(one: "SpeedUp") -> str:
    if one.factor is None or one.device.speed is None:
        return "not measured"
    rows = f"{one.device.speed.rows_per_second:,.0f} rows a second, {one.factor:.1f} × the processor"
    mean = one.device.utilisation.mean
    return f"{rows}; {one.device.utilisation.reason if mean is None else f'{format_percent(mean)} busy'}"
