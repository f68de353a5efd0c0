"""What stands there: properties, units and equipment slots, with the traits that no table shows."""

from dataclasses import dataclass

import numpy as np
import polars as pl

from epic22.simulator.calendar import Array, Span, to_datetime
from epic22.simulator.market import Market
from epic22.simulator.size import PortfolioSize
from epic22.simulator.table_builder import build_table, decode_levels, gather_names, ids, money

KINDS = ("hvac", "plumbing", "electrical", "roofing", "appliance", "elevator", "structural", "security", "other")
CITIES = ("Arden", "Brook", "Calder", "Dunmore", "Elgin", "Falmouth", "Garrick", "Hythe", "Ilford", "Jarrow")
STATES = ("NA", "NB", "NC", "ND", "NE", "NF", "NG", "NH", "NI", "NJ")
PROPERTY_TYPES = ("apartment", "townhouse", "condo", "house")
TYPICAL_AREA = np.array([480.0, 680.0, 950.0, 1250.0])
SCALE_YEARS = np.array([15.0, 18.0, 25.0, 20.0, 12.0, 25.0, 30.0, 25.0, 25.0])
TYPICAL_PRICE = np.array([9000.0, 6000.0, 8000.0, 45000.0, 1400.0, 90000.0, 60000.0, 6000.0, 4000.0])


@dataclass(frozen=True)
class Estate:
    """Static facts. Property arrays (properties,), unit arrays (units,), slot arrays (slots,).

    A slot is a place for a piece of equipment; a replacement puts a new piece into it. `neglect` (how badly a property is
    kept), `charm` (log rent that only the eye sees) and `usage` are hidden.
    """

    zip_of: Array
    property_type: Array
    year_built: Array
    neglect: Array
    property_of: Array
    bedrooms: Array
    bathrooms: Array
    area: Array
    floor: Array
    quality: Array
    slot_property: Array
    slot_unit: Array
    slot_kind: Array
    slot_installed: Array
    slot_price: Array
    usage: Array
    has_sensor: Array

    @property
    def property_ids(self) -> pl.Series:
        """Ids of properties, in order."""
        return ids("P", np.arange(1, len(self.zip_of) + 1), 4)

    @property
    def unit_ids(self) -> pl.Series:
        """Ids of units, in order."""
        return ids("U", np.arange(1, len(self.property_of) + 1), 5)

    @property
    def units_per_property(self) -> Array:
        """Units of each property, (properties,)."""
        return np.bincount(self.property_of, minlength=len(self.zip_of))


def build_estate(size: PortfolioSize, span: Span, rng: np.random.Generator) -> Estate:
    """Draw the portfolio."""
    n = size.properties
    shares = rng.gamma(6, 1, n)
    units = np.maximum(4, np.round(shares / shares.sum() * size.units)).astype(int)
    neglect, charm, built = rng.normal(0, 1, n), rng.normal(0, 0.05, n), rng.integers(1955, 2015, n)
    place = np.repeat(np.arange(n), units)
    bedrooms = rng.choice(4, len(place), p=[0.12, 0.36, 0.38, 0.14])
    area = TYPICAL_AREA[bedrooms] * rng.lognormal(0, 0.15, len(place))
    floor = rng.integers(0, np.maximum(2, units // 6)[place])
    quality = charm[place] + 0.45 * np.log(area / TYPICAL_AREA[bedrooms]) + 0.008 * floor + rng.normal(0, 0.03, len(place))
    slot_property, slot_unit, slot_kind = _sample_slots(units, rng)
    slots = len(slot_kind)
    age = rng.uniform(0, 1.1, slots) * SCALE_YEARS[slot_kind]
    newest = (built[slot_property] - 1970) * 365.25 + 30
    installed = np.maximum(span.first_day - 1 - age * 365.25, newest).astype(int)
    return Estate(
        zip_of=rng.permutation(np.arange(n) % size.zips),
        property_type=np.where(units < 12, rng.integers(1, 4, n), np.where(rng.random(n) < 0.85, 0, 2)),
        year_built=built,
        neglect=neglect,
        property_of=place,
        bedrooms=bedrooms,
        bathrooms=1.0 + (bedrooms >= 2) * rng.choice([0.0, 0.5, 1.0], len(place)),
        area=np.round(area),
        floor=floor,
        quality=quality,
        slot_property=slot_property,
        slot_unit=slot_unit,
        slot_kind=slot_kind,
        slot_installed=installed,
        slot_price=np.round(TYPICAL_PRICE[slot_kind] * rng.lognormal(0, 0.2, slots), -1),
        usage=rng.normal(0, 1, slots),
        has_sensor=(np.isin(slot_kind, [0, 1, 5])) & (rng.random(slots) < 0.8),
    )


def _sample_slots(units: Array, rng: np.random.Generator) -> tuple[Array, Array, Array]:
    """Property, unit (-1: shared) and kind of every slot."""
    n = len(units)
    counts = {
        "hvac": np.maximum(2, units // 4),
        "plumbing": 1 + units // 15,
        "electrical": 1 + units // 20,
        "roofing": np.ones(n, int),
        "elevator": (units >= 20).astype(int),
        "structural": np.ones(n, int),
        "security": np.ones(n, int),
        "other": (rng.random(n) < 0.5).astype(int),
        "appliance": np.maximum(1, units // 6),
    }
    place_of = np.concatenate([np.repeat(np.arange(n), c) for c in counts.values()])
    kind = np.concatenate([np.full(c.sum(), KINDS.index(k)) for k, c in counts.items()])
    order = np.lexsort((kind, place_of))
    place_of, kind = place_of[order], kind[order]
    first = np.cumsum(units) - units
    unit = first[place_of] + rng.integers(0, units[place_of])
    return place_of, np.where(kind == KINDS.index("appliance"), unit, -1), kind


def build_property_tables(estate: Estate, market: Market, span: Span, rng: np.random.Generator) -> dict[str, pl.DataFrame]:
    """The tables properties and units: known before the ledger begins."""
    n = len(estate.zip_of)
    metro = market.metro_of_zip[estate.zip_of]
    known = to_datetime(np.full(n, span.first_day))
    value = np.round(estate.units_per_property * 160_000 * np.exp(0.2 * rng.standard_normal(n)), -3)
    properties = build_table(
        "properties",
        {
            "property_id": estate.property_ids,
            "name": [f"House {i + 1}" for i in range(n)],
            "city": decode_levels(CITIES, metro % len(CITIES)),
            "state": decode_levels(STATES, metro % len(STATES)),
            "zip_code": decode_levels(market.zip_codes, estate.zip_of),
            "property_type": decode_levels(PROPERTY_TYPES, estate.property_type),
            "year_built": estate.year_built,
            "total_units": estate.units_per_property,
            "market_value": money(value * 100),
            "latitude": np.round(35 + metro + rng.normal(0, 0.1, n), 5),
            "longitude": np.round(-90 + 2 * metro + rng.normal(0, 0.1, n), 5),
            "known_at": known,
        },
    )
    units = build_table(
        "units",
        {
            "unit_id": estate.unit_ids,
            "property_id": gather_names(estate.property_ids, estate.property_of),
            "bedrooms": estate.bedrooms,
            "bathrooms": estate.bathrooms,
            "area_sqft": estate.area,
            "floor": estate.floor,
            "known_at": known[estate.property_of],
        },
    )
    return {"properties": properties, "units": units}
