"""`epic22 compare`: families side by side on the folds that a training would have."""

from collections.abc import Mapping
from typing import Any

from epic22 import bootstrap
from epic22.cli.comparison_request import COMPARISON_FIELDS, HIDDEN, Data, Feature, read_comparison
from epic22.cli.comparison_result import print_comparison_result
from epic22.cli.options import Json, with_spec_options
from epic22.cli.terminal import print_json, show_progress
from epic22.core.serialization import to_json


@with_spec_options(COMPARISON_FIELDS, HIDDEN)
def compare(given: Mapping[str, Any], feature: Feature = None, data: Data = None, json: Json = False) -> None:
    """Compare families on the same folds: scores, calibration, time, memory, size. Nothing is registered.

    Each family is tested against the first of --families, or where one alone is named against the boosted trees; the constant and
    the linear family always take part.

    epic22 compare --csv churn.csv --label churned --families boosting,mlp

    epic22 compare predictive_maintenance --families boosting,lightgbm
    """
    request = read_comparison(given, feature, data)
    components, families = bootstrap.assemble(request.settings), request.spec.families
    with show_progress() as bars:
        if feature is None:
            result = bootstrap.compare_file(components, request.spec, bars)
        else:
            result = bootstrap.compare_feature(components, feature, families, data, request.spec.split.seed, bars)
    if json:
        print_json(to_json(result.comparison, bootstrap.VIEWS) | {"report": str(result.report)})
        return
    print_comparison_result(result)
