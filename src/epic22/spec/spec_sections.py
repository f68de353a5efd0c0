"""The options of a training, each declared once in the section of the file in which it stands."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict

from epic22.spec.key import PANEL, SEARCH, SPLIT, TABLE, TABLE_OR_FEATURE, TABLE_OR_PANEL, USE, Key

MAX_DAYS = 36_525
"""A hundred years: dates that are so far off still have four digits."""

MAX_PERIODS = 10_000
MAX_COST = 1e12
MAX_SEED = 2**32 - 1
"""The largest that XGBoost and NumPy take."""


def list_family_names() -> tuple[str, ...]:
    """The names of the families of models; their libraries are loaded only when a name is checked."""
    from epic22.core.models.catalog import FAMILIES

    return tuple(family.name for family in FAMILIES)


def list_detector_names() -> tuple[str, ...]:
    """The names of the detectors of anomalies; their libraries are loaded only when a name is checked."""
    from epic22.core.evaluation import anomaly_detectors

    return anomaly_detectors.list_detector_names()


class Section(BaseModel):
    """Fields that stand together in the file."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class DataSection(Section):
    """The files."""

    file: Annotated[
        Path | None,
        Key(
            "CSV (any separator, zipped too), Excel, Parquet or JSON.",
            "--csv",
            TABLE,
            jobs=TABLE_OR_PANEL,
            in_audit=True,
        ),
    ] = None
    test: Annotated[Path | None, Key("Test on this file.", "--test", SPLIT)] = None
    about: Annotated[str | None, Key("What is predicted and for whom: the description in the API.", "--about", TABLE)] = None
    missing: Annotated[
        tuple[str, ...],
        Key("A word that means missing in every column, such as 'unknown'; may be repeated.", "--missing", TABLE, in_audit=True),
    ] = ()


class RolesSection(Section):
    """What the columns are for."""

    label: Annotated[str | None, Key("The column to predict.", "--label", TABLE, jobs=TABLE_OR_PANEL, in_audit=True)] = None
    positive: Annotated[str | None, Key("The label's value that counts as positive.", "--positive", TABLE, in_audit=True)] = None
    kind: Annotated[
        Literal["binary", "multiclass", "regression"] | None,
        Key("binary, multiclass or regression, where the label leaves it open.", "--kind", TABLE, in_audit=True),
    ] = None
    time: Annotated[
        tuple[str, ...],
        Key(
            "The row's time; repeat it for a date spread over columns: year, month, day.",
            "--time",
            TABLE,
            jobs=TABLE_OR_PANEL,
            in_audit=True,
        ),
    ] = ()
    group: Annotated[str | None, Key("A group is never in both training and test rows.", "--group", TABLE, in_audit=True)] = None
    id: Annotated[
        tuple[str, ...],
        Key(
            "The entity that a row is about; repeat it where several columns name a series.",
            "--id",
            TABLE,
            jobs=TABLE_OR_PANEL,
            in_audit=True,
        ),
    ] = ()
    drop: Annotated[
        tuple[str, ...], Key("A column that must not be an input; may be repeated.", "--drop", TABLE, in_audit=True)
    ] = ()
    keep: Annotated[
        tuple[str, ...],
        Key("A column to keep although the audit suspects it; may be repeated.", "--keep", TABLE, in_audit=True),
    ] = ()
    sequence: Annotated[
        tuple[str, ...],
        Key(
            "Columns that are steps of a sequence: 'load_*' takes load_1, load_2, … in this order; repeat it for more channels.",
            "--sequence",
            TABLE,
        ),
    ] = ()
    offset: Annotated[
        str | None,
        Key(
            "With --loss poisson or tweedie: what the label is proportional to, such as years insured; above zero, and no input.",
            "--offset",
            TABLE,
        ),
    ] = None


class TargetSection(Section):
    """The loss that is minimised, and the metric that decides."""

    loss: Annotated[
        str | None,
        Key("A regression's loss: squared (default), absolute, quantile:0.9, poisson, tweedie or tweedie:1.5.", "--loss", TABLE),
    ] = None
    log: Annotated[
        Literal["no", "yes", "auto"] | None,
        Key(
            "Learn the label's logarithm: yes, no, or auto: where that scores better (the default of --loss squared).",
            "--log",
            TABLE,
        ),
    ] = None
    metric: Annotated[
        str | None, Key("The metric that decides, such as roc_auc; by default that of the label's kind.", "--metric", TABLE)
    ] = None

    @property
    def is_of_values(self) -> bool:
        """Whether the label is a number to be predicted, however few values it has."""
        return self.loss is not None or self.log in ("yes", "auto")


