"""The page's sections on peers, and the figures behind them as JSON."""

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from page import write_section

from peers.bars import Bar
from peers.cells import figure, interval, listed, spread, table
from peers.collection import PUBLIC, Collection
from peers.compare import PROBABILITY_SCORES, Comparison, Results, Standing
from peers.environments import OURS, SYSTEMS, System
from peers.findings import Findings, judge
from peers.runs import Limits, Run, Store, say
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
PAIR = ("ours", "theirs", "difference, 95 %", "in % of theirs")
BRIEF = ("system", "mean rank", "one row, ms")
PUBLIC_COLUMNS = """\
* The columns are those of `benchmarks/peers/sets.py`; sets with a time are tested on their last part."""
FOLDER_COLUMNS = """\
* The columns are all but the label and those without any value; rows without a label are left out. A fifth of the different rows,
  dealt once at random in a fixed way (of each class alike), is the test part."""
GIVEN = """\
* Everybody gets the same training file, the same columns, the metric where it takes one, the cores (processor affinity and thread
  settings) and the seconds that are left when its libraries are loaded. The limit counts from the start of the process to the
  end of fitting; XGBoost as it comes has no budget and uses what it needs.
* The test rows have no label in any system's process. Copies of a row stay on one side; text columns are passed as text, dates as
  dates.
* AutoGluon: presets `best_quality` and `medium_quality`, no network, so no model that must be fetched. FLAML: its defaults (its
  split by time draws samples from the oldest rows first). mljar: mode Compete. H2O: its defaults, 6 GB for Java. XGBoost +
  Optuna: TPE, one random inner split of 20 %, early stopping, the best configuration fitted again on all rows. Ours is told the
  time and the group.
* A crash, no model, or fitting beyond three times the limit ranks last on its set. Fitting beyond 1.1 times the limit is counted
  as late, and stands. A run during which others took more than 10 % of the machine's cores is disturbed, and is repeated by the
  next call.
* One row: median of up to 30 rows after one to warm up, in the process that fitted, from a frame of one row (ours: a row of plain
  values, with all reasons) to the probability or value. Memory: the largest sum over the run's processes."""


def conclude(collection: Collection, store: Store, cache: Path, limits: Limits, page: Path, readme: Path | None = None) -> None:
    """Compare all that is stored, write summary.json, the page's section and the short one of `readme`."""
    gathered = gather(collection, store, cache, limits)
    if not any(one.ran for one in gathered):
        say(f"No results on a set whose file is below {collection.data}: no page is written.")
        return
    findings = judge(gathered, collection.sets, store)
    store.folder.mkdir(parents=True, exist_ok=True)
    (store.folder / "summary.json").write_text(json.dumps(findings.summary(), indent=1) + "\n")
    write_section(page, collection.label(limits), "\n".join(lines(findings, collection, limits)))
    if readme is not None:
        write_section(readme, PUBLIC, "\n".join(brief(findings)))
    say(f"Written: {page.name}")


def brief(findings: Findings) -> list[str]:
    """Ranks and time a row, and how ours stands to the best peer of each set by the metric that decides there."""
    rows = [dict(zip(STANDING, row, strict=True)) for row in _standing_rows(findings)]
    deciding = {one.dataset.name: one.dataset.metric for one in findings.gathered}
    judged = [c for c in findings.best if c.metric == deciding[c.set] and (c.crashed or c.difference is not None)]
    better = [c.set for c in judged if c.difference is not None and c.difference.low > 0]
    worse = [c.set for c in judged if c.is_lost]
    lower = [c.set for c in judged if c.is_behind]
    return [
        *table(BRIEF, [[row[name] for name in BRIEF] for row in rows]),
        f"Beside the best peer of each of {len(judged)} sets ours is certainly better on {listed(better)}, certainly worse on",
        f"{listed(worse)}; the peer has the better score, if not certainly, on {listed(lower)}.",
    ]


