"""A training as one HTML file that opens offline: nothing is loaded from anywhere, nothing runs."""

import os
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from epic22.core.drawing import svg
from epic22.core.evaluation.savings import Saving
from epic22.core.evaluation.yardsticks import INCUMBENT
from epic22.core.models.base import CLASSIFIED
from epic22.core.wording import figure
from epic22.services.explanation_pictures import explanation_pictures
from epic22.services.pictures import figures_of, fold_count, pictures_of
from epic22.services.train import TrainingRun

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TEMPLATE = Path(__file__).with_name("report.html")


def write_report(run: TrainingRun, path: Path, figures: Mapping[str, "Figure"] | None = None) -> Path:
    """Write the report whole: a reader never meets half a file. `figures`: the run's pictures where they are drawn already."""
    return write_whole(path, render_report(run, figures))


def write_whole(path: Path, text: str) -> Path:
    """Write a text beside its place and move it there."""
    aside = path.with_name(f".{path.name}-{uuid.uuid4().hex}")
    aside.write_text(text, encoding="utf-8")
    os.replace(aside, path)
    return path


def render_report(run: TrainingRun, figures: Mapping[str, "Figure"] | None = None) -> str:
    """The report as HTML; the same run gives the same text. Names out of the user's table are escaped."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["figure"] = figure
    figures = figures_of(run) if figures is None else figures
    environment.filters["capitalize_first"] = lambda text: text[:1].upper() + text[1:]
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        run=run,
        board=(*run.leaderboard, *(() if run.ceiling is None else (run.ceiling,))),
        savings=_savings(run),
        headline=headline(run),
        lead=lead(run),
        pictures=[(picture, svg(figures[picture.name], picture.name)) for picture in pictures_of(run)],
        looks_at=[(picture, svg(picture.draw(), picture.name)) for picture in explanation_pictures(run.explanation)],
        fold_count=fold_count(run.plan),
        sources=[(Path(name).name, digest) for name, digest in run.data_version.sources],
    )


def _savings(run: TrainingRun) -> list[tuple[str, Saving]]:
    """The savings that were counted, by whom the list is limited."""
    if run.worth is None:
        return []
    limited = f"at most {run.task.capacity} a week"
    told = ((limited, run.worth.savings), ("all that are worth it", run.worth.unlimited))
    return [(name, saving) for name, saving in told if saving is not None]


def headline(run: TrainingRun) -> str:
    """The outcome in one sentence."""
    score = run.champion.score(run.task.target.metric.name)
    interval = f"{figure(score.low)} to {figure(score.high)}"
    return f"{run.task.target.name}: {run.champion.family} reaches {score.metric} {figure(score.value)} ({interval})"


def lead(run: TrainingRun) -> str:
    """What that means, beside the constant."""
    baseline = next((v for v in run.verdicts if v.against == "constant"), None)
    if baseline is None:
        return "No family beats the constant here: the columns tell nothing that the average does not."
    sure = "certainly better than" if baseline.better else "not certainly better than"
    said = f"It is {sure} the constant, by {figure(baseline.difference)} ({figure(baseline.low)} to {figure(baseline.high)})."
    return f"{said} {_accuracy(run)}".strip()


def _accuracy(run: TrainingRun) -> str:
    """Accuracy is never shown alone: on rare events the constant's is high too."""
    if run.task.target.kind not in CLASSIFIED:
        return ""
    by_name = {e.family: e.score("accuracy").value for e in run.leaderboard}
    own, nothing = run.champion.score("accuracy").value, by_name["constant"]
    others = f"; the rule of today has {figure(by_name[INCUMBENT])}" if INCUMBENT in by_name else ""
    best = f", the best possible {figure(run.ceiling.score('accuracy').value)}" if run.ceiling is not None else ""
    return f"Accuracy is {figure(own)}; doing nothing has {figure(nothing)}{others}{best}, so accuracy alone says little."
