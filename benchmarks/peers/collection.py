"""What is compared together: the ten public sets, or the tables of a folder; and where its results and its section are."""

from dataclasses import dataclass
from pathlib import Path

from peers.runs import Limits
from peers.sets import DataSet
from peers.splits import Split, splits_of

PUBLIC = "peers"
"""The name of the ten public sets' results and section."""


@dataclass(frozen=True)
class Collection:
    """Sets whose results stand together. `data` is the folder that their files are below; `refused` says of each table that
    cannot be compared on why not. `options` are those of the command line that choose the collection."""

    name: str
    title: str
    options: str
    data: Path
    sets: tuple[DataSet, ...]
    refused: tuple[str, ...] = ()

    def splits(self, dataset: DataSet, cache: Path) -> tuple[Split, ...]:
        """The splits of one of the sets, in a part of the cache that no other collection writes to."""
        return splits_of(dataset, self.data, cache if self.name == PUBLIC else cache / self.name)

    def label(self, limits: Limits) -> str:
        """What the results under these limits, and their section, are called: the name alone under the usual ones.

        >>> Collection("peers-shelf", "", "", Path(), ()).label(Limits(5.0))
        'peers-shelf-5s'
        """
        usual = Limits()
        seconds = "" if limits.seconds == usual.seconds else f"-{limits.seconds:g}s"
        return self.name + seconds + ("" if limits.cores == usual.cores else f"-{limits.cores}-cores")

    def command(self, limits: Limits) -> str:
        """What is typed for the section under these limits.

        >>> Collection("peers-shelf", "", "--folder shelf", Path(), ()).command(Limits(5.0))
        'make bench-peers ONLY="--folder shelf --seconds 5 --cores 2 --keep"'
        """
        other = "" if limits == Limits() else f"--seconds {limits.seconds:g} --cores {limits.cores} --keep"
        options = " ".join(filter(None, (self.options, other)))
        return f'make bench-peers ONLY="{options}"' if options else "make bench-peers"
