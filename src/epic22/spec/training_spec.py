"""All that can be asked of a training, as one record.

From its fields are made: the options of `train` and `audit` (`cli.options`), the task file and its schema (`task_yaml`,
`task_schema`), and the keywords of the Python call (`build_spec`). A new option is a field in `spec_sections`, and its use.
"""

from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ValidationError, field_validator

from epic22.core.column import ColumnOverride
from epic22.core.errors import UserError
from epic22.spec.key import PANEL, SEARCH, SPLIT, TABLE, TABLE_OR_FEATURE, TABLE_OR_PANEL, USE, Job, Key, clean_texts
from epic22.spec.spec_field import KeyPath, SpecField, describe_field, read_column
from epic22.spec.spec_sections import (
    CostsSection,
    DataSection,
    ForecastSection,
    PolicySection,
    RolesSection,
    RunSection,
    SearchSection,
    Section,
    SplitSection,
    TargetSection,
    list_family_names,
)

VERSION = 1
"""Of the file's form. It goes up when a key changes its meaning; files of every version before, and old names, stay readable."""


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
        return tuple(read_column(name, of) for name, of in value.items()) if isinstance(value, Mapping) else value

    def value(self, spec_field: SpecField) -> Any:
        """The value of a field."""
        section = getattr(self, spec_field.section) if spec_field.section else self
        return getattr(section, spec_field.name)

    def with_value(self, spec_field: SpecField, value: Any) -> "TrainingSpec":
        """The same with another value of a field, unchecked: whoever reads the value reports what is wrong with it.

        Names are those of a file's header, whose accents are parts of their letters.
        """
        change = {spec_field.name: clean_texts(value)}
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
    def requested_kind(self) -> Literal["binary", "multiclass", "regression"] | None:
        """What the label is said to be, a value also by its loss or its logarithm; None where its own values decide."""
        return "regression" if self.roles.kind is None and self.target.is_of_values else self.roles.kind

    @property
    def error_costs(self) -> dict[str, float]:
        """The costs of a miss and a false alarm; empty unless both are given."""
        miss, false_alarm = self.costs.miss, self.costs.false_alarm
        return {} if miss is None or false_alarm is None else {"miss": miss, "false_alarm": false_alarm}


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
        value, before = clean_texts(given[one.parameter]), spec.value(one)
        try:
            value = clean_texts(tuple(one.key.read_texts(value))) if isinstance(value, list) else value
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