class CostsSection(Section):
    """What errors cost."""

    miss: Annotated[
        float | None,
        Key("The cost of a positive that nobody acted on; two classes.", "--cost-miss", USE, minimum=0, maximum=MAX_COST),
    ] = None
    false_alarm: Annotated[
        float | None,
        Key("The cost of acting where nothing would have happened.", "--cost-false-alarm", USE, minimum=0, maximum=MAX_COST),
    ] = None
    capacity: Annotated[int | None, Key("How many rows a week can be acted on.", minimum=1, maximum=1_000_000_000)] = None
    stake_column: Annotated[
        str | None,
        Key("A numeric input that multiplies the cost of a miss, such as the value at stake."),
    ] = None


class PolicySection(Section):
    """What is preferred among equals, and what is reported."""

    prefer_simpler: Annotated[
        bool,
        Key(
            "Choose the simplest family that is shown to cost at most 1 % of the constant's cost more than the best.",
            "--prefer-simpler",
            USE,
        ),
    ] = False
    learning_curve: Annotated[
        bool, Key("Refit on fewer rows, and report whether more data would help.", "--learning-curve", USE)
    ] = False
    minimum_effect: Annotated[float | None, Key("The smallest difference of the metric that matters.", minimum=0)] = None
    non_inferiority_margin: Annotated[
        float | None,
        Key("Money per 1,000 rows by which a simpler family may cost more.", minimum=0),
    ] = None
    latency_budget: Annotated[
        float | None, Key("Milliseconds of processor time that a serving model may take for one row; 100 otherwise.", minimum=0)
    ] = None
    calibration_limit: Annotated[
        float | None,
        Key("How far probabilities may lie from the rates, as a share of the rarer class's rate; 0.5 otherwise.", minimum=0),
    ] = None
    coverage_by: Annotated[
        tuple[str, ...],
        Key("An input of few levels by which coverage is reported; may be repeated.", "--coverage-by", TABLE),
    ] = ()


class SplitSection(Section):
    """Which rows are for testing."""

    horizon: Annotated[
        float,
        Key(
            "Days from a row's time to its label; with --panel, periods to forecast.",
            "--horizon",
            SPLIT,
            jobs=TABLE_OR_PANEL,
            minimum=0,
            maximum=MAX_DAYS,
        ),
    ] = 0.0
    gap: Annotated[
        float,
        Key("Label delay: days from the horizon's end until it is known.", "--gap", SPLIT, minimum=0, maximum=MAX_DAYS),
    ] = 0.0
    folds: Annotated[int, Key("The number of test folds.", "--folds", SPLIT, minimum=2, maximum=MAX_PERIODS)] = 5
    repeats: Annotated[
        int | None,
        Key("Repeats of cross-validation: 5, or 1 with a search.", "--repeats", SPLIT, minimum=1, maximum=MAX_PERIODS),
    ] = None
    group_by: Annotated[
        Literal["day", "week", "month"] | None,
        Key("day, week or month: rows of one period of --time are a group.", "--group-by", SPLIT),
    ] = None
    holdout_from: Annotated[str | None, Key("Test on all rows from this date on (ISO 8601, UTC).", "--holdout-from", SPLIT)] = (
        None
    )
    holdout_last: Annotated[
        int | None,
        Key(
            "Test on the last N moments of --time.",
            "--holdout-last",
            SPLIT,
            jobs=TABLE_OR_PANEL,
            minimum=1,
            maximum=MAX_PERIODS,
        ),
    ] = None
    random_rows_despite_time: Annotated[
        bool,
        Key(
            "Split timed rows at random: leaks neighbours in time; every report warns of it.",
            "--random-rows-despite-time",
            SPLIT,
        ),
    ] = False
    seed: Annotated[
        int,
        Key(
            "Same data, seed and platform: same model hash.",
            "--seed",
            jobs=("table", "panel", "feature"),
            minimum=0,
            maximum=MAX_SEED,
        ),
    ] = 0


