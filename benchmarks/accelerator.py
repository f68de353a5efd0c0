"""Is an accelerator right, busy and worth it? Layers, each family trained in every way, a million windows, speed, equal losses.

    python benchmarks/accelerator.py                                # at most 8 minutes; the accelerator that PyTorch can use
    python benchmarks/accelerator.py --device cpu --windows 2000    # the processor in its place, to try the script

Where there is no accelerator it says so and ends well. Each training is a process of its own. What was measured is written to
benchmarks/results/accelerator.json, and with --page to the page of benchmarks.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from page import write_section
from stamp import machine

from epic22.adapters.machine import list_graphics
from epic22.adapters.network_probe import NetworkProbe
from epic22.adapters.probe_process import Record, run_probe
from epic22.core.models.networks.device import Device, choose_device
from epic22.core.text import format_percent
from epic22.services.doctor import CPU, SpeedUp

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "accelerator.json"
PAGE = ROOT / "docs" / "benchmarks.md"
ARCHITECTURES = ("lstm", "transformer")
"""Those of which a million windows are trained on."""
ALL = ("mlp", "lstm", "gru", "transformer", "cnn")
BUSY_AIM = 0.8
"""The plan's aim for the share of time in which the accelerator is at work."""
MAX_LOSS_DIFFERENCE = 0.01
"""Trained for the same steps, the losses of held-out windows may differ by this share: rounding grows with each step."""
MAX_WAY_DIFFERENCE = 0.03
"""What a family's loss may differ by from the processor's, however it is trained: half of the numbers have three digits."""
TRAIN_SHARE, PROCESSOR_SHARE, EQUAL_SHARE, FAMILIES_SHARE = 0.14, 0.04, 0.1, 0.35
"""Of all the time there is, what each architecture takes: on the device, on the processor, for the comparison at most; and what
the families take, all at once."""
LAST_START = 0.75
"""After this share of the time no architecture is begun."""


@dataclass(frozen=True)
class LossComparison:
    """The loss of held-out windows after the same steps on a device and on the processor."""

    architecture: str
    steps: int
    device_loss: float
    processor_loss: float

    @property
    def difference(self) -> float:
        """As a share of the processor's."""
        return abs(self.device_loss - self.processor_loss) / self.processor_loss


@dataclass(frozen=True)
class Size:
    """How much is measured: windows, rows of a batch, one size after the other, steps of the comparison, and seconds in all."""

    windows: int = 1_000_000
    batches: tuple[int, ...] = (4096, 16_384)
    steps: int = 100
    seconds: float = 480.0


def select_device(probe: NetworkProbe, name: str) -> Device | str:
    """The device of that name, for `auto` the first accelerator that can be used; a sentence where there is none."""
    if name == "cpu":
        return CPU
    known = probe.list_devices()
    if known.fault is not None:
        return f"PyTorch could not be asked for its devices (the process {known.fault}); nothing was measured."
    usable = [one for one in known.devices if one.reason is None and name in ("auto", one.name)]
    reasons = "; ".join(f"{one.name}: {one.reason}" for one in known.devices if one.reason is not None)
    return usable[0] if usable else f"No accelerator is here that PyTorch can use ({reasons}); nothing was measured."


def measure_all(device: Device, size: Size, threads: int) -> dict[str, Any]:
    """What the layers do, and for each architecture that is sound there its speed, how busy the device is, and the losses."""
    start = time.monotonic()
    checks = NetworkProbe(threads).check_layers(device.name)
    plan = choose_device(checks, device.name)
    families = train_families(device, size, threads)
    probe = NetworkProbe(threads, (__file__, "--windows", str(size.windows), "--steps", str(size.steps), "--run"))
    speeds, losses = [], []
    skipped = [f"{one.name}: {one.fault}" for one in map(plan.get_placement, ARCHITECTURES) if one.fault is not None]
    for architecture in [name for name in ARCHITECTURES if plan.get_placement(name).fault is None]:
        if time.monotonic() - start > LAST_START * size.seconds:
            skipped.append(f"{architecture}: no time was left")
            continue
        other = probe.measure_speed(architecture, CPU, size.batches[0], PROCESSOR_SHARE * size.seconds)
        for batch in size.batches:
            trained = probe.measure_speed(architecture, device, batch, TRAIN_SHARE * size.seconds / len(size.batches))
            speeds.append(SpeedUp(architecture, trained, other))
        losses += compare_losses(probe, architecture, device, size)
    return {
        "machine": machine(),
        "graphics": list(list_graphics()),
        "device": asdict(device),
        "size": asdict(size),
        "checks": [asdict(check) | {"reason": check.reason} for check in checks],
        "fallbacks": [asdict(one) for one in plan.fallbacks],
        "families": families,
        "speeds": [asdict(one) | {"factor": one.factor} for one in speeds],
        "losses": [asdict(one) | {"difference": one.difference} for one in losses],
        "skipped": skipped,
        "seconds": round(time.monotonic() - start),
    }


