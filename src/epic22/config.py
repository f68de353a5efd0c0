"""Settings, read once from the environment; only bootstrap and the command line import this."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from epic22.core.address import split_address
from epic22.core.errors import UserError
from epic22.core.job import ATTEMPT_SETTING, AttemptId
from epic22.core.machine import read_limits

ONNX_PROVIDERS = ("cpu", "coreml", "auto")


@dataclass(frozen=True)
class Settings:
    """Where things are kept and how many threads train.

    `home` (EPIC22_HOME, default ~/.epic22) holds models, tracking and reports. `threads` (EPIC22_THREADS, default: the
    processors there are): another number may change the last bits of a model, and so its hash. `authorised` are the ids of the
    keys that may override a refused promotion (EPIC22_AUTHORISED_KEYS: SHA-256 digests of keys, separated by commas).
    `openlineage_url` (EPIC22_OPENLINEAGE_URL) is a server that hears lineage events besides the file; none otherwise.
    `memory_cap` (EPIC22_MEMORY_CAP, such as 4GB; default: half of the machine's memory) in bytes: a table that would take more to
    train on is read a batch at a time. `database_url` (EPIC22_DATABASE_URL) is a PostgreSQL database, or an SQLite file, that
    keeps the versions of data and models, champions, decisions and receipts, and a server the studies of searches and MLflow's
    runs too; files below `home` otherwise. It may hold a password, so it is never shown. `artifacts` (EPIC22_ARTIFACTS) is where
    the files that belong to it are, models and tables: a folder on a disk that all its machines share, or s3://bucket/folder; a
    folder below `home` otherwise. `onnx_provider` (EPIC22_ONNX_PROVIDER: cpu, coreml or auto; default cpu) is what computes
    networks that serve, where it answers as the processor does. `redis_url` (EPIC22_REDIS_URL) is a Redis server that several
    processes share for what is embedded otherwise; it may hold a password, so it is never shown. `event_keys`
    (EPIC22_EVENT_KEYS) are those that may send events to the API, as `authorised` are given. `attempt` (EPIC22_ATTEMPT) is set by
    a worker for the process that carries a job out.
    """

    home: Path
    threads: int
    authorised: frozenset[str] = frozenset()
    openlineage_url: str | None = None
    memory_cap: int = 1 << 62
    database_url: str | None = field(default=None, repr=False)
    onnx_provider: str = "cpu"
    artifacts: str | None = None
    redis_url: str | None = field(default=None, repr=False)
    event_keys: frozenset[str] = frozenset()
    attempt: AttemptId | None = None

    @classmethod
    def read(cls, environment: Mapping[str, str] = os.environ) -> "Settings":
        """The settings of this process. Raises UserError for a value that cannot be used."""
        home = _read_home(environment.get("EPIC22_HOME"))
        _refuse_file(home)
        text = environment.get("EPIC22_THREADS") or str(os.cpu_count() or 1)
        if not re.fullmatch(r"[0-9]{1,4}", text) or not 1 <= int(text) <= 1024:
            raise UserError(f"EPIC22_THREADS is {text!r}; give a whole number from 1 to 1024.")
        keys = _read_digests(environment, "EPIC22_AUTHORISED_KEYS")
        event_keys = _read_digests(environment, "EPIC22_EVENT_KEYS")
        url = environment.get("EPIC22_OPENLINEAGE_URL") or None
        if url is not None and not re.match(r"https?://[^/\s]", url):
            raise UserError("EPIC22_OPENLINEAGE_URL is no address; give one such as http://localhost:5000.")
        cap = parse_memory(environment.get("EPIC22_MEMORY_CAP") or "50%", "EPIC22_MEMORY_CAP")
        database = environment.get("EPIC22_DATABASE_URL") or None
        if database is not None:
            check_database_url(database, "EPIC22_DATABASE_URL")
        provider = environment.get("EPIC22_ONNX_PROVIDER") or "cpu"
        if provider not in ONNX_PROVIDERS:
            raise UserError(f"EPIC22_ONNX_PROVIDER is {provider!r}; give {', '.join(ONNX_PROVIDERS)}.")
        artifacts = _read_artifacts(environment.get("EPIC22_ARTIFACTS") or None, database)
        redis = environment.get("EPIC22_REDIS_URL") or None
        if redis is not None:
            check_redis_url(redis, "EPIC22_REDIS_URL")
        attempt = environment.get(ATTEMPT_SETTING) or None
        fenced = None if attempt is None else AttemptId.parse(attempt)
        return cls(home, int(text), keys, url, cap, database, provider, artifacts, redis, event_keys, fenced)

    def embed(self, home: Path) -> "Settings":
        """These settings with everything in the files of that home, and nothing where other machines look."""
        return replace(self, home=home, database_url=None, artifacts=None, redis_url=None)


def _refuse_file(home: Path) -> None:
    """Raise UserError for a home that is a file, or would be below one: it would look like an empty home."""
    place = next(one for one in (home, *home.parents) if os.path.exists(one))
    if not place.is_dir():
        raise UserError(f"EPIC22_HOME is {home}, and {place} is a file; name a folder, or move the file away.")


def _read_digests(environment: Mapping[str, str], name: str) -> frozenset[str]:
    """The SHA-256 digests in a variable, separated by commas. Raises UserError for what is none."""
    keys = (environment.get(name) or "").replace(" ", "").lower().split(",")
    odd = [key for key in keys if key and not re.fullmatch("[0-9a-f]{64}", key)]
    if odd:
        raise UserError(f"{name}: {odd[0][:12]}… is no SHA-256 digest; give 64 hexadecimal digits a key.")
    return frozenset(key for key in keys if key)


def _read_artifacts(text: str | None, database: str | None) -> str | None:
    if text is not None and database is None:
        raise UserError("EPIC22_ARTIFACTS without EPIC22_DATABASE_URL: only a database says what its files belong to; set both.")
    return read_artifacts(text, "EPIC22_ARTIFACTS")


def read_artifacts(text: str | None, option: str) -> str | None:
    """The place of shared files: an address of object storage as it is, a folder's path made absolute. Raises UserError."""
    if text is None or re.fullmatch(r"s3://[^/?#\s]+(/[^?#\s]*)?", text):
        return None if text is None else text.rstrip("/")
    if "://" in text:
        raise UserError(
            f"{option}: {text.partition('://')[0]}:// is not known; give s3://bucket/folder, or the path of a folder."
        )
    return str(Path(text).expanduser().resolve())


def read_source_address(text: str, environment: Mapping[str, str] = os.environ) -> str:
    """The address that `--source` gives, as it is or by env:NAME. Raises UserError where that variable is unset."""
    name = text.removeprefix("env:")
    if name == text:
        return text
    if not environment.get(name):
        raise UserError(f"--source env:{name}: no environment variable of that name is set; export it with the address.")
    return environment[name]


def _read_home(text: str | None) -> Path:
    """The folder that EPIC22_HOME names. Raises UserError for one that would be another than is meant."""
    if not text:
        return (Path.home() / ".epic22").resolve()
    if text != text.strip():
        raise UserError(f"EPIC22_HOME is {text!r}, with a blank at an end, which would be another folder; take it out.")
    try:
        return Path(text).expanduser().resolve()
    except RuntimeError:
        raise UserError(f"EPIC22_HOME is {text!r}: no user of that name has a home here; name the folder.") from None


def check_database_url(url: str, option: str) -> None:
    """Raise UserError, which never shows the url, where it names neither a PostgreSQL database nor an SQLite file."""
    if not _is_database(url):
        example = "postgresql://user@localhost/epic22 or sqlite:////srv/epic22/metadata.sqlite"
        raise UserError(f"{option} is no address of a database; give one such as {example} (an @ in a password is %40).")


def _is_database(url: str) -> bool:
    if url.startswith("sqlite:"):
        return re.fullmatch(r"sqlite:////[^?#]+[^/?#]", url) is not None
    try:
        port = urlsplit(url).port
    except ValueError:
        return False
    address = split_address(url)
    # A second @, or a /, is a password's: who splits at the first one would take the rest of it for the machine, and show it.
    has_plain_user = re.search(r"[\s/@]", address.user_info or "") is None
    is_place = re.fullmatch(r"[^\s/@]*/[^/?\s]+(\?\S*)?", address.rest) is not None
    return port != 0 and address.scheme in ("postgres://", "postgresql://") and has_plain_user and is_place


NUMBER, SECONDS, CHOICE = r"\d{1,9}", r"\d{1,9}(\.\d{1,9})?", "(?i:true|false|yes|no|1|0)"
REDIS_OPTIONS = {
    "client_name": r"[!-~]+",
    "db": r"\d{1,5}",
    "health_check_interval": NUMBER,
    "lib_name": r"[!-~]+",
    "lib_version": r"[!-~]+",
    "max_connections": NUMBER,
    "password": ".*",
    "retry_on_timeout": CHOICE,
    "socket_connect_timeout": SECONDS,
    "socket_keepalive": CHOICE,
    "socket_read_size": NUMBER,
    "socket_timeout": SECONDS,
    "username": ".*",
}
TLS_OPTIONS = {
    "ssl_ca_certs": ".+",
    "ssl_ca_data": "(?s:.+)",
    "ssl_ca_path": ".+",
    "ssl_cert_reqs": "none|optional|required",
    "ssl_certfile": ".+",
    "ssl_check_hostname": CHOICE,
    "ssl_ciphers": ".+",
    "ssl_exclude_verify_flags": ".+",
    "ssl_include_verify_flags": ".+",
    "ssl_keyfile": ".+",
    "ssl_min_version": NUMBER,
    "ssl_password": ".+",
}
"""What may stand behind the ? of an address of Redis, and the form of its value. The library has others that it cannot read from
an address, or by which it would answer in another form than is read here."""


def check_redis_url(url: str, option: str) -> None:
    """Raise UserError, which never shows the url, where it does not name a Redis server, or has an option that is not known."""
    if not _is_redis(url):
        example = "redis://localhost:6379/0, rediss://user:password@host:6380/0 or unix:///run/redis.sock"
        raise UserError(f"{option} is no address of a Redis server; give one such as {example}.")
    known = REDIS_OPTIONS | (TLS_OPTIONS if url.startswith("rediss:") else {})
    options = parse_qsl(urlsplit(url).query, keep_blank_values=True)
    if not all(re.fullmatch(known.get(name, "(?!)"), value) for name, value in options) or not _is_accepted_by_library(url):
        # Its name is not shown: behind the ? may stand a password that has one.
        raise UserError(
            f"{option}: the address has an option behind its ? that is not known, or a value that its option does not take; "
            f"the options are {', '.join(known)} (a ? in a password is %3F)."
        )


def _is_accepted_by_library(url: str) -> bool:
    """Whether the library makes a connection of the address, without using it; True where it is not installed, which is said once
    it is needed."""
    if find_spec("redis") is None:
        return True
    from redis import ConnectionPool
    from redis.exceptions import RedisError

    try:
        ConnectionPool.from_url(url).make_connection()
    except (RedisError, TypeError, ValueError, OSError):
        return False
    return True


def _is_redis(url: str) -> bool:
    try:
        parts = urlsplit(url)
        port = parts.port
        unquote(parts.hostname or "").encode("idna")
    except ValueError:
        return False
    return port != 0 and re.fullmatch(r"rediss?://[^\s/?#]+(/\d{0,5})?(\?\S*)?|unix://(\S*@)?/[^\s?#]+(\?\S*)?", url) is not None


UNITS = {"": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12, "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30}


def parse_memory(text: str, option: str) -> int:
    """An amount of memory in bytes: 4GB, 512 MiB, a plain number, or a share of the machine's such as 50%. Raises UserError.

    >>> parse_memory("4GB", "--memory-cap")
    4000000000
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(%|[a-z]*)\s*", text.lower())
    unit = None if match is None else match[2]
    refusal = f"{option} is {text[:40]!r}; give an amount of memory such as 4GB or 512MiB, or a share such as 50%."
    if match is None or unit not in (*UNITS, "%"):
        raise UserError(refusal)
    amount = float(match[1]) * (read_machine_memory() / 100 if unit == "%" else UNITS[str(unit)])
    if not 1 <= amount < 2**63:
        raise UserError(refusal)
    return int(amount)


def read_machine_memory() -> int:
    """The bytes of memory that this machine has, or the container lets it have."""
    try:
        whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        whole = 8 << 30
    return min(whole, read_limits().memory or whole)
