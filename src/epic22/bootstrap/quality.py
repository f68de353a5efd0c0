"""The quality of a stored version, as rules of the user's own may have it, and its page."""

from pathlib import Path

from epic22.bootstrap.components import Components
from epic22.core.progress import Progress
from epic22.core.quality.checks import QualityRules
from epic22.services.quality import VersionQuality, assess_quality


def assess_version(
    components: Components,
    version: int | None = None,
    checks: Path | None = None,
    report: Path | None = None,
    progress: Progress = Progress(),
) -> VersionQuality:
    """The quality of a data version, the newest where None. Raises LakeError for one that is not there."""
    rules = QualityRules()
    progress.begin("comparing with the parent", 1)
    assessed = assess_quality(components.table_store, version, rules)
    progress.step()
    return assessed
