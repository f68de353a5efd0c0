"""A model of rows that is a network, for programs other than this one: what its inputs mean, and what its output becomes."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from epic22.core.artifact.bundle import MANIFEST_VIEWS, Bundle, GoldenRows, read_golden_rows
from epic22.core.artifact.portable_network import PortableNetwork
from epic22.core.data.preprocess import PREPROCESSING_VIEWS, Preprocessor
from epic22.core.errors import UserError
from epic22.core.evaluation.calibration import CalibrationMethod
from epic22.core.models.base import get_value_scale
from epic22.core.models.networks.estimator import FAMILIES as NETWORK_FAMILIES
from epic22.core.serialization import to_json
from epic22.core.task import Array

CALIBRATION_FORMULAS: Mapping[CalibrationMethod, str] = {
    "platt": "a · score + b",
    "beta": "−a · ln(1 + exp(−score)) + b · ln(1 + exp(score)) + c",
    "isotonic": "straight from centre to centre: the first half of the numbers are scores, the second what they become",
}
"""Of scores as log-odds, by the calibration's numbers a, b, c."""

LOG_FORMULA = "value = exp(score + shift), the shift straight from centre to centre"


@dataclass(frozen=True)
class RowNetwork(PortableNetwork):
    """A registered model whose score of a row is that of one network."""

    bundle: Bundle

    def restore_scores(self, output: Array) -> Array:
        """Scores (n, o) of the network's output (n, o), or (n, 1) of the one that decides."""
        deciding = self.network.spec.deciding
        scores = output if deciding is None else output[:, deciding : deciding + 1]
        return self.network.slope * scores + self.network.intercept

    def read_golden(self, folder: Path) -> GoldenRows:
        """Those that were written with the bundle."""
        return read_golden_rows(folder, self.bundle)

    def describe_ends(self, golden: GoldenRows) -> Mapping[str, Any]:
        """Columns in the order of x, formulas of the answer, and how derived columns are computed."""
        schema, spec = self.bundle.schema, self.network.spec
        return {
            "input": {
                "name": "x",
                "dtype": "float32",
                "shape": ["rows", spec.columns.n_columns],
                "missing": "NaN; so is a level that is not listed",
                "columns": describe_inputs(self.bundle.preprocessor),
            },
            "output": {
                "name": "score",
                "shape": ["rows", spec.n_outputs],
                "meaning": spec.output,
                "target": schema.target,
                "unit": schema.unit,
                "classes": list(schema.classes),
                "horizons": list(schema.horizons),
                "score": {"slope": self.network.slope, "intercept": self.network.intercept},
                **({} if spec.deciding is None else {"deciding": spec.deciding}),
                "value": to_json(get_value_scale(self.bundle.estimator)),
                "calibration": to_json(self.bundle.calibration, MANIFEST_VIEWS),
            },
            "steps": describe_steps(self.bundle, spec.deciding),
            "preprocessing": to_json(self.bundle.preprocessor, PREPROCESSING_VIEWS),
        }


def build_export_refusal(model: str, what_it_is: str) -> UserError:
    """The error of a model that is no network, with the families that are."""
    names = ", ".join(family.name for family in NETWORK_FAMILIES)
    return UserError(f"{model} {what_it_is}; a network alone can be exported: train with --families {names} for one.")


def describe_inputs(preprocessor: Preprocessor) -> list[dict[str, Any]]:
    """Each column of x, in its order: a category is the place of its level in `levels`, a time days since 1970, and `center` is
    subtracted of a number. `derived` ones are computed from the others, as `preprocessing` has it."""
    derived = {derivation.column.name for derivation in preprocessor.derived}
    return [
        {
            "position": position,
            "name": column.name,
            "dtype": column.dtype,
            "unit": column.unit,
            "about": column.about,
            "levels": list(preprocessor.levels[column.name]) if column.name in preprocessor.levels else None,
            "center": preprocessor.centers.get(column.name, 0.0),
            "derived": column.name in derived,
        }
        for position, column in enumerate(preprocessor.outputs)
    ]


def describe_steps(bundle: Bundle, deciding: int | None = None) -> list[str]:
    """The way from the network's output to the model's answer, a formula a step, which may be one of several."""
    steps = [f"score = slope · output{'' if deciding is None else f'[:, {deciding}]'} + intercept"]
    if bundle.calibration.method != "none":
        steps.append(f"score = {CALIBRATION_FORMULAS[bundle.calibration.method]}")
    is_log = get_value_scale(bundle.estimator).log
    steps.append(LOG_FORMULA if is_log else bundle.schema.traits.link_formula)
    return steps if bundle.floor is None else [*steps, f"value = max(value, {bundle.floor:g})"]