def gather(collection: Collection, store: Store, cache: Path, limits: Limits) -> list[Results]:
    """All sets whose data are at hand, with what is stored of them.

    Under other limits than the usual, of each set the splits that any system ran: not all are meant to be run there.
    """
    gathered = []
    for dataset in collection.sets:
        if (collection.data / dataset.file).exists():
            runs = [Run(dataset, split, system, limits) for split in collection.splits(dataset, cache) for system in SYSTEMS]
            started = {run.split.number for run in runs if limits == Limits() or store.latest(run) is not None}
            if started:
                gathered.append(Results.gather(dataset, [run for run in runs if run.split.number in started], store))
    return gathered


def lines(findings: Findings, collection: Collection, limits: Limits) -> list[str]:
    """The section, line by line."""
    stored = [r for one in findings.gathered for of in one.found.values() for r in of if r is not None]
    return [
        f"## {collection.title}{'' if limits == Limits() else f', {limits.seconds:g} seconds'}",
        "",
        f"Written by `{collection.command(limits)}`: {limits.seconds:g} seconds, {limits.cores} cores; one run after",
        f"another, each in a fresh process. {_machines(stored)}",
        "",
        *(f"* Not compared: {sentence}" for sentence in collection.refused),
        *([""] if collection.refused else []),
        *_bar_lines(findings.bars),
        *_standing_lines(findings),
        *_pair_lines(findings),
        *_loss_lines(findings),
        *_score_lines(findings),
        *_comparison_lines(findings.best),
        *_probability_lines(findings),
        *_r2_lines(findings),
        *_trouble_lines(findings),
        "### What each was given",
        "",
        GIVEN,
        PUBLIC_COLUMNS if collection.name == PUBLIC else FOLDER_COLUMNS,
    ]


def _machines(stored: Sequence[Mapping[str, Any]]) -> str:
    machines = sorted({r["machine"] for r in stored if "machine" in r})
    days = sorted(r["at"] for r in stored if "at" in r)
    return f"Machine: {'; '.join(machines)}. Run from {days[0]} to {days[-1]}." if days else "Nothing was run."


def _title(name: str) -> str:
    return next(one.title for one in SYSTEMS if one.name == name)


def _bar_lines(reached: Sequence[Bar]) -> list[str]:
    return table(["bar", "found", ""], [[bar.text, bar.found, bar.met] for bar in reached])


def _standing_lines(findings: Findings) -> list[str]:
    text = ["### Rank, time and memory", ""]
    if findings.standing is None:
        text += ["No set is finished by all systems yet, so there are no ranks.", ""]
    else:
        text += [
            f"Ranks over {', '.join(findings.standing.sets)}; the interval (95 %) draws whole sets; wins are over every",
            "other system.",
            "",
        ]
    return text + table(STANDING, _standing_rows(findings))


def _standing_rows(findings: Findings) -> list[list[str]]:
    """A row a system under STANDING, by mean rank."""
    stood = findings.standing
    return [
        _standing_row(findings.gathered, stood, name) for name in sorted(findings.names, key=lambda name: _mean_rank(stood, name))
    ]


def _pair_lines(findings: Findings) -> list[str]:
    """Ours against each peer: on how many sets it is ahead, and where its lead or lag is certain."""
    rows = []
    for name in findings.names:
        pairs = [pair for pair in findings.pairs if pair.peer == name]
        if name == OURS or not pairs:
            continue
        known = [pair.difference for pair in pairs if pair.difference is not None]
        behind = [pair.set for pair in pairs if pair.is_behind]
        ahead = sum(d.value > 0 for d in known)
        certain = [pair.set for pair in pairs if pair.difference is not None and pair.difference.low > 0]
        lost = [pair.set for pair in pairs if pair.is_lost]
        level = str(sum(d.value == 0 for d in known))
        rows.append([_title(name), str(len(pairs)), str(ahead), level, str(len(behind)), listed(certain), listed(lost)])
    headers = ["peer", "sets", "ours ahead", "level", "behind", "certainly ahead", "certainly behind"]
    return [
        "### Ours against each peer",
        "",
        "By the metric that decides on the set; sets on which the peer crashed are left out.",
        "",
        *table(headers, rows),
    ]


