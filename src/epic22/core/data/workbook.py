"""Tables that come wrapped: a sheet of an Excel workbook, a file in a zip archive; both as the bytes of a plain file."""

import csv
import io
import lzma
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, time, timedelta
from pathlib import Path, PurePosixPath
from typing import Any

from epic22.core.data.number_format import NumberText
from epic22.core.errors import FileError

ZIP = b"PK\x03\x04"
WORKBOOK_PARTS = ("xl/workbook.xml", "xl/workbook.bin")
MAX_UNZIPPED_BYTES = 4 * 2**30
"""An archive may claim to hold anything."""
ARCHIVE_FAULTS = (OSError, EOFError, ValueError, RuntimeError, zipfile.BadZipFile, zlib.error, lzma.LZMAError)
"""What unpacking damaged bytes raises, by which of them is damaged; of a locked archive or an unknown kind a RuntimeError."""
MIDNIGHT = time(0)


def is_archive(content: bytes) -> bool:
    """Whether bytes are a zip archive, which a workbook is too."""
    return content[:4] == ZIP


def unwrap_archive(path: Path, content: bytes) -> bytes:
    """The only file in an archive, or the table in a workbook as CSV. Raises FileError where there is none, or not one alone."""
    rows = read_workbook(path, content)
    if rows is not None:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(rows)
        return text.getvalue().encode()
    with _translate_faults(path), zipfile.ZipFile(io.BytesIO(content)) as archive:
        return _read_only_file(path, archive)


def read_workbook(path: Path, content: bytes) -> list[list[str]] | None:
    """The rows of the table in a workbook, its numbers as `NumberText`; None for an archive that is none.

    Raises FileError for one that is damaged, and for one without a table or with several.
    """
    with _translate_faults(path):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            is_workbook = any(part in archive.namelist() for part in WORKBOOK_PARTS)
        return _read_sheet(path, content) if is_workbook else None


@contextmanager
def _translate_faults(path: Path) -> Iterator[None]:
    try:
        yield
    except ARCHIVE_FAULTS as error:
        raise FileError(f"{path}: a damaged or locked archive ({error}); fetch it again, or unzip it.") from None


def _read_only_file(path: Path, archive: zipfile.ZipFile) -> bytes:
    files = [one for one in archive.infolist() if not one.is_dir() and not _is_hidden(one.filename)]
    if len(files) != 1:
        names = ", ".join(one.filename for one in files[:5]) or "nothing"
        raise FileError(f"{path}: an archive with {len(files):,} files ({names}); expected one. Unzip it, and name the file.")
    with archive.open(files[0]) as stream:
        content = stream.read(MAX_UNZIPPED_BYTES + 1)
    if len(content) > MAX_UNZIPPED_BYTES:
        raise FileError(f"{path}: unzipped it is larger than {MAX_UNZIPPED_BYTES / 2**30:g} GiB; unzip it, and name the file.")
    return content


def _is_hidden(name: str) -> bool:
    """Whether a file is one that archivers add by themselves."""
    parts = PurePosixPath(name).parts
    return parts[0] == "__MACOSX" or parts[-1].startswith(".")


def _read_sheet(path: Path, content: bytes) -> list[list[str]]:
    """The sheet with rows, or the one that is named as the file; what a cell shows as a number or date is its value."""
    from python_calamine import CalamineError, CalamineWorkbook

    try:
        workbook = CalamineWorkbook.from_filelike(io.BytesIO(content))
        sheets = {name: workbook.get_sheet_by_name(name).to_python() for name in workbook.sheet_names}
    except CalamineError as error:
        raise FileError(f"{path}: not readable as an Excel workbook ({error}); save it as CSV.") from None
    filled = {name: rows for name, rows in sheets.items() if any(cell != "" for row in rows for cell in row)}
    named = [name for name in filled if name.casefold() == path.name.partition(".")[0].casefold()]
    if len(filled) != 1 and len(named) != 1:
        names = ", ".join(filled) or "none"
        raise FileError(
            f"{path}: a workbook with {len(filled)} sheets that hold rows ({names}); expected one, or one that is named "
            f"{path.name.partition('.')[0]!r}. Save the sheet that you mean as a file of its own."
        )
    return [[_write_cell(cell) for cell in row] for row in filled[named[0] if named else next(iter(filled))]]


def _write_cell(cell: Any) -> str:
    """A cell's value as text: whole numbers without a point, for Excel has no others; days without an hour.

    >>> _write_cell(1200.0), _write_cell(datetime(2024, 3, 1)), _write_cell("007")
    ('1200', '2024-03-01', '007')
    """
    match cell:
        case bool():
            return str(cell).lower()
        case float():
            return NumberText(int(cell) if cell.is_integer() and abs(cell) < 2**53 else repr(cell))
        case datetime():
            return cell.date().isoformat() if cell.time() == MIDNIGHT else cell.isoformat(sep=" ")
        case date() | time():
            return cell.isoformat()
        case timedelta():
            return str(cell)
        case _:
            return str(cell)
