"""Where two documents differ."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

HASH = re.compile(r"\b(?:[0-9a-f]{32,64}|(?=[0-9a-f]*[a-f])(?=[0-9a-f]*\d)[0-9a-f]{8,31})\b")
NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e[-+]?\d+)?")
TOLERANCE = 1e-9
MOST_LISTED, DIGITS = 20, 12
REPEATED = re.compile(r"(^|/)(report\.html|explanation\.json)$|^(receipts|lineage)/|^(tracking|explanation)$")
"""What says again what stands elsewhere in a document, or is long; the comparison of two trees has all of it."""


@dataclass(frozen=True)
class Difference:
    """A place, and what stands there in either document."""

    path: str
    recorded: Any
    computed: Any

    def __str__(self) -> str:
        return f"{self.path}\n    recorded: {_short(self.recorded)}\n    computed: {_short(self.computed)}"


def without_hashes(value: Any) -> Any:
    """The document without hashes and without the sizes of files, which differ from machine to machine."""
    if isinstance(value, dict):
        return {HASH.sub("<hash>", key): without_hashes(inner) for key, inner in value.items() if key != "bytes"}
    if isinstance(value, list):
        return [without_hashes(inner) for inner in value]
    return HASH.sub("<hash>", value) if isinstance(value, str) else value


def committed(document: Any) -> Any:
    """What is kept of a document in the repository: no hashes, no repetition, the first entries of long lists, 12 digits."""
    return _thinned(without_hashes(document))


def _thinned(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _thinned(inner) for key, inner in value.items() if not _repeats(key, value)}
    if isinstance(value, list):
        short = value[:MOST_LISTED] if value and isinstance(value[0], dict) else value
        return [_thinned(inner) for inner in short]
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}")
    return value


def _repeats(key: str, among: dict[str, Any]) -> bool:
    """Whether a key is of the files, or of the answers of HTTP, and says again what stands elsewhere."""
    return REPEATED.search(key) is not None and (key != "explanation" or "openapi" in among)


def differences(recorded: Any, computed: Any, tolerance: float = 0.0, path: str = "") -> Iterator[Difference]:
    """Every place where the documents differ by more than the tolerance, relative or absolute; 0 means to the bit."""
    if isinstance(recorded, dict) and isinstance(computed, dict):
        for key in sorted({*recorded, *computed}):
            if key not in recorded or key not in computed:
                yield Difference(f"{path}/{key}", recorded.get(key, "(absent)"), computed.get(key, "(absent)"))
            else:
                yield from differences(recorded[key], computed[key], tolerance, f"{path}/{key}")
    elif isinstance(recorded, list) and isinstance(computed, list):
        if len(recorded) != len(computed):
            yield Difference(f"{path} (length)", len(recorded), len(computed))
        for place, (a, b) in enumerate(zip(recorded, computed, strict=False)):
            yield from differences(a, b, tolerance, f"{path}/{place}")
    elif not _same(recorded, computed, tolerance):
        yield Difference(path, recorded, computed)


def _same(a: Any, b: Any, tolerance: float) -> bool:
    if isinstance(a, str) and isinstance(b, str):
        return a == b or (tolerance > 0 and _same_text(a, b, tolerance))
    if isinstance(a, bool) or isinstance(b, bool) or not (isinstance(a, int | float) and isinstance(b, int | float)):
        return bool(type(a) is type(b) and a == b)
    return a == b or (a != a and b != b) or abs(a - b) <= tolerance * max(1.0, abs(a), abs(b))


def _same_text(a: str, b: str, tolerance: float) -> bool:
    """Texts that differ in no more than the last digits of their numbers."""
    if NUMBER.sub("#", a) != NUMBER.sub("#", b):
        return False
    pairs = zip(NUMBER.findall(a), NUMBER.findall(b), strict=True)
    return all(_same(float(x), float(y), tolerance) for x, y in pairs)


def _short(value: Any, most: int = 300) -> str:
    text = repr(value)
    return text if len(text) <= most else f"{text[:most]} …"
