"""Rows asked for over HTTP: what is retried, refused, bounded, remembered, and never shown."""

import gzip
import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from stamina.instrumentation import get_on_retry_hooks
from tests.manual_clock import NOW, ManualClock
from tests.row_server import Asked, Reply, RowServer, find_closed_port, serve_rows

from epic22.adapters.http.answer import Server, parse_retry_after
from epic22.adapters.http.circuit import Circuit
from epic22.adapters.http.client import HttpClient
from epic22.adapters.http.fetch import FetchedPages, PageFetcher
from epic22.adapters.http.policy import RetryPolicy
from epic22.core.errors import SourceError
from epic22.core.tables.request import EnvironmentText, FetchLimits, Pagination, RequestOrigin

QUICK = RetryPolicy(connect_seconds=1, read_seconds=0.1, attempts=3, wait_initial=0.001, wait_max=0.002, wait_jitter=0.0)
ENVIRONMENT = {"SECRET_KEY": "hunter2"}


def rows(*values: int) -> bytes:
    return json.dumps({"rows": [{"value": value} for value in values]}).encode()


@pytest.fixture
def manual() -> ManualClock:
    return ManualClock()


@contextmanager
def fetching(cache: Path, manual: ManualClock, policy: RetryPolicy = QUICK) -> Iterator[PageFetcher]:
    client = HttpClient(policy, manual.clock)
    try:
        yield PageFetcher(client, cache, ENVIRONMENT, manual.clock)
    finally:
        client.close()


def fetch(origin: RequestOrigin, cache: Path, manual: ManualClock, policy: RetryPolicy = QUICK) -> FetchedPages:
    with fetching(cache, manual, policy) as fetcher:
        return fetcher.fetch(origin, "shop")


def origin_at(server: RowServer, **changes: object) -> RequestOrigin:
    return replace(RequestOrigin(f"{server.address}/rows", rows=("$.rows",)), **changes)  # type: ignore[arg-type]


def values_of(pages: FetchedPages) -> list[list[int]]:
    return [[row["value"] for row in json.loads(path.read_bytes())["rows"]] for path in pages.paths]


def always(reply: Reply) -> Callable[[int, Asked], Reply]:
    return lambda number, asked: reply


