"""The options of a training, each declared once: type, default, help, bounds, option, key of the file.

From these fields are made: the options of `train` and `audit` (`cli.options`), the task file and its schema (`task_yaml`,
`task_schema`), and the keywords of the Python call (`build_spec`). A new option is a field here, and its use.
"""

import math
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, TypeAdapter, ValidationError, field_validator
from pydantic_core import CoreSchema, core_schema

from epic22.core.column import ColumnOverride
from epic22.core.errors import UserError

KeyPath = tuple[str, ...]
Form = Literal["text", "texts", "path", "number", "whole", "flag"]

VERSION = 1
"""Of the file's form. It goes up when a key changes its meaning; files of every version before, and old names, stay readable."""

MAX_DAYS = 36_525
"""A hundred years: dates that are so far off still have four digits."""

MAX_PERIODS = 10_000
MAX_COST = 1e12
MAX_SEED = 2**32 - 1
"""The largest that XGBoost and NumPy take."""

TABLE, USE, SEARCH, SPLIT, PANEL = "The table", "The use", "Search for parameters", "The split", "The panel"
"""The panels of the help, in their order."""

Job = Literal["table", "panel", "feature"]
"""What can be trained: a table of one's own, a panel of series, a feature of the stored tables."""

TABLE_OR_PANEL: tuple[Job, ...] = ("table", "panel")
TABLE_OR_FEATURE: tuple[Job, ...] = ("table", "feature")
PANEL_JOBS: Mapping[str | None, tuple[Job, ...]] = {SEARCH: TABLE_OR_FEATURE, PANEL: ("panel",)}
"""The jobs that use the options of a panel of the help; of another panel a table alone."""


@dataclass(frozen=True)
class Key:
    """The declaration of a field, beside its type and its default.

    `option` names it on the command line, in the `panel` of the help; a field without one is set in a file or in Python only.
    `list_choices` gives the values allowed, where the type does not say them. `jobs` are those that use it, where they are
    not those of its panel. `in_audit`: `audit` takes it too. `comment` stands above it in a written file.
    """

    help: str
    option: str = ""
    panel: str | None = None
    minimum: float | None = None
    maximum: float | None = None
    list_choices: Callable[[], tuple[str, ...]] = tuple
    jobs: tuple[Job, ...] = ()
    in_audit: bool = False
    comment: str = ""

    def is_used_by(self, job: Job) -> bool:
        """Whether the job uses it; another one refuses it."""
        return job in (self.jobs or PANEL_JOBS.get(self.panel, ("table",)))

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """The schema that checks values from Python: one text is a list of one; bounds and choices hold."""
        schema = core_schema.no_info_after_validator_function(self.check_value, handler(source))
        if get_origin(source) is not tuple:
            return schema
        return core_schema.no_info_before_validator_function(self.read_texts, schema)

    def read_texts(self, value: Any) -> Any:
        """Texts as a list: one text is a list of one, nothing a list of none; names to choose from may stand between commas.

        Raises ValueError for texts without a name in them.
        """
        texts = () if value is None else (value,) if isinstance(value, str) else value
        if self.list_choices is tuple or not isinstance(texts, tuple | list) or not all(isinstance(t, str) for t in texts):
            return texts
        names = tuple(name.strip() for text in texts for name in text.split(",") if name.strip())
        if texts and not names:
            raise ValueError(f"names none; expected some of {', '.join(self.list_choices())}, or leave it out")
        return names

    def check_number(self, number: float) -> None:
        """Raise ValueError for a number that is not finite, or out of bounds."""
        if isinstance(number, float) and not math.isfinite(number):
            raise ValueError("expected a finite number")
        if self.minimum is not None and number < self.minimum:
            raise ValueError(f"expected at least {self.minimum:.12g}")
        if self.maximum is not None and number > self.maximum:
            raise ValueError(f"expected at most {self.maximum:.12g}")

    def check_value(self, value: Any) -> Any:
        """The value. Raises ValueError where it is out of bounds, or none of the choices."""
        if isinstance(value, Path) and "\0" in str(value):
            raise ValueError("expected a path without the sign NUL")
        if isinstance(value, int | float):
            self.check_number(value)
        choices = self.list_choices() if value else ()
        if choices and not set(value) <= set(choices):
            raise ValueError(f"expected some of {', '.join(choices)}")
        return value


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
        Key("CSV (any separator, gzip too), Parquet, JSON or JSON lines.", "--csv", TABLE, jobs=TABLE_OR_PANEL, in_audit=True),
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
            "A family to search; may be repeated, or several by commas. By default all that fit, CatBoost where installed.",
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
        Path | None, Key("Train as this file says; other options override it.", "--task-file", TABLE, in_audit=True)
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


