"""Files by name in a folder of this machine, or in object storage that several machines share."""

import os
import re
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from epic22.adapters.home import write_atomically
from epic22.core.errors import NotInstalledError, StorageError

SETTING = "EPIC22_ARTIFACTS"
SCHEMES = ("s3",)
FAULTS = (
    (r"NoSuchBucket", "it has no such bucket; mend the address, or make the bucket"),
    (
        r"169\.254\.|credential|Missing \w*Key",
        "no keys are set; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and AWS_ENDPOINT_URL for a server of your own",
    ),
    (
        r"SignatureDoesNotMatch|InvalidAccessKeyId|AccessDenied|ExpiredToken|necessary privileges|\b40[13]\b",
        "it takes none of such keys, or gives them no right to do this; mend AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    ),
    (r"error sending request|timed out", "nothing answers at its address; see that it runs, and mend AWS_ENDPOINT_URL"),
)
"""What stands in a message of object storage, and what that means."""


class FileStore(Protocol):
    """Files by names such as `units/part-1.parquet`; each is there whole or not at all. All methods raise StorageError where the
    place refuses them."""

    @property
    def place(self) -> str:
        """Where it is, for people."""

    @property
    def delta_options(self) -> Mapping[str, str] | None:
        """What a Delta table there needs to be told."""

    def locate(self, name: str) -> str:
        """The path or address of a name, as a Delta table takes it."""

    def list_files(self, prefix: str) -> dict[str, str]:
        """The files below a prefix, and a mark of each content."""

    def read(self, name: str) -> bytes | None:
        """The content of a file; None where there is none."""

    def write(self, name: str, content: bytes) -> None:
        """Write a file."""

    def move_in(self, path: Path, name: str) -> tuple[int, int]:
        """Move a file of this machine there; gives its bytes and when that was, in milliseconds."""

    def copy(self, name: str, target: str) -> None:
        """Copy a file that never changes under another name."""

    def remove_file(self, name: str) -> None:
        """Remove a file; nothing where there is none."""

    def remove(self, prefix: str) -> None:
        """Remove all files below a prefix; nothing where there are none."""


@dataclass(frozen=True)
class FolderFiles:
    """Files in a folder."""

    root: Path

    @property
    def place(self) -> str:
        """The folder's path."""
        return str(self.root)

    @property
    def delta_options(self) -> Mapping[str, str] | None:
        """Nothing."""
        return None

    def locate(self, name: str) -> str:
        """The path."""
        return str(self.root / name)

    def list_files(self, prefix: str) -> dict[str, str]:
        """The files below a prefix, each marked by its size and time."""
        folder = self.root / prefix
        paths = sorted(path for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else []
        return {path.relative_to(self.root).as_posix(): _mark_file(path) for path in paths}

    def read(self, name: str) -> bytes | None:
        """The content of a file; None where there is none."""
        try:
            return (self.root / name).read_bytes()
        except FileNotFoundError:
            return None

    def write(self, name: str, content: bytes) -> None:
        """Write a file with one rename."""
        (self.root / name).parent.mkdir(parents=True, exist_ok=True)
        write_atomically(self.root / name, content)

    def move_in(self, path: Path, name: str) -> tuple[int, int]:
        """Rename a file; both are on one disk."""
        target = self.root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(path, target)
        return target.stat().st_size, int(target.stat().st_mtime * 1000)

    def copy(self, name: str, target: str) -> None:
        """Give the file a second name: the disk keeps its content once."""
        path = self.root / target
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        try:
            os.link(self.root / name, path)
        except OSError:
            # A disk without second names, as those of some networks.
            shutil.copyfile(self.root / name, path)

    def remove_file(self, name: str) -> None:
        """Remove the file."""
        (self.root / name).unlink(missing_ok=True)

    def remove(self, prefix: str) -> None:
        """Remove the folder."""
        shutil.rmtree(self.root / prefix, ignore_errors=True)


def _mark_file(path: Path) -> str:
    status = path.stat()
    return f"{status.st_size}-{status.st_mtime_ns}"


@dataclass(frozen=True)
class BucketFiles:
    """Files in object storage, below an address such as `s3://bucket/folder`.

    Keys, region and server are those of the environment, as every client of S3 reads them: AWS_ACCESS_KEY_ID,
    AWS_SECRET_ACCESS_KEY, AWS_REGION, AWS_ENDPOINT_URL.
    """

    url: str
    setting: str = SETTING
    """What errors call that by which the address came."""

    @property
    def place(self) -> str:
        """The address, which holds no key."""
        return self.url

    @property
    def delta_options(self) -> Mapping[str, str] | None:
        """Two that commit at once are told apart by the storage itself."""
        return {"conditional_put": "etag", "aws_allow_http": str(self._is_plain_http).lower()}

    def locate(self, name: str) -> str:
        """The address of a name."""
        return f"{self.url}/{name}"

    def list_files(self, prefix: str) -> dict[str, str]:
        """The files below a prefix, each marked by its tag."""
        import obstore

        with self._translate_faults():
            entries = [entry for page in obstore.list(self._store, f"{prefix}/") for entry in page]
        return {str(entry["path"]): str(entry["e_tag"]) for entry in sorted(entries, key=lambda entry: str(entry["path"]))}

    def read(self, name: str) -> bytes | None:
        """The content of a file; None where there is none."""
        import obstore

        with self._translate_faults():
            try:
                return bytes(obstore.get(self._store, name).bytes())
            except FileNotFoundError:
                return None

    def fetch(self, name: str, path: Path) -> None:
        """Write a file of this machine with that content, a piece in memory at a time."""
        import obstore

        path.parent.mkdir(parents=True, exist_ok=True)
        with self._translate_faults(), path.open("wb") as stream:
            for piece in obstore.get(self._store, name).stream():
                stream.write(piece)

    def write(self, name: str, content: bytes) -> None:
        """Put a file."""
        import obstore

        with self._translate_faults():
            obstore.put(self._store, name, content)

    def move_in(self, path: Path, name: str) -> tuple[int, int]:
        """Put a file, then remove it here; gives its size and, in milliseconds since 1970, when that was."""
        import obstore

        size = path.stat().st_size
        with self._translate_faults():
            obstore.put(self._store, name, path)
        path.unlink()
        return size, int(time.time() * 1000)

    def copy(self, name: str, target: str) -> None:
        """Have the storage copy it."""
        import obstore

        with self._translate_faults():
            obstore.copy(self._store, name, target)

    def remove_file(self, name: str) -> None:
        """Remove a file."""
        import obstore

        with self._translate_faults():
            obstore.delete(self._store, name)

    def remove(self, prefix: str) -> None:
        """Remove the files below a prefix."""
        import obstore

        names = list(self.list_files(prefix))
        with self._translate_faults():
            if names:
                obstore.delete(self._store, names)

    @cached_property
    def _store(self) -> Any:
        if find_spec("obstore") is None:
            lack = "the library 'obstore' is not installed; pip install 'epic22[object-storage]'."
            raise NotInstalledError(f"{self.setting}: {lack}")
        from obstore.store import S3Store

        return S3Store.from_url(
            self.url,
            client_options={"allow_http": self._is_plain_http, "connect_timeout": "5s", "timeout": "60s"},
            retry_config={"max_retries": 3, "retry_timeout": timedelta(seconds=20)},
        )

    @property
    def _is_plain_http(self) -> bool:
        """A server on this machine or in a network of one's own is named by http://, and need not be allowed twice."""
        endpoint = os.environ.get("AWS_ENDPOINT_URL") or os.environ.get("AWS_ENDPOINT") or ""
        return endpoint.startswith("http://")

    @contextmanager
    def _translate_faults(self) -> Iterator[None]:
        from obstore.exceptions import BaseError

        try:
            yield
        except BaseError as error:
            raise StorageError(f"{self.setting}: {self.url} refused it: {_describe_fault(str(error))}.") from error


def _describe_fault(message: str) -> str:
    """What object storage said, in words without the address of its server.

    >>> _describe_fault("Error performing GET http://10.0.0.7/x - <Code>NoSuchBucket</Code>")
    'it has no such bucket; mend the address, or make the bucket'
    """
    for pattern, words in FAULTS:
        if re.search(pattern, message, re.IGNORECASE):
            return words
    reason = re.sub(r"\w+://\S+", "…", " ".join(message.partition("\n")[0].split()))[:200]
    return f"{reason}; mend the address, its keys or the server"


def open_file_store(place: str) -> FileStore:
    """The files at a place: a folder's path, or an address of object storage. Raises StorageError for other addresses."""
    if "://" not in place:
        return FolderFiles(Path(place))
    if urlsplit(place).scheme not in SCHEMES:
        raise StorageError(
            f"{SETTING}: {place.partition('://')[0]}:// is not known; give s3://bucket/folder, or the path of a folder."
        )
    return BucketFiles(place.rstrip("/"))
