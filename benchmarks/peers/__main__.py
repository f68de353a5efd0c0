"""`make bench-peers`: every system on every split, one after another; then the comparisons and the page.

The sets are the ten public ones, or with `--folder` the tables that an index.csv in that folder names.
"""

import argparse
import fcntl
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from evidence import DATA, ROOT

from peers.collection import PUBLIC, Collection
from peers.environments import SYSTEMS, System, environments_home, java_found, python_of, system_named
from peers.folder import FolderError, read_folder
from peers.runs import Limits, Run, Store, mark_of, not_run, perform, say
from peers.sets import SETS, DataSet, set_named
from peers.table import conclude
from peers.watch import end_left_over

RESULTS = ROOT / "benchmarks" / "results"
CACHE = ROOT / "benchmarks" / "peers" / "cache"
PAGE = ROOT / "docs" / "benchmarks.md"
README = ROOT / "README.md"


@dataclass(frozen=True)
class Asked:
    """What the command line asks for. `splits` None = all; `until` a moment of the monotonic clock."""

    collection: Collection
    sets: tuple[DataSet, ...]
    systems: tuple[System, ...]
    splits: tuple[int, ...] | None
    limits: Limits
    allow_disturbed: bool
    until: float


def arguments() -> argparse.ArgumentParser:
    """The options."""
    parser = argparse.ArgumentParser(prog="python -m peers", description=__doc__)
    systems = ", ".join(one.name for one in SYSTEMS)
    parser.add_argument(
        "--folder",
        type=Path,
        default=None,
        metavar="DIR",
        help="compare on the tables of DIR/index.csv instead of the public sets",
    )
    parser.add_argument("--name", default=None, help="what the results on a folder are called; its own name by default")
    parser.add_argument(
        "--systems",
        nargs="+",
        default=[one.name for one in SYSTEMS],
        metavar="SYSTEM",
        help=f"which of {systems}; all by default",
    )
    parser.add_argument(
        "--sets", nargs="+", default=None, metavar="SET", help="which sets, or tables of the folder; all by default"
    )
    parser.add_argument("--splits", nargs="+", type=int, default=None, help="which splits, from 0; all by default")
    parser.add_argument(
        "--seconds", type=float, default=60.0, help="the limit; results of another than 60 stay in the cache, unless --keep"
    )
    parser.add_argument(
        "--cores", type=int, default=2, help="cores a run may use; results of another number than 2 stay in the cache, too"
    )
    parser.add_argument(
        "--keep", action="store_true", help="keep results of other limits as well: in a folder and a section of their own"
    )
    parser.add_argument("--minutes", type=float, default=None, help="start no further run after so long")
    parser.add_argument("--allow-disturbed", action="store_true", help="keep runs that other processes disturbed")
    parser.add_argument("--cache", type=Path, default=CACHE, help="where splits and scratch folders are")
    parser.add_argument("--table", action="store_true", help="run nothing; compare and write the page from what is there")
    return parser


def main(line: list[str] | None = None) -> int:
    """Run what is left to run; 1 where something is.

    Raises SystemExit with a sentence where the command line or the folder is at fault.
    """
    said = arguments().parse_args(line)
    try:
        asked = read_request(said)
    except ValueError as error:
        raise SystemExit(f"peers: {error}") from None
    collection, limits = asked.collection, asked.limits
    for sentence in collection.refused:
        say(f"Not compared: {sentence}")
    kept = limits == Limits() or said.keep
    label = collection.label(limits)
    store = Store(RESULTS / label if kept else said.cache / f"trial-{label}")
    left = 0
    if not said.table:
        with alone(said.cache):
            left = run_all(asked, store, said.cache)
    pages = (PAGE if kept else store.folder / "page.md", README if label == PUBLIC else None)
    conclude(collection, store, said.cache, limits, *pages)
    return 1 if left else 0


def read_request(said: argparse.Namespace) -> Asked:
    """The command line, its folder read and its names looked up.

    Raises ValueError with a sentence.
    """
    if said.folder is None and said.name is not None:
        raise FolderError("--name names the results on a folder: give the folder by --folder.")
    if said.seconds <= 0 or said.cores < 1:
        raise ValueError("a run needs more than 0 seconds and at least 1 core.")
    collection = public_sets() if said.folder is None else read_folder(said.folder, said.name)
    return Asked(
        collection,
        collection.sets if said.sets is None else tuple(set_named(name, collection.sets) for name in said.sets),
        tuple(system_named(name) for name in said.systems),
        None if said.splits is None else tuple(said.splits),
        Limits(said.seconds, said.cores),
        said.allow_disturbed,
        float("inf") if said.minutes is None else time.monotonic() + 60 * said.minutes,
    )


def public_sets() -> Collection:
    """The ten sets below the public data."""
    return Collection(PUBLIC, "Peers", "", DATA, SETS)


@contextmanager
def alone(cache: Path) -> Iterator[None]:
    """Nobody else runs with this cache meanwhile; what a killed caller left running is ended."""
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SystemExit(f"another benchmark runs with the cache {cache}; wait for it.") from None
        ended = end_left_over(mark_of(cache))
        if ended:
            say(f"{ended} processes of an earlier call ended.")
        shutil.rmtree(cache / "scratch", ignore_errors=True)
        yield


def run_all(asked: Asked, store: Store, cache: Path) -> int:
    """Run what is not done, split by split so that all systems of a split run close in time; gives how many runs are left."""
    runs = [run for dataset in asked.sets for run in planned(dataset, asked, cache)]
    due = [run for run in runs if not store.is_done(run, asked.allow_disturbed)]
    say(f"{len(runs)} runs, {len(runs) - len(due)} of them kept.")
    pythons: dict[str, Path | str] = {}
    for number, run in enumerate(due):
        if time.monotonic() >= asked.until:
            say(f"The time is over: {len(due) - number} runs are left.")
            break
        if run.system.name not in pythons:
            pythons[run.system.name] = _ready(run.system)
        python = pythons[run.system.name]
        if isinstance(python, str):
            store.keep(run, not_run(run, python), None)
            say(f"{run.name}: not run: {python}")
            continue
        result, predictions = perform(run, python, cache)
        store.keep(run, result, predictions)
        shown = result["message"] or f"{run.dataset.metric} {result['scores'][run.dataset.metric]:.4f}"
        others = "" if result["others_cpu_share"] is None else f", others {result['others_cpu_share']:.0%}"
        say(f"{run.name}: {result['status']}, {shown}, model after {result['seconds_to_model']} s{others}")
    return sum(not store.is_done(run, asked.allow_disturbed) for run in due)


def planned(dataset: DataSet, asked: Asked, cache: Path) -> Iterator[Run]:
    """The runs on one set."""
    data = asked.collection.data
    if not (data / dataset.file).exists():
        say(f"{dataset.name}: no file {dataset.file} below {data}; not run.")
        return
    for split in asked.collection.splits(dataset, cache):
        if asked.splits is None or split.number in asked.splits:
            for system in asked.systems:
                yield Run(dataset, split, system, asked.limits)


def _ready(system: System) -> Path | str:
    """The system's Python, or why it cannot run here."""
    if system.needs_java and not java_found():
        return "no Java runtime"
    try:
        return python_of(system, environments_home())
    except subprocess.CalledProcessError as error:
        return f"its environment cannot be made (exit status {error.returncode})"


if __name__ == "__main__":
    sys.exit(main())
