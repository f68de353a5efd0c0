"""Ours against itself at an earlier commit, on the same splits: what a change cost or gained.

    PYTHONPATH=benchmarks python -m peers.earlier COMMIT      # whose stored results are compared with those that stand here

Writes the section `ours-earlier` of docs/benchmarks.md.
"""

import argparse
import io
import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from evidence import ROOT
from page import write_section
from stamp import DATA

from peers.environments import OURS
from peers.sets import SETS, DataSet
from peers.splits import splits_of
from peers.statistics import METRICS, Difference, over_rows, over_splits

FOLDER = Path("benchmarks") / "results" / "peers" / "runs"
CACHE = ROOT / "benchmarks" / "peers" / "cache"
PAGE = ROOT / "docs" / "benchmarks.md"
Results = Sequence[dict[str, Any]]


def read_earlier(commit: str, path: Path) -> bytes | None:
    """A file as it stood in a commit; None where it was not there."""
    shown = subprocess.run(["git", "-C", str(ROOT), "show", f"{commit}:{path.as_posix()}"], capture_output=True, check=False)
    return shown.stdout if shown.returncode == 0 else None


def compare_set(dataset: DataSet, commit: str) -> tuple[Results, Results, Difference] | None:
    """Results of then and of now by split, and the paired difference; None where one of them has none or crashed."""
    name, metric = dataset.name, dataset.metric
    now = [json.loads(path.read_text()) for path in sorted((ROOT / FOLDER / name).glob(f"{OURS}-*.json"))]
    contents = [read_earlier(commit, FOLDER / name / f"{OURS}-{number}.json") for number in range(len(now))]
    then = [json.loads(content) for content in contents if content is not None]
    if not now or len(then) != len(now) or any(one["status"] != "ok" for one in (*then, *now)):
        return None
    better = METRICS[metric].greater_is_better
    if len(now) > 1:
        first, second = ([float(one["scores"][metric]) for one in results] for results in (now, then))
        ratio = float(np.mean([one["n_test"] / one["n_train"] for one in now]))
        return then, now, over_splits(first, second, ratio, better)
    stored = read_earlier(commit, FOLDER / name / f"{OURS}-0.npz")
    if stored is None or not (DATA / dataset.file).exists():
        return None
    (split,) = splits_of(dataset, DATA, CACHE)
    labels = pl.read_parquet(split.truth)
    after = np.load(ROOT / FOLDER / name / f"{OURS}-0.npz")["predictions"]
    before = np.load(io.BytesIO(stored))["predictions"]
    return then, now, over_rows(METRICS[metric], labels["label"].to_numpy(), after, before, labels["cluster"].to_numpy())


def describe(commit: str) -> str:
    """The section of the page."""
    lines = [
        "## Ours against itself",
        "",
        f"`python -m peers.earlier {commit}`: the same sets, splits and limits as above, by results of that commit and of now. "
        "Above zero = better now; 95 % intervals as above.",
        "",
        "| set | metric | then | now | better by | seconds then | now | trials then | now |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    losses = []
    for dataset in SETS:
        compared = compare_set(dataset, commit)
        if compared is None:
            lines.append(f"| {dataset.name} | {dataset.metric} | – | – | not run | – | – | – | – |")
            continue
        then, now, d = compared
        if d.high < 0:
            losses.append(dataset.name)
        cells = [f"{np.mean([one['scores'][dataset.metric] for one in results]):.6g}" for results in (then, now)]
        seconds = [f"{np.mean([one['seconds_to_model'] for one in results]):.0f}" for results in (then, now)]
        trials = [f"{np.mean([one['notes']['trials'] for one in results]):.0f}" for results in (then, now)]
        gain = f"{d.value:+.3g} ({d.low:+.3g} … {d.high:+.3g})"
        lines.append(f"| {' | '.join([dataset.name, dataset.metric, *cells, gain, *seconds, *trials])} |")
    return "\n".join([*lines, "", f"Certain losses: {', '.join(losses) or 'none'}."])


def main() -> None:
    """Write the section."""
    parser = argparse.ArgumentParser(prog="python -m peers.earlier", description=__doc__)
    parser.add_argument("commit", help="the commit whose stored results are those of then")
    write_section(PAGE, "ours-earlier", describe(parser.parse_args().commit))


if __name__ == "__main__":
    main()
