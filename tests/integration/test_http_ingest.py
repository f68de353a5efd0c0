"""`epic22 ingest` of what a server answers, as a user meets it."""

import json
from pathlib import Path

import pytest
from tests.row_server import Asked, Reply, serve_rows
from tests.shell import Shell

MONTHS = [f"{year}-{month:02d}-01" for year in range(2019, 2025) for month in range(1, 13)]
SECRET = "hunter2"


def answer_fred(number: int, asked: Asked) -> Reply:
    if asked.params.get("api_key") != SECRET:
        return Reply(status=400)
    rows = [{"realtime_start": str(number), "date": month, "value": f"{100 + n}.5"} for n, month in enumerate(MONTHS)]
    return Reply(json.dumps({"observations": rows}).encode())


def build_zillow(first_rent: str = "1500", last: str = "2024-02-29") -> bytes:
    lines = [
        f"RegionID,SizeRank,RegionName,RegionType,StateName,2024-01-31,{last}",
        f"1,0,78751,zip,TX,{first_rent},1510.5",
        "2,1,1001,zip,MA,,1200",
    ]
    return "\n".join(lines).encode()


@pytest.fixture
def shell(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Shell:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("FRED_API_KEY", SECRET)
    return Shell(tmp_path, capsys, monkeypatch)


@pytest.mark.slow
def test_a_series_becomes_a_panel_that_is_the_same_when_its_rows_are(shell: Shell, tmp_path: Path) -> None:
    with serve_rows(answer_fred) as server:
        address = f"{server.address}/observations?series_id=RENTS"
        code, out, _ = shell("ingest", "--mapping", "fred", "--source", address, "--json")
        first = json.loads(out)
        assert code == 0
        assert (first["rows"], first["series"], first["frequency"], first["is_new"]) == (72, 1, "M", True)
        panel = Path(first["path"])
        assert panel.is_relative_to(tmp_path / "home" / "panels")
        assert panel.read_text().splitlines()[:2] == ["series,time,value", "RENTS,2019-01-01,100.5"]
        code, out, _ = shell("ingest", "--mapping", "fred", "--source", address)
        assert code == 0
        assert "Nothing new: 72 values of 1 series, 2019-01-01 to 2024-12-01" in out
        assert f"epic22 train --csv {panel} --panel long --id series --time time --label value --frequency M" in out
    written = [path.read_bytes() for path in (tmp_path / "home").rglob("*") if path.is_file()]
    assert not any(SECRET.encode() in one for one in written)


def test_a_panel_goes_where_it_is_sent_and_tables_do_not(shell: Shell, tmp_path: Path) -> None:
    with serve_rows(answer_fred) as server:
        address = f"{server.address}/observations?series_id=RENTS"
        code, _, _ = shell("ingest", "--mapping", "fred", "--source", address, "--to", "rents.csv")
        assert (code, (tmp_path / "rents.csv").is_file()) == (0, True)
        code, _, err = shell("ingest", "--mapping", "zillow", "--source", address, "--to", "rents.csv")
        assert code == 2
        assert "--to is for a panel" in err


@pytest.mark.slow
def test_rents_become_a_version_and_the_same_rents_none(shell: Shell, tmp_path: Path) -> None:
    def answer(number: int, asked: Asked) -> Reply:
        return Reply(build_zillow("1500" if number < 3 else "1501"), content_type="binary/octet-stream")

    with serve_rows(answer) as server:
        arguments = ("ingest", "--mapping", "zillow", "--source", f"{server.address}/Zip_zori.csv", "--json")
        _, out, _ = shell(*arguments)
        first = json.loads(out)
        assert (first["counts"]["market"]["new"], first["counts"]["market"]["quarantined"]) == (3, 0)
        _, out, _ = shell(*arguments)
        again = json.loads(out)
        assert (again["version"], again["counts"]["market"]["same"]) == (None, 3)
        _, out, _ = shell(*arguments)
        assert json.loads(out)["counts"]["market"]["changed"] == 1
    _, out, _ = shell("data", "show", "--table", "market", "--json")
    assert {row["zip_code"] for row in json.loads(out)} == {"78751", "01001"}


def test_a_month_that_has_not_come_is_set_apart(shell: Shell) -> None:
    with serve_rows(lambda n, asked: Reply(build_zillow(last="2090-02-28"), content_type="text/csv")) as server:
        code, out, _ = shell("ingest", "--mapping", "zillow", "--source", server.address, "--json")
        counts = json.loads(out)["counts"]["market"]
        assert (code, counts["new"], counts["quarantined"]) == (0, 1, 2)
    _, out, _ = shell("data", "quarantine", "--json")
    assert all("month 2090-02-01 lies after the fetch" in row["reason"] for row in json.loads(out))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--mapping", "fredd"), "there are fred, open_meteo, platform-a, platform-b, zillow"),
        (("--mapping", "fred", "--source", "postgresql://host/db"), "a panel is asked for over HTTP"),
        (("--mapping", "zillow", "--source", "ftp://host/x"), "no kind of server has such an address"),
        ((".", "--mapping", "zillow", "--source", "https://host/x"), "FOLDER and an address by --source are both given"),
        (("--source", "https://host/x"), "needs --mapping FILE"),
    ],
)
def test_a_mistake_is_one_sentence(shell: Shell, arguments: tuple[str, ...], words: str) -> None:
    code, out, err = shell("ingest", *arguments)
    assert (code, out) == (2, "")
    assert words in err


def test_a_key_that_is_not_set_is_one_sentence(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FRED_API_KEY")
    with serve_rows(answer_fred) as server:
        code, _, err = shell("ingest", "--mapping", "fred", "--source", f"{server.address}/x?series_id=RENTS")
        assert code == 2
        assert "fred/panel: params.api_key needs the environment variable FRED_API_KEY, which is not set" in err
        assert not server.asked