@dataclass(frozen=True)
class Origin:
    """Where a specification comes from; it does not count when two are compared.

    `file` is the task file's name, `places` the line of each of its keys that still holds, `remarks` the comments above keys, by
    the key's path. `notes` say which of them the command line overrides.
    """

    file: str | None = field(default=None, compare=False)
    places: Mapping[KeyPath, int] = field(default_factory=dict, compare=False)
    remarks: Mapping[KeyPath, tuple[str, ...]] = field(default_factory=dict, compare=False)
    notes: tuple[str, ...] = field(default=(), compare=False)


class TrainingSpec(Section):
    """All options of a training, in the order of the task file; `forecast`, `run` and `origin` are in none."""

    name: Annotated[
        str | None,
        Key(
            "The task's name; by default made of file and label.",
            "--task",
            TABLE,
            jobs=TABLE_OR_PANEL,
            in_audit=True,
            comment="The task's name: of the model, its folder and its address.",
        ),
    ] = None
    data: Annotated[DataSection, Key("The table; test: a file of rows to test on.")] = DataSection()
    roles: Annotated[
        RolesSection,
        Key("What the columns are for. Also: positive, kind, time, group, id, offset; lists: drop, keep."),
    ] = RolesSection()
    columns: Annotated[
        tuple[ColumnOverride, ...],
        Key(
            "Each column as it was read. Keys: dtype, unit, about (in words, for the reasons), low, high, levels, role, "
            "decimal (the mark), day_first."
        ),
    ] = ()
    formulas: Annotated[
        tuple[str, ...],
        Key(
            "A column made of others: 'power [W] = `Torque [Nm]` * speed * 0.10472'; may be repeated.",
            "--formula",
            TABLE,
            in_audit=True,
            comment="Columns made of others, such as 'power [W] = torque * speed * 0.10472'.",
        ),
    ] = ()
    target: Annotated[TargetSection, Key("The minimised loss and the metric that decides: loss, log, metric.")] = TargetSection()
    costs: Annotated[
        CostsSection,
        Key("What errors cost, for two classes: miss, false_alarm; capacity (a week), stake_column (multiplies a miss)."),
    ] = CostsSection()
    policy: Annotated[
        PolicySection,
        Key("What is preferred among equals, and what is reported. Also: minimum_effect, non_inferiority_margin, coverage_by."),
    ] = PolicySection()
    split: Annotated[
        SplitSection,
        Key("The test rows; horizon and gap in days. Also: repeats, group_by (day, week, month), holdout_from, holdout_last."),
    ] = SplitSection()
    families: Annotated[
        tuple[str, ...],
        Key(
            "The families to evaluate, by commas; by default all that need no optional library.",
            "--families",
            TABLE,
            jobs=TABLE_OR_FEATURE,
            list_choices=list_family_names,
            comment="The families to evaluate.",
        ),
    ] = ()
    search: Annotated[
        SearchSection, Key("The search and its budget. Also: trials, time_limit (seconds), families, engineer.")
    ] = SearchSection()
    forecast: Annotated[ForecastSection, Key("The panel of series.")] = ForecastSection()
    run: Annotated[RunSection, Key("How this one training runs.")] = RunSection()
    origin: Origin = Origin()

    @field_validator("columns", mode="before")
    @classmethod
    def _read_columns(cls, value: Any) -> Any:
        """The records of columns; also from a mapping by name, as in the file."""
        return tuple(_read_column(name, of) for name, of in value.items()) if isinstance(value, Mapping) else value

    def value(self, spec_field: "SpecField") -> Any:
        """The value of a field."""
        section = getattr(self, spec_field.section) if spec_field.section else self
        return getattr(section, spec_field.name)

    def with_value(self, spec_field: "SpecField", value: Any) -> "TrainingSpec":
        """The same with another value of a field, unchecked: whoever reads the value reports what is wrong with it."""
        change = {spec_field.name: value}
        if not spec_field.section:
            return self.model_copy(update=change)
        return self.model_copy(update={spec_field.section: getattr(self, spec_field.section).model_copy(update=change)})

    def require_table(self) -> tuple[Path, str]:
        """The table and its label. Raises UserError where either is missing."""
        if self.data.file is None or self.roles.label is None:
            raise UserError("name the table with --csv FILE and its label with --label COLUMN, or both in a task file.")
        return self.data.file, self.roles.label

    @property
    def path(self) -> Path:
        """The table. Raises UserError where none is named."""
        return self.require_table()[0]

    @property
    def label(self) -> str:
        """The column to predict. Raises UserError where none is named."""
        return self.require_table()[1]

    @property
    def error_costs(self) -> dict[str, float]:
        """The costs of a miss and a false alarm; empty unless both are given."""
        miss, false_alarm = self.costs.miss, self.costs.false_alarm
        return {} if miss is None or false_alarm is None else {"miss": miss, "false_alarm": false_alarm}


