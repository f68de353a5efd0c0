"""Files of answers for other programs: written frame by frame, there whole or not at all. A new format is one line in FORMATS."""

import glob
import os
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import polars as pl

from epic22.core.errors import StorageError, UserError

UNFINISHED = ".unfinished"
AddAnswers = Callable[[pl.DataFrame], None]
"""Adds answers (`ANSWER_SCHEMA`, and columns of a portfolio) to a file."""


@contextmanager
def open_parquet(path: Path) -> Iterator[AddAnswers]:
    """Parquet: lists and structs as they are."""
    import pyarrow.parquet as pq

    writer: pq.ParquetWriter | None = None

    def add_answers(answers: pl.DataFrame) -> None:
        nonlocal writer
        table = answers.to_arrow(compat_level=pl.CompatLevel.oldest())
        writer = writer or pq.ParquetWriter(path, table.schema, compression="zstd")
        writer.write_table(table)

    try:
        yield add_answers
    finally:
        if writer is not None:
            writer.close()


@contextmanager
def open_csv(path: Path) -> Iterator[AddAnswers]:
    """CSV for a spreadsheet: a list in one cell, reasons by their texts."""
    with path.open("wb") as stream:

        def add_answers(answers: pl.DataFrame) -> None:
            flatten_lists(answers).write_csv(stream, include_header=stream.tell() == 0)

        yield add_answers


@contextmanager
def open_json_lines(path: Path) -> Iterator[AddAnswers]:
    """JSON lines: an object a row."""
    with path.open("wb") as stream:
        yield lambda answers: answers.with_columns(_write_time()).write_ndjson(stream)


FORMATS: Mapping[str, Callable[[Path], AbstractContextManager[AddAnswers]]] = {
    ".parquet": open_parquet,
    ".csv": open_csv,
    ".jsonl": open_json_lines,
}
"""By how the name of a file ends."""


@contextmanager
def open_answer_file(path: Path) -> Iterator[AddAnswers]:
    """What adds answers to a file, which takes its name once all are there.

    Raises UserError for a name of no format, StorageError for a place that cannot be written.
    """
    check_answer_file(path)
    temporary = path.with_name(f".{path.name}-{uuid.uuid4().hex}{UNFINISHED}")
    try:
        with FORMATS[path.suffix](temporary) as add_answers:
            yield add_answers
        if temporary.exists():
            os.replace(temporary, path)
    except OSError as error:
        if error.filename is None or Path(str(error.filename)).name not in (temporary.name, path.name):
            raise
        raise StorageError(f"--out {path} cannot be written ({error.strerror}); name another file.") from None
    finally:
        temporary.unlink(missing_ok=True)


def check_answer_file(path: Path) -> None:
    """Raise UserError for a name of no format, and for a folder that is not there."""
    if path.suffix not in FORMATS:
        raise UserError(f"--out {path}: answers are written as {', '.join(FORMATS)}; end the name with one of these.")
    if not path.parent.is_dir():
        raise UserError(f"--out {path}: there is no folder {path.parent}; make it, or name another file.")


def list_unfinished(path: Path) -> list[Path]:
    """What exports to a file have written so far, or left when they were killed."""
    return sorted(path.parent.glob(f".{glob.escape(path.name)}-*{UNFINISHED}"))


def flatten_lists(answers: pl.DataFrame) -> pl.DataFrame:
    """The answers with a text for each list: reasons by their texts, classes of a set, probabilities by class."""
    share = pl.format("{} {}", pl.element().struct.field("class"), pl.element().struct.field("probability"))
    return answers.with_columns(
        _write_time(),
        pl.col("reasons").list.eval(pl.element().struct.field("text")).list.join("; "),
        pl.col("set").list.join(" or "),
        pl.col("probabilities").list.eval(share).list.join("; "),
    )


def _write_time() -> pl.Expr:
    """The moment as JSON has it: ISO 8601, UTC."""
    return pl.col("at").dt.strftime("%Y-%m-%dT%H:%M:%S%.fZ")
