"""What a result depends on beside its inputs: the code that runs, the libraries that are installed, and the kind of machine."""

import platform
import sys
from functools import cache
from pathlib import Path

from epic22.core.lineage import sha256

PACKAGE = Path(__file__).parents[1]


@cache
def compute_environment_digest() -> bytes:
    """Equal where the same code runs with the same libraries on the same kind of machine.

    The sources' bytes are read rather than their version or times: in a checkout they change under one version, and it takes
    some 25 ms, once a process.
    """
    sources = [path.read_bytes() for path in sorted(PACKAGE.rglob("*.py"))]
    libraries = sorted({path.name for place in sys.path for path in Path(place).glob("*.dist-info")})
    machine = (platform.python_version(), platform.machine())
    return sha256(repr((machine, libraries)).encode(), *sources).encode()