@dataclass(frozen=True)
class SpecField:
    """A field as options, files and keywords need it: its place, the form of its value, its choices."""

    section: str
    name: str
    key: Key
    form: Form
    list_choices: Callable[[], tuple[str, ...]]
    default: Any

    @property
    def choices(self) -> tuple[str, ...]:
        """The choices there are; none where any text is valid."""
        return self.list_choices()

    @property
    def path(self) -> KeyPath:
        """The key's path in the file."""
        return (self.section, self.name) if self.section else (self.name,)

    @property
    def parameter(self) -> str:
        """The keyword of the Python call: the option's name, the field's where there is no option."""
        return self.key.option.removeprefix("--").replace("-", "_") or self.name


def describe_field(section: str, name: str, annotation: Any, key: Key, default: Any) -> SpecField:
    """A field with the form and the choices that its type says."""
    kinds = [part for part in get_args(annotation) if part is not NoneType]
    kind = kinds[0] if NoneType in get_args(annotation) else annotation
    if get_origin(kind) is Literal:
        return SpecField(section, name, key, "text", partial(get_args, kind), default)
    forms: dict[Any, Form] = {Path: "path", bool: "flag", int: "whole", float: "number", str: "text"}
    form = "texts" if get_origin(kind) is tuple else forms[kind]
    return SpecField(section, name, key, form, key.list_choices, default)


def _list_fields(record: type[Section], section: str = "") -> list[SpecField]:
    """The fields of a section and of the sections in it, in their order."""
    listed: list[SpecField] = []
    for name, info in record.model_fields.items():
        keys = [one for one in info.metadata if isinstance(one, Key)]
        if isinstance(info.annotation, type) and issubclass(info.annotation, Section):
            listed += _list_fields(info.annotation, name)
        elif keys and name != "columns":
            listed.append(describe_field(section, name, info.annotation, keys[0], info.default))
    return listed


FIELDS = tuple(_list_fields(TrainingSpec))
"""Every field but those of a single column."""

COLUMN_FIELDS = tuple(
    describe_field("columns", name, get_type_hints(ColumnOverride)[name], Key(""), getattr(ColumnOverride, name))
    for name in ("dtype", "unit", "about", "low", "high", "levels", "role", "decimal", "day_first")
)
"""The settings of a column, in the order of the file."""


def _read_column(name: Any, settings: Any) -> ColumnOverride:
    """The record of a column. Raises UserError where the name is no text, and for a setting that is unknown or does not fit."""
    place, keys = f"columns.{name}", [one.name for one in COLUMN_FIELDS]
    if not isinstance(name, str):
        raise UserError(f"{place}: expected the name of a column, found {name!r}.")
    if not isinstance(settings, Mapping):
        raise UserError(f"{place}: expected a record of {', '.join(keys)}, found {settings!r}.")
    types, values = get_type_hints(ColumnOverride), dict[str, Any]()
    for key, value in settings.items():
        if key not in keys:
            raise UserError(f"{place}.{key}: not known here; there are {', '.join(keys)}.")
        kind: Any = Annotated[types[key], Key("")]
        try:
            values[key] = TypeAdapter(kind).validate_python(value)
        except ValidationError as error:
            message = error.errors(include_url=False)[0]["msg"].removeprefix("Value error, ")
            raise UserError(f"{place}.{key}: found {value!r}; {message}.") from None
    return ColumnOverride(name, **values)