class SearchSection(Section):
    """The search and its budget; none without `trials` or `time_limit`."""

    trials: Annotated[
        int | None,
        Key("Try N configurations in each training part; reproducible.", "--trials", SEARCH, minimum=1, maximum=1_000_000),
    ] = None
    time_limit: Annotated[
        float | None,
        Key(
            "Seconds from the command's start; untuned families are fitted in any case. Not reproducible to the bit.",
            "--time-limit",
            SEARCH,
            minimum=5,
        ),
    ] = None
    families: Annotated[
        tuple[str, ...],
        Key(
            "A family to search; may be repeated, or several by commas. By default all that fit; without --trials extra trees "
            "too, and CatBoost and LightGBM where installed.",
            "--search-family",
            SEARCH,
            list_choices=list_family_names,
        ),
    ] = ()
    sampling: Annotated[Literal["bayesian", "random", "grid"], Key("bayesian, random or grid.", "--sampling", SEARCH)] = (
        "bayesian"
    )
    prune: Annotated[bool, Key("Stop a configuration that falls behind in its first folds.", "--prune", SEARCH)] = True
    engineer: Annotated[
        bool | None,
        Key(
            "Derive columns from dates, numbers and categories, and drop weak ones, where that helps on held-out rows; "
            "on with a search.",
            "--engineer",
            TABLE,
            jobs=TABLE_OR_FEATURE,
        ),
    ] = None
    nested: Annotated[
        bool,
        Key(
            "Search in every training part; or once, scored by its own inner folds: faster, slightly optimistic.",
            "--nested",
            SEARCH,
        ),
    ] = True
    row_ms: Annotated[
        float | None,
        Key(
            "Distil the ensemble into one model where score and reasons of one row take more milliseconds than this.",
            "--row-ms",
            SEARCH,
            minimum=0.01,
        ),
    ] = None

    @property
    def is_requested(self) -> bool:
        """Whether there is a search."""
        return self.trials is not None or self.time_limit is not None

    @property
    def uses_engineering(self) -> bool:
        """Whether columns are made and chosen."""
        return self.is_requested if self.engineer is None else self.engineer


class ForecastSection(Section):
    """The layout of a panel of series; in no task file."""

    panel: Annotated[
        str | None, Key("Forecast many series: wide (a column a period) or long (a row a value).", "--panel", PANEL)
    ] = None
    frequency: Annotated[
        str | None, Key("The length of a period: H, D, B (business days), W, M, Q or Y.", "--frequency", PANEL)
    ] = None
    season: Annotated[
        int | None,
        Key("Periods in a cycle; 1 where the series are seasonally adjusted.", "--season", PANEL, minimum=1, maximum=MAX_PERIODS),
    ] = None
    complete_last: Annotated[
        int | None,
        Key("Use only series without a gap in the last N periods.", "--complete-last", PANEL, minimum=1, maximum=MAX_PERIODS),
    ] = None
    trend_horizon: Annotated[
        int,
        Key(
            "Periods ahead at which a series is reported as rising, stable or falling.",
            "--trend-horizon",
            PANEL,
            minimum=1,
            maximum=MAX_PERIODS,
        ),
    ] = 3
    strict: Annotated[
        bool, Key("Refuse a panel with a series that would be left out, instead of naming it.", "--strict", PANEL)
    ] = False
    also: Annotated[
        tuple[str, ...],
        Key(
            "A slow family to evaluate as well: arima, pooled_lstm, pooled_transformer, pooled_cnn.",
            "--also",
            PANEL,
            jobs=("panel", "feature"),
        ),
    ] = ()
    detectors: Annotated[
        tuple[str, ...],
        Key(
            "A detector of anomalies to try beside residuals: autoencoder, combined; used where it finds certainly more.",
            "--detector",
            PANEL,
            list_choices=list_detector_names,
            jobs=("panel", "feature"),
        ),
    ] = ()


class RunSection(Section):
    """How this one training runs; in no task file."""

    task_file: Annotated[
        Path | None,
        Key("Take the options from this file; those on the command line override it.", "--task-file", TABLE, in_audit=True),
    ] = None
    write_task: Annotated[
        Path | None, Key("Write what was given and inferred here, to be edited.", "--write-task", TABLE, in_audit=True)
    ] = None
    memory_cap: Annotated[
        str | None,
        Key(
            "Read a table in batches if it would take more memory than this, such as 4GB; default: EPIC22_MEMORY_CAP.",
            "--memory-cap",
            TABLE,
            jobs=TABLE_OR_FEATURE,
        ),
    ] = None
    device: Annotated[
        Literal["auto", "cpu", "cuda", "mps"],
        Key(
            "Train networks on cpu, cuda or mps; auto: the accelerator that epic22 doctor found sound, else cpu.",
            "--device",
            TABLE,
            jobs=TABLE_OR_FEATURE,
        ),
    ] = "auto"
    processes: Annotated[
        int,
        Key(
            "Search with N processes at once: faster, but the same command may find another model next time.",
            "--processes",
            SEARCH,
            minimum=1,
            maximum=256,
        ),
    ] = 1
