"""The connection to a real Redis: what it refuses is one sentence without its address; what passes is an error of its own."""

import socket
from pathlib import Path

import pytest
from tests.redis_server import RedisProcess, new_redis
from tests.shell import Shell

from epic22.adapters.redis.server import Patience, RedisServer
from epic22.config import Settings, check_redis_url
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
    "url",
    [
        *("localhost:6379", "http://localhost", "redis://", "redis://host:0", "redis://host:port/0", "redis://h/x"),
        *(f"redis://{'a' * 64}:6379/0", "redis://a..b/0", "redis://h/999999"),
    ],
)
def test_what_is_no_address_of_a_server_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(UserError, match="EPIC22_REDIS_URL is no address of a Redis server") as error:
        Settings.read({"EPIC22_HOME": "home", "EPIC22_REDIS_URL": url})
    assert url not in str(error.value).partition(";")[0]


@pytest.mark.parametrize(
    "option",
    [
        *("colour=secret", "db=secret", "socket_timeout=secret", "retry=1", "max_connections=-1", "decode_responses=true"),
        *("protocol=9", "protocol=3", "encoding=latin-1", "socket_timeout=-1", "ssl_ca_path=/etc", "socket_keepalive=maybe"),
        *("ssl_cert_reqs=none", "ss@secret:6379/0", "secret", "db=1&colour=secret"),
    ],
)
def test_an_option_that_the_library_would_raise_for_once_it_is_used_is_refused_at_the_start(
    option: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shell = Shell(tmp_path, capsys, monkeypatch)
    url = f"redis://:secret@127.0.0.1:1/0?{option}"
    monkeypatch.setenv("EPIC22_REDIS_URL", url)
    for words in (("promote", "toy", "1", "--reason", "x"), ("consume", "--once", "--source", "env:EPIC22_REDIS_URL")):
        code, out, err = shell(*words)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert "the address has an option behind its ? that is not known" in err
        assert "secret" not in err


@pytest.mark.parametrize(
    "option",
    [
        *("redis://h?db=2&client_name=epic22", "unix:///run/r.sock?db=1&password=p%20q", "redis://h/0?health_check_interval=30"),
        *("rediss://h/0?ssl_cert_reqs=none&ssl_check_hostname=false&ssl_ca_certs=/etc/ca.pem", "redis://h/0?"),
        *(
            "redis://h?socket_timeout=5",
            "redis://h?socket_connect_timeout=0.5&socket_keepalive=yes",
            "redis://h?max_connections=9",
        ),
        *("rediss://h/0?ssl_ca_path=/etc/ssl/certs&ssl_min_version=771", "unix:///r.sock?socket_timeout=5&retry_on_timeout=no"),
    ],
)
def test_options_that_are_known_are_taken(option: str) -> None:
    check_redis_url(option, "--source")
    assert RedisServer(option).client.connection_pool.make_connection() is not None


@pytest.mark.parametrize("url", ["redis://h", "redis://h:1/2", "rediss://user:p%40ss@h:6380/0", "unix:///run/redis.sock"])
def test_addresses_of_servers_are_read_and_never_shown(url: str, tmp_path: Path) -> None:
    settings = Settings.read({"EPIC22_HOME": str(tmp_path), "EPIC22_REDIS_URL": url})
    assert settings.redis_url == url
    assert url not in repr(settings)
