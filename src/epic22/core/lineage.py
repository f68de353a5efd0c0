"""Ids of data, code and models: frozen records and the hashes they are made of."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


def canonical_json(value: object) -> bytes:
    """The one JSON text of a value: sorted keys, no spaces, UTF-8, NaN refused.

    >>> canonical_json({"b": 1, "a": [1.5, None]})
    b'{"a":[1.5,null],"b":1}'
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    return text.encode()


def sha256(*parts: bytes) -> str:
    """Hex SHA-256 over the parts, each preceded by its length so that no two splits collide.

    >>> sha256(b"ab", b"c") == sha256(b"a", b"bc")
    False
    """
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.hexdigest()


def file_sha256(path: Path) -> str:
    """Hex SHA-256 of a file's bytes, read in pieces."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@dataclass(frozen=True)
class DataVersion:
    """Which bytes a model learned from, and what each column was taken for.

    For flat files `id` is the SHA-256 of the files' bytes and of the roles; `sources` are (path, sha256 of its bytes).
    """

    id: str
    sources: tuple[tuple[str, str], ...]

    @classmethod
    def of_files(cls, sources: Iterable[tuple[str, str]], roles: Mapping[str, Any]) -> "DataVersion":
        """The version of some files read under these roles; names and places of the files do not count."""
        listed = tuple(sources)
        return cls(sha256(*(digest.encode() for _, digest in listed), canonical_json(roles)), listed)


@dataclass(frozen=True)
class ModelVersion:
    """A registered model: `version` counts up within its task, `model_hash` says what it is."""

    task: str
    version: str
    family: str
    model_hash: str
    data_version: str
    status: str
    made_at: str
    """`status` is "proven" (beats the constant, interval above zero) or "provisional"; `made_at` is ISO 8601, UTC."""
