"""Mapping files that come with the program, by name."""

from pathlib import Path

from epic22.core.errors import FileError

FOLDER = Path(__file__).parent / "presets"


def list_presets() -> tuple[str, ...]:
    """The names of the mappings that come with the program."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.yaml")))


def find_mapping(path: Path) -> Path:
    """The mapping file itself, or the one that comes with the program where no file here has the name. Raises FileError."""
    if path.exists() or path.name != str(path) or path.suffix:
        return path
    if path.name not in list_presets():
        names = ", ".join(list_presets())
        raise FileError(f"there is no mapping file {path}, and none of that name comes with the program; there are {names}.")
    return FOLDER / f"{path}.yaml"
