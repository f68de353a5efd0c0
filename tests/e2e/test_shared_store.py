"""Two machines with one database and one disk: what one of them promotes, the other serves."""

import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from tests.integration.test_home import drop_right_to_everything
from tests.object_storage import new_bucket, storage_environment
from tests.postgres import new_database
from tests.redis_server import RedisProcess, new_redis
from tests.trained import trained
from tests.waiting import wait_until

from epic22.adapters.store_copy import copy_models
from epic22.bootstrap.stores import open_home_stores, open_shared_stores
from epic22.core.ports import Registry

COMMAND = [sys.executable, "-c", "from epic22.cli.main import run; run()"]
ROW = {"wear": 1, "load <b>$kN$</b>": 0, "maker": None, "indoors": False, "fitted on": None}


def read_health(address: str) -> dict[str, object]:
    with urllib.request.urlopen(f"{address}/health", timeout=60) as answer:
        return dict(json.load(answer))


def ask(address: str) -> tuple[str, float]:
    """The version that answers, and its answer."""
    body = json.dumps({"rows": [ROW]}).encode()
    request = urllib.request.Request(f"{address}/v1/tasks/toy/predictions", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        content = json.load(answer)
    return content["model"]["version"], content["predictions"][0]["values"][0]["value"]


def answer_without(redis: RedisProcess, address: str, registry: Registry, answer: tuple[str, float]) -> None:
    """Redis is killed in the middle: answers go on, promotions are seen all the same, and `/health` tells of it."""
    assert read_health(address)["cache"] == "ok"
    redis.kill()
    for _ in range(20):
        assert ask(address) == answer
    registry.promote("toy", "1", ())
    wait_until(lambda: ask(address)[0] == "1")
    wait_until(lambda: read_health(address)["cache"] == "away")
    assert read_health(address)["status"] == "ok"
    registry.promote("toy", "2", ())
    redis.start()
    wait_until(lambda: ask(address) == answer)
    wait_until(lambda: read_health(address)["cache"] == "ok")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sqlite", "postgresql", "postgresql and s3", "postgresql, s3 and redis"])
def test_what_one_machine_promotes_the_server_of_another_answers_with(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{tmp_path}/metadata.sqlite" if kind == "sqlite" else new_database()
    disk = new_bucket() if "s3" in kind else str(tmp_path / "disk")
    for name, value in (storage_environment() if "s3" in kind else {}).items():
        monkeypatch.setenv(name, value)
    trained(tmp_path / "one")
    redis = new_redis() if kind.endswith("redis") else None
    shared = open_shared_stores(url, disk, tmp_path / "one", None if redis is None else redis.url)
    copy_models(open_home_stores(tmp_path / "one").registry, shared.registry)
    environment = {"EPIC22_HOME": str(tmp_path / "two"), "EPIC22_DATABASE_URL": url, "EPIC22_ARTIFACTS": disk}
    environment |= {} if redis is None else {"EPIC22_REDIS_URL": redis.url}
    server = subprocess.Popen(
        [*COMMAND, "serve", "--port", "0"],
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stdout is not None
        match = re.search(r"http://[\d.]+:\d+", server.stdout.readline())
        assert match is not None
        first = ask(match.group())
        assert first[0] == "1"
        run, _ = trained(tmp_path / "again", seed=1)
        bundle = tmp_path / "again" / "models" / "toy" / "1" / "bundle"
        new = shared.registry.save("toy", run.version.family, run.version.model_hash, "v2", "proven", bundle)
        shared.registry.promote("toy", new.version, ())
        promoted = time.monotonic()
        while (answer := ask(match.group()))[0] == "1" and time.monotonic() < promoted + 30:
            time.sleep(0.05)
        assert answer[0] == "2"
        assert answer[1] != first[1]
        if redis is None:
            assert read_health(match.group())["cache"] is None
        else:
            answer_without(redis, match.group(), shared.registry, answer)
        server.terminate()
        server.communicate(timeout=30)
        assert shared.prediction_log.count_predictions()["toy", "2"] >= 1
    finally:
        server.kill()
        server.communicate()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="root can only be kept from files on Linux")
def test_a_database_on_a_disk_that_cannot_be_written_is_read(tmp_path: Path) -> None:
    trained(tmp_path / "one")
    place = tmp_path / "shared"
    url = f"sqlite:///{place}/metadata.sqlite"
    copy_models(
        open_home_stores(tmp_path / "one").registry, open_shared_stores(url, str(tmp_path / "disk"), tmp_path / "one").registry
    )
    for path in place.iterdir():
        path.chmod(0o444)
    place.chmod(0o555)
    try:
        done = subprocess.run(
            [*COMMAND, "models", "--json"],
            env=os.environ
            | {"EPIC22_HOME": str(tmp_path / "two"), "EPIC22_DATABASE_URL": url, "EPIC22_ARTIFACTS": str(tmp_path / "disk")},
            preexec_fn=drop_right_to_everything,
            capture_output=True,
            text=True,
        )
    finally:
        place.chmod(0o755)
    assert done.returncode == 0, done.stderr
    assert [one["task"] for one in json.loads(done.stdout)] == ["toy"]
