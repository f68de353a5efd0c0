"""ETTh1: a patch Transformer with a linear skip beside DLinear, both trained here, mean squared error at 96 and 336 hours.

    python benchmarks/ett.py

The standard split: 12, 4 and 4 months, every channel standardised by its training part, one network for all seven. A model's
learning rate, and the epoch it ends at, are chosen on the validation months alone; the test months are scored once, with three
seeds, and how often is kept in benchmarks/results/ett.json and told. "Normalised linear" is the skip without the Transformer, so
that what the Transformer adds can be told from what the normalisation of each window does (Kim et al. 2022, RevIN). DLinear:
Zeng et al. 2023, "Are Transformers effective for time series forecasting?".
"""

import argparse
import hashlib
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from page import write_section
from stamp import DATA, ROOT, machine, source_stamp
from torch import Tensor, nn
from torch.nn import functional

from epic22.core.evaluation.independent_stretches import compare_over_stretches
from epic22.core.models.networks.jobs import TrainingSettings
from epic22.core.models.networks.specification import TransformerLayers
from epic22.core.models.networks.training_loop import RowTensors, train_network
from epic22.core.models.networks.transformer import PatchEncoder
from epic22.core.task import Array

FILE = DATA / "reporting" / "ett" / "ETTh1.csv"
RESULTS = ROOT / "benchmarks" / "results" / "ett.json"
PAGE = ROOT / "docs" / "benchmarks.md"

MONTH = 30 * 24
TRAIN_END, VALIDATION_END, TEST_END = 12 * MONTH, 16 * MONTH, 20 * MONTH
INPUT, HORIZONS, SEEDS = 336, (96, 336), (0, 1, 2)
PUBLISHED: Mapping[int, tuple[float, float]] = {96: (0.375, 0.370), 336: (0.439, 0.422)}
"""Mean squared errors in print: DLinear and PatchTST."""

LAYERS = TransformerLayers(width=32, depth=2, heads=4, patch=24, dropout=0.3)
MOVING_AVERAGE = 25


class DLinear(nn.Module):
    """The next hours (n, h) of the last (n, s): a linear map of their moving average and one of what that leaves."""

    def __init__(self, n_steps: int, horizon: int) -> None:
        super().__init__()
        self.trend, self.rest = nn.Linear(n_steps, horizon), nn.Linear(n_steps, horizon)

    def forward(self, x: Tensor) -> Tensor:
        """Their sum; the average repeats the first and the last hour at its ends."""
        half = MOVING_AVERAGE // 2
        trend = functional.avg_pool1d(functional.pad(x[:, None], (half, half), mode="replicate"), MOVING_AVERAGE, 1)[:, 0]
        answer: Tensor = self.trend(trend) + self.rest(x - trend)
        return answer


class NormalisedLinear(nn.Module):
    """The next hours (n, h) by a linear map of the last (n, s), in the mean and the spread of these."""

    def __init__(self, n_steps: int, horizon: int) -> None:
        super().__init__()
        self.linear = nn.Linear(n_steps, horizon)

    def forward(self, x: Tensor) -> Tensor:
        """The answer in the window's own level and scale."""
        mean, spread = x.mean(1, keepdim=True), x.std(1, keepdim=True) + 1e-5
        return self.answer((x - mean) / spread) * spread + mean

    def answer(self, z: Tensor) -> Tensor:
        """The answer of a normalised window."""
        linear: Tensor = self.linear(z)
        return linear


class PatchTransformer(NormalisedLinear):
    """The same, and what a Transformer encoder over patches of the window adds to it; at first nothing."""

    def __init__(self, n_steps: int, horizon: int) -> None:
        super().__init__(n_steps, horizon)
        self.encoder = PatchEncoder(1, n_steps, LAYERS)
        self.head = nn.Linear(LAYERS.width, horizon)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def answer(self, z: Tensor) -> Tensor:
        """The linear map, and the encoder's."""
        added: Tensor = self.head(functional.dropout(self.encoder(z[:, :, None]), LAYERS.dropout, self.training))
        return super().answer(z) + added


