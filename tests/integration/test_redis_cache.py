"""Redis beside a shared store, on a real server: bundles near by, notices of promotions, and all as before without it."""

import gzip
import io
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from structlog.testing import capture_logs
from tests.contract.test_every_registry import put
from tests.redis_server import RedisProcess, new_redis
from tests.waiting import wait_until

from epic22.adapters.artifacts import CachedArtifacts
from epic22.adapters.champion_cache import ServedModelStore
from epic22.adapters.file_store import FolderFiles
from epic22.adapters.metadata.database import Database
from epic22.adapters.redis.contents import MAX_CONTENT_BYTES, PREFIX, ContentPlace, RedisContents
from epic22.adapters.redis.link import RedisLink
from epic22.adapters.redis.notices import CHANNEL, PromotionNotices
from epic22.adapters.redis.server import Patience, RedisServer
from epic22.adapters.shared_model_store import SharedModelStore
from epic22.core.lineage import ModelVersion, sha256
from epic22.core.tables.erasure import TenantIdentity

PATIENCE = Patience(0.3, 0.3)


@pytest.fixture
def redis() -> Iterator[RedisProcess]:
    process = new_redis()
    yield process
    process.remove()


@dataclass(frozen=True)
class CountedFiles(FolderFiles):
    """A folder that stands for object storage far away, and notes what is read from it."""

    names: list[str] = field(default_factory=list)

    def read(self, name: str) -> bytes | None:
        self.names.append(name)
        return super().read(name)


@dataclass(frozen=True)
class Machine:
    """A machine with a cache folder of its own, on a database, files and a Redis that others share."""

    folder: Path
    url: str
    link: RedisLink

    @property
    def files(self) -> CountedFiles:
        return self.artifacts.files  # type: ignore[return-value]

    @property
    def artifacts(self) -> CachedArtifacts:
        return self.store.artifacts  # type: ignore[return-value]

    @property
    def store(self) -> SharedModelStore:
        return self._stores[0]

    _stores: list[SharedModelStore] = field(default_factory=list)


def open_machine(folder: Path, name: str, redis: RedisProcess, notices: bool = False) -> Machine:
    link = RedisLink(RedisServer(redis.url, patience=PATIENCE), pause_seconds=0.05)
    url = f"sqlite:///{folder}/shared/data.sqlite"
    artifacts = CachedArtifacts(CountedFiles(folder / "storage"), folder / name, RedisContents(link))
    store = SharedModelStore(Database(url), artifacts, PromotionNotices(link) if notices else None)
    return Machine(folder / name, url, link, [store])


def read_keys(redis: RedisProcess) -> Mapping[bytes, bytes]:
    client: Any = RedisServer(redis.url).client
    return {key: client.get(key) for key in client.keys(f"{PREFIX}*")}


def test_a_bundle_that_one_machine_opened_is_opened_by_another_without_the_storage(redis: RedisProcess, tmp_path: Path) -> None:
    one, two = open_machine(tmp_path, "one", redis), open_machine(tmp_path, "two", redis)
    version = put(one.store, tmp_path / "a")
    one.store.load("toy", version.version)
    assert one.files.names
    assert all(key.decode() == f"{PREFIX}{sha256(content)}" for key, content in read_keys(redis).items())
    assert two.store.load("toy", version.version).version == version
    assert two.files.names == []
    assert two.store.load("toy", version.version).version == version
    assert two.store.folder("toy", version.version).joinpath("bundle").is_dir()


def test_what_was_altered_in_redis_is_refused_removed_and_read_from_the_storage(redis: RedisProcess, tmp_path: Path) -> None:
    one, two = open_machine(tmp_path, "one", redis), open_machine(tmp_path, "two", redis)
    version = put(one.store, tmp_path / "a")
    model = one.store.load("toy", version.version)
    client = RedisServer(redis.url).client
    keys = read_keys(redis)
    for key, content in keys.items():
        client.set(key, content.replace(b"toy", b"hoy") + b" ")
    opened = two.store.load("toy", version.version)
    assert opened.bundle.files() == model.bundle.files()
    assert two.files.names
    # What is not as it was stored is gone, and the sound bytes have taken its place.
    assert read_keys(redis) == keys


def test_a_whole_other_bundle_under_the_key_of_a_manifest_is_refused(redis: RedisProcess, tmp_path: Path) -> None:
    one, two = open_machine(tmp_path, "one", redis), open_machine(tmp_path, "two", redis)
    first, second = put(one.store, tmp_path / "a"), put(one.store, tmp_path / "b", seed=1)
    for version in (first, second):
        one.store.load("toy", version.version)
    digests = [sha256((tmp_path / name / "manifest.json").read_bytes()) for name in ("a", "b")]
    client = RedisServer(redis.url).client
    client.set(f"{PREFIX}{digests[0]}", read_keys(redis)[f"{PREFIX}{digests[1]}".encode()])
    assert two.store.load("toy", first.version).bundle.model_hash == first.model_hash


