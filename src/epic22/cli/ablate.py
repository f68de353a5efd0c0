"""`epic22 ablate`: a family trained again without each of its parts."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from epic22 import bootstrap
from epic22.cli.comparison_request import ABLATION_FIELDS, HIDDEN, Data, Feature, read_comparison
from epic22.cli.comparison_result import print_ablation_result
from epic22.cli.options import Json, with_spec_options
from epic22.cli.terminal import print_json, show_progress
from epic22.core.serialization import to_json


@with_spec_options(ABLATION_FIELDS, HIDDEN)
def ablate(
    given: Mapping[str, Any],
    family: Annotated[str, typer.Option(help="The family whose parts are switched off, one at a time.")],
    feature: Feature = None,
    data: Data = None,
    json: Json = False,
) -> None:
    """Train a family without each of its parts, and say what each is worth. Nothing is registered.

    Each part is tested against the whole on the same folds, with Holm's correction for all parts.

    epic22 ablate --csv churn.csv --label churned --family boosting
    """
    request = read_comparison(given, feature, data)
    components = bootstrap.assemble(request.settings)
    with show_progress() as bars:
        if feature is None:
            result = bootstrap.ablate_file(components, request.spec, family, bars)
        else:
            result = bootstrap.ablate_feature(components, feature, family, data, request.spec.split.seed, bars)
    if json:
        print_json(to_json(result.ablation, bootstrap.VIEWS) | {"report": str(result.report)})
        return
    print_ablation_result(result)
