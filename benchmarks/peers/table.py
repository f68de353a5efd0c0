"""The page's section on peers, and the figures behind it as JSON."""

import json
import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from evidence import DATA
from page import write_section

from peers.compare import (
    PROBABILITY_SCORES,
    Bar,
    Comparison,
    Results,
    Standing,
    against_best,
    bars,
    standing,
)
from peers.environments import OURS, SYSTEMS, System
from peers.runs import Limits, Run, Store, say
from peers.sets import SETS
from peers.splits import splits_of
from peers.statistics import METRICS

SHORT = {
    "average_precision": "AP",
    "roc_auc": "AUC",
    "root_mean_squared_error": "RMSE",
    "log_loss": "log loss",
    "brier_score": "Brier score",
    "r2": "R²",
}
COSTS = ("seconds to a model, median (most)", "1,000 rows, ms", "one row, ms", "memory, MB")
STANDING = ("system", "version", "mean rank", "wins", "ours wins", *COSTS, "crashed", "late")
BRIEF = ("system", "mean rank", "one row, ms")
GIVEN = """\
* Everybody gets the same training file, the columns of `benchmarks/peers/sets.py`, the metric where it takes one, the cores
  (processor affinity and thread settings) and the seconds that are left when its libraries are loaded. The limit counts from the
  start of the process to the end of fitting; XGBoost as it comes has no budget and uses what it needs.
* The test rows have no label in any system's process. Copies of a row stay on one side; sets with a time are tested on their last
  part; text columns are passed as text, dates as dates.
* AutoGluon: presets `best_quality` and `medium_quality`, no network, so no model that must be fetched. FLAML: its defaults (its
  split by time draws samples from the oldest rows first). mljar: mode Compete. H2O: its defaults, 6 GB for Java. XGBoost +
  Optuna: TPE, one random inner split of 20 %, early stopping, the best configuration fitted again on all rows. Ours is told the
  time and the group.
* A crash, no model, or fitting beyond three times the limit ranks last on its set. Fitting beyond 1.1 times the limit is counted
  as late, and stands. A run during which others took more than 10 % of the machine's cores is disturbed, and is repeated by the
  next `make bench-peers`.
* One row: median of up to 30 rows after one to warm up, in the process that fitted, from a frame of one row (ours: a row of plain
  values, with all reasons) to the probability or value. Memory: the largest sum over the run's processes."""


def conclude(store: Store, cache: Path, limits: Limits, page: Path, readme: Path | None = None) -> None:
    """Compare all that is stored, write summary.json, the page's section and the short one of `readme`."""
    gathered = gather(store, cache, limits)
    if not any(one.ran for one in gathered):
        say(f"No results on a set whose file is below {DATA} (EPIC22_PUBLIC_DATA names the folder): no page is written.")
        return
    stood = standing(gathered)
    comparisons = [c for one in gathered for c in compared(one, store)]
    binary = [one.name for one in SETS if one.kind == "binary"]
    found = bars(stood, comparisons, binary, [one.name for one in SETS])
    summary = {"bars": [asdict(bar) for bar in found], "comparisons": [asdict(c) | {"percent": c.percent} for c in comparisons]}
    store.folder.mkdir(parents=True, exist_ok=True)
    (store.folder / "summary.json").write_text(json.dumps(summary, indent=1) + "\n")
    write_section(page, "peers", "\n".join(lines(gathered, stood, comparisons, found, limits)))
    if readme is not None:
        write_section(readme, "peers", "\n".join(brief(gathered, stood, comparisons)))
    say(f"Written: {page.name}")


