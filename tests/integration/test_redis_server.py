"""The connection to a real Redis: what it refuses is one sentence without its address; what passes is an error of its own."""

import socket
from pathlib import Path

import pytest
from tests.redis_server import RedisProcess, new_redis

from epic22.adapters.redis.server import Patience, RedisServer
from epic22.config import Settings
from epic22.core.errors import NotInstalledError, SourceError, StorageError, UnavailableError, UserError


@pytest.fixture(scope="module")
def redis() -> RedisProcess:
    return new_redis()


def test_a_server_that_runs_answers(redis: RedisProcess) -> None:
    RedisServer(redis.url).check()


def test_a_wrong_password_is_refused_by_the_error_that_was_asked_for(redis: RedisProcess) -> None:
    wrong = redis.url.replace(redis.password, "guessed")
    with pytest.raises(SourceError, match="--source: the Redis server refuses the user or password") as error:
        RedisServer(wrong, "--source", SourceError).check()
    assert "guessed" not in str(error.value)
    assert "127.0.0.1" not in str(error.value)


def test_a_missing_password_is_refused_too(redis: RedisProcess) -> None:
    with pytest.raises(StorageError, match="refuses the user or password"):
        RedisServer(redis.url.replace(f":{redis.password}@", "")).check()


def test_a_database_that_is_not_there_is_refused_in_the_words_of_the_server(redis: RedisProcess) -> None:
    with pytest.raises(StorageError, match="DB index is out of range"):
        RedisServer(redis.url.removesuffix("/0") + "/4000").check()


def test_a_command_on_another_kind_of_key_is_refused_for_good(redis: RedisProcess) -> None:
    server = RedisServer(redis.url)
    server.client.set("text", "1")
    with pytest.raises(StorageError, match="WRONGTYPE"), server.translate_faults():
        server.client.xadd("text", {"event": "{}"})


def test_no_server_at_the_address_may_pass_and_the_address_is_not_shown() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        url = f"redis://:secret@127.0.0.1:{port}/0"
        with pytest.raises(UnavailableError, match="no connection to the Redis server \\(connection refused\\)") as error:
            RedisServer(url).check()
    assert all(word not in f"{error.value} {RedisServer(url)!r}" for word in ("secret", "127.0.0.1", str(port)))


def test_a_server_that_does_not_answer_is_given_up_in_time() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        with pytest.raises(UnavailableError, match="did not answer in time"):
            RedisServer(f"redis://127.0.0.1:{silent.getsockname()[1]}/0", patience=Patience(1.0, 0.05)).check()


def test_without_the_library_the_way_to_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("epic22.adapters.redis.server.find_spec", lambda name: None)
    with pytest.raises(NotInstalledError, match="the library 'redis' is not installed; pip install 'epic22\\[redis\\]'"):
        RedisServer("redis://host").check()


def test_a_server_that_was_stopped_and_started_is_reached_again_by_the_same_client() -> None:
    redis = new_redis()
    server = RedisServer(redis.url)
    server.client.set("name", "value")
    redis.stop()
    with pytest.raises(UnavailableError):
        server.check()
    redis.start()
    with server.translate_faults():
        assert server.client.get("name") == b"value"
    redis.remove()


@pytest.mark.parametrize(
    "url", ["localhost:6379", "http://localhost", "redis://", "redis://host:0", "redis://host:port/0", "redis://h/x"]
)
def test_what_is_no_address_of_a_server_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(UserError, match="EPIC22_REDIS_URL is no address of a Redis server") as error:
        Settings.read({"EPIC22_HOME": "home", "EPIC22_REDIS_URL": url})
    assert url not in str(error.value).partition(";")[0]


@pytest.mark.parametrize("url", ["redis://h", "redis://h:1/2", "rediss://user:p%40ss@h:6380/0", "unix:///run/redis.sock"])
def test_addresses_of_servers_are_read_and_never_shown(url: str, tmp_path: Path) -> None:
    settings = Settings.read({"EPIC22_HOME": str(tmp_path), "EPIC22_REDIS_URL": url})
    assert settings.redis_url == url
    assert url not in repr(settings)