MODELS: Mapping[str, Callable[[int, int], nn.Module]] = {
    "DLinear": DLinear,
    "normalised linear": NormalisedLinear,
    "patch Transformer": PatchTransformer,
}
BASE, NETWORK = "DLinear", "patch Transformer"
RATES: Mapping[str, tuple[float, ...]] = {BASE: (1e-3, 5e-3), "normalised linear": (1e-3, 5e-3), NETWORK: (3e-4, 1e-3)}
"""Learning rates that the validation months choose from."""


@dataclass(frozen=True)
class Windows:
    """Windows of all channels: inputs x (n, c, s) and what follows them, y (n, c, h), float32."""

    x: Tensor
    y: Tensor

    @classmethod
    def cut(cls, values: Array, begin: int, end: int, horizon: int) -> "Windows":
        """Every window of values (t, c) whose targets lie in [begin, end); inputs may reach before it."""
        table = torch.from_numpy(np.ascontiguousarray(values.T, np.float32))
        first = max(begin - INPUT, 0)
        both = table[:, first:end].unfold(1, INPUT + horizon, 1).transpose(0, 1)
        return cls(both[..., :INPUT], both[..., INPUT:])

    @property
    def rows(self) -> RowTensors:
        """Each channel of each window as a row."""
        return RowTensors(self.x.flatten(0, 1).contiguous(), self.y.flatten(0, 1).contiguous())

    @torch.no_grad()
    def compute_errors(self, network: nn.Module) -> Array:
        """The mean squared error of each window, (n,)."""
        network.eval()
        parts = []
        for x, y in zip(self.x.split(256), self.y.split(256), strict=True):
            answer = network(x.flatten(0, 1)).unflatten(0, x.shape[:2])
            parts.append(((answer - y) ** 2).mean((1, 2)).numpy())
        return np.concatenate(parts)


def read_values(path: Path) -> Array:
    """The seven channels (t, 7), standardised by the training months."""
    values = pl.read_csv(path).drop("date").to_numpy()[:TEST_END]
    train = values[:TRAIN_END]
    return np.asarray((values - train.mean(axis=0)) / train.std(axis=0))


def compute_squared_error(raw: Tensor, y: Tensor) -> Tensor:
    """The mean squared error of answers."""
    return functional.mse_loss(raw, y)


def train_model(
    model: str, rate: float, seed: int, train: Windows, validation: Windows, epochs: int = 8
) -> tuple[nn.Module, float]:
    """A model at the epoch that is best on the validation windows, and its error there."""
    torch.manual_seed(seed)
    network = MODELS[model](train.x.shape[2], train.y.shape[2])
    settings = TrainingSettings(
        epochs=epochs, batch_size=256, learning_rate=rate, weight_decay=1e-4, patience=3, seed=seed, schedule="cosine"
    )
    history = train_network(network, compute_squared_error, train.rows, settings, (validation.rows, compute_squared_error))
    return network, min(history.losses)


