"""How a registered model's folder is opened, by the kind that its manifest names. One more kind is one more line here."""

from collections.abc import Callable, Mapping
from pathlib import Path

from epic22.core.artifact import bundle, panel_bundle
from epic22.core.artifact.model import Model
from epic22.core.artifact.panel_model import PanelModel
from epic22.core.artifact.row_model import RowModel
from epic22.core.artifact.sealed import read_kind, read_manifest
from epic22.core.lineage import ModelVersion

OPENERS: Mapping[str, Callable[[ModelVersion, Path], Model]] = {
    bundle.KIND: RowModel.open,
    panel_bundle.KIND: PanelModel.open,
}


def open_model(version: ModelVersion, folder: Path) -> Model:
    """The model in a bundle's folder, audited before anything of it is constructed. A kind that is not known is read as rows,
    which refuses it by its name.

    Raises BundleError naming the folder and what is wrong with it.
    """
    return OPENERS.get(read_kind(read_manifest(folder)), RowModel.open)(version, folder)