def _loss_lines(findings: Findings) -> list[str]:
    rows = [[c.set, SHORT[c.metric], _title(c.peer), *_cells_of_pair(c), "yes" if c.is_lost else "no"] for c in findings.losses]
    if not rows:
        return ["### Every loss", "", "On no set does any peer have a better score.", ""]
    headers = ["set", "by", "peer", *PAIR, "certain"]
    about = "Every set and peer where the peer's score is better, by however little; the largest in % of the peer's score first."
    return ["### Every loss", "", about, "", *table(headers, rows)]


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
        spread(batch),
        _latencies(good),
        f"{max(memory):,.0f}" if memory else "–",
        f"{sum(r['status'] == 'crash' for r in stored)} of {len(stored)}",
        str(sum(r.get("late", False) for r in stored)),
    ]


def _latencies(good: Sequence[dict[str, Any]]) -> str:
    """One row's milliseconds, and those of further ways under their names."""
    ways = dict.fromkeys(way for r in good for way in r["row_ms"])
    told = [spread([r["row_ms"][way] for r in good]) + ("" if way == "row" else f" {way}") for way in ways]
    return "; ".join(told) or "–"


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


def _score_lines(findings: Findings) -> list[str]:
    rows = []
    for one in findings.gathered:
        runs = one.runs[OURS]
        what = f"{one.dataset.name}: {one.dataset.about}"
        size = f"{runs[0].split.n_train:,} / {runs[0].split.n_test:,}{f' × {len(runs)}' if len(runs) > 1 else ''}"
        rows.append([what, size, SHORT[one.dataset.metric], *_cells(one, findings.names, one.dataset.metric)])
    about = "Mean ± standard deviation over the splits, where there are several; AP and AUC: more is better, RMSE: less."
    return ["### Scores", "", about, "", *table(["set", "training / test rows", "by", *map(_title, findings.names)], rows)]


def _comparison_lines(comparisons: Sequence[Comparison]) -> list[str]:
    rows = [
        [c.set, SHORT[c.metric], _title(c.peer), *_cells_of_pair(c), "–" if c.difference is None else c.difference.method]
        for c in comparisons
    ]
    headers = ["set", "by", "best peer", *PAIR, "interval by"]
    return ["### Ours against the best peer of each set", "", "Above zero: ours is better.", "", *table(headers, rows)]


def _cells_of_pair(c: Comparison) -> list[str]:
    """The cells under PAIR."""
    d, percent = c.difference, c.percent
    cells = ["crash" if c.crashed else "–", "–"]
    if d is not None:
        digits = 1 if abs(c.theirs) >= 1000 else 4
        cells = [interval((d.value, d.low, d.high), digits), "–" if percent is None else interval(percent, 2)]
    return [figure(c.ours), figure(c.theirs), *cells]


def _probability_lines(findings: Findings) -> list[str]:
    rows = [
        [one.dataset.name, SHORT[metric], *_cells(one, findings.names, metric)]
        for one in findings.gathered
        if one.dataset.kind == "binary"
        for metric in PROBABILITY_SCORES
    ]
    return ["### Probabilities", "", "Less is better.", "", *table(["set", "by", *map(_title, findings.names)], rows)]


def _r2_lines(findings: Findings) -> list[str]:
    names = findings.names
    rows = [[one.dataset.name, *_cells(one, names, "r2")] for one in findings.gathered if one.dataset.kind == "regression"]
    return ["### R²", "", *table(["set", *map(_title, names)], rows)]


def _trouble_lines(findings: Findings) -> list[str]:
    lost = [f"{c.set} ({SHORT[c.metric]}) to {_title(c.peer)}" for c in findings.best if c.is_lost]
    text = [f"* Lost to the best peer with the whole interval below zero: {'; '.join(lost) or 'nothing'}."]
    for system in SYSTEMS:
        stored = [(one, r) for one in findings.gathered for r in one.found[system.name]]
        if any(r is not None for _, r in stored):
            text += _trouble(system, stored, findings.gathered)
    return ["### Losses, crashes, late and disturbed runs", "", *text, ""]


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
