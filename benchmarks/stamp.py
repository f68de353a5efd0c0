"""What a result is stamped with: the sources that shape it, and the machine it was made on."""

import hashlib
import os
import platform
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("EPIC22_PUBLIC_DATA") or ROOT.parent / "shared" / "data").resolve()
WATCHED = ("core", "features", "services")


def source_stamp(*beside: Path, asked: object = None) -> str:
    """Digest of the product's sources that shape an outcome, of the files `beside` them, and of what was `asked`."""
    digest = hashlib.sha256(repr(asked).encode())
    for path in (*beside, *_sources(WATCHED)):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def machine() -> str:
    """The machine in words."""
    return f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"


def _sources(parts: Iterable[str]) -> list[Path]:
    return [path for part in parts for path in sorted((ROOT / "src" / "epic22" / part).rglob("*.py"))]
