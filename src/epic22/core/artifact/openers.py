"""How a stored artifact becomes a model again, whatever it was trained on."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from epic22.core.artifact.model import Model
from epic22.core.artifact.panel_model import PanelModel
from epic22.core.artifact.row_model import RowModel
from epic22.core.artifact.sealed import read_data_type, read_manifest
from epic22.core.errors import BundleError
from epic22.core.lineage import ModelVersion

OPENERS: Mapping[str, Callable[[ModelVersion, Path, dict[str, Any]], Model]] = {
    RowModel.data_type: RowModel.open,
    PanelModel.data_type: PanelModel.open,
}
"""How a version is opened, by the kind that its manifest names. One more kind is one more line here."""


def open_model(version: ModelVersion, folder: Path) -> Model:
    """The model in a bundle's folder, audited before anything of it is constructed. A kind that is not known is read as rows,
    which refuses it by its name.

    Raises BundleError naming the folder and what is wrong with it.
    """
    try:
        manifest = read_manifest(folder)
        return OPENERS.get(read_data_type(manifest), RowModel.open)(version, folder, manifest)
    except (BundleError, KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:
        # Files whose hashes were mended can make a library fail in any way; a panic of one in Rust is no Exception.
        what = f"{type(error).__name__}: {str(error)[:200]}"
        raise BundleError(f"{folder}: cannot be opened ({what}); restore it or train again.") from error