def compare_losses(probe: NetworkProbe, architecture: str, device: Device, size: Size) -> list[LossComparison]:
    """The comparison of an architecture; none where it took too long or its process died, which is said on standard error."""
    records: list[Record] = []
    arguments = [*probe.program, "losses", device.name, architecture, "--threads", str(probe.threads)]
    end = run_probe(arguments, EQUAL_SHARE * size.seconds, records.append)
    if end.fault is not None:
        sys.stderr.write(f"{architecture}: the process that compared losses {end.fault}\n")
    return [LossComparison(**record["losses"]) for record in records if "losses" in record]


def train_families(device: Device, size: Size, threads: int) -> list[Record]:
    """Every architecture trained in every way, each in a process of its own, all at once; a process that died is a fault."""

    def run(architecture: str) -> list[Record]:
        records: list[Record] = []
        arguments = [__file__, "--run", "families", device.name, architecture, "--threads", str(max(1, threads // len(ALL)))]
        end = run_probe(arguments, FAMILIES_SHARE * size.seconds, records.append)
        trained = [record["family"] for record in records if "family" in record]
        fault = {
            "architecture": architecture,
            "way": "all",
            "loss": None,
            "fault": f"the process {end.fault}",
            "difference": None,
        }
        return trained if end.fault is None else [*trained, fault]

    with ThreadPoolExecutor(len(ALL)) as pool:
        return [record for records in pool.map(run, ALL) for record in records]


def describe_results(results: Mapping[str, Any]) -> str:
    """The section of the page."""
    device, size = results["device"], results["size"]
    sound = sum(check["reason"] is None for check in results["checks"])
    lines = [
        "## Accelerator: right, busy, worth it?",
        "",
        f"`benchmarks/accelerator.py`, {results['machine']}; {device['title']} ({device['name']}). "
        f"{size['windows']:,} windows of 40 steps and 4 channels; {results['seconds']} s in all.",
        "",
        f"Layers: {sound} of {len(results['checks'])} right in float32 beside float64 on the processor.",
        *[f"* {one['name']}: {one['fault']}" for one in results["fallbacks"]],
        "",
        "| architecture | rows of a batch | windows a second | × the processor | busy (aim 80 %) "
        "| loss of held-out windows, device | processor |",
        "|---|---|---|---|---|---|---|",
        *_list_rows(results),
        "",
        *[f"* not trained there: {one}" for one in results["skipped"]],
        "",
        "Families by the product's own path, 20,000 rows and three epochs, without dropout, whose draws differ: the loss of",
        "held-out rows by the exported graph; in brackets the largest difference of a weight to the training in float32 there.",
        "",
        *_list_families(results["families"]),
    ]
    return "\n".join(lines)


def _list_rows(results: Mapping[str, Any]) -> Iterator[str]:
    losses = {one["architecture"]: one for one in results["losses"]}
    for one in results["speeds"]:
        speed, busy = one["device"]["speed"], one["device"]["utilisation"]["mean"]
        if speed is None or one["factor"] is None:
            yield f"| {one['architecture']} | | not measured: {one['device']['fault'] or one['processor']['fault']} | | | | |"
            continue
        rate = speed["batch"] / speed["seconds"]
        loss = losses.get(one["architecture"])
        ends = "– | –" if loss is None else f"{loss['device_loss']:.5f} | {loss['processor_loss']:.5f}"
        share = "not known" if busy is None else format_percent(busy)
        yield f"| {one['architecture']} | {speed['batch']:,} | {rate:,.0f} | {one['factor']:.1f} | {share} | {ends} |"


def _list_families(families: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    ways = list(dict.fromkeys(one["way"] for one in families))
    yield f"| family | processor | {' | '.join(ways)} |"
    yield f"|---|---|{'---|' * len(ways)}"
    for name in dict.fromkeys(one["architecture"] for one in families):
        own = {one["way"]: one for one in families if one["architecture"] == name}
        processor = next((one["processor_loss"] for one in own.values() if one["loss"] is not None), None)
        cells = [_describe_way(own.get(way)) for way in ways]
        yield f"| {name} | {'–' if processor is None else f'{processor:.5f}'} | {' | '.join(cells)} |"


def _describe_way(one: Mapping[str, Any] | None) -> str:
    if one is None:
        return "–"
    return one["fault"] if one["loss"] is None else f"{one['loss']:.5f} ({one['weights']:.2g})"


def judge(results: Mapping[str, Any]) -> list[str]:
    """What is missed, or not known, a sentence each."""
    missed = [f"{one['name']} is wrong: {one['fault']}." for one in results["fallbacks"]]
    missed += [f"Not trained there: {one}." for one in results["skipped"]]
    for one in results["speeds"]:
        speed, busy = one["device"]["speed"], one["device"]["utilisation"]["mean"]
        if busy is None:
            missed.append(f"How busy {one['architecture']} keeps the device is not known.")
        elif busy < BUSY_AIM:
            share = f"{format_percent(busy)} of the time, less than 80 %"
            missed.append(f"{one['architecture']} by batches of {speed['batch']:,} keeps the device busy for {share}.")
        if one["factor"] is not None and one["factor"] < 1:
            missed.append(f"{one['architecture']} is slower there than on the processor.")
    for one in results["families"]:
        if one["loss"] is None:
            missed.append(f"{one['architecture']} ({one['way']}) was not trained: {one['fault']}.")
        elif not one["difference"] <= MAX_WAY_DIFFERENCE:
            missed.append(
                f"{one['architecture']} ({one['way']}) came to another loss: {format_percent(one['difference'])} apart."
            )
    for one in results["losses"]:
        if not one["difference"] <= MAX_LOSS_DIFFERENCE:
            missed.append(f"{one['architecture']} came to another loss: {format_percent(one['difference'])} apart.")
    return missed


def run_inside(arguments: Sequence[str], windows: int, steps: int) -> None:
    """What a process of its own does: `speed`, `losses` or `families`, by the arguments that `NetworkProbe` gives."""
    import torch
    from accelerator_families import to_record, train_ways
    from accelerator_training import measure_training, train_both

    parser = argparse.ArgumentParser()
    parser.add_argument("stage", choices=("speed", "losses", "families"))
    parser.add_argument("device")
    parser.add_argument("architecture")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=4096)
    parser.add_argument("--seconds", type=float, default=1.0)
    given = parser.parse_args(arguments)
    torch.set_num_threads(given.threads)
    if given.stage == "speed":
        place = given.architecture, given.device
        speed = measure_training(*place, windows, given.batch, given.seconds, lambda: _print_record(begins=given.architecture))
        _print_record(speed=asdict(speed))
    elif given.stage == "families":
        for training in train_ways(given.architecture, given.device, given.threads):
            _print_record(family=to_record(training))
    else:
        ends = train_both(given.architecture, given.device, steps)
        _print_record(losses=asdict(LossComparison(given.architecture, steps, *ends)))


def _print_record(**record: Any) -> None:
    print(json.dumps(record), flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what there is, print what is missed, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("auto", "cpu", "cuda", "mps"), default="auto")
    parser.add_argument("--windows", type=int, default=Size.windows)
    parser.add_argument("--batches", type=int, nargs="+", default=Size.batches)
    parser.add_argument("--steps", type=int, default=Size.steps)
    parser.add_argument("--seconds", type=float, default=Size.seconds, help="At most about so long.")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--page", action="store_true")
    parser.add_argument("--run", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.run is not None:
        run_inside(given.run, given.windows, given.steps)
        return
    device = select_device(NetworkProbe(given.threads), given.device)
    if isinstance(device, str):
        print(device)
        return
    results = measure_all(device, Size(given.windows, tuple(given.batches), given.steps, given.seconds), given.threads)
    given.results.write_text(json.dumps(results, indent=1) + "\n")
    print(describe_results(results))
    print("\n".join(judge(results)) or "Nothing is missed.")
    if given.page:
        write_section(PAGE, "accelerator", describe_results(results))


if __name__ == "__main__":
    main()
