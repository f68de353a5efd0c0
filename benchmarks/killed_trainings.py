"""Trainings of the sample portfolio's row features, killed (-9) in every step: what is made again, what comes of it.

    PYTHONPATH=. python benchmarks/killed_trainings.py --scratch FOLDER [--kills 10]

Each feature is trained once undisturbed, then killed so often, each time in the next of the six steps, and run again; then it is
let finish. A feature that has its result by the same sources is passed over, so that an interrupted run goes on.
benchmarks/results/killed_trainings.json and the section of docs/benchmarks.md are written.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

from page import write_section
from stamp import machine, source_stamp
from tests.killed_training import STEPS, KilledTraining, count_repetition, draw_kills

from epic22.adapters.model_store import ModelStore

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "killed_trainings.json"
FEATURES = ("tenant_churn", "risk_assessment", "predictive_maintenance")
KILLS = 10
MAX_TRIES = 3
"""On a machine that gets less busy a training may end before its moment comes; that is no kill."""
ENVIRONMENT = {"EPIC22_THREADS": "1", "OMP_NUM_THREADS": "1"}


def build_home(folder: Path) -> Path:
    """A home with the sample portfolio as its first data version."""
    home = folder / "base"
    if not (home / "lake").exists():
        for words in (("sample", "--folder", str(folder / "sample")), ("ingest", str(folder / "sample" / "tables"))):
            command = [sys.executable, "-c", "from epic22.cli.main import run; run()", *words]
            subprocess.run(command, env={**os.environ, "EPIC22_HOME": str(home)}, stdout=subprocess.DEVNULL, check=True)
    return home


def measure(feature: str, folder: Path, kills: int) -> dict[str, Any]:
    """What came of killing a feature's training so often."""
    home = folder / feature
    shutil.rmtree(home, ignore_errors=True)
    shutil.copytree(build_home(folder), home)
    training = KilledTraining((feature,), home, ENVIRONMENT)
    training.log.unlink(missing_ok=True)
    undisturbed = training.finish()
    seconds, store, steps = training.measure_steps(), ModelStore(home / "models"), list[str]()
    for step, share in draw_kills(MAX_TRIES * kills, FEATURES.index(feature)):
        hit = training.kill(step, share, seconds)
        print(f"{feature}: killed in {hit or 'no step: it had ended'}", flush=True)
        assert store.load(feature).version == store.champion(feature)
        steps += [] if hit is None else [hit]
        if len(steps) == kills:
            break
    again = training.finish()
    return {
        "machine": machine(),
        "killed_in": dict(Counter(steps)),
        "step_seconds": {step: round(seconds[step], 2) for step in STEPS},
        "repetition": {name: round(value, 3) for name, value in asdict(count_repetition(training.read_log())).items()},
        "same_hash": again["model_hash"] == undisturbed["model_hash"],
        "same_scores": [e["metrics"] for e in again["leaderboard"]] == [e["metrics"] for e in undisturbed["leaderboard"]],
        "left": sorted(path.name for path in home.iterdir() if path.name in ("fits", "checkpoints", "studies")),
    }


def describe_results(found: dict[str, Any]) -> str:
    """The section of the page."""
    rows = []
    for feature, one in found.items():
        hits, again = one["killed_in"], one["repetition"]
        rows.append(
            f"| {feature} | {sum(hits.values())} | {', '.join(f'{step} {n}' for step, n in hits.items())} | "
            f"{again['fits']} fits, {again['seconds']:.1f} s | {again['fits_again']}, {again['seconds_again']:.2f} s | "
            f"{'yes' if one['same_hash'] and one['same_scores'] else '**no**'} |"
        )
    return "\n".join(
        [
            "## Trainings that are killed",
            "",
            "`python benchmarks/killed_trainings.py`: the row features on the sample portfolio, each killed (-9) at random",
            "moments of every step, and run again after each. A fit of 0.1 s or more that was made is read when it is needed",
            "again; a shorter one is made again. `start` is before the first step.",
            "",
            "| feature | kills | killed in | fits, undisturbed and killed | of them again | same model and scores |",
            "|---|---|---|---|---|---|",
            *rows,
            "",
            f"{next(iter(found.values()))['machine']}.",
        ]
    )


def main() -> None:
    """Kill, and write it down after each feature."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--scratch", type=Path, required=True)
    parser.add_argument("--kills", type=int, default=KILLS)
    given = parser.parse_args()
    found = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    stamp = source_stamp(Path(__file__), ROOT / "tests" / "killed_training.py", asked=given.kills)
    for feature in FEATURES:
        if found.get(feature, {}).get("source") != stamp:
            found[feature] = {"source": stamp, **measure(feature, given.scratch.resolve(), given.kills)}
            RESULTS.write_text(json.dumps(found, indent=1) + "\n")
    write_section(ROOT / "docs" / "benchmarks.md", "killed_trainings", describe_results(found))
    print(describe_results(found))


if __name__ == "__main__":
    main()
