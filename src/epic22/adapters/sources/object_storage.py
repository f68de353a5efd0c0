"""Files of object storage on their way into the canonical tables: fetched into a folder of this machine while they are read."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from epic22.adapters.file_store import BucketFiles
from epic22.adapters.scratch import scratch_folder
from epic22.adapters.sources.file_reader import SUFFIXES
from epic22.core.errors import FileError, UserError

SETTING = "FOLDER"


@contextmanager
def fetch_objects(address: str, scratch: Path) -> Iterator[Path]:
    """A folder with the tables' files below an address, gone at the end; keys and server are those of the environment.

    Raises StorageError where the storage refuses, FileError where no file of a known kind is there. Errors inside name the
    address in place of the folder.
    """
    files = BucketFiles(address.rstrip("/"), SETTING)
    names = [name for name in files.list_files("") if name.endswith(SUFFIXES)]
    if not names:
        raise FileError(f"{address}: no file of a known kind below it; expected one whose name ends with {', '.join(SUFFIXES)}.")
    with scratch_folder(scratch) as folder:
        for name in names:
            files.fetch(name, folder / name)
        try:
            yield folder
        except UserError as error:
            raise type(error)(str(error).replace(str(folder), address.rstrip("/"))) from None
