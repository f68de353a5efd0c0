"""A panel's training as one HTML file that opens offline: nothing is loaded from anywhere, nothing runs."""

from pathlib import Path
from typing import Any

import numpy as np

from epic22.core.drawing import svg
from epic22.core.evaluation.anomaly import one_step_anomalies
from epic22.core.wording import figure
from epic22.services.forecast import PanelRun
from epic22.services.forecast_pictures import panel_pictures, row_skill
from epic22.services.forecast_results import intervals_json
from epic22.services.report import write_whole

TEMPLATE = Path(__file__).with_name("forecast_report.html")
MOST_SERIES = 8
FALSE_ALARMS = 0.01
RECENT = 12


def write_panel_report(run: PanelRun, path: Path) -> Path:
    """Write the report whole: a reader never meets half a file."""
    return write_whole(path, render_panel_report(run))


def render_panel_report(run: PanelRun) -> str:
    """The report as HTML; the same run gives the same text. Names out of the user's file are escaped."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["figure"] = lambda value: figure(float("nan") if value is None else value)
    names, skills = row_skill(run)
    ranked = list(zip(names, skills, strict=True))
    style = Path(__file__).with_name("report.html").read_text(encoding="utf-8")
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        run=run,
        style=style[style.index("<style>") : style.index("</style>") + len("</style>")],
        headline=headline(run),
        lead=lead(run),
        pictures=[(picture, svg(picture.draw(run), picture.name)) for picture in panel_pictures(run)],
        intervals=intervals_json(run),
        **verdicts_by_rival(run),
        zip_pairs=list(zip(ranked[::-1][:MOST_SERIES], ranked[:MOST_SERIES], strict=True)),
        anomalies=recent_anomalies(run),
        false_alarms=FALSE_ALARMS,
        label=run.frequency.label,
        sources=[(Path(name).name, digest) for name, digest in run.data_version.sources],
    )


def verdicts_by_rival(run: PanelRun) -> dict[str, Any]:
    """The verdicts as a table with a row a rival and a column a metric and horizon, and how each column was judged."""
    rivals = list(dict.fromkeys(v.against for v in run.verdicts))
    first = [v for v in run.verdicts if v.against == rivals[0]]
    heads = [
        f"{v.metric}, {'all horizons' if v.horizon == 'all' else run.frequency.noun_of(float(v.horizon or 0))}" for v in first
    ]
    return {
        "verdict_heads": heads,
        "verdict_rows": [(rival, [v for v in run.verdicts if v.against == rival]) for rival in rivals],
        "verdict_methods": [(head, v.method, _more(v.advice)) for head, v in zip(heads, first, strict=True)],
    }


def _more(advice: str) -> str:
    """What the advice says is missing, without the verdict on the one rival it was given for."""
    return advice.split("; ", 1)[1] if "; " in advice else ""


def headline(run: PanelRun) -> str:
    """The outcome in one sentence."""
    skill = run.champion.score("skill")
    ahead = run.frequency.noun_of(run.plan.horizon)
    return (
        f"{run.task.target.name}, 1 to {ahead} ahead: {run.champion.family} has skill {figure(skill.value)} "
        f"({figure(skill.low)} to {figure(skill.high)}) against the drift"
    )


def lead(run: PanelRun) -> str:
    """What that means, and how far it may be trusted."""
    skill, covered = run.champion.score("skill"), run.champion.score("coverage_80")
    better = (
        f"Its errors are {abs(skill.value):.0%} {'smaller' if skill.value > 0 else 'larger'} than those of a drift, on average"
    )
    return (
        f"{better} over {len(run.plan.test)} origins that chose nothing, worth {skill.blocks:.1f} independent stretches, "
        f"so read the interval as a hint. The 80 % interval covered {covered.value:.0f} %."
    )


def recent_anomalies(run: PanelRun) -> list[tuple[str, str, float, float, float]]:
    """Values of the last RECENT periods outside the band of the one-step forecast: series, period, value, low, high."""
    history = run.bundle.history
    found = []
    for row in range(len(history)):
        values = np.where(history.observed, history.lines, np.nan)[history.line[row], : history.end[row]]
        present = np.flatnonzero(np.isfinite(values))
        if len(present) < 3 * RECENT:
            continue
        known = values[present[0] :]
        told = one_step_anomalies(known, false_alarm_rate=FALSE_ALARMS, season=run.season if run.season > 1 else None)
        for place in np.flatnonzero(told.alarm[-RECENT:]) + len(known) - RECENT:
            period = history.first + int(present[0]) + int(place)
            found.append(
                (
                    str(history.entity[row]),
                    run.frequency.label(period),
                    float(known[place]),
                    float(told.low[place]),
                    float(told.high[place]),
                )
            )
    return sorted(found, key=lambda f: (f[1], f[0]), reverse=True)[: 3 * MOST_SERIES]