class TestRetries:
    @pytest.mark.parametrize("status", [429, 500, 502, 503, 504, 408])
    def test_a_server_that_fails_once_is_asked_again(self, status: int, tmp_path: Path, manual: ManualClock) -> None:
        with serve_rows(lambda n, asked: Reply(status=status) if n == 1 else Reply(rows(1))) as server:
            assert values_of(fetch(origin_at(server), tmp_path, manual)) == [[1]]
            assert len(server.asked) == 2

    @pytest.mark.parametrize(
        "fault",
        [Reply(silent=True), Reply(rows(1), pretended=10_000), Reply(b"no gzip", headers={"Content-Encoding": "gzip"})],
        ids=["nothing comes", "the body breaks off", "the body cannot be unzipped"],
    )
    def test_a_body_that_does_not_come_whole_is_asked_for_again(self, fault: Reply, tmp_path: Path, manual: ManualClock) -> None:
        with serve_rows(lambda n, asked: fault if n == 1 else Reply(rows(1))) as server:
            assert values_of(fetch(origin_at(server), tmp_path, manual)) == [[1]]
            assert len(server.asked) == 2

    @pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 418])
    def test_an_answer_that_a_second_attempt_does_not_change_is_refused_at_once(
        self, status: int, tmp_path: Path, manual: ManualClock
    ) -> None:
        with serve_rows(always(Reply(status=status))) as server:
            with pytest.raises(SourceError, match=f"answered {status}; look at"):
                fetch(origin_at(server), tmp_path, manual)
            assert len(server.asked) == 1

    def test_the_attempts_are_counted_and_told(self, tmp_path: Path, manual: ManualClock) -> None:
        with serve_rows(always(Reply(status=500))) as server:
            with pytest.raises(SourceError, match=r"answered 500 \(3 attempts\); nothing was fetched before"):
                fetch(origin_at(server), tmp_path, manual)
            assert len(server.asked) == 3

    def test_a_port_where_nobody_listens_is_an_outage(self, tmp_path: Path, manual: ManualClock) -> None:
        origin = RequestOrigin(f"http://127.0.0.1:{find_closed_port()}/rows")
        with pytest.raises(SourceError, match=r"cannot be reached \(3 attempts\)"):
            fetch(origin, tmp_path, manual)

    def test_a_wait_longer_than_the_bound_is_not_waited_for(self, tmp_path: Path, manual: ManualClock) -> None:
        with serve_rows(always(Reply(status=429, headers={"Retry-After": "600"}))) as server:
            with pytest.raises(SourceError, match=r"answered 429 \(1 attempt\)"):
                fetch(origin_at(server), tmp_path, manual)
            assert len(server.asked) == 1

    def test_a_wait_that_the_server_asks_for_is_kept(self, tmp_path: Path, manual: ManualClock) -> None:
        slow = replace(QUICK, wait_initial=1000.0, wait_max=1000.0)
        with serve_rows(lambda n, asked: Reply(status=429, headers={"Retry-After": "0"}) if n == 1 else Reply(rows(1))) as server:
            assert values_of(fetch(origin_at(server), tmp_path, manual, slow)) == [[1]]

    @pytest.mark.parametrize(
        ("text", "seconds"),
        [
            (None, None),
            ("7", 7.0),
            ("soon", None),
            ("Sun, 01 Mar 2026 12:00:30 GMT", 30.0),
            ("Sun, 01 Mar 2026 11:00:00 GMT", 0.0),
        ],
    )
    def test_retry_after_is_seconds_or_a_date(self, text: str | None, seconds: float | None) -> None:
        assert parse_retry_after(text, NOW) == seconds


class TestCircuit:
    def test_a_host_that_fails_in_a_row_is_left_alone_until_the_cool_down_is_over(self) -> None:
        seconds = [0.0]
        circuit = Circuit(2, 60.0, lambda: seconds[0])
        a, b = Server("https", "a", 443), Server("https", "b", 443)
        circuit.record_failure(a)
        assert not circuit.is_open(a)
        circuit.record_failure(a)
        assert circuit.is_open(a)
        assert not circuit.is_open(b)
        seconds[0] = 61.0
        assert not circuit.is_open(a)
        circuit.record_failure(a)
        assert circuit.is_open(a)
        circuit.record_success(a)
        assert not circuit.is_open(a)

    def test_a_second_source_of_a_host_that_is_down_costs_no_request(self, tmp_path: Path, manual: ManualClock) -> None:
        policy = replace(QUICK, max_failures=3)
        with serve_rows(always(Reply(status=500))) as server, fetching(tmp_path, manual, policy) as fetcher:
            with pytest.raises(SourceError, match="answered 500"):
                fetcher.fetch(origin_at(server), "shop")
            with pytest.raises(SourceError, match="is left alone for a while"):
                fetcher.fetch(origin_at(server, address=f"{server.address}/others"), "shop")
            assert len(server.asked) == 3

    def test_a_host_that_answers_in_between_is_not_left_alone(self, tmp_path: Path, manual: ManualClock) -> None:
        policy = replace(QUICK, attempts=2, max_failures=2)
        with serve_rows(lambda n, asked: Reply(status=500) if n % 2 else Reply(rows(n))) as server:
            with fetching(tmp_path, manual, policy) as fetcher:
                pages = [fetcher.fetch(origin_at(server), "shop") for _ in range(3)]
            assert (len(server.asked), [page.notes for page in pages]) == (6, [(), (), ()])