def test_a_file_of_this_machine_that_was_altered_is_replaced(redis: RedisProcess, tmp_path: Path) -> None:
    machine = open_machine(tmp_path, "one", redis)
    version = put(machine.store, tmp_path / "a")
    machine.store.load("toy", version.version)
    for path in machine.folder.rglob("*.json"):
        path.write_bytes(b"{}")
    machine.files.names.clear()
    assert machine.store.load("toy", version.version).version == version
    assert machine.files.names == []


def test_contents_end_some_time_and_large_ones_are_left_out(redis: RedisProcess) -> None:
    contents = RedisContents(RedisLink(RedisServer(redis.url, patience=PATIENCE)))
    small, large = b"small", b"0" * (MAX_CONTENT_BYTES + 1)
    contents.write({sha256(small): small, sha256(large): large})
    assert contents.read([sha256(small), sha256(large), "none"]) == {sha256(small): small}
    assert contents.read([]) == {}
    assert RedisServer(redis.url).client.ttl(f"{PREFIX}{sha256(small)}") > 6 * 24 * 3600


def is_champion(store: SharedModelStore, version: ModelVersion) -> bool:
    return store.champion("toy") == version


def test_a_promotion_is_heard_long_before_the_database_is_asked_again(redis: RedisProcess, tmp_path: Path) -> None:
    one, two = open_machine(tmp_path, "one", redis, notices=True), open_machine(tmp_path, "two", redis)
    first, second = put(one.store, tmp_path / "a"), put(one.store, tmp_path / "b", seed=1)
    one.store.promote("toy", first.version, ())
    served = ServedModelStore(Database(two.url), two.artifacts, seconds=3600.0, notices=PromotionNotices(two.link))
    assert served.champion("toy") == first
    wait_until(lambda: RedisServer(redis.url).client.pubsub_numsub(CHANNEL)[0][1] == 1)
    # The first of them may be seen by the look at the beginning, the others by their notices alone.
    for version in (second, first, second):
        one.store.promote("toy", version.version, ())
        wait_until(partial(is_champion, served, version))

    # Without the server promotions go on, and are heard once it is there again.
    redis.kill()
    one.store.promote("toy", first.version, ())
    wait_until(lambda: two.link.fault is not None)
    assert served.champion("toy") == second
    redis.start()
    wait_until(lambda: served.champion("toy") == first)
    wait_until(lambda: two.link.fault is None)
    served.stop()


def test_a_false_notice_changes_no_answer(redis: RedisProcess, tmp_path: Path) -> None:
    machine = open_machine(tmp_path, "one", redis)
    first = put(machine.store, tmp_path / "a")
    machine.store.promote("toy", first.version, ())
    notices, heard = PromotionNotices(machine.link), list[str]()
    served = ServedModelStore(Database(machine.url), machine.artifacts, seconds=3600.0)
    notices.listen(lambda: heard.append("notice"))
    wait_until(lambda: bool(heard))
    RedisServer(redis.url).client.publish(CHANNEL, b"\xff serve version 7")
    wait_until(lambda: len(heard) > 1)
    assert served.champion("toy") == first
    notices.stop()
    served.stop()


def test_a_mistake_of_ours_ends_no_listening(redis: RedisProcess) -> None:
    link = RedisLink(RedisServer(redis.url, patience=PATIENCE), pause_seconds=0.02)
    notices, heard = PromotionNotices(link), list[int]()

    def hear() -> None:
        heard.append(len(heard))
        if len(heard) == 1:
            raise KeyError("nobody foresaw it")

    notices.listen(hear)
    wait_until(lambda: len(heard) > 1)
    notices.stop()


def test_after_a_failure_the_server_is_left_alone_for_a_while_and_then_one_call_tries() -> None:
    now, calls = [100.0], list[str]()
    link = RedisLink(RedisServer("redis://127.0.0.1:1", patience=PATIENCE), 5.0, lambda: now[0])

    def ping(client: Any) -> bool:
        calls.append("call")
        return bool(client.ping())

    def call() -> None:
        link.call(ping)

    with capture_logs():
        call()
        assert link.fault is not None
        assert "no connection to the Redis server" in link.fault
        call()
        now[0] += 4.9
        call()
        assert len(calls) == 1
        now[0] += 0.2
        call()
        call()
        assert len(calls) == 2


def test_a_mistake_of_ours_in_a_call_costs_that_call_alone(redis: RedisProcess) -> None:
    link = RedisLink(RedisServer(redis.url, patience=PATIENCE), pause_seconds=0.0)

    def ask(client: Any) -> None:
        raise KeyError("nobody foresaw it")

    with capture_logs() as logs:
        assert link.call(ask) is None
        assert link.fault == "our mistake, KeyError"
        assert link.call(lambda client: client.ping())
        assert link.fault is None
    assert [line["event"] for line in logs] == ["redis is away, work goes on without it", "redis answers again"]


