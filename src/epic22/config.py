"""Settings, read once from the environment; only bootstrap and the command line import this."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from epic22.core.errors import UserError


@dataclass(frozen=True)
class Settings:
    """Where things are kept and how many threads train.

    `home` (EPIC22_HOME, default ~/.epic22) holds models, tracking and reports. `threads` (EPIC22_THREADS, default: the
    processors there are): another number may change the last bits of a model, and so its hash.
    """

    home: Path
    threads: int

    @classmethod
    def read(cls, environment: Mapping[str, str] = os.environ) -> "Settings":
        """The settings of this process. Raises UserError for a value that cannot be used."""
        home = Path(environment.get("EPIC22_HOME") or Path.home() / ".epic22").expanduser().resolve()
        text = environment.get("EPIC22_THREADS") or str(os.cpu_count() or 1)
        if not text.isdigit() or not 1 <= int(text) <= 1024:
            raise UserError(f"EPIC22_THREADS is {text!r}; give a whole number from 1 to 1024.")
        return cls(home, int(text))
