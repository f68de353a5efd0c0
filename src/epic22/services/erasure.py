"""Erasure: one person out of all data versions, receipts, texts and caches; what would go is shown first, what stays is said.

The tables come first, as one change that a reader of a data version sees whole or not at all; then every other place. A journal
lets a run after a kill go on; what stays of it is an entry without the person.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from epic22.core.errors import LakeError, UserError
from epic22.core.lineage import ModelVersion
from epic22.core.tables.erasure import ErasureEntry, ErasureJournal, TenantIdentity
from epic22.core.tables.versions import LakeVersion

BY_NATURE = (
    "backups, the sources and files exported elsewhere have what they had; an ingest of such a source brings the rows back",
    "the weights of the models listed were learned from the rows too; train again, and discard those models, where that matters",
    "another machine's EPIC22_HOME has caches of its own; run the command there too where several share a store",
)
"""What no program can take back from here."""


class SurveyedTables(Protocol):
    """What the tables have of a person."""

    @property
    def counts(self) -> Mapping[str, int]:
        """Rows by table, and of the quarantine."""

    @property
    def versions(self) -> tuple[LakeVersion, ...]:
        """The data versions that change."""


class ErasableTables(Protocol):
    """The stored tables, from which a person can be taken."""

    def lock(self) -> AbstractContextManager[None]:
        """Keep others from changing them. Raises LakeError while one does."""

    def read_journal(self) -> ErasureJournal | None:
        """The erasure that was begun and is not done."""

    def describe(self, tenant: str) -> TenantIdentity:
        """The tenant with the keys of the tenant's rows."""

    def survey(self, person: TenantIdentity) -> SurveyedTables:
        """What they have of the person."""

    def list_remaining(self, person: TenantIdentity) -> tuple[str, ...]:
        """What names the person there and stays, in words."""

    def begin(self, person: TenantIdentity, entry: ErasureEntry) -> ErasureJournal:
        """Begin: from now on a run after a kill goes on."""

    def erase(self, journal: ErasureJournal) -> ErasureJournal:
        """Take the person out of tables, manifests and quarantine, going on where a run before stopped."""

    def complete(self, journal: ErasureJournal) -> None:
        """Leave the entry, and forget whom it was about."""


class ErasurePlace(Protocol):
    """Another place that may name a person."""

    @property
    def name(self) -> str:
        """What it is called."""

    def count(self, person: TenantIdentity) -> int:
        """How many things there are about the person, or name the person and can be changed."""

    def erase(self, person: TenantIdentity) -> None:
        """Remove or change them; again does no harm."""

    def list_remaining(self, person: TenantIdentity, n_erased: int | None) -> tuple[str, ...]:
        """What names the person there and stays, in words: before it is erased (None), or after, of how many things that was."""


@dataclass(frozen=True)
class ErasureRequest:
    """Whom to erase (None: whose erasure was cut off), who asks and when (UTC); without `is_confirmed` it is only shown."""

    tenant: str | None
    who: str
    now: datetime
    is_confirmed: bool = False


@dataclass(frozen=True)
class Erasure:
    """What an erasure does or did: the entry that stays, what remains in words, and whether it was carried out."""

    entry: ErasureEntry
    remaining: tuple[str, ...]
    is_carried_out: bool


def erase_person(
    request: ErasureRequest, tables: ErasableTables, places: Sequence[ErasurePlace], models: Sequence[ModelVersion]
) -> Erasure:
    """What of a tenant goes, shown or carried out.

    Raises UserError for a tenant of whom nothing is stored, LakeError while the tables are being changed, or where the erasure of
    another tenant was cut off.
    """
    with tables.lock():
        journal = tables.read_journal()
        if journal is None and request.tenant is None:
            raise UserError("no erasure was cut off; name whom to erase: epic22 data erase --tenant ID.")
        if journal is not None and request.tenant not in (None, journal.person.tenant):
            raise LakeError("the erasure of another tenant was cut off; complete it first: epic22 data erase.")
        if journal is None:
            assert request.tenant is not None
            person = tables.describe(request.tenant)
            entry = _plan(request, person, tables, places, models)
            if not request.is_confirmed:
                return Erasure(entry, _list_remaining(person, tables, places, None), is_carried_out=False)
            journal = tables.begin(person, entry)
        return _carry_out(journal, tables, places)


def _plan(
    request: ErasureRequest,
    person: TenantIdentity,
    tables: ErasableTables,
    places: Sequence[ErasurePlace],
    models: Sequence[ModelVersion],
) -> ErasureEntry:
    survey = tables.survey(person)
    counts = dict(survey.counts) | {place.name: n for place in places if (n := place.count(person))}
    if not counts and not survey.versions:
        raise UserError(
            f"nothing of a tenant {person.tenant!r} is stored: no row, receipt, text or cached file; ids are compared as written."
        )
    ids = {one for version in survey.versions for one in version.ids}
    trained = tuple(f"{model.task}/{model.version}" for model in models if model.data_version in ids)
    return ErasureEntry(0, request.now, request.who, counts, tuple(one.number for one in survey.versions), {}, trained)


def _carry_out(journal: ErasureJournal, tables: ErasableTables, places: Sequence[ErasurePlace]) -> Erasure:
    journal = tables.erase(journal)
    for place in places:
        place.erase(journal.person)
    remaining = _list_remaining(journal.person, tables, places, journal.entry.counts)
    tables.complete(journal)
    return Erasure(journal.entry, remaining, is_carried_out=True)


def _list_remaining(
    person: TenantIdentity, tables: ErasableTables, places: Sequence[ErasurePlace], erased: Mapping[str, int] | None
) -> tuple[str, ...]:
    stored = list(tables.list_remaining(person))
    for place in places:
        stored += place.list_remaining(person, None if erased is None else erased.get(place.name, 0))
    # Two places may be of one server.
    stored = list(dict.fromkeys(stored))
    unsearched = "the id is too short, or only digits: free texts and files were not searched for it"
    return (*stored, *(() if person.is_searchable else (unsearched,)), *BY_NATURE)
