"""The quality of a stored version, as rules of the user's own may have it, and its page."""

from dataclasses import dataclass
from pathlib import Path

from epic22.adapters.sources.folder import load_mapped_rules, load_quality_rules
from epic22.bootstrap.components import Components
from epic22.core.errors import FileError
from epic22.core.progress import Progress
from epic22.core.quality.checks import QualityRules
from epic22.reports.html.quality import write_quality_report
from epic22.services.ingest_gate import QualityGate
from epic22.services.quality import VersionQuality, assess_quality


@dataclass(frozen=True)
class GateOptions:
    """What is asked of an ingest's gate: the rules of a file of checks, if any, and the reason to store what they refuse."""

    rules: QualityRules | None = None
    accepted_because: str | None = None


def read_gate_options(checks: Path | None, accepted_because: str | None) -> GateOptions:
    """The options, with the rules of the file. Raises FileError for a mistake in it."""
    return GateOptions(None if checks is None else load_quality_rules(checks), accepted_because)


def build_gate(options: GateOptions, mapping: Path | None) -> QualityGate:
    """The gate: by the rules asked for, else by the mapping's section `quality`, else by default. Raises FileError."""
    if options.rules is not None:
        return QualityGate(options.rules, options.accepted_because)
    return QualityGate(QualityRules() if mapping is None else load_mapped_rules(mapping), options.accepted_because)


def assess_version(
    components: Components,
    version: int | None = None,
    checks: Path | None = None,
    report: Path | None = None,
    progress: Progress = Progress(),
) -> VersionQuality:
    """The quality of a data version, the newest where None. Raises LakeError for one that is not there, FileError
    for a file of checks that cannot be read, and a report's folder that is not there."""
    rules = QualityRules() if checks is None else load_quality_rules(checks)
    if report is not None and not report.absolute().parent.is_dir():
        raise FileError(f"--report {report}: there is no folder {report.absolute().parent}; make it first.")
    progress.begin("comparing with the parent", 1)
    assessed = assess_quality(components.table_store, version, rules)
    progress.step()
    if report is not None:
        progress.begin("pictures", 1)
        write_quality_report(report, assessed)
        progress.step()
    return assessed