class TestPages:
    def test_a_page_number_counts_until_a_page_is_empty(self, tmp_path: Path, manual: ManualClock) -> None:
        pages = Pagination("page", "page", start=1)
        with serve_rows(lambda n, asked: Reply(rows(*([n] if int(asked.params["page"]) < 4 else [])))) as server:
            assert values_of(fetch(origin_at(server, pages=pages), tmp_path, manual)) == [[1], [2], [3]]
            assert [asked.params["page"] for asked in server.asked] == ["1", "2", "3", "4"]

    def test_an_offset_counts_by_its_step_until_a_page_is_short(self, tmp_path: Path, manual: ManualClock) -> None:
        pages = Pagination("page", "offset", start=0, step=2, size=2)
        with serve_rows(lambda n, asked: Reply(rows(n, 100) if n < 3 else rows(n))) as server:
            assert values_of(fetch(origin_at(server, pages=pages), tmp_path, manual)) == [[1, 100], [2, 100], [3]]
            assert [asked.params["offset"] for asked in server.asked] == ["0", "2", "4"]

    def test_a_cursor_is_sent_back_until_there_is_none(self, tmp_path: Path, manual: ManualClock) -> None:
        def answer(number: int, asked: Asked) -> Reply:
            following = {"a": "b", "b": None}[asked.params["after"]] if "after" in asked.params else "a"
            return Reply(json.dumps({"rows": [{"value": number}], "next": {"cursor": following}}).encode())

        with serve_rows(answer) as server:
            pages = Pagination("cursor", "after", "$.next.cursor")
            assert values_of(fetch(origin_at(server, pages=pages), tmp_path, manual)) == [[1], [2], [3]]

    def test_a_page_without_rows_that_names_the_next_one_is_not_the_last(self, tmp_path: Path, manual: ManualClock) -> None:
        def answer(number: int, asked: Asked) -> Reply:
            page = [] if number == 2 else [{"value": number}]
            return Reply(json.dumps({"rows": page, "next": number + 1 if number < 3 else None}).encode())

        with serve_rows(answer) as server:
            pages = Pagination("cursor", "after", "$.next")
            assert values_of(fetch(origin_at(server, pages=pages), tmp_path, manual)) == [[1], [3]]

    def test_a_link_is_followed_in_the_header_or_in_the_body(self, tmp_path: Path, manual: ManualClock) -> None:
        def in_header(number: int, asked: Asked) -> Reply:
            return Reply(rows(number), headers={"Link": f'</rows?p={number}>; rel="next"'} if number < 3 else {})

        def in_body(number: int, asked: Asked) -> Reply:
            link = f"/rows?p={number}" if number < 3 else None
            return Reply(json.dumps({"rows": [{"value": number}], "next": link}).encode())

        for answer, path in ((in_header, ""), (in_body, "$.next")):
            with serve_rows(answer) as server:
                origin = origin_at(server, pages=Pagination("link", path=path))
                assert values_of(fetch(origin, tmp_path, manual)) == [[1], [2], [3]]

    def test_endless_pages_end_at_the_bound(self, tmp_path: Path, manual: ManualClock) -> None:
        with serve_rows(lambda n, asked: Reply(rows(n))) as server:
            origin = origin_at(server, pages=Pagination("page", "page"), limits=FetchLimits(max_pages=5))
            with pytest.raises(SourceError, match="more than 5 pages"):
                fetch(origin, tmp_path, manual)
            assert len(server.asked) == 5

    def test_a_server_that_does_not_heed_the_page_is_found_out_at_the_second(self, tmp_path: Path, manual: ManualClock) -> None:
        with serve_rows(always(Reply(rows(1)))) as server:
            with pytest.raises(SourceError, match="page 2 repeats an earlier one"):
                fetch(origin_at(server, pages=Pagination("page", "page")), tmp_path, manual)
            assert len(server.asked) == 2

    def test_a_next_link_that_leads_back_is_a_circle(self, tmp_path: Path, manual: ManualClock) -> None:
        def answer(number: int, asked: Asked) -> Reply:
            target = "b" if asked.params.get("p") == "a" else "a"
            return Reply(rows(number), headers={"Link": f'</rows?p={target}>; rel="next"'})

        with serve_rows(answer) as server:
            with pytest.raises(SourceError, match="a circle"):
                fetch(origin_at(server, pages=Pagination("link")), tmp_path, manual)
            assert len(server.asked) == 3

    def test_a_rate_is_kept_by_pauses(self, tmp_path: Path, manual: ManualClock) -> None:
        with serve_rows(lambda n, asked: Reply(rows(*([n] if n < 4 else [])))) as server:
            limits = FetchLimits(requests_per_minute=30)
            fetch(origin_at(server, pages=Pagination("page", "page"), limits=limits), tmp_path, manual)
        assert manual.pauses == [2.0, 2.0, 2.0]

    def test_all_pages_together_have_a_bound_of_time(self, tmp_path: Path, manual: ManualClock) -> None:
        with serve_rows(lambda n, asked: Reply(rows(n))) as server:
            limits = FetchLimits(requests_per_minute=1, max_seconds=150)
            with pytest.raises(SourceError, match="did not come within 150 s"):
                fetch(origin_at(server, pages=Pagination("page", "page"), limits=limits), tmp_path, manual)
            assert len(server.asked) == 3


