"""Whether bytes name a person, packed or not: what is packed in them, however deep, is unpacked and searched too."""

import bz2
import gzip
import io
import lzma
import zipfile
from collections.abc import Callable, Iterator

import numpy as np
import polars as pl

from epic22.adapters.damaged_files import PARQUET_FAULTS
from epic22.core.data.workbook import ARCHIVE_FAULTS
from epic22.core.tables.erasure import TenantIdentity

MAX_DEPTH = 5
"""Of an archive in an archive and so on; what is deeper is not searched."""


def search_content(content: bytes, person: TenantIdentity) -> bool | None:
    """Whether bytes name the person; None where not all that is packed in them could be unpacked, and the rest does not."""
    try:
        return any(person.has_name_in_bytes(part) for part in _unpack(content, MAX_DEPTH))
    except (*ARCHIVE_FAULTS, *PARQUET_FAULTS):
        return None


def _unpack(content: bytes, depth: int) -> Iterator[bytes]:
    """The bytes, and what is packed in them; a fault of damaged bytes where that cannot be read."""
    yield content
    unpack = next((unpack for magic, unpack in FORMATS.items() if content.startswith(magic)), None)
    if unpack is None:
        return
    if not depth:
        raise ValueError("packed too often")
    for part in unpack(content):
        yield from _unpack(part, depth - 1)


def _unpack_parquet(content: bytes) -> Iterator[bytes]:
    """The values of each column that may hold text."""
    for column in pl.read_parquet(content).iter_columns():
        yield from _list_texts(column)


def _list_texts(column: pl.Series) -> Iterator[bytes]:
    """The texts in a column, lists and fields too; bytes as they are."""
    values = column.drop_nulls()
    if isinstance(values.dtype, pl.Struct):
        for one in values.struct.fields:
            yield from _list_texts(values.struct.field(one))
    elif values.dtype.is_nested():
        yield from _list_texts(values.explode())
    elif values.dtype == pl.Binary:
        yield from values
    elif not (values.dtype.is_numeric() or values.dtype.is_temporal() or values.dtype in (pl.Boolean, pl.Null)):
        yield "\n".join(values.cast(pl.String).unique()).encode()


def _unpack_archive(content: bytes) -> Iterator[bytes]:
    """The members of an archive; their names stand in its own bytes."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        yield from (archive.read(member) for member in archive.namelist())


def _unpack_array(content: bytes) -> Iterator[bytes]:
    """The texts of an array of NumPy, which has four bytes a letter; nothing of numbers. ValueError for one of objects."""
    array = np.load(io.BytesIO(content), allow_pickle=False)
    if array.dtype.kind == "U":
        yield "\n".join(array.ravel().tolist()).encode("utf-8", "replace")


FORMATS: dict[bytes, Callable[[bytes], Iterator[bytes]]] = {
    b"PAR1": _unpack_parquet,
    b"PK\x03\x04": _unpack_archive,
    b"\x93NUMPY": _unpack_array,
    b"\x1f\x8b": lambda content: iter((gzip.decompress(content),)),
    b"BZh": lambda content: iter((bz2.decompress(content),)),
    b"\xfd7zXZ": lambda content: iter((lzma.decompress(content),)),
}
"""How bytes of each kind begin, and what is packed in them."""
