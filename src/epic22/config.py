"""Settings, read once from the environment; only bootstrap and the command line import this."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from epic22.core.errors import UserError


@dataclass(frozen=True)
class Settings:
    """Where things are kept and how many threads train.

    `home` (EPIC22_HOME, default ~/.epic22) holds models, tracking and reports. `threads` (EPIC22_THREADS, default: the
    processors there are): another number may change the last bits of a model, and so its hash. `authorised` are the ids of the
    keys that may override a refused promotion (EPIC22_AUTHORISED_KEYS: SHA-256 digests of keys, separated by commas).
    `openlineage_url` (EPIC22_OPENLINEAGE_URL) is a server that hears lineage events besides the file; none otherwise.
    """

    home: Path
    threads: int
    authorised: frozenset[str] = frozenset()
    openlineage_url: str | None = None

    @classmethod
    def read(cls, environment: Mapping[str, str] = os.environ) -> "Settings":
        """The settings of this process. Raises UserError for a value that cannot be used."""
        home = Path(environment.get("EPIC22_HOME") or Path.home() / ".epic22").expanduser().resolve()
        text = environment.get("EPIC22_THREADS") or str(os.cpu_count() or 1)
        if not text.isdigit() or not 1 <= int(text) <= 1024:
            raise UserError(f"EPIC22_THREADS is {text!r}; give a whole number from 1 to 1024.")
        keys = (environment.get("EPIC22_AUTHORISED_KEYS") or "").replace(" ", "").lower().split(",")
        odd = [key for key in keys if key and not re.fullmatch("[0-9a-f]{64}", key)]
        if odd:
            raise UserError(f"EPIC22_AUTHORISED_KEYS: {odd[0][:12]}… is no SHA-256 digest; give 64 hexadecimal digits a key.")
        url = environment.get("EPIC22_OPENLINEAGE_URL") or None
        if url is not None and not re.match(r"https?://[^/\s]", url):
            raise UserError("EPIC22_OPENLINEAGE_URL is no address; give one such as http://localhost:5000.")
        return cls(home, int(text), frozenset(key for key in keys if key), url)