SECTION_KEYS: Mapping[str, Key] = {
    name: next(one for one in info.metadata if isinstance(one, Key))
    for name, info in TrainingSpec.model_fields.items()
    if name not in ("forecast", "run", "origin")
}
"""The names at the top of a file, in their order."""


def list_section(name: str) -> tuple[SpecField, ...]:
    """The fields below a name at the top of a file; of a name that is no section the field itself."""
    return tuple(one for one in FIELDS if one.section == name or (not one.section and one.name == name))


def list_options(audit: bool = False) -> tuple[SpecField, ...]:
    """The fields that are options, those of `audit` alone, in the order of the help."""
    panels = (None, TABLE, USE, SEARCH, SPLIT, PANEL)
    options = [one for one in FIELDS if one.key.option and (one.key.in_audit or not audit)]
    return tuple(sorted(options, key=lambda one: panels.index(one.key.panel)))


def list_comparison_options() -> tuple[SpecField, ...]:
    """The options that say which rows families are compared on; nothing of a search, a panel, or what a model is used for.

    No device either: times are compared on the processor, in processes of their own.
    """
    options = (one for one in list_options() if one.key.panel not in (USE, SEARCH, PANEL))
    return tuple(one for one in options if one.name not in ("write_task", "device"))


def list_unused(job: Job, given: Container[str]) -> tuple[SpecField, ...]:
    """Those of the fields given, by their parameters, that the job has no use for."""
    return tuple(one for one in FIELDS if one.parameter in given and not one.key.is_used_by(job))


def apply_options(spec: TrainingSpec, given: Mapping[str, Any]) -> TrainingSpec:
    """The specification with the options given; notes say which values of a task file they override.

    Raises UserError for a number that is not finite, or out of bounds, and for a list of names without any.
    """
    places, notes = dict(spec.origin.places), list(spec.origin.notes)
    for one in FIELDS:
        if one.parameter not in given:
            continue
        value, before = given[one.parameter], spec.value(one)
        try:
            value = tuple(one.key.read_texts(value)) if isinstance(value, list) else value
            if isinstance(value, int | float):
                one.key.check_number(value)
        except ValueError as error:
            shown = repr(",".join(value)) if isinstance(value, list) else value
            raise UserError(f"{one.key.option or one.parameter} {shown}: {error}.") from None
        if places.pop(one.path, None) is not None and value != before:
            notes.append(
                f"{one.key.option or one.parameter} on the command line overrides {'.'.join(one.path)} "
                f"({_format_value(before)}) of {spec.origin.file}."
            )
        spec = spec.with_value(one, value)
    return spec.model_copy(update={"origin": Origin(spec.origin.file, places, spec.origin.remarks, tuple(notes))})


def _format_value(value: Any) -> str:
    return ", ".join(value) if isinstance(value, tuple) else str(value).lower() if isinstance(value, bool) else str(value)


def build_spec(**options: Any) -> TrainingSpec:
    """The specification of keywords, named as the options: csv, label, time, cost_miss; `columns` by name, as in the file.

    Raises UserError for an unknown keyword, or a value that does not fit.
    """
    by_parameter = {one.parameter: one for one in FIELDS}
    values: dict[str, Any] = {"columns": options.pop("columns", ())}
    unknown = sorted(set(options) - set(by_parameter))
    if unknown:
        raise UserError(f"{', '.join(unknown)}: no such keyword; there are {', '.join([*by_parameter, 'columns'])}.")
    for name, value in options.items():
        one = by_parameter[name]
        (values.setdefault(one.section, {}) if one.section else values)[one.name] = value
    try:
        return TrainingSpec.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = [str(part) for part in first["loc"]]
        names = [one.parameter for one in FIELDS if place[:2] in ([one.section, one.name], [one.name])]
        message = first["msg"].removeprefix("Value error, ")
        raise UserError(f"{names[0] if names else '.'.join(place)}={first['input']!r}: {message}.") from None
