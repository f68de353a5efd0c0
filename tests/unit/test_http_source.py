"""Rows over HTTP by way of a mapping file: each preset against a server with every fault, and what a mapping may say."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
import yaml
from tests.manual_clock import ManualClock
from tests.row_server import Asked, Reply, RowServer, find_closed_port, serve_rows

from epic22.adapters.http.client import HttpClient
from epic22.adapters.http.policy import RetryPolicy
from epic22.adapters.sources.base import SourceAddress, SourceRequest
from epic22.adapters.sources.folder import load_mapping
from epic22.adapters.sources.http import PageSource, connect_sources
from epic22.adapters.sources.presets import find_mapping, list_presets
from epic22.core.errors import FileError, SourceError
from epic22.core.tables.mapping import TableMapping
from epic22.core.tables.mapping_file import read_mapping
from epic22.core.tables.request import RequestOrigin
from epic22.core.tables.row_contract import BROKEN_COLUMN

ATTEMPTS = 3
QUICK = RetryPolicy(connect_seconds=1, read_seconds=0.05, attempts=ATTEMPTS, wait_initial=0.001, wait_max=0.001, wait_jitter=0.0)
ENVIRONMENT = {"FRED_API_KEY": "hunter2"}


def fred(dates: tuple[str, ...] = ("2024-01-01", "2024-02-01"), field: str = "date", place: str = "observations") -> bytes:
    rows = [
        {"realtime_start": "2026-03-01", "realtime_end": "2026-03-01", field: date, "value": f"{n}.5"}
        for n, date in enumerate(dates)
    ]
    rows += [{"realtime_start": "2026-03-01", "realtime_end": "2026-03-01", field: "2023-12-01", "value": "."}] if dates else []
    return json.dumps({"count": len(rows), "offset": 0, "limit": 100000, place: rows}).encode()


def open_meteo(dates: tuple[str, ...] = ("2024-01-01", "2024-01-02"), field: str = "time", place: str = "daily") -> bytes:
    values = [float(n) for n, _ in enumerate(dates)]
    content = {"latitude": 30.25, "generationtime_ms": 0.1, "daily_units": {"time": "iso8601", "temperature_2m_mean": "°C"}}
    return json.dumps(content | {place: {field: dates, "temperature_2m_mean": values, "rain_sum": [None] * len(dates)}}).encode()


def zillow(dates: tuple[str, ...] = ("2024-01-31", "2024-02-29"), field: str = "RegionName", place: str = "zip") -> bytes:
    head = ["RegionID", "SizeRank", field, "RegionType", "StateName", *dates]
    rows = [
        ["1", "0", "8701", place, "NJ", *(f"{1500 + n}.25" for n, _ in enumerate(dates))],
        ["2", "1", "78751", place, "TX", *("" for _ in dates)],
    ]
    return "\n".join(",".join(row) for row in [head, *(rows if dates else [])]).encode()


@dataclass(frozen=True)
class Preset:
    """How a test asks a server through a mapping that comes with the program."""

    name: str
    body: Callable[..., bytes]
    content_type: str
    query: str
    renamed: dict[str, str]

    def reply(self, *args: object, **changes: object) -> Reply:
        return replace(Reply(self.body(*args), content_type=self.content_type), **changes)  # type: ignore[arg-type]


PRESETS = (
    Preset("fred", fred, "application/json; charset=UTF-8", "series_id=RENTS", {"field": "day", "place": "values"}),
    Preset(
        "open_meteo",
        open_meteo,
        "application/json; charset=utf-8",
        "latitude=30.27&longitude=-97.74&daily=temperature_2m_mean",
        {"field": "date", "place": "days"},
    ),
    Preset("zillow", zillow, "binary/octet-stream", "", {"field": "Zip", "place": "msa"}),
)


@pytest.fixture(params=PRESETS, ids=lambda preset: preset.name)
def preset(request: pytest.FixtureRequest) -> Preset:
    assert isinstance(request.param, Preset)
    return request.param


@pytest.fixture
def manual() -> ManualClock:
    return ManualClock()


def read_rows(address: str | None, mapping: TableMapping, cache: Path, manual: ManualClock) -> tuple[PageSource, pl.DataFrame]:
    """The only source of the mapping and all its rows."""
    request = SourceRequest(SourceAddress(address) if address else None, mapping, {}, cache, ENVIRONMENT)
    with connect_sources(request, lambda: HttpClient(QUICK, manual.clock)) as sources:
        (source,) = sources
        return source, pl.concat(source.batches(), how="diagonal")


def read_preset(preset: Preset, server: RowServer, cache: Path, manual: ManualClock) -> tuple[PageSource, pl.DataFrame]:
    return read_rows(f"{server.address}/rows?{preset.query}", load_mapping(find_mapping(Path(preset.name))), cache, manual)


def test_every_preset_that_asks_over_http_is_tested() -> None:
    asking = tuple(name for name in list_presets() if load_mapping(find_mapping(Path(name))).has_address)
    assert asking == tuple(preset.name for preset in PRESETS)


def test_a_name_that_no_preset_has_is_refused_with_those_there_are() -> None:
    with pytest.raises(FileError, match="there are fred, open_meteo, platform-a, platform-b, zillow"):
        find_mapping(Path("fredd"))
    assert find_mapping(Path("own/fred")) == Path("own/fred")


class TestPresets:
    def test_its_rows_come_under_the_columns_of_their_table(self, preset: Preset, tmp_path: Path, manual: ManualClock) -> None:
        with serve_rows(lambda n, asked: preset.reply()) as server:
            source, rows = read_preset(preset, server, tmp_path, manual)
            assert len(server.asked) == 1
        assert rows.height == 2
        first = rows.row(0, named=True)
        if preset.name == "zillow":
            assert source.table.name == "market"
            assert [first[name] for name in ("zip_code", "month", "average_rent", "published_at")] == [
                "08701",
                "2024-01-01",
                "1500.25",
                datetime(2024, 2, 17),
            ]
        else:
            assert source.table.name == "panel"
            series = {"fred": "RENTS", "open_meteo": "temperature_2m_mean 30.27 -97.74"}[preset.name]
            assert (first["series"], first["time"]) == (series, "2024-01-01")

    def test_the_key_of_fred_is_sent_and_stands_in_no_row(self, tmp_path: Path, manual: ManualClock) -> None:
        with serve_rows(lambda n, asked: PRESETS[0].reply()) as server:
            source, rows = read_preset(PRESETS[0], server, tmp_path, manual)
            assert server.asked[0].params["api_key"] == "hunter2"
        assert "hunter2" not in rows.write_json() + repr(source) + source.name

    def test_a_second_fetch_gives_the_same_rows_though_the_body_differs(
        self, preset: Preset, tmp_path: Path, manual: ManualClock
    ) -> None:
        with serve_rows(lambda n, asked: preset.reply()) as server:
            first, second = (read_preset(preset, server, tmp_path, manual)[1] for _ in range(2))
        assert first.equals(second)

    @pytest.mark.parametrize("needed", ["series_id", "latitude"])
    def test_a_parameter_that_the_rows_need_is_asked_for_before_the_server_is(
        self, needed: str, tmp_path: Path, manual: ManualClock
    ) -> None:
        preset = PRESETS[0] if needed == "series_id" else PRESETS[1]
        with serve_rows(lambda n, asked: preset.reply()) as server:
            with pytest.raises(SourceError, match=f"no parameter {needed}, which the mapping needs; give it with --source"):
                read_preset(replace(preset, query=""), server, tmp_path, manual)
            assert not server.asked


HTML = Reply(b"<!doctype html><title>Sign in</title>", content_type="text/html")
ANSWERS: dict[str, tuple[Callable[[Preset], Reply], str, int]] = {
    "no answer in time": (lambda preset: Reply(silent=True), "nothing came for 0.05 s", ATTEMPTS),
    "a key that is refused": (lambda preset: Reply(status=401), "answered 401; look at the key", 1),
    "nothing there": (lambda preset: Reply(status=404), "answered 404; look at the address", 1),
    "too many requests": (lambda preset: Reply(status=429, headers={"Retry-After": "0"}), "answered 429", ATTEMPTS),
    "a server that fails": (lambda preset: Reply(status=500), "answered 500", ATTEMPTS),
    "a body that breaks off": (lambda preset: preset.reply(pretended=10**6), "the answer broke off", ATTEMPTS),
    "another content type": (lambda preset: preset.reply(content_type="image/png"), "answered image/png", 1),
    "HTML": (lambda preset: HTML, "a page for people", 1),
    "HTML that is called otherwise": (lambda preset: replace(HTML, content_type="text/plain"), "a page for people", 1),
    "a body beyond the bound": (lambda preset: preset.reply(pretended=2 * 2**30), "larger than 512 MiB", 1),
    "a field that is gone": (
        lambda preset: Reply(preset.body(field=preset.renamed["field"]), content_type=preset.content_type),
        "no column",
        1,
    ),
    "a place that is gone": (
        lambda preset: Reply(preset.body(place=preset.renamed["place"]), content_type=preset.content_type),
        r"expected a .* at |takes none of them",
        1,
    ),
    "no rows": (lambda preset: preset.reply(()), "holds no rows", 1),
}
"""By fault: the reply, what is said of it, how many requests it may cost."""
OUTAGES = {name for name, (_, _, n) in ANSWERS.items() if n == ATTEMPTS}


class TestFaults:
    @pytest.mark.parametrize("fault", ANSWERS)
    def test_it_is_told_in_one_sentence_and_costs_few_requests(
        self, fault: str, preset: Preset, tmp_path: Path, manual: ManualClock
    ) -> None:
        build, words, n_requests = ANSWERS[fault]
        with serve_rows(lambda n, asked: build(preset)) as server:
            with pytest.raises(SourceError, match=words) as caught:
                read_preset(preset, server, tmp_path, manual)
            assert len(server.asked) == n_requests
        assert "hunter2" not in str(caught.value)

    @pytest.mark.parametrize("fault", ANSWERS)
    def test_the_last_good_answer_stands_in_for_outages_alone(
        self, fault: str, preset: Preset, tmp_path: Path, manual: ManualClock
    ) -> None:
        reply = ANSWERS[fault][0](preset)
        with serve_rows(lambda n, asked: preset.reply() if n == 1 else reply) as server:
            _, good = read_preset(preset, server, tmp_path, manual)
            manual.now += timedelta(days=5)
            if fault in OUTAGES:
                source, rows = read_preset(preset, server, tmp_path, manual)
                assert rows.equals(good)
                assert "the last good answer stands in, which is 5 days old" in source.notes[0]
            else:
                with pytest.raises(SourceError):
                    read_preset(preset, server, tmp_path, manual)

    def test_a_fault_that_passes_is_not_told(self, preset: Preset, tmp_path: Path, manual: ManualClock) -> None:
        with serve_rows(lambda n, asked: Reply(status=500) if n == 1 else preset.reply()) as server:
            source, rows = read_preset(preset, server, tmp_path, manual)
        assert (rows.height, source.notes) == (2, ())

    def test_a_server_that_is_not_there_is_told(self, preset: Preset, tmp_path: Path, manual: ManualClock) -> None:
        nowhere = RowServer(f"http://127.0.0.1:{find_closed_port()}", lambda n, asked: Reply())
        with pytest.raises(SourceError, match="cannot be reached"):
            read_preset(preset, nowhere, tmp_path, manual)

    def test_what_is_dated_after_now_is_broken_with_its_reason(self, preset: Preset, tmp_path: Path, manual: ManualClock) -> None:
        with serve_rows(lambda n, asked: preset.reply(("2024-01-31", "2031-05-31"))) as server:
            _, rows = read_preset(preset, server, tmp_path, manual)
        reasons = rows[BROKEN_COLUMN].drop_nulls()
        assert rows.height - len(reasons) == 1
        assert "2031-05" in reasons[0]
        assert "lies after the fetch, 2026-03-01" in reasons[0]


def declare(address: str, /, **request: object) -> TableMapping:
    content = {
        "source": "shop",
        "panel": {
            "request": {"address": address, "rows": "$.rows"} | request,
            "columns": {"series": {"const": "a"}, "time": "time", "value": "value"},
        },
    }
    return read_mapping("shop.yaml", yaml.load(yaml.safe_dump(content), Loader=yaml.BaseLoader))


class TestPagedFaults:
    @pytest.mark.parametrize(
        ("pages", "words", "n_requests"),
        [
            ({"by": "page", "param": "page"}, "more than 4 pages", 4),
            ({"by": "cursor", "param": "after", "path": "$.next"}, "more than 4 pages", 4),
            ({"by": "link"}, "more than 4 pages", 4),
        ],
        ids=["page", "cursor", "link"],
    )
    def test_endless_pages_end_at_their_bound(
        self, pages: dict[str, str], words: str, n_requests: int, tmp_path: Path, manual: ManualClock
    ) -> None:
        def answer(number: int, asked: Asked) -> Reply:
            body = {"rows": [{"time": f"2024-01-{number:02d}", "value": 1}], "next": str(number)}
            return Reply(json.dumps(body).encode(), headers={"Link": f'</rows?p={number}>; rel="next"'})

        with serve_rows(answer) as server:
            with pytest.raises(SourceError, match=words):
                read_rows(None, declare(f"{server.address}/rows", pages=pages, max_pages=4), tmp_path, manual)
            assert len(server.asked) == n_requests


class TestDeclaration:
    @pytest.mark.parametrize(
        ("request_changes", "words"),
        [
            ({"address": "ftp://host/x"}, r"request\.address: ftp://host/x is no address of http or https"),
            ({"address": ""}, "expected 'address:'"),
            ({"adress": "x"}, "did you mean address"),
            ({"format": "xml"}, "'xml' is not known here; there are json, csv"),
            ({"rows": "rows"}, "is no path into JSON"),
            ({"layout": "rows"}, "there are records, columns"),
            ({"pages": {"by": "number"}}, "there are page, cursor, link"),
            ({"pages": {"by": "page"}}, "need 'param'"),
            ({"pages": {"by": "link", "size": 3}}, "'size' is not known here"),
            ({"format": "csv", "pages": {"by": "link", "path": "$.a"}}, "a CSV body has no paths"),
            ({"max_pages": "many"}, "is no number of at least"),
            ({"params": {"key": {"file": "x"}}}, "'file' is not known here"),
            ({"headers": {"Authorization": "Bearer ${}"}}, r"expected a text, or \{env: NAME\}"),
            ({"redirect_hosts": []}, "expected a name, or a list of names"),
        ],
    )
    def test_a_mistake_is_told_with_its_place(self, request_changes: dict[str, object], words: str) -> None:
        with pytest.raises(FileError, match=words):
            declare("https://host/rows", **request_changes)

    def test_secrets_are_declared_by_the_names_of_variables(self) -> None:
        mapping = declare("https://host/rows", params={"k": {"env": "A_KEY"}}, headers={"Authorization": "Bearer ${A_KEY}"})
        assert mapping.panel is not None
        origin = mapping.panel.origin
        assert isinstance(origin, RequestOrigin)
        assert origin.secret_params == {"k"}
        assert origin.headers[0][1].resolve({"A_KEY": "x"}, "here") == "Bearer x"

    def test_an_address_fits_only_a_mapping_with_one_request(self, tmp_path: Path, manual: ManualClock) -> None:
        mapping = load_mapping(find_mapping(Path("zillow")))
        twice = replace(mapping, tables={"market": mapping.tables["market"] * 2})
        with pytest.raises(SourceError, match="the mapping has 2 requests and an address is for one"):
            read_rows("https://host/rows", twice, tmp_path, manual)
