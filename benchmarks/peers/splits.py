"""Each set's training and test files, written once: the test file has no label, the truth lies apart.

Rows are dealt by class; copies of a row (equal in all inputs) stay on one side, as in the product's own folds. Where a set has a
time, its last part is the test.
"""

import hashlib
import json
import shutil
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from peers.sets import DataSet

Array = NDArray[Any]
FOLDS = 5
"""One of so many is the test part."""
SOURCE = b"".join((Path(__file__).parent / name).read_bytes() for name in ("sets.py", "splits.py", "folder.py"))
"""What runs, read on import: the files may be edited while hours of runs go on."""


@dataclass(frozen=True)
class Split:
    """One split of a set. `train` has the label, `test` has not; `truth` has columns [label, cluster] in `test`'s order.

    `digest` is of all values, names and types: equal for equal splits, on any machine.
    """

    set: str
    number: int
    train: Path
    test: Path
    truth: Path
    digest: str
    n_train: int
    n_test: int
    inputs: tuple[str, ...]


def splits_of(dataset: DataSet, data: Path, cache: Path) -> tuple[Split, ...]:
    """The set's splits, from the cache where the file and the way it is read have not changed since."""
    folder = cache / "splits" / dataset.name
    made_of = _made_of(dataset, data)
    index = folder / "splits.json"
    if index.exists():
        stored = json.loads(index.read_text())
        if stored["made_of"] == made_of:
            return tuple(_read(folder, one) for one in stored["splits"])
    shutil.rmtree(folder, ignore_errors=True)
    splits = write_splits(dataset, dataset.frame(data), folder)
    told = [asdict(one) | {name: getattr(one, name).name for name in ("train", "test", "truth")} for one in splits]
    index.write_text(json.dumps({"made_of": made_of, "splits": told}, indent=1))
    return splits


def _read(folder: Path, stored: dict[str, Any]) -> Split:
    files = {name: folder / stored[name] for name in ("train", "test", "truth")}
    return Split(**stored | files | {"inputs": tuple(stored["inputs"])})


def _made_of(dataset: DataSet, data: Path) -> str:
    return hashlib.sha256((data / dataset.file).read_bytes() + SOURCE + dataset.read_by.encode()).hexdigest()


def write_splits(dataset: DataSet, frame: pl.DataFrame, folder: Path) -> tuple[Split, ...]:
    """Write the set's splits below a folder.

    Raises ValueError where a side would be empty.
    """
    folder.mkdir(parents=True, exist_ok=True)
    inputs = dataset.inputs(frame)
    copies = copy_codes(frame.select(inputs))
    return tuple(_write(dataset, frame, inputs, copies, number, folder) for number in range(dataset.repeats))


def copy_codes(frame: pl.DataFrame) -> Array:
    """A code (n,) that is equal for rows equal in every column, numbered by first occurrence."""
    numbered = frame.with_row_index("_row")
    together = numbered.group_by(frame.columns, maintain_order=True).agg("_row").with_row_index("_code")
    return together.select("_code", "_row").explode("_row").sort("_row")["_code"].to_numpy()


def _write(dataset: DataSet, frame: pl.DataFrame, inputs: list[str], copies: Array, number: int, folder: Path) -> Split:
    test = _tested(dataset, frame, copies, number)
    if not test.any() or test.all():
        raise ValueError(f"set {dataset.name}: {int(test.sum())} of {len(test)} rows would be tested; check its holdout.")
    clusters = pl.Series("cluster", _clusters(dataset, frame, copies))
    truth = pl.DataFrame({"label": frame[dataset.label].cast(pl.Float64), "cluster": clusters})
    parts = {
        "train": frame.filter(~test),
        "test": frame.drop(dataset.label).filter(test),
        "truth": truth.filter(test),
    }
    paths = {name: folder / f"{number}-{name}.parquet" for name in parts}
    for name, part in parts.items():
        part.write_parquet(paths[name])
    digest = digest_of(parts.values())
    return Split(dataset.name, number, **paths, digest=digest, n_train=parts["train"].height, n_test=parts["test"].height,
                 inputs=tuple(inputs))  # fmt: skip


def _tested(dataset: DataSet, frame: pl.DataFrame, copies: Array, number: int) -> Array:
    if dataset.holdout is not None and dataset.time is not None:
        return (frame[dataset.time] >= dataset.holdout).to_numpy()
    return dealt(frame[dataset.label].to_numpy(), copies, dataset.kind == "binary", number)


def dealt(y: Array, copies: Array, by_class: bool, seed: int) -> Array:
    """Which rows (n,) are tested: a fifth of the distinct rows, of each class alike."""
    distinct = int(copies.max()) + 1
    strata = np.zeros(distinct, dtype=np.int64)
    if by_class:
        share = np.bincount(copies, weights=y, minlength=distinct) / np.bincount(copies, minlength=distinct)
        strata = (share > 0.5).astype(np.int64)
    shuffled = np.random.default_rng(seed).permutation(distinct)
    shuffled = shuffled[np.argsort(strata[shuffled], kind="stable")]
    tested = np.zeros(distinct, dtype=bool)
    tested[shuffled[::FOLDS]] = True
    return tested[copies]


def _clusters(dataset: DataSet, frame: pl.DataFrame, copies: Array) -> Array:
    """What is drawn together, as codes (n,)."""
    if dataset.cluster is None:
        return copies
    by = pl.col(dataset.group or "") if dataset.cluster == "group" else pl.col(dataset.time or "").dt.truncate("1d")
    return copy_codes(frame.select(by))


def digest_of(frames: Iterable[pl.DataFrame]) -> str:
    """A digest of names, types and values."""
    digest = hashlib.sha256()
    for frame in frames:
        digest.update(json.dumps([[name, str(dtype)] for name, dtype in frame.schema.items()]).encode())
        digest.update(frame.write_csv().encode())
    return digest.hexdigest()[:16]
