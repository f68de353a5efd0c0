"""What PostgreSQL numbers its types, how a session writes their values, and the address as its library reads it."""

import polars as pl

from epic22.adapters.sources.base import SourceAddress

BOOLEAN, DATE, TIMESTAMP, TIMESTAMP_UTC = 16, 1082, 1114, 1184
INTEGERS, DOUBLE, TEXTS = frozenset({20, 21, 23}), 701, frozenset({25, 1043})
OTHERS = frozenset({BOOLEAN, *INTEGERS, DOUBLE, 114, 700, 1700, 2950, 3802})
"""Types whose cast to text writes what COPY writes: truth values, numbers, JSON and identifiers; of others, as an address in a
network or text of a fixed width, it does not."""
TIMES = {
    DATE: (pl.Date(), "%Y-%m-%d", ""),
    TIMESTAMP: (pl.Datetime("us"), "%Y-%m-%d %H:%M:%S%.f", ""),
    TIMESTAMP_UTC: (pl.Datetime("us"), "%Y-%m-%d %H:%M:%S%.f", "+00"),
}
"""How COPY writes them, and what stands behind: the session is in UTC."""
SETTINGS = {
    "TimeZone": "UTC",
    "DateStyle": "ISO, YMD",
    "IntervalStyle": "iso_8601",
    "extra_float_digits": "1",
    "synchronize_seqscans": "off",
    "idle_in_transaction_session_timeout": "0",
    "client_encoding": "UTF8",
}
"""Exact values in one notation, the same rows in the same order where nothing changed, and patience while rows are checked."""


def build_libpq_url(address: SourceAddress) -> str:
    """The address as the server's own library reads it."""
    return "postgresql://" + address.url.partition("://")[2]
