"""Where the panels' benchmarks read and store, and the digest of the source that decides a result."""

import hashlib
import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("EPIC22_PUBLIC_DATA") or ROOT.parent / "shared" / "data").resolve()
RESULTS = ROOT / "benchmarks" / "results" / "panels"
FORECASTING = (
    "core/models/panel",
    "core/data",
    "core/time_series.py",
    "core/evaluation",
    "core/selection",
    "services/pipelines/forecast_choice.py",
    "services/pipelines/forecast_scores.py",
    "services/pipelines/series.py",
    "services/pipelines/series_board.py",
)


def digest(places: tuple[str, ...]) -> str:
    """Digest of the source that decides a result."""
    content = hashlib.sha256()
    for part in places:
        place = ROOT / "src" / "epic22" / part
        for path in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
            content.update(path.read_bytes())
    return content.hexdigest()[:16]
