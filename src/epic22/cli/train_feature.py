"""`epic22 train FEATURE`: one of the five capabilities, or all of them, on the stored tables."""

from dataclasses import replace

from epic22.bootstrap import Components, ForecastResult, TrainingResult, assemble, override_by_key, train_feature
from epic22.cli.terminal import format_figure, print_json, print_line, print_table, show_progress
from epic22.config import Settings, parse_memory
from epic22.core.errors import UserError
from epic22.core.serialization import to_json
from epic22.features.catalog import FEATURES
from epic22.reports.json import VIEWS
from epic22.services.assess import Assessment
from epic22.services.tune import Tuning

ALL = "all"
AUTHORISATION_HINT = "Give --override-reason with a key in EPIC22_KEY whose SHA-256 is in EPIC22_AUTHORISED_KEYS."


def train_features(
    name: str,
    data: int | None,
    seed: int,
    reason: str | None,
    json: bool,
    tuning: Tuning | None = None,
    engineer: bool = False,
    memory_cap: str | None = None,
) -> None:
    """Train the feature of that name, or each of them, and show what was found."""
    settings = Settings.read()
    if memory_cap is not None:
        settings = replace(settings, memory_cap=parse_memory(memory_cap, "--memory-cap"))
    components, override, refusals = assemble(settings), override_by_key(reason), []
    names = [feature.name for feature in FEATURES] if name == ALL else [name]
    for feature_name in names:
        with show_progress() as bars:
            result = train_feature(
                components, feature_name, data, seed, bars, override=override, tuning=tuning, engineer=engineer
            )
        print_feature(components, result, json)
        refusals += explain_refusal(result)
    if refusals:
        raise UserError(" ".join(refusals))


def explain_refusal(result: TrainingResult | ForecastResult) -> list[str]:
    """What to tell someone who asked for an override and was not granted it: a sentence, or nothing."""
    decision = getattr(result.run, "promotion", None)
    if decision is None or decision.promote or decision.override is None:
        return []
    version = result.run.version
    return [f"{version.task} version {version.version} was not promoted: {decision.why}. {AUTHORISATION_HINT}"]


def print_feature(components: Components, result: TrainingResult | ForecastResult, json: bool) -> None:
    """The result for a person at a terminal, or as JSON."""
    from epic22.cli import train, train_panel

    if json:
        print_json(to_json(result.run, VIEWS) | {"report": str(result.report)})
        return
    if isinstance(result, ForecastResult):
        train_panel.print_forecast(result)
        return
    train.print_training(result)
    if result.run.assessment is not None:
        print_assessment(result.run.assessment)
    decision = result.run.promotion
    if decision is not None and not decision.promote:
        print_line(f"Not promoted: {decision.why}.", "bold red")
        print_line("With a key: EPIC22_KEY=… epic22 train FEATURE --override-reason 'why'", "dim")
    elif decision is not None:
        print_line(f"Promoted as {decision.status}: {decision.why}.", "dim")


def print_assessment(assessment: Assessment) -> None:
    """Calibration, money, bands and fairness in a few lines."""
    print_line(
        f"Calibration: {assessment.calibration.kind}; expected calibration error "
        f"{format_figure(assessment.before.error)} before, "
        f"{format_figure(assessment.after.error)} after (noise alone {format_figure(assessment.after.floor)})."
    )
    for name, saving in (("at capacity", assessment.savings), ("at the threshold", assessment.unlimited)):
        if saving is not None:
            phrases = [f"{saving.yearly}", *(f"{d.saved} more than the {d.against}" for d in saving.differences)]
            print_line(f"Saving {name}, a year and 1,000 entities: {'; '.join(phrases)}.")
    if assessment.band_order is not None:
        rows = [
            [
                b.name,
                f"{b.n:,}",
                format_figure(b.predicted),
                f"{format_figure(b.observed.value)} ({format_figure(b.observed.low, 3)}…{format_figure(b.observed.high, 3)})",
            ]
            for b in assessment.band_figures
        ]
        print_table("Bands of expected loss", ["band", "rows", "predicted", "observed"], rows)
        print_line(f"{assessment.band_order.words}.")
    if assessment.fairness is not None:
        print_line(f"Fairness ({assessment.fairness.status}), the worst class: {assessment.fairness.why}.")
