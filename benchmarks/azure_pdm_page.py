"""The page on Azure's machines, made of the stored outcomes."""

from typing import Any

LISTED, TOP_SHARE = 10, 0.05
"""Of each cutoff's 400 components so many, or such a share, are looked at."""

RIVALS = ("incumbent", "constant")


def page(stored: dict[str, Any]) -> str:
    """The document."""
    runs: dict[str, dict[str, Any]] = stored["runs"]
    lines = [
        *_head(runs),
        "",
        *_answers(runs),
        "",
        *_score_table(runs),
        "",
        *_list_table(runs),
        "",
        *_part_table(runs),
        "",
        *_reading(stored),
        "",
        *_left_out(stored),
        "",
        f"Data version {stored['data_version'][:12]}. Machine: {stored['machine']}. Source {stored['source']}.",
    ]
    return "\n".join(lines) + "\n"


def _head(runs: dict[str, dict[str, Any]]) -> list[str]:
    cutoffs = "; ".join(
        f"{name}: one a {run['cadence']}, learning from {'all' if run['stride'] == 1 else 'one in ' + str(run['stride'])}"
        for name, run in runs.items()
    )
    return [
        "# Component failures on Azure's event tables",
        "",
        "Written by `python benchmarks/azure_pdm.py` (`make evidence`). The data are Microsoft's predictive maintenance sample:",
        "**simulated**, 100 machines of four components, one year (2020 in this copy). Its event tables alone are used;",
        "telemetry is not at hand, so nothing here can be held against figures that were made with it.",
        "",
        "Through [the mapping](how-to/mappings/azure_pdm.yaml) machines are properties, components equipment, failures urgent",
        "repairs, planned replacements preventive orders, errors sensor readings. The task is `predictive_maintenance` at three",
        "horizons, its costs unchanged, with the five error codes as further columns. Cutoffs lie at midnight;",
        f"{cutoffs}.",
        "",
        "Scores are means over five test parts that walk forward in time, training ending one horizon before each; the last is",
        "the end of the year. Intervals are 95 %, by a bootstrap that draws whole machines: the components of one share its",
        "errors and visits.",
    ]


def _answers(runs: dict[str, dict[str, Any]]) -> list[str]:
    who = "constant | rule of today | champion | champion − rule | champion − constant"
    lines = [f"| horizon | rows | failures ahead | base rate | {who} |", "|---|---|---|---|---|---|---|---|---|"]
    for name, run in runs.items():
        families, champion = _families(run), run["champion"]["family"]
        told = [_score(families[f]["average_precision"]) for f in ("constant", "incumbent", champion)]
        gains = [_score(_verdict(run, against) | {"value": _verdict(run, against)["difference"]}) for against in RIVALS]
        counts = f"{run['rows']:,} | {run['positives']:,} | {run['positives'] / run['rows']:.2%}"
        lines.append(f"| {name} | {counts} | {told[0]} | {told[1]} | {told[2]} ({champion}) | {gains[0]} | {gains[1]} |")
    return ["## Average precision", "", *lines]


def _score_table(runs: dict[str, dict[str, Any]]) -> list[str]:
    lines = ["| horizon | who | ROC AUC | log loss | accuracy |", "|---|---|---|---|---|"]
    for name, run in runs.items():
        for family, found in _families(run).items():
            told = " | ".join(_score(found[metric]) for metric in ("roc_auc", "log_loss"))
            lines.append(f"| {name} | {_named(run, family)} | {told} | {_percent(found['accuracy'])} |")
    sure = (
        f"{name} {run['calibration']['error']:.4f} ({run['calibration']['kind']}; noise alone {run['calibration']['floor']:.4f})"
        for name, run in runs.items()
    )
    return [
        "## Other scores",
        "",
        *lines,
        "",
        f"Calibration error of the champions, calibrated by other parts than their own: {'; '.join(sure)}. Accuracy",
        "rewards doing nothing where failures are rare; it stands here beside the constant's and decides nothing.",
    ]