def brief(gathered: Sequence[Results], stood: Standing | None, comparisons: Sequence[Comparison]) -> list[str]:
    """Ranks and time a row, and how ours stands to the best peer of each set by the metric that decides there."""
    rows = [dict(zip(STANDING, row, strict=True)) for row in _standing_rows(gathered, stood, _ran(gathered))]
    deciding = {one.dataset.name: one.dataset.metric for one in gathered}
    judged = [c for c in comparisons if c.metric == deciding[c.set] and (c.crashed or c.difference is not None)]
    better = [c.set for c in judged if c.difference is not None and c.difference.low > 0]
    worse = [c.set for c in judged if _is_lost(c)]
    lower = [c.set for c in judged if c.crashed or (c.difference is not None and c.difference.value < 0)]
    return [
        *_table(BRIEF, [[row[name] for name in BRIEF] for row in rows]),
        f"Beside the best peer of each of {len(judged)} sets ours is certainly better on {_listed(better)}, certainly worse on",
        f"{_listed(worse)}; the peer has the better score, if not certainly, on {_listed(lower)}.",
    ]


def _is_lost(c: Comparison) -> bool:
    return c.crashed or (c.difference is not None and c.difference.high < 0)


def _listed(names: Sequence[str]) -> str:
    return f"{len(names)} ({', '.join(names)})" if names else "none"


def _ran(gathered: Sequence[Results]) -> list[str]:
    return [one.name for one in SYSTEMS if any(one.name in results.ran for results in gathered)]


def gather(store: Store, cache: Path, limits: Limits) -> list[Results]:
    """All sets whose data are at hand, with what is stored of them."""
    gathered = []
    for dataset in SETS:
        if (DATA / dataset.file).exists():
            splits = splits_of(dataset, DATA, cache)
            runs = [Run(dataset, split, system, limits) for split in splits for system in SYSTEMS]
            gathered.append(Results.gather(dataset, runs, store))
    return gathered


def compared(results: Results, store: Store) -> Iterable[Comparison]:
    """Ours against the best peer by the deciding metric, and by the scores of probabilities."""
    names = [results.dataset.metric, *(PROBABILITY_SCORES if results.dataset.kind == "binary" else ())]
    for name in names:
        found = against_best(results, name, store)
        if found is not None:
            yield found


def lines(
    gathered: Sequence[Results], stood: Standing | None, comparisons: Sequence[Comparison], found: Sequence[Bar], limits: Limits
) -> list[str]:
    """The section, line by line."""
    stored = [r for one in gathered for of in one.found.values() for r in of if r is not None]
    names = _ran(gathered)
    return [
        "## Peers",
        "",
        f"Written by `make bench-peers`: {limits.seconds:g} seconds, {limits.cores} cores; one run after another, each in a",
        f"fresh process. {_machines(stored)}",
        "",
        *_bar_lines(found),
        *_standing_lines(gathered, stood, names),
        *_score_lines(gathered, names),
        *_comparison_lines(comparisons),
        *_probability_lines(gathered, names),
        *_r2_lines(gathered, names),
        *_trouble_lines(gathered, comparisons),
        "### What each was given",
        "",
        GIVEN,
    ]


def _machines(stored: Sequence[dict[str, Any]]) -> str:
    machines = sorted({r["machine"] for r in stored if "machine" in r})
    days = sorted(r["at"] for r in stored if "at" in r)
    return f"Machine: {'; '.join(machines)}. Run from {days[0]} to {days[-1]}." if days else "Nothing was run."


def _title(name: str) -> str:
    return next(one.title for one in SYSTEMS if one.name == name)


def figure(value: float | None, digits: int = 4) -> str:
    """A number for a table: thousands in groups, else so many decimals; a dash for none.

    >>> figure(116912.3), figure(0.84771), figure(None)
    ('116,912', '0.8477', '–')
    """
    if value is None or math.isnan(value):
        return "–"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.{digits}f}"


def _table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(headers)} |", f"|{'---|' * len(headers)}", *(f"| {' | '.join(row)} |" for row in rows), ""]


def _bar_lines(found: Sequence[Bar]) -> list[str]:
    return _table(["bar", "found", ""], [[bar.text, bar.found, bar.met] for bar in found])


