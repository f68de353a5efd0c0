"""Excel workbooks for tests of what reads them."""

import io
from collections.abc import Mapping, Sequence
from datetime import datetime

import xlsxwriter

Cell = str | float | bool | datetime | None


def write_workbook(sheets: Mapping[str, Sequence[Sequence[Cell]]]) -> bytes:
    """The bytes of a workbook with these sheets, each of rows of cells."""
    content = io.BytesIO()
    with xlsxwriter.Workbook(content, {"strings_to_numbers": False, "strings_to_formulas": False}) as book:
        moment = book.add_format({"num_format": "yyyy-mm-dd hh:mm"})
        for name, rows in sheets.items():
            sheet = book.add_worksheet(name)
            for i, row in enumerate(rows):
                for j, cell in enumerate(row):
                    if isinstance(cell, datetime):
                        sheet.write_datetime(i, j, cell, moment)
                    elif isinstance(cell, str):
                        sheet.write_string(i, j, cell)
                    elif cell is not None:
                        sheet.write(i, j, cell)
    return content.getvalue()
