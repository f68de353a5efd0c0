"""Files of the registry as JSON, lines and folders; whoever may not read one is told so, with the way out."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from epic22.adapters.home import write_atomically
from epic22.core.errors import BundleError, describe_storage_fault


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Replace a file by this content, whole or not at all."""
    write_atomically(path, json.dumps(content, indent=2, allow_nan=False).encode())


def read_json(path: Path, way_out: str = "restore it or train again") -> dict[str, Any]:
    """The record in a file. Raises BundleError where it cannot be read, or holds something else."""
    try:
        return dict(json.loads(path.read_bytes()))
    except OSError as error:
        raise describe_unreadable(path, error) from None
    except (ValueError, TypeError, RecursionError):
        raise BundleError(f"{path}: not readable as JSON; {way_out}.") from None


def read_lines(path: Path) -> list[bytes]:
    """The lines of a file that need not be there. Raises BundleError where it is and cannot be read."""
    try:
        return path.read_bytes().splitlines()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise describe_unreadable(path, error) from None


def is_file(path: Path) -> bool:
    """Whether a file is there. Raises BundleError where nobody may look."""
    try:
        return path.is_file()
    except OSError as error:
        raise describe_unreadable(path, error) from None


def may_hold(folder: Path, name: str) -> bool:
    """Whether something of that name is in a folder, or nobody may look: then whoever asks for it is told so."""
    try:
        return (folder / name).exists()
    except OSError:
        return True


def list_folders(place: Path, names: re.Pattern[str]) -> list[Path]:
    """What has such a name in a place, numbers in their order; none where the place is not there."""
    try:
        folders = [path for path in place.iterdir() if names.fullmatch(path.name)]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise describe_unreadable(place, error) from None
    return sorted(folders, key=lambda path: (int(path.name) if path.name.isdecimal() else 0, path.name))


def describe_unreadable(path: Path, error: OSError) -> BundleError:
    """The error of a file that may not be read, or lies on a disk with a fault."""
    reason = describe_storage_fault(error) or f"{path}: {error.strerror or type(error).__name__}"
    return BundleError(f"{reason}, so it cannot be read; give this user the right to, restore it, or train again.")