def _standing_lines(gathered: Sequence[Results], stood: Standing | None, names: Sequence[str]) -> list[str]:
    text = ["### Rank, time and memory", ""]
    if stood is None:
        text += ["No set is finished by all systems yet, so there are no ranks.", ""]
    else:
        text += [
            f"Ranks over {', '.join(stood.sets)}; the interval (95 %) draws whole sets; wins are over every other system.",
            "",
        ]
    return text + _table(STANDING, _standing_rows(gathered, stood, names))


def _standing_rows(gathered: Sequence[Results], stood: Standing | None, names: Sequence[str]) -> list[list[str]]:
    """A row a system under STANDING, by mean rank."""
    return [_standing_row(gathered, stood, name) for name in sorted(names, key=lambda name: _mean_rank(stood, name))]


def _mean_rank(stood: Standing | None, name: str) -> float:
    return math.inf if stood is None or name not in stood.systems else float(stood.means[stood.systems.index(name), 0])


def _standing_row(gathered: Sequence[Results], stood: Standing | None, name: str) -> list[str]:
    stored = [r for one in gathered for r in one.found[name] if r is not None and r["status"] != "not run"]
    good = [r for r in stored if r["status"] == "ok"]
    rank = wins = lead = "–"
    if stood is not None and name in stood.systems:
        place = stood.systems.index(name)
        mean, low, high = stood.means[place]
        rank = f"{mean:.2f} ({low:.2f} … {high:.2f})"
        others = [i for i in range(len(stood.systems)) if i != place]
        wins = f"{stood.wins[place, others].mean():.0%}" if others else "–"
        if name != OURS and OURS in stood.systems:
            lead = f"{stood.wins[stood.systems.index(OURS), place]:.0%}"
    seconds = [r["seconds_to_model"] for r in stored if r["seconds_to_model"] is not None]
    batch = [1e6 * r["predict_seconds"] / r["n_test"] for r in good]
    memory = [r["peak_rss_mb"] for r in stored if r["peak_rss_mb"] is not None]
    return [
        _title(name),
        ", ".join(sorted({r["version"] for r in good})) or "–",
        rank,
        wins,
        lead,
        f"{statistics.median(seconds):.0f} ({max(seconds):.0f})" if seconds else "–",
        _spread(batch),
        _latencies(good),
        f"{max(memory):,.0f}" if memory else "–",
        f"{sum(r['status'] == 'crash' for r in stored)} of {len(stored)}",
        str(sum(r.get("late", False) for r in stored)),
    ]


def _latencies(good: Sequence[dict[str, Any]]) -> str:
    """One row's milliseconds, and those of further ways under their names."""
    ways = dict.fromkeys(way for r in good for way in r["row_ms"])
    told = [_spread([r["row_ms"][way] for r in good]) + ("" if way == "row" else f" {way}") for way in ways]
    return "; ".join(told) or "–"


def _spread(values: Sequence[float]) -> str:
    """Median, and the least and most."""
    if not values:
        return "–"
    return f"{_three(statistics.median(values))} ({_three(min(values))} … {_three(max(values))})"


