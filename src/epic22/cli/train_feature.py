"""`epic22 train FEATURE`: one of the five capabilities, or all of them, on the stored tables."""

from dataclasses import replace
from typing import TYPE_CHECKING

from epic22.cli.terminal import figure, print_json, progress, say, table
from epic22.core.errors import UserError

if TYPE_CHECKING:
    from epic22.bootstrap import Finished, Forecast, Parts
    from epic22.services.tune import Tuning
    from epic22.services.worth import Worth

ALL = "all"
AUTHORISE = "Give --override-reason with a key in EPIC22_KEY whose SHA-256 is in EPIC22_AUTHORISED_KEYS."


def train_features(
    name: str,
    data: int | None,
    seed: int,
    reason: str | None,
    json: bool,
    tuning: "Tuning | None" = None,
    engineer: bool = False,
    memory_cap: str | None = None,
) -> None:
    """Train the feature of that name, or each of them, and show what was found."""
    from epic22.bootstrap import assemble, override_by_key, train_feature
    from epic22.config import Settings, memory_bytes
    from epic22.features.catalog import FEATURES

    settings = Settings.read()
    if memory_cap is not None:
        settings = replace(settings, memory_cap=memory_bytes(memory_cap, "--memory-cap"))
    parts, override, refused = assemble(settings), override_by_key(reason), []
    names = [feature.name for feature in FEATURES] if name == ALL else [name]
    for one in names:
        with progress() as watch:
            finished = train_feature(parts, one, data, seed, watch, override=override, tuning=tuning, engineer=engineer)
        show_feature(parts, finished, json)
        refused += refused_override(finished)
    if refused:
        raise UserError(" ".join(refused))


def refused_override(finished: "Finished | Forecast") -> list[str]:
    """What to tell someone who asked for an override and was not granted it: a sentence, or nothing."""
    decision = getattr(finished.run, "promotion", None)
    if decision is None or decision.promote or decision.override is None:
        return []
    version = finished.run.version
    return [f"{version.task} version {version.version} was not promoted: {decision.why}. {AUTHORISE}"]


def show_feature(parts: "Parts", finished: "Finished | Forecast", json: bool) -> None:
    """The result for a person at a terminal, or as JSON."""
    from epic22.bootstrap import Forecast
    from epic22.cli import train, train_panel
    from epic22.services.forecast_results import panel_run_json
    from epic22.services.results import run_json

    if isinstance(finished, Forecast):
        if json:
            print_json(panel_run_json(finished.run) | {"report": str(finished.report)})
        else:
            train_panel.show(finished)
        return
    if json:
        print_json(run_json(finished.run) | {"report": str(finished.report)})
        return
    train.show(finished)
    if finished.run.worth is not None:
        show_worth(finished.run.worth)
    decision = finished.run.promotion
    if decision is not None and not decision.promote:
        say(f"Not promoted: {decision.why}.", "bold red")
        say("With a key: EPIC22_KEY=… epic22 train FEATURE --override-reason 'why'", "dim")
    elif decision is not None:
        say(f"Promoted as {decision.status}: {decision.why}.", "dim")


def show_worth(worth: "Worth") -> None:
    """Calibration, money, bands and fairness in a few lines."""
    say(
        f"Calibration: {worth.calibration.kind}; expected calibration error {figure(worth.before.error)} before, "
        f"{figure(worth.after.error)} after (noise alone {figure(worth.after.floor)})."
    )
    for name, saving in (("at capacity", worth.savings), ("at the threshold", worth.unlimited)):
        if saving is not None:
            told = [f"{saving.yearly}", *(f"{d.saved} more than the {d.against}" for d in saving.differences)]
            say(f"Saving {name}, a year and 1,000 entities: {'; '.join(told)}.")
    if worth.band_order is not None:
        rows = [
            [b.name, f"{b.n:,}", figure(b.predicted), f"{figure(b.observed)} ({figure(b.low, 3)}…{figure(b.high, 3)})"]
            for b in worth.band_figures
        ]
        table("Bands of expected loss", ["band", "rows", "predicted", "observed"], rows)
        say(f"{worth.band_order.words}.")
    if worth.fairness is not None:
        say(f"Fairness ({worth.fairness.status}), the worst class: {worth.fairness.why}.")
