"""Rows a second of the loop that trains networks, beside a bare loop of the same network: batches, loss, gradients, AdamW.

    OMP_WAIT_POLICY=passive python benchmarks/network_throughput.py

Two threads, batches of 1,024 rows, float32, dropout as it comes. Both loops take turns within one run, so that what else the
machine does meets both; a ratio is the median over turns, by the clock and by processor time, which other processes disturb less.
The bare loop clips no gradients and has no schedule, checkpoints or progress. Rows have 20 numbers, or 24 steps of 4 channels.
Writes benchmarks/results/network_throughput.json and its section of docs/benchmarks.md.
"""

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from page import write_section
from stamp import machine
from torch import nn

from epic22.core.models.loss import SQUARED
from epic22.core.models.networks.architecture import build_network
from epic22.core.models.networks.jobs import TrainingSettings
from epic22.core.models.networks.losses import OUTPUT_LOSSES, average_over_members
from epic22.core.models.networks.specification import (
    ConvolutionLayers,
    Layers,
    LstmLayers,
    MlpLayers,
    NetworkColumns,
    NetworkSpec,
    TransformerLayers,
)
from epic22.core.models.networks.training_loop import RowTensors, train_network

RESULTS = Path(__file__).resolve().parent / "results" / "network_throughput.json"
PAGE = Path(__file__).resolve().parents[1] / "docs" / "benchmarks.md"
THREADS, BATCH_SIZE, TURNS, EPOCHS = 2, 1024, 7, 2
N_COLUMNS, N_STEPS, N_CHANNELS = 20, 24, 4
LOSS = average_over_members(OUTPUT_LOSSES["binary"](SQUARED))


@dataclass(frozen=True)
class Case:
    """Layers in the size that their family comes with, batches of rows to train them on, and the least ratio that will do."""

    layers: Layers
    n_batches: int
    bar: float

    @cached_property
    def rows(self) -> RowTensors:
        """Numbers, and labels that follow the first of them."""
        n_columns = N_COLUMNS if isinstance(self.layers, MlpLayers) else N_STEPS * N_CHANNELS
        x = torch.randn(self.n_batches * BATCH_SIZE, n_columns, generator=torch.Generator().manual_seed(0))
        return RowTensors(x, (x[:, 0] > 0).float())

    def build(self) -> nn.Module:
        """The untrained network."""
        steps = tuple(tuple(range(i, i + N_CHANNELS)) for i in range(0, N_STEPS * N_CHANNELS, N_CHANNELS))
        is_rows = isinstance(self.layers, MlpLayers)
        columns = NetworkColumns(tuple(range(N_COLUMNS))) if is_rows else NetworkColumns((), steps=steps)
        return build_network(NetworkSpec(columns, self.layers, 1, "log_odds"))


CASES = {
    "mlp": Case(MlpLayers(), 12, 0.8),
    "lstm": Case(LstmLayers(), 6, 0.9),
    "transformer": Case(TransformerLayers(), 6, 0.9),
    "cnn": Case(ConvolutionLayers(), 6, 0.9),
}


Train = Callable[[nn.Module, Case], None]


def train_bare(network: nn.Module, case: Case) -> None:
    """Train in a loop of ten lines."""
    optimiser = torch.optim.AdamW(network.parameters(), lr=3e-3, weight_decay=3e-4, fused=True)
    network.train()
    for _ in range(EPOCHS):
        for chosen in torch.randperm(len(case.rows)).split(BATCH_SIZE):
            optimiser.zero_grad()
            LOSS(network(case.rows.x[chosen]), case.rows.y[chosen]).backward()
            optimiser.step()


def train_ours(network: nn.Module, case: Case) -> None:
    """Train in the loop that the families use."""
    train_network(network, LOSS, case.rows, TrainingSettings(EPOCHS, BATCH_SIZE))


def measure_rates(train: Train, case: Case) -> tuple[float, float]:
    """Rows a second, by the clock and by the seconds of the process."""
    torch.manual_seed(0)
    network, n_rows = case.build(), EPOCHS * len(case.rows)
    began, processor_began = time.perf_counter(), time.process_time()
    train(network, case)
    return n_rows / (time.perf_counter() - began), n_rows / (time.process_time() - processor_began)


def compare_loops(case: Case) -> dict[str, Any]:
    """The rates of both loops in turn, and the ratios."""
    measure_rates(train_bare, case)
    rates: dict[Train, list[tuple[float, float]]] = {train_bare: [], train_ours: []}
    for turn in range(TURNS):
        for train in [train_bare, train_ours][:: 1 if turn % 2 else -1]:
            rates[train].append(measure_rates(train, case))
    bare, ours = np.array(rates[train_bare]), np.array(rates[train_ours])
    ratio, processor_ratio = np.median(ours / bare, axis=0)
    return {
        "rows_per_second": round(float(np.median(ours[:, 0]))),
        "bare_rows_per_second": round(float(np.median(bare[:, 0]))),
        "ratio": round(float(ratio), 3),
        "processor_ratio": round(float(processor_ratio), 3),
        "bar": case.bar,
    }


def main() -> None:
    """Compare the loops for every architecture."""
    torch.set_num_threads(THREADS)
    before = os.getloadavg()[0]
    results = {name: compare_loops(case) for name, case in CASES.items()}
    record = {
        "machine": f"{machine()}, load {before:.1f} before",
        "torch": torch.__version__,
        "threads": THREADS,
        "batch_size": BATCH_SIZE,
        "turns": TURNS,
        "architectures": results,
    }
    RESULTS.write_text(json.dumps(record, indent=2) + "\n")
    for name, result in results.items():
        verdict = "met" if result["ratio"] >= result["bar"] else "MISSED"
        print(f"{name}: {result['ratio']:.3f} of the bare loop ({result['processor_ratio']:.3f}), bar {result['bar']} {verdict}")
    write_section(PAGE, "network_throughput", render(record))


def render(record: dict[str, Any]) -> str:
    """The section of the page."""
    lines = [
        "## Networks: our loop beside a bare one",
        "",
        f"Written by `benchmarks/network_throughput.py`: {record['threads']} threads, batches of {record['batch_size']:,} rows, "
        f"float32, {record['turns']} turns of each loop in one run, medians. {record['machine']}, PyTorch {record['torch']}.",
        "",
        "| architecture | rows a second | bare loop | ratio | ratio by processor time | bar |",
        "|---|---|---|---|---|---|",
    ]
    for name, one in record["architectures"].items():
        rates = f"{one['rows_per_second']:,} | {one['bare_rows_per_second']:,} | {one['ratio']:.2f}"
        lines.append(f"| {name} | {rates} | {one['processor_ratio']:.2f} | {one['bar']} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