def _three(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _cells(results: Results, names: Sequence[str], metric: str) -> list[str]:
    """Each system's mean and spread over splits, the best in bold, a crash as such."""
    means = {name: results.mean(name, metric) if name in results.ran else None for name in names}
    known = [value for value in means.values() if value is not None]
    best = (max if METRICS[metric].greater_is_better else min)(known) if known else None
    return [_cell(results, name, metric, value is not None and value == best) for name, value in means.items()]


def _cell(results: Results, name: str, metric: str, is_best: bool) -> str:
    if name not in results.ran:
        return "–"
    values = results.values(name, metric)
    if values is None:
        return "crash" if any(r is not None and r["status"] == "crash" for r in results.found[name]) else "…"
    text = figure(statistics.fmean(values))
    text = f"**{text}**" if is_best else text
    return f"{text} ± {figure(statistics.stdev(values))}" if len(values) > 1 else text


def _score_lines(gathered: Sequence[Results], names: Sequence[str]) -> list[str]:
    rows = []
    for one in gathered:
        runs = one.runs[OURS]
        what = f"{one.dataset.name}: {one.dataset.about}"
        size = f"{runs[0].split.n_train:,} / {runs[0].split.n_test:,}{f' × {len(runs)}' if len(runs) > 1 else ''}"
        rows.append([what, size, SHORT[one.dataset.metric], *_cells(one, names, one.dataset.metric)])
    about = "Mean ± standard deviation over the splits, where there are several; AP and AUC: more is better, RMSE: less."
    return ["### Scores", "", about, "", *_table(["set", "training / test rows", "by", *map(_title, names)], rows)]


def _comparison_lines(comparisons: Sequence[Comparison]) -> list[str]:
    rows = []
    for c in comparisons:
        d, percent = c.difference, c.percent
        told = ["crash" if c.crashed else "–", "–", "–"]
        if d is not None and percent is not None:
            digits = 1 if abs(c.theirs) >= 1000 else 4
            told = [_interval((d.value, d.low, d.high), digits), _interval(percent, 2), d.method]
        rows.append([c.set, SHORT[c.metric], _title(c.peer), figure(c.ours), figure(c.theirs), *told])
    headers = ["set", "by", "best peer", "ours", "theirs", "difference, 95 %", "in % of theirs", "interval by"]
    return ["### Ours against the best peer of each set", "", "Above zero: ours is better.", "", *_table(headers, rows)]


def _interval(three: tuple[float, float, float], digits: int) -> str:
    value, low, high = (f"{part:+,.{digits}f}" for part in three)
    return f"{value} ({low} … {high})"


def _probability_lines(gathered: Sequence[Results], names: Sequence[str]) -> list[str]:
    rows = [
        [one.dataset.name, SHORT[metric], *_cells(one, names, metric)]
        for one in gathered
        if one.dataset.kind == "binary"
        for metric in PROBABILITY_SCORES
    ]
    return ["### Probabilities", "", "Less is better.", "", *_table(["set", "by", *map(_title, names)], rows)]


def _r2_lines(gathered: Sequence[Results], names: Sequence[str]) -> list[str]:
    rows = [[one.dataset.name, *_cells(one, names, "r2")] for one in gathered if one.dataset.kind == "regression"]
    return ["### R²", "", *_table(["set", *map(_title, names)], rows)]


def _trouble_lines(gathered: Sequence[Results], comparisons: Sequence[Comparison]) -> list[str]:
    losses = [c for c in comparisons if _is_lost(c)]
    lost = [f"{c.set} ({SHORT[c.metric]}) to {_title(c.peer)}" for c in losses]
    told = [f"* Lost with the whole interval below zero: {'; '.join(lost) or 'nothing'}."]
    for system in SYSTEMS:
        told += _trouble(system, [(one, r) for one in gathered for r in one.found[system.name]], gathered)
    return ["### Losses, crashes, late and disturbed runs", "", *told, ""]


def _trouble(system: System, found: Sequence[tuple[Results, dict[str, Any] | None]], gathered: Sequence[Results]) -> list[str]:
    told = []
    absent = sum(r is None for _, r in found)
    messages: dict[str, list[str]] = {}
    for one, r in found:
        if r is not None and r["status"] != "ok":
            messages.setdefault(f"{r['status']}: {r['message']}", []).append(f"{one.dataset.name} {r['split']}")
    told += [f"* {system.title}: {message} ({', '.join(where)})." for message, where in messages.items()]
    for word in ("late", "disturbed"):
        where = [f"{one.dataset.name} {r['split']}" for one, r in found if r is not None and r.get(word)]
        if where:
            told.append(f"* {system.title}: {word}: {', '.join(where)}.")
    stale = sum(one.stale(system.name) for one in gathered)
    if stale:
        told.append(f"* {system.title}: {stale} results are of an earlier script or source.")
    if absent:
        told.append(f"* {system.title}: {absent} runs are not made yet.")
    return told
