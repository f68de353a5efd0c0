"""The roles of a table as keywords of a training."""

from dataclasses import asdict
from typing import Any

from epic22.core.data.schema_inference import Roles


def list_role_options(roles: Roles) -> dict[str, Any]:
    """The roles as keywords of `build_spec`; that the label is a value is its kind there."""
    options = asdict(roles)
    return {**options, "kind": "regression"} if options.pop("is_value") else options