def test_while_one_call_tries_again_the_others_go_without(redis: RedisProcess) -> None:
    now, inner = [100.0], list[object]()
    link = RedisLink(RedisServer(redis.url, patience=PATIENCE), 5.0, lambda: now[0])
    link.record_failure("away")
    now[0] += 6.0

    def ping_while_another_calls(client: Any) -> bool:
        inner.append(link.call(lambda other: other.ping()))
        return bool(client.ping())

    assert (link.call(ping_while_another_calls), inner) == (True, [None])
    assert link.fault is None
    assert link.call(lambda client: client.ping())


def test_a_server_that_accepts_and_never_answers_costs_one_call_its_patience() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        link = RedisLink(RedisServer(f"redis://127.0.0.1:{silent.getsockname()[1]}", patience=Patience(0.1, 0.1)))
        assert link.call(lambda client: client.ping()) is None
        assert link.fault is not None
        assert "did not answer in time" in link.fault
        assert link.call(lambda client: client.ping()) is None


@pytest.mark.parametrize("password", ["wrong-secret", ""])
def test_a_wrong_password_is_said_in_a_sentence_and_stops_nothing(
    redis: RedisProcess, tmp_path: Path, password: str, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"redis://:{password}@127.0.0.1:{redis.port}/0"
    link = RedisLink(RedisServer(url, patience=PATIENCE))
    artifacts = CachedArtifacts(CountedFiles(tmp_path / "storage"), tmp_path / "one", RedisContents(link))
    store = SharedModelStore(Database(f"sqlite:///{tmp_path}/data.sqlite"), artifacts, PromotionNotices(link))
    version = put(store, tmp_path / "a")
    store.promote("toy", version.version, ())
    assert store.load("toy").version == version
    assert link.fault == "EPIC22_REDIS_URL: the Redis server refuses the user or password; mend the address."
    printed = capsys.readouterr()
    assert printed.err.count("redis is away") == 1
    assert "wrong-secret" not in printed.err + printed.out


PERSON = TenantIdentity("tenant-1")


def write_contents(redis: RedisProcess, *contents: bytes) -> RedisContents:
    stored = RedisContents(RedisLink(RedisServer(redis.url, patience=PATIENCE), pause_seconds=0.0))
    stored.write({sha256(one): one for one in contents})
    return stored


def test_contents_that_name_a_person_are_counted_and_go(redis: RedisProcess) -> None:
    naming, other = b'{"levels": ["tenant-1"]}', b'{"levels": ["tenant-10"]}'
    packed, npz = gzip.compress(naming), io.BytesIO()
    np.savez_compressed(npz, levels=np.array([b"a", b"tenant-1"]))
    contents, place = write_contents(redis, naming, packed, npz.getvalue(), other), ContentPlace(RedisServer(redis.url))
    assert place.count(PERSON) == 3
    place.erase(PERSON)
    assert (place.count(PERSON), place.list_remaining(PERSON, 0)) == (0, ())
    assert list(read_keys(redis).values()) == [other]
    assert contents.read([sha256(naming), sha256(packed), sha256(other)]) == {sha256(other): other}
    redis.kill()
    assert place.count(PERSON) == 0
    place.erase(PERSON)
    assert "could not all be searched" in place.list_remaining(PERSON, 0)[0]


def test_contents_that_cannot_be_unpacked_go_too(redis: RedisProcess) -> None:
    write_contents(redis, gzip.compress(b"some words" * 9)[:-9], b"other")
    place = ContentPlace(RedisServer(redis.url))
    assert place.count(PERSON) == 0
    place.erase(PERSON)
    assert list(read_keys(redis).values()) == [b"other"]


def test_contents_that_could_not_be_read_are_said_however_well_the_next_ones_are(redis: RedisProcess) -> None:
    write_contents(redis, *(b"%d of tenant-1" % n for n in range(20)))
    client = RedisServer(redis.url).client
    client.rpush(f"{PREFIX}list", "tenant-1")
    place = ContentPlace(RedisServer(redis.url))
    assert place.count(PERSON) == 20
    place.erase(PERSON)
    remaining = place.list_remaining(PERSON, 0)
    assert len(remaining) == 1
    assert "could not all be searched" in remaining[0]
    assert "WRONGTYPE" in remaining[0]


def test_what_may_not_be_removed_is_said(redis: RedisProcess) -> None:
    write_contents(redis, b"of tenant-1")
    client: Any = RedisServer(redis.url).client
    client.execute_command("ACL", "SETUSER", "reader", "on", ">word", "~*", "+@all", "-del")
    place = ContentPlace(RedisServer(redis.url.replace(f":{redis.password}", "reader:word")))
    place.erase(PERSON)
    assert place.list_remaining(PERSON, 0) == (
        "contents in Redis: 1 name the tenant still or again, and last for at most a week",
    )


def test_neither_a_reader_nor_a_search_makes_contents_last_longer(redis: RedisProcess) -> None:
    contents = write_contents(redis, b"small")
    client = RedisServer(redis.url).client
    client.expire(f"{PREFIX}{sha256(b'small')}", 100)
    assert contents.read([sha256(b"small")])
    ContentPlace(RedisServer(redis.url)).count(PERSON)
    assert client.ttl(f"{PREFIX}{sha256(b'small')}") <= 100