class TestBounds:
    def test_a_body_is_broken_off_as_soon_as_it_is_too_large(self, tmp_path: Path, manual: ManualClock) -> None:
        with serve_rows(always(Reply(b"[" + b"1," * 50_000, pieces=100, content_type="text/plain"))) as server:
            origin = origin_at(server, limits=FetchLimits(max_bytes=200_000))
            with pytest.raises(SourceError, match="larger than 0 MiB"):
                fetch(origin, tmp_path, manual)
            assert len(server.asked) == 1
        assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["lock"]

    def test_a_small_body_that_unzips_to_a_large_one_is_broken_off(self, tmp_path: Path, manual: ManualClock) -> None:
        bomb = gzip.compress(b" " * 2_000_000)
        with serve_rows(always(Reply(bomb, headers={"Content-Encoding": "gzip"}))) as server:
            with pytest.raises(SourceError, match="larger than 0 MiB and was broken off"):
                fetch(origin_at(server, limits=FetchLimits(max_bytes=200_000)), tmp_path, manual)
            assert len(server.asked) == 1
        assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["lock"]

    def test_two_gigabytes_are_refused_before_they_come(self, tmp_path: Path, manual: ManualClock) -> None:
        with serve_rows(always(Reply(rows(1), pretended=2 * 2**30))) as server:
            with pytest.raises(SourceError, match="larger than 512 MiB"):
                fetch(origin_at(server), tmp_path, manual)
            assert len(server.asked) == 1


