"""What goes wrong with a database, in one sentence that never tells its address."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import unquote, urlsplit

from epic22.adapters.sources.base import SourceAddress
from epic22.core.errors import SourceError

FAULTS = (
    ("28", "the server refuses the user or the password; look at the address that --source gives"),
    ("3D000", "the server has no database of that name for this user; look at the address that --source gives"),
    (
        "57014",
        "the query was stopped at its time-out; give it more by 'timeout:' in the mapping, or ask for less",
    ),
    ("57P", "the server was shut down in the middle; run this again when it is back"),
    ("08", "the connection broke off in the middle; run this again"),
    ("53300", "the server has no connection left; run this again later"),
    ("25006", "the query would change the database; expected one SELECT"),
)
"""SQLSTATE, or how it begins, and what that means."""
MYSQL_STATES: Mapping[int, str] = {1040: "53300", 1044: "3D000", 1049: "3D000", 1053: "57P01", 1969: "57014", 3024: "57014"}
"""The SQLSTATE of others for numbers of MySQL and MariaDB that have a general one there: no connection left, a database that is
not there or not the user's, a shutdown, the end of a time limit."""
UNREACHABLE = (
    (r"refused|no such file or directory", "nothing answers at the address that --source gives; see that its server runs"),
    (r"timeout|timed out", "the server does not answer in time; is the address that --source gives right?"),
    (r"resolve|not known|no address", "no machine of the name in the address that --source gives is known"),
    (r"starting up|shutting down", "the server is starting or shutting down; run this again in a moment"),
    (r"closed|terminat|eof|reset|lost|broken pipe|gone away", "the connection broke off in the middle; run this again"),
    (r"password|authentication|access denied", FAULTS[0][1]),
    (r"unknown database|database .* does not exist", FAULTS[1][1]),
    (r"unable to open database file", "no file with a database can be opened there; look at the address that --source gives"),
    (r"not a database", "the file is no SQLite database; look at the address that --source gives"),
    (r"interrupted|max_statement_time|maximum statement execution", FAULTS[2][1]),
    (r"ssl", "no encrypted connection comes about; look at sslmode in the address that --source gives"),
)
"""What the words of a message without a SQLSTATE mean."""


def describe_fault(state: str | None, message: str, address: SourceAddress) -> str:
    """What a database said, in our words where it may name the address, else in its own without what stands in the address."""
    for begin, words in FAULTS:
        if state is not None and state.startswith(begin):
            return words
    if state is None:
        for pattern, words in UNREACHABLE:
            if re.search(pattern, message, re.IGNORECASE):
                return words
    reason = hide_address(message.strip().partition("\n")[0], address) or "no reason is given"
    return f"the database refuses the query: {reason}; mend the query in the mapping file, or leave its table out"


def hide_address(message: str, address: SourceAddress) -> str:
    """A message without the user, password, host, database and options of an address.

    >>> hide_address('no schema "erp" for ann', SourceAddress("postgresql://ann:x1@db/erp"))
    'no schema "…" for …'
    """
    try:
        parts = urlsplit(address.url)
        host = parts.hostname
    except ValueError:
        return "the address that --source gives is none"
    values = [value.partition("=")[2] for value in parts.query.split("&")]
    names = {parts.username, parts.password, host, parts.path.strip("/"), *parts.path.split("/"), *values} - {None, ""}
    for name in sorted({unquote(str(name)) for name in names}, key=len, reverse=True):
        message = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", "…", message)
    return message


@contextmanager
def explain_faults(address: SourceAddress, *kinds: type[Exception]) -> Iterator[None]:
    """Raises SourceError for an error of the driver's classes inside."""
    try:
        yield
    except kinds as error:
        cause = getattr(error, "orig", None) or error
        number = cause.args[0] if cause.args else None
        state = MYSQL_STATES.get(number, None) if isinstance(number, int) else None
        state = state or getattr(cause, "sqlstate", None)
        diagnosis = getattr(cause, "diag", None)
        message = getattr(diagnosis, "message_primary", None) or str(cause)
        raise SourceError(f"--source: {describe_fault(state, message, address)}.") from None