def _list_table(runs: dict[str, dict[str, Any]]) -> list[str]:
    share = f"failures caught in the top {TOP_SHARE:.0%}"
    lines = [f"| horizon | who | precision of {LISTED} a cutoff | of a perfect list | {share} |", "|---|---|---|---|---|"]
    for name, run in runs.items():
        for family, found in run["lists"].items():
            figures = " | ".join(f"{found[figure]:.1%}" for figure in ("precision", "most", "recall"))
            lines.append(f"| {name} | {_named(run, family)} | {figures} |")
    top = round(400 * TOP_SHARE)
    about = f"The {LISTED} highest of the 400 components at each cutoff, and the {top} highest; equal scores share the places."
    return ["## As lists", "", about, "", *lines]


def _part_table(runs: dict[str, dict[str, Any]]) -> list[str]:
    lines = [
        "| horizon | tested from | trained on | tested on | base rate | rule of today | champion |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, run in runs.items():
        own, rule = run["by_part"][run["champion"]["family"]], run["by_part"]["incumbent"]
        for part, mine, theirs in zip(run["parts"], own, rule, strict=True):
            rows = f"{part['from']} | {part['train']:,} | {part['test']:,} | {part['rate']:.2%}"
            lines.append(f"| {name} | {rows} | {theirs:.3f} | {mine:.3f} |")
    return ["## Part by part", "", "Average precision; the last row of a horizon is its last part.", "", *lines]


def _reading(stored: dict[str, Any]) -> list[str]:
    seen = stored["facts"]
    withheld = sorted({e["column"] for run in stored["runs"].values() for e in run["audit"] if e["withheld"]})
    return [
        "## How to read it",
        "",
        "* **24 hours are nearly given away by the simulation.** Of the "
        f"{seen['moments']} moments at which a machine fails, {seen['moments_warned']} have an",
        "  error of that machine exactly 24 hours before, so at every cutoff the warning is known. What is left is to tell",
        "  warnings from other errors, and which component they mean. Of the "
        f"{seen['errors_at_six']:,} hours at 06:00 in which a machine had an error,",
        f"  {seen['errors_at_six_of_failures']:,} came a day before a failure: the time of day alone gives warnings away. The",
        "  columns count errors by the day, week and month, and hold no time of day.",
        "* **7 and 30 days hang on the component's age.** Errors warn of the first day only; for the rest there is the time",
        f"  since the last replacement. {seen['ages_in_rhythm']} of {seen['ages']} failures come a whole number of 15 days after",
        "  the last work on the component, the rhythm of the planned visits; real wear keeps no such calendar.",
        _on_the_audit(withheld),
        "* **The rule of today** looks at all orders of a machine and kind of component. Most are planned replacements, and the",
        "  next of these is no failure.",
    ]


def _on_the_audit(withheld: list[str]) -> str:
    if withheld:
        return f"* **The audit withholds {', '.join(f'`{name}`' for name in withheld)}.**"
    return (
        "* **The audit withholds nothing.** Where failures come at fixed ages, their rate by days since the last work steps at\n"
        "  the horizon; but such days move on there as they always do, and so were filled by nobody."
    )


def _left_out(stored: dict[str, Any]) -> list[str]:
    return [
        "## What was left out",
        "",
        "* Replacements recorded at a failure's own moment: they are its repair and no planned visit. "
        f"{stored['facts']['preventive']:,} preventive orders stay;",
        f"  {stored['apart']} older than their machine were set apart.",
        "* Cutoffs before the first month of errors is over. Failures and errors are recorded from January, replacements from",
        "  the June before; in that half year repairs after failures cannot be told from planned ones: they count as past work.",
        "* A machine's model, which fits no canonical column, and telemetry, which is not at hand.",
        "* The five codes are no columns of the feature itself, for codes are a maker's: `maintenance_task(error_codes=…)` takes",
        "  them. Errors of whatever code are (`errors_day`, `errors_week`, `errors_month`), as is `days_since_work`.",
    ]


def _families(run: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {entry["family"]: entry["metrics"] for entry in run["leaderboard"]}


def _named(run: dict[str, Any], family: str) -> str:
    known = {"incumbent": "rule of today", run["champion"]["family"]: f"champion ({run['champion']['family']})"}
    return known.get(family, family)


def _verdict(run: dict[str, Any], against: str) -> dict[str, Any]:
    return next(v for v in run["verdicts"] if v["against"] == against)


def _score(found: dict[str, Any]) -> str:
    return f"{found['value']:.3f} ({found['low']:.3f} … {found['high']:.3f})"


def _percent(found: dict[str, Any]) -> str:
    return f"{found['value']:.2%} ({found['low']:.2%} … {found['high']:.2%})"