def measure(horizon: int, values: Array, result: dict[str, Any], keep: Callable[[], None]) -> None:
    """Choose each model's rate on the validation months, keep the choice, then score the test months with all seeds."""
    train = Windows.cut(values, 0, TRAIN_END, horizon)
    validation = Windows.cut(values, TRAIN_END, VALIDATION_END, horizon)
    trained: dict[tuple[str, int], nn.Module] = {}
    for model, rates in RATES.items():
        tried = {rate: train_model(model, rate, SEEDS[0], train, validation) for rate in rates}
        rate = min(tried, key=lambda rate: tried[rate][1])
        result["validation"][model] = {f"{rate:g}": round(error, 5) for rate, (_, error) in tried.items()}
        result["rates"][model], trained[model, SEEDS[0]] = rate, tried[rate][0]
        print(f"h = {horizon}, {model}: validation {result['validation'][model]}", flush=True)
        for seed in SEEDS[1:]:
            trained[model, seed] = train_model(model, rate, seed, train, validation)[0]
    keep()
    result["test_opened"].append({"at": datetime.now(UTC).isoformat(timespec="seconds"), "stamp": stamp()})
    test = Windows.cut(values, VALIDATION_END, TEST_END, horizon)
    errors = {key: test.compute_errors(network) for key, network in trained.items()}
    result["test"] = {model: [round(float(errors[model, seed].mean()), 4) for seed in SEEDS] for model in MODELS}
    means = {model: np.mean([errors[model, seed] for seed in SEEDS], axis=0) for model in MODELS}
    result["windows"] = len(test.x)
    for model in MODELS:
        if model != NETWORK:
            gain = compare_over_stretches(means[model] - means[NETWORK], np.ones(len(test.x)), horizon)
            found = (gain.mean.value, gain.mean.low, gain.mean.high)
            result["gains"][model] = {"gain": [round(float(value), 4) for value in found], "blocks": gain.groups}
    result |= {"machine": machine(), "source": source_stamp()}
    keep()


def stamp() -> str:
    """Digest of this script, which holds all that is settled before a choice, and of the data."""
    digest = hashlib.sha256(Path(__file__).read_bytes())
    digest.update(FILE.read_bytes())
    return digest.hexdigest()[:16]


def section(stored: Mapping[str, Any]) -> str:
    """The section of docs/benchmarks.md."""
    lines = [
        "## ETTh1: a patch Transformer beside DLinear",
        "",
        f"`python benchmarks/ett.py`: mean squared error of seven standardised channels from the last {INPUT} hours, the",
        "standard split (12, 4 and 4 months), every window, three seeds. Rates and epochs are chosen on the validation months.",
        '"Normalised linear" is the Transformer\'s skip by itself. Gains are of the Transformer, seeds averaged, paired over',
        "neighbouring blocks of at least a horizon of windows each, with Student's interval (Ibragimov and Müller 2010).",
        "",
        "| hours | model | learning rate | test by seed | mean | in print | Transformer's gain (95 %) | blocks | scored |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for horizon, result in stored.items():
        printed = dict(zip((BASE, NETWORK), PUBLISHED[int(horizon)], strict=True))
        for model, errors in result["test"].items():
            gain = result["gains"].get(model)
            told = "–" if gain is None else "{:+.4f} ({:+.4f} … {:+.4f})".format(*gain["gain"])
            source = f"{printed[model]:.3f}{' (PatchTST)' if model == NETWORK else ''}" if model in printed else "–"
            cells = [
                horizon,
                model,
                f"{result['rates'][model]:g}",
                ", ".join(f"{error:.4f}" for error in errors),
                f"{np.mean(errors):.4f}",
                source,
                told,
                "–" if gain is None else str(gain["blocks"]),
                str(len(result["test_opened"])),
            ]
            lines.append(f"| {' | '.join(cells)} |")
    first = next(iter(stored.values()))
    return "\n".join([*lines, "", f"Machine: {first['machine']}, one thread. Source {first['source']}."])


def main() -> int:
    """Run what is missing, write the section; says so where the data is absent."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--again", action="store_true", help="score the test months again, which is counted")
    asked = parser.parse_args()
    if not FILE.is_file():
        print(f"No public data in {DATA}; set EPIC22_PUBLIC_DATA.")
        return 0
    torch.set_num_threads(1)
    stored: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    values = read_values(FILE)
    for horizon in HORIZONS:
        result = stored.setdefault(str(horizon), {"rates": {}, "validation": {}, "test_opened": [], "gains": {}})
        if "test" not in result or asked.again:
            measure(horizon, values, result, lambda: _keep(stored))
        write_section(PAGE, "ett", section({name: one for name, one in stored.items() if "test" in one}))
    print(f"written: {PAGE.relative_to(ROOT)}")
    return 0


def _keep(stored: Mapping[str, Any]) -> None:
    RESULTS.write_text(json.dumps(stored, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
