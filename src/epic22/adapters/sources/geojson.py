"""GeoJSON (RFC 7946): a feature a row, its properties as columns, a point as `longitude` and `latitude`."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from epic22.core.errors import FileError

DEGREES = ("CRS84", "4326")
"""How the names of coordinate systems end whose coordinates are longitude and latitude, as the standard has them."""
LONGITUDE, LATITUDE, GEOMETRY = "longitude", "latitude", "geometry"


def list_records(path: Path, content: Any) -> Iterator[tuple[int, Any]]:
    """The features of a collection as records, each with its place from 1.

    A property keeps its name, also where it is called as what is added: `id` of the feature, `longitude` and `latitude` of a
    point, `geometry` of anything else as it is. What is no feature comes as it is, to be set apart. Raises FileError for another
    document, and for coordinates that are not longitude and latitude.

    >>> feature = {"type": "Feature", "geometry": {"type": "Point", "coordinates": [-97.7, 30.3]}, "properties": {"name": "P1"}}
    >>> list(list_records(Path("a.geojson"), {"type": "FeatureCollection", "features": [feature]}))
    [(1, {'longitude': -97.7, 'latitude': 30.3, 'name': 'P1'})]
    """
    features = content.get("features") if isinstance(content, dict) else None
    if not isinstance(features, list):
        raise FileError(f"{path}: no GeoJSON with features; expected a record of type FeatureCollection with a list of them.")
    _refuse_other_coordinates(path, content)
    yield from ((number, _build_record(feature)) for number, feature in enumerate(features, start=1))


def _refuse_other_coordinates(path: Path, content: Mapping[str, Any]) -> None:
    system = content.get("crs")
    properties = system.get("properties") if isinstance(system, dict) else None
    name = properties.get("name") if isinstance(properties, dict) else None
    if system is not None and not str(name).endswith(DEGREES):
        raise FileError(
            f"{path}: its coordinates are of the system {str(name)[:80]!r}, expected longitude and latitude; "
            "export it as WGS 84 (EPSG:4326)."
        )


def _build_record(feature: Any) -> Any:
    if not isinstance(feature, dict) or not isinstance(feature.get("properties") or {}, dict):
        return feature if not isinstance(feature, dict) else str(feature)
    own = {"id": feature["id"]} if "id" in feature else {}
    return own | _list_places(feature.get("geometry")) | (feature.get("properties") or {})


def _list_places(geometry: Any) -> dict[str, Any]:
    """A point's coordinates, or the geometry itself; nothing without one."""
    if geometry is None:
        return {}
    coordinates = geometry.get("coordinates") if isinstance(geometry, dict) else None
    is_point = isinstance(geometry, dict) and geometry.get("type") == "Point"
    if is_point and isinstance(coordinates, list) and len(coordinates) >= 2:
        return {LONGITUDE: coordinates[0], LATITUDE: coordinates[1]}
    return {GEOMETRY: geometry}
