"""What OpenLineage demands of an event."""

import re
import uuid
from datetime import datetime
from typing import Any


def assert_fulfils_the_specification(event: dict[str, Any]) -> None:
    """The fields that OpenLineage 2-0-2 requires of a run event, its datasets and its facets, in their forms."""
    assert {"eventTime", "producer", "schemaURL", "run", "job", "eventType"} <= set(event)
    assert datetime.fromisoformat(event["eventTime"]).tzinfo is not None
    assert event["schemaURL"] == "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"
    assert event["eventType"] in ("START", "COMPLETE", "FAIL")
    assert uuid.UUID(event["run"]["runId"]).version == 7
    assert event["job"]["namespace"] == "epic22"
    assert event["job"]["name"]
    datasets = [*event.get("inputs", ()), *event.get("outputs", ())]
    assert all(dataset["namespace"] and dataset["name"] for dataset in datasets)
    for holder in (event["run"], event["job"], *datasets):
        for facets in ("facets", "outputFacets"):
            for facet in (holder.get(facets) or {}).values():
                assert {"_producer", "_schemaURL"} <= set(facet)
                assert re.match(r"(urn:|https://)", facet["_producer"])