class TestLastGoodAnswer:
    def test_it_stands_in_for_a_server_that_is_down_and_says_how_old_it_is(self, tmp_path: Path, manual: ManualClock) -> None:
        with serve_rows(lambda n, asked: Reply(rows(1)) if n == 1 else Reply(status=503)) as server:
            origin = origin_at(server)
            fetch(origin, tmp_path, manual)
            manual.now += timedelta(days=3, hours=2)
            pages = fetch(origin, tmp_path, manual)
            assert values_of(pages) == [[1]]
            assert "answered 503 (3 attempts); the last good answer stands in, which is 3 days old" in pages.notes[0]
            assert len(server.asked) == 4

    def test_it_does_not_stand_in_for_an_answer_that_is_wrong(self, tmp_path: Path, manual: ManualClock) -> None:
        with serve_rows(lambda n, asked: Reply(rows(1)) if n == 1 else Reply(b'{"rowz": []}')) as server:
            fetch(origin_at(server), tmp_path, manual)
            with pytest.raises(SourceError, match=r"expected a list of records at \$.rows of the answer, which has rowz"):
                fetch(origin_at(server), tmp_path, manual)

    def test_a_wrong_answer_does_not_replace_it(self, tmp_path: Path, manual: ManualClock) -> None:
        replies = [Reply(rows(1)), Reply(b"<html>", content_type="text/html"), *[Reply(status=500)] * 3]
        with serve_rows(lambda n, asked: replies[n - 1]) as server:
            fetch(origin_at(server), tmp_path, manual)
            with pytest.raises(SourceError, match="a page for people"):
                fetch(origin_at(server), tmp_path, manual)
            assert values_of(fetch(origin_at(server), tmp_path, manual)) == [[1]]

    def test_pages_of_two_moments_are_never_mixed(self, tmp_path: Path, manual: ManualClock) -> None:
        replies = [Reply(rows(1)), Reply(rows(2)), Reply(rows()), Reply(rows(10)), *[Reply(status=500)] * 3]
        with serve_rows(lambda n, asked: replies[n - 1]) as server:
            origin = origin_at(server, pages=Pagination("page", "page"))
            fetch(origin, tmp_path, manual)
            assert values_of(fetch(origin, tmp_path, manual)) == [[1], [2]]

    @pytest.mark.parametrize(
        "headers", [{"ETag": '"one"'}, {"Last-Modified": "Sun, 01 Mar 2026 12:00:00 GMT"}], ids=lambda h: next(iter(h))
    )
    def test_what_has_not_changed_is_not_sent_again(self, headers: dict[str, str], tmp_path: Path, manual: ManualClock) -> None:
        def answer(number: int, asked: Asked) -> Reply:
            is_known = "if-none-match" in asked.headers or "if-modified-since" in asked.headers
            return Reply(status=304, headers=headers) if is_known else Reply(rows(1), headers=headers)

        with serve_rows(answer) as server:
            first, second = fetch(origin_at(server), tmp_path, manual), fetch(origin_at(server), tmp_path, manual)
            assert values_of(second) == [[1]]
            assert (first.sha256, len(server.asked)) == (second.sha256, 2)
            assert not second.notes

    def test_the_next_page_of_one_that_has_not_changed_is_known(self, tmp_path: Path, manual: ManualClock) -> None:
        def answer(number: int, asked: Asked) -> Reply:
            page = asked.params.get("p", "1")
            if "if-none-match" in asked.headers:
                return Reply(status=304)
            link = {"Link": '</rows?p=2>; rel="next"'} if page == "1" else {}
            return Reply(rows(int(page)), headers={"ETag": page, **link})

        with serve_rows(answer) as server:
            origin = origin_at(server, pages=Pagination("link"))
            assert values_of(fetch(origin, tmp_path, manual)) == values_of(fetch(origin, tmp_path, manual)) == [[1], [2]]

    def test_a_damaged_record_is_as_if_there_were_none(self, tmp_path: Path, manual: ManualClock) -> None:
        with serve_rows(always(Reply(rows(1), headers={"ETag": '"one"'}))) as server:
            fetch(origin_at(server), tmp_path, manual)
            (record,) = tmp_path.rglob("record.json")
            record.write_bytes(b"{")
            fetch(origin_at(server), tmp_path, manual)
            assert "if-none-match" not in server.asked[1].headers

    def test_an_answer_without_rows_is_refused(self, tmp_path: Path, manual: ManualClock) -> None:
        with serve_rows(always(Reply(rows()))) as server, pytest.raises(SourceError, match="holds no rows"):
            fetch(origin_at(server), tmp_path, manual)


