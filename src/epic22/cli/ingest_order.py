"""What `ingest` is asked: its options, and where rows come from by them."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from epic22 import bootstrap
from epic22.config import read_artifacts, read_source_address
from epic22.core.errors import UserError
from epic22.core.text import parse_timestamp

if TYPE_CHECKING:
    from epic22.bootstrap import Components, FollowOptions, IngestOptions
    from epic22.core.progress import Progress
    from epic22.services.ingest import IngestResult

Folder = Annotated[
    str | None,
    typer.Argument(
        metavar="FOLDER|URL",
        help="Files named after tables: leases.csv, .parquet, .jsonl, .geojson, or a folder leases/; or s3://bucket/folder.",
    ),
]
MappingFile = Annotated[
    Path | None,
    typer.Option(
        help="A YAML file that maps foreign files, queries or requests to the tables; or fred, open_meteo, zillow, "
        "platform-a, platform-b."
    ),
]
AsOf = Annotated[str | None, typer.Option(help="The moment of this snapshot, UTC: 2024-03-01 or 2024-03-01T12:00:00.")]
Source = Annotated[
    str | None,
    typer.Option(
        metavar="NAME|ADDRESS",
        help="A name for where the files come from, kept in the version; or, without FOLDER, the address of a "
        "database or HTTP API: postgresql://…, sqlite:///…, https://…, or env:NAME for a variable that holds it. The address "
        "of a database is never shown or kept.",
    ),
]
PanelFile = Annotated[
    Path | None, typer.Option(help="The CSV file for a panel that a mapping asks for; by default one in EPIC22_HOME/panels.")
]
Checks = Annotated[Path | None, typer.Option(help="A YAML file with other levels and limits of the quality checks.")]
AcceptQuality = Annotated[
    str | None, typer.Option(help="Store it although a check refuses it, for this reason; kept in the version's notes.")
]
Follow = Annotated[
    bool, typer.Option("--follow", help="Go on: ingest each file that comes into FOLDER once it is complete. Ctrl-C ends it.")
]
Every = Annotated[
    float, typer.Option(min=0.1, max=86_400, help="With --follow: seconds between looks; a file that stays the same is complete.")
]


@dataclass(frozen=True)
class IngestOrder:
    """The options of `epic22 ingest`, and what they mean together; each method raises UserError where they contradict another."""

    folder: str | None
    mapping: Path | None
    as_of: str | None
    source: str | None
    checks: Path | None
    accept_quality: str | None

    @property
    def asks_for_panel(self) -> bool:
        """Whether the mapping writes a panel's file, and no tables."""
        return self.folder is None and self.mapping is not None and bootstrap.names_panel(self.mapping)

    def ingest(self, components: "Components", progress: "Progress") -> "IngestResult":
        """What came of the tables in a folder, in object storage, or behind an address."""
        options = self.build_options()
        if self.folder is None:
            return bootstrap.ingest_address(components, self.read_address(), self.require_mapping(), options, progress)
        if _is_address(self.folder):
            return bootstrap.ingest_objects(components, _check_objects(self.folder), self.mapping, options, progress)
        return bootstrap.ingest_folder(components, Path(self.folder), self.mapping, options, progress)

    def build_options(self) -> "IngestOptions":
        """The moment, the name of the source where it is one, and what the quality checks let pass."""
        gate = bootstrap.read_gate_options(self.checks, _check_reason(self.accept_quality))
        moment = None if self.as_of is None else parse_timestamp(self.as_of, "--as-of")
        return bootstrap.IngestOptions(moment, None if self.folder is None else _check_name(self.source), gate)

    def build_follow_options(self, seconds: float) -> "FollowOptions":
        """The folder that is followed, which is one of this machine; what will come has no moment yet."""
        if self.folder is None or _is_address(self.folder):
            raise UserError("--follow needs a FOLDER of this machine; events of a server come by 'epic22 consume'.")
        if self.as_of is not None:
            raise UserError("--as-of is the moment of one snapshot; leave it out with --follow.")
        return bootstrap.FollowOptions(Path(self.folder), self.mapping, seconds)

    def read_address(self) -> str | None:
        """The address of a database or an API; None where the mapping has it."""
        if self.source is None and self.mapping is not None:
            return None
        if self.source is None or not _is_address(self.source):
            raise UserError("nothing to read: name a FOLDER with files, or a database by --source ADDRESS and --mapping FILE.")
        address = read_source_address(self.source)
        if address.startswith(("redis://", "rediss://", "unix://")):
            scheme = address.partition("://")[0]
            raise UserError(f"--source {scheme}://…: events of a stream are taken in by 'epic22 consume --source ADDRESS'.")
        return address

    def require_mapping(self) -> Path:
        """The mapping file, without which an address says nothing."""
        if self.mapping is None:
            raise UserError(
                "--source ADDRESS needs --mapping FILE, which says what to ask there; see docs/how-to/ingest-from-a-database.md."
            )
        return self.mapping


def _is_address(source: str) -> bool:
    return "://" in source or source.startswith("env:")


def _check_objects(address: str) -> str:
    """The address of object storage. Raises UserError for another."""
    try:
        return str(read_artifacts(address, "FOLDER"))
    except UserError:
        raise UserError(
            "FOLDER: only s3://bucket/folder is read as files by an address; a database or HTTP API is named by --source ADDRESS."
        ) from None


def _check_name(source: str | None) -> str | None:
    if source is not None and _is_address(source):
        raise UserError("FOLDER and an address by --source are both given; rows come from one of them, so leave the other out.")
    return source


def _check_reason(reason: str | None) -> str | None:
    """The reason, in one line. Raises UserError for an empty one."""
    if reason is not None and not reason.strip():
        raise UserError("--accept-quality: say why, as in --accept-quality 'the bank changed its export'.")
    return None if reason is None else " ".join(reason.split())
