"""Fits of trainings that are not done: a file each in a folder of EPIC22_HOME, named by the hash of all that decides it.

A file is the SHA-256 of what follows, and NumPy's archive of it, read without pickle. It is written aside and renamed. It is not
synced: after a kill the system still has it, and after a power cut a file that is not whole is seen by its hash and made again.
"""

import hashlib
import io
import json
import logging
import os
import uuid
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epic22.adapters.abandoned import remove_abandoned
from epic22.core.environment import compute_environment_digest
from epic22.core.fit_store import StoredFit, use_fit_store
from epic22.core.lineage import canonical_json, sha256

LOG = logging.getLogger(__name__)
FITS = "fits"
"""The folder's name below EPIC22_HOME."""
FORMAT = 1
SUFFIX = ".fit"
MAX_BYTES = 4 * 10**9
"""What all fits may take together before none is kept any more."""
DIGEST_BYTES = 32


class FitFiles:
    """The fits in a folder. Those that were there when it was opened are read; `used` are those read or written since."""

    def __init__(self, folder: Path, max_bytes: int = MAX_BYTES) -> None:
        """Look what is there; nothing is made before a first fit is kept."""
        sizes = dict[str, int]()
        for path in folder.glob(f"[!.]*{SUFFIX}"):
            with suppress(OSError):  # another training is done, and removes its own
                sizes[path.stem] = path.stat().st_size
        self._folder, self._room, self._present = folder, max_bytes - sum(sizes.values()), frozenset(sizes)
        self.used, self.n_read, self._deferred = set[str](), 0, list[Callable[[], None]]()

    @cached_property
    def environment(self) -> bytes:
        """A hash of the package's own sources, the libraries that are installed, the kind of machine, and the form of a file."""
        return sha256(repr(FORMAT).encode(), compute_environment_digest()).encode()

    @property
    def has_fits(self) -> bool:
        """Whether a training before left anything."""
        return bool(self._present)

    def read(self, digest: str) -> StoredFit | None:
        """What a training before kept under that digest; what is damaged is logged and removed."""
        if digest not in self._present:
            return None
        path = self._folder / (digest + SUFFIX)
        try:
            fit = parse_fit(path.read_bytes())
        except FileNotFoundError:  # another training of the same is done, and removed it
            return None
        except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
            LOG.warning("%s is not used, the fit is made again: %s", path.name, error)
            with suppress(OSError):
                path.unlink()
            return None
        self.used.add(digest)
        self.n_read += 1
        return fit

    def write(self, digest: str, fit: StoredFit) -> None:
        """Keep a fit where there is room; a disk that refuses is logged, and the training goes on without."""
        content = serialise_fit(fit)
        if len(content) > self._room:
            return
        aside = self._folder / f".{uuid.uuid4().hex}"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            aside.write_bytes(content)
            os.replace(aside, self._folder / (digest + SUFFIX))
        except OSError as error:
            LOG.warning("no more fits of this training are kept: %s", error)
            self._room = 0
            with suppress(OSError):
                aside.unlink(missing_ok=True)
            return
        self._room -= len(content)
        self.used.add(digest)

    def defer(self, act: Callable[[], None]) -> None:
        """Act when the fits that were used are removed."""
        self._deferred.append(act)

    def remove_used(self) -> None:
        """Remove the fits that were read or written, and the folder where nothing else is in it; then do what was deferred."""
        with suppress(OSError):  # another training removes its own, or keeps its own
            for digest in self.used:
                (self._folder / (digest + SUFFIX)).unlink(missing_ok=True)
            self._folder.rmdir()
        for act in self._deferred:
            act()


@contextmanager
def open_fit_files(folder: Path) -> Iterator[FitFiles]:
    """Have fits within kept in this folder until all that lies within ends well; where it does not, they stay."""
    remove_abandoned(folder)
    files = FitFiles(folder)
    with use_fit_store(files):
        yield files
    files.remove_used()


def serialise_fit(fit: StoredFit) -> bytes:
    """A fit's bytes, behind their SHA-256."""
    files = {f"file/{name}": np.frombuffer(content, dtype=np.uint8) for name, content in fit.files.items()}
    arrays: dict[str, NDArray[Any]] = {f"array/{name}": array for name, array in fit.arrays.items()}
    stream = io.BytesIO()
    np.savez(stream, allow_pickle=False, facts=np.frombuffer(canonical_json(fit.facts), dtype=np.uint8), **files, **arrays)
    content = stream.getvalue()
    return hashlib.sha256(content).digest() + content


def parse_fit(content: bytes) -> StoredFit:
    """The fit that was written as these bytes. Raises ValueError where they are not what was written."""
    digest, archive = content[:DIGEST_BYTES], content[DIGEST_BYTES:]
    if hashlib.sha256(archive).digest() != digest:
        raise ValueError("its content is not what was written")
    files: dict[str, bytes] = {}
    arrays: dict[str, NDArray[Any]] = {}
    with np.load(io.BytesIO(archive), allow_pickle=False) as stored:
        for key in stored.files:
            kind, _, name = key.partition("/")
            if kind == "file":
                files[name] = stored[key].tobytes()
            elif kind == "array":
                arrays[name] = stored[key]
        return StoredFit(files, arrays, json.loads(stored["facts"].tobytes()))