class TestSecrets:
    def secret_origin(self, server: RowServer, **changes: object) -> RequestOrigin:
        own = {
            "params": (("api_key", EnvironmentText("${SECRET_KEY}")), ("series", EnvironmentText("rents"))),
            "headers": (("Authorization", EnvironmentText("Bearer ${SECRET_KEY}")),),
        }
        return origin_at(server, **(own | changes))

    def test_they_are_sent_and_stand_nowhere_else(
        self, tmp_path: Path, manual: ManualClock, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
    ) -> None:
        caplog.set_level(logging.DEBUG)
        replies = [Reply(rows(1), headers={"Link": '</rows?p=2&api_key=hunter2>; rel="next"'}), Reply(rows(2))]
        with serve_rows(lambda n, asked: replies[n - 1] if n < 3 else Reply(status=500)) as server:
            origin = self.secret_origin(server, pages=Pagination("link"))
            fetch(origin, tmp_path, manual)
            assert server.asked[0].params == {"api_key": "hunter2", "series": "rents"}
            assert server.asked[0].headers["authorization"] == "Bearer hunter2"
            assert server.asked[1].params == {"api_key": "hunter2", "p": "2"}
            pages = fetch(origin, tmp_path, manual)
            with pytest.raises(SourceError) as caught:
                fetch(replace(origin, address=f"{server.address}/others"), tmp_path, manual)
        written = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
        shown = [
            *(path.as_posix() for path in tmp_path.rglob("*")),
            *pages.notes,
            str(caught.value),
            caplog.text,
            *capsys.readouterr(),
        ]
        assert not any(b"hunter2" in one for one in written)
        assert not any("hunter2" in one for one in shown)
        assert "hunter2" not in repr(origin)
        assert get_on_retry_hooks() == (), "stamina's own hook writes to standard output"

    def test_a_variable_that_is_not_set_is_one_sentence_and_no_request(self, tmp_path: Path, manual: ManualClock) -> None:
        with serve_rows(always(Reply(rows(1)))) as server:
            origin = origin_at(server, params=(("api_key", EnvironmentText("${OTHER_KEY}")),))
            with pytest.raises(
                SourceError, match=r"^shop: params\.api_key needs the environment variable OTHER_KEY, which is not set"
            ):
                fetch(origin, tmp_path, manual)
            assert not server.asked

    @pytest.mark.parametrize("by", ["redirect", "link"])
    def test_another_host_is_refused_and_where_it_is_allowed_gets_no_secret(
        self, by: str, tmp_path: Path, manual: ManualClock
    ) -> None:
        with serve_rows(always(Reply(rows(2)))) as other:
            target = other.address.replace("127.0.0.1", "localhost") + "/rows"
            reply = (
                Reply(status=302, headers={"Location": target})
                if by == "redirect"
                else Reply(rows(1), headers={"Link": f'<{target}>; rel="next"'})
            )
            with serve_rows(always(reply)) as server:
                origin = self.secret_origin(server, pages=Pagination("link"))
                with pytest.raises(
                    SourceError, match="http://localhost; where that is right, name the host in 'redirect_hosts:'"
                ):
                    fetch(origin, tmp_path, manual)
                assert not other.asked
                allowed = replace(origin, redirect_hosts=("localhost",))
                assert values_of(fetch(allowed, tmp_path, manual))[-1] == [2]
            assert "authorization" not in other.asked[0].headers
            assert "api_key" not in other.asked[0].params

    def test_redirects_on_the_same_server_are_followed_and_end(self, tmp_path: Path, manual: ManualClock) -> None:
        replies = [Reply(status=301, headers={"Location": "/moved"}), Reply(rows(1))]
        with serve_rows(lambda n, asked: replies[n - 1]) as server:
            assert values_of(fetch(origin_at(server), tmp_path, manual)) == [[1]]
        with serve_rows(always(Reply(status=302, headers={"Location": "/rows"}))) as server:
            with pytest.raises(SourceError, match="more than 5 times"):
                fetch(origin_at(server), tmp_path / "other", manual)
            assert len(server.asked) == 6

    @pytest.mark.parametrize(
        "url", ["file:///etc/passwd", "ftp://host/x", "https://user:pw@host/x", "rows.json", "http://[::1/x"]
    )
    def test_other_addresses_than_those_of_http_are_refused(self, url: str) -> None:
        with pytest.raises(SourceError) as caught:
            RequestOrigin("http://host/").with_address(url)
        assert "pw" not in str(caught.value)

    def test_a_secret_in_an_address_that_a_user_types_is_not_shown(self) -> None:
        origin = RequestOrigin("http://host/").with_address("https://host/rows?api_key=hunter2&series=rents")
        assert origin.address == "https://host/rows"
        assert origin.visible_params == {"series": "rents"}
        assert "hunter2" not in repr(origin)
        assert origin.key == RequestOrigin("http://host/").with_address("https://host/rows?api_key=other&series=rents").key
