"""Runs one case against the source tree on PYTHONPATH and writes down what it computed.

    python driver.py CASE FOLDER DOCUMENT [NAMES]
    python driver.py

The second reads orders from standard input, a line of JSON each, and answers each by a line: the libraries are imported once for
all cases. Only faces that survive renames are used: the console entry point, the served process, the files under EPIC22_HOME.
"""

import contextlib
import io
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import traceback
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from html import unescape
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

import yaml  # noqa: E402
from tests.golden.cases import Case, Command, Make, Request, Serve, case_named  # noqa: E402
from tests.golden.names import Names  # noqa: E402
from tests.golden.tables import MAKERS  # noqa: E402

ENVIRONMENT = {
    "EPIC22_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "OPENBLAS_CORETYPE": "Haswell",
    "OMP_WAIT_POLICY": "PASSIVE",
    "PYTHONHASHSEED": "0",
    "PYTHONWARNINGS": "ignore",
    "COLUMNS": "400",
    "NO_COLOR": "1",
    "TZ": "UTC",
    "LOGNAME": "golden",
    "MPLBACKEND": "Agg",
}
"""What makes a run repeatable: one thread, one kernel of linear algebra, one user, one width of the terminal."""

VOLATILE = {"fit_seconds", "row_ms", "made_at", "tracking_id", "runId", "eventTime", "seal", "made_with"} | {
    *("elapsed_seconds", "processor_seconds", "peak_memory_mb")
}
"""Keys whose values differ from run to run; `seal` and `made_with` name the versions that wrote a bundle."""
ELSEWHERE = ("mlflow.", "epic22.environment.", "epic22.code_version")
"""What the tags of a run begin with that say where it ran."""
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
MOMENT = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:\+00:00|Z)?")
INSTEAD = re.compile(r"(?<=<duration> instead of )[\d.]+")
DURATION = re.compile(r"\b\d[\d,.]*(?:e-\d+)? ?(?:ms|milliseconds?|seconds?)\b")
FRAMES = re.compile(r"[\s\u2500-\u257f]+")
TIMES = re.compile(r"^([a-z, ]*\b(?:milliseconds|seconds|ms|s)\b[a-z, ]*?)(?: \d[\d,.]*(?:e-\d+)?)+$")
OF_TIMES = re.compile(r"\b(?:milliseconds|seconds|ms|s)\b")
TABLE, ROW, CELL = (re.compile(rf"(?s)<{tag}\b[^>]*>(.*?)</{tag}>") for tag in ("table", "tr", "t[hd]"))
HEADER = re.compile(r'(?s)<th scope="col"[^>]*>(.*?)</th>')
UNORDERED = {"edges", "nodes"}
"""Lists whose order is by random ids."""
OPTION = re.compile(r"(?<!\S)--[a-z][a-z-]*")
ANSWER = "answer: "
"""How the line begins that answers an order."""

ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+")


def run_case(case: Case, folder: Path, names: Names) -> dict[str, Any]:
    """What the product computed: `faces` for those who use it, `stored` for what its bundles hold."""
    began = datetime.now(UTC)
    home = folder / "home"
    os.environ["EPIC22_HOME"] = str(home)
    faces: dict[str, Any] = {}
    for step in case.steps:
        if isinstance(step, Make):
            MAKERS[step.table](folder)
        elif isinstance(step, Command):
            faces[step.name] = _run_command(step, names)
        else:
            faces[step.name] = _run_server(step, names)
    faces["files"] = dict(_files_of_faces(home))
    stored = dict(_files_of_bundles(home))
    mask = _Mask(folder, began, names)
    return {"case": case.name, "faces": mask(faces), "stored": mask(stored)}


def _run_command(step: Command, names: Names) -> dict[str, Any]:
    from epic22.cli.main import run

    sys.argv = ["epic22", *(names.argument(argument) for argument in step.arguments)]
    out, err, code = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            run()
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else 0
    return {"exit": code, "out": _printed(out.getvalue(), step.prints), "err": _lines(err.getvalue())}


def _printed(text: str, how: str) -> Any:
    if how == "json" and text.strip():
        return json.loads(text)
    if how == "options":
        return dict.fromkeys(OPTION.findall(re.sub(r"[\u2500-\u257f]", " ", text)), True)
    return _lines(text)


def _lines(text: str) -> list[str]:
    """The lines without frames and the widths of columns."""
    lines = (FRAMES.sub(" ", line).strip() for line in text.splitlines())
    return [line for line in lines if line]


def _run_server(step: Serve, names: Names) -> dict[str, Any]:
    command = [sys.executable, "-c", "from epic22.cli.main import run; run()", names.argument("serve"), "--port", "0"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        greeting = server.stdout.readline()
        address = ADDRESS.search(greeting)
        if address is None:
            raise RuntimeError(f"the server did not start: {greeting}{server.communicate()[1]}")
        answers = {request.name: _ask(address.group(), request, names) for request in step.requests}
        server.send_signal(signal.SIGINT)
        _, err = server.communicate(timeout=60)
    finally:
        server.kill()
        server.wait()
    return {"greeting": ADDRESS.sub("<address>", greeting).strip(), "answers": answers, "err": _lines(err)}


def _ask(address: str, request: Request, names: Names) -> dict[str, Any]:
    content = None
    headers = {"Content-Type": "application/json", **(request.headers or {})}
    if request.raw is not None:
        content = request.raw.encode()
    elif request.golden_of is not None:
        content = json.dumps(names.renamed({"rows": _golden_rows(request.golden_of, names)}, "faces")).encode()
    elif request.body is not None:
        content = json.dumps(names.renamed(request.body, "faces")).encode()
    asked = urllib.request.Request(f"{address}{names.address(request.path)}", content, headers if content else {})
    try:
        with urllib.request.urlopen(asked, timeout=120) as answer:
            status, told, text = answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as refused:
        with refused:
            status, told, text = refused.code, refused.headers, refused.read()
    body = _page(text.decode()) if "html" in told["Content-Type"] else json.loads(text)
    named = {name.lower(): value for name, value in told.items() if name.lower() not in ("date", "content-length")}
    return {"status": status, "headers": named, "body": body}


def _golden_rows(task: str, names: Names) -> list[dict[str, Any]]:
    """The first rows that the task's champion keeps to check itself."""
    place = Path(os.environ["EPIC22_HOME"]) / "models" / task
    version = json.loads((place / "champion.json").read_bytes())[names.key("version", "stored")]
    rows: list[dict[str, Any]] = json.loads((place / version / "bundle" / "golden.json").read_bytes())[
        names.key("rows", "stored")
    ]
    return rows[:3]


def _files_of_faces(home: Path) -> Iterator[tuple[str, Any]]:
    """What is written for people and other programs: reports, task files, lineage events, tracking, receipts."""
    for path in sorted((home / "models").glob("*/*/*")):
        name = path.relative_to(home / "models").as_posix()
        if path.suffix == ".html":
            yield name, _page(path.read_text(encoding="utf-8"))
        elif path.suffix in (".yaml", ".yml"):
            text = path.read_text(encoding="utf-8")
            yield name, {"content": yaml.safe_load(text), "comments": [line.strip() for line in text.splitlines() if "#" in line]}
        elif path.is_dir() and path.name != "bundle":
            yield name, {picture.name: _digest(picture) for picture in sorted(path.rglob("*.png"))}
    for path in sorted((home / "lineage").glob("*.jsonl")):
        yield f"lineage/{path.name}", [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]
    for number, path in enumerate(sorted((home / "receipts").glob("*.jsonl"))):
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]
        yield f"receipts/{number}", [{key: value for key, value in line.items() if key != "at"} for line in lines]
    for path in sorted(home.parent.glob("*.yaml")):
        yield path.name, yaml.safe_load(path.read_text(encoding="utf-8"))
    for path in sorted(home.parent.glob("*.svg")):
        yield path.name, _page(path.read_text(encoding="utf-8"))["words"]
    for path in sorted(home.parent.glob("*/portfolio.html")):
        for file in sorted(path.parent.rglob("*")):
            if file.is_file():
                yield file.relative_to(home.parent).as_posix(), _page(file.read_text("utf-8")) if file == path else _digest(file)
    if (home / "mlflow.db").exists():
        yield "tracking", _tracking(home / "mlflow.db")


def _page(text: str) -> dict[str, Any]:
    """The words of a page in their order, and its pictures by their content."""
    pictures = [sha256(found.encode()).hexdigest() for found in re.findall(r"data:image/[^\"')]+", text)]
    text = TABLE.sub(_without_times, text)
    text = re.sub(r"(?s)<(style|script)\b.*?</\1>", " ", text)
    words = (FRAMES.sub(" ", unescape(piece)).strip() for piece in re.split(r"<[^>]*>", text))
    return {"words": [word for word in words if word], "pictures": pictures}


def _without_times(table: "re.Match[str]") -> str:
    """The table with its columns of seconds and milliseconds blanked."""
    timed: set[int] = set()

    def row(found: "re.Match[str]") -> str:
        headers = HEADER.findall(found.group())
        if headers:
            timed.clear()
            timed.update(place for place, header in enumerate(headers) if OF_TIMES.search(header))
            return found.group()
        cells = CELL.findall(found.group())
        return " ".join(f"<td>{'(duration)' if place in timed else cell}</td>" for place, cell in enumerate(cells))

    return ROW.sub(row, table.group())


def _runs(database: Path) -> list[str]:
    """The random ids of the tracking's runs, in their order; without those of trials, whose results the report has."""
    if not database.exists():
        return []
    with contextlib.closing(sqlite3.connect(database)) as connection:
        trials = "select run_uuid from tags where key = 'epic22.trial'"
        query = f"select run_uuid from runs where run_uuid not in ({trials}) order by start_time, name"
        return [str(row[0]) for row in connection.execute(query)]


def _tracking(database: Path) -> dict[str, Any]:
    """What the tracking keeps of each run, runs in their order."""
    with contextlib.closing(sqlite3.connect(database)) as connection:

        def of(run: str, table: str) -> list[list[Any]]:
            return sorted([list(row) for row in connection.execute(f"select key, value from {table} where run_uuid = ?", [run])])

        return {
            str(number): {
                "metrics": [row for row in of(run, "metrics") if row[0] not in VOLATILE],
                "params": of(run, "params"),
                "tags": [row for row in of(run, "tags") if not row[0].startswith(ELSEWHERE)],
            }
            for number, run in enumerate(_runs(database))
        }


def _files_of_bundles(home: Path) -> Iterator[tuple[str, Any]]:
    """The content that is hashed, and what stands beside it: JSON as it is, trained bytes by their SHA-256."""
    for path in sorted((home / "models").rglob("*")):
        parts = path.relative_to(home / "models").parts
        # A lock holds nothing.
        if not path.is_file() or path.suffix in (".html", ".yaml", ".png", ".lock"):
            continue
        if path.name == "gates.json":
            # Beside them stand figures of time.
            yield "/".join(parts), {gate["gate"]: gate["outcome"] for gate in json.loads(path.read_bytes())["gates"]}
        elif path.suffix == ".json":
            yield "/".join(parts), json.loads(path.read_bytes())
        elif path.suffix == ".jsonl":
            yield "/".join(parts), [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]
        else:
            yield "/".join(parts), _digest(path)


def _digest(path: Path) -> dict[str, Any]:
    content = path.read_bytes()
    return {"sha256": sha256(content).hexdigest(), "bytes": len(content)}


class _Mask:
    """Replaces what differs from run to run: volatile keys, moments of this run, durations, random ids, folders."""

    def __init__(self, folder: Path, began: datetime, names: Names) -> None:
        self.folder, self.began = str(folder), began - timedelta(minutes=2)
        self.ended = datetime.now(UTC) + timedelta(minutes=2)
        # The product's own version is no figure.
        version = _run_command(Command("version", ("--version",), "text"), names)["out"][0]
        self.version = re.compile(rf"(?<![\d.]){re.escape(version)}(?![\d.])")
        self.runs = _runs(folder / "home" / "mlflow.db")
        self.volatile = VOLATILE | {names.key(key) for key in VOLATILE} | {names.key(key, "stored") for key in VOLATILE}

    def __call__(self, value: Any) -> Any:
        if isinstance(value, Mapping):
            return {self._text(key): self._of(key, inner) for key, inner in value.items()}
        if isinstance(value, list | tuple):
            return [self(inner) for inner in value]
        return self._text(value) if isinstance(value, str) else value

    def _of(self, key: str, value: Any) -> Any:
        if key in self.volatile:
            return "<volatile>"
        masked = self(value)
        return sorted(masked, key=json.dumps) if key in UNORDERED and isinstance(masked, list) else masked

    def _text(self, text: str) -> str:
        text = text.replace(self.folder, "<folder>")
        for number, run in enumerate(self.runs):
            for length in (32, 16, 12, 8):
                text = text.replace(run[:length], f"<run {number}>")
        text = UUID.sub("<id>", text)
        text = MOMENT.sub(self._moment, text)
        text = TIMES.sub(r"\1 <duration>", text)
        text = INSTEAD.sub("<duration>", DURATION.sub("<duration>", text))
        return self.version.sub("<version>", text)

    def _moment(self, found: "re.Match[str]") -> str:
        moment = datetime.fromisoformat(found.group())
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return "<now>" if self.began <= moment <= self.ended else found.group()


def main(arguments: list[str]) -> None:
    """Run the case and write its document; without arguments, run what is ordered."""
    if not arguments:
        answer_orders()
        return
    name, folder, document = arguments[:3]
    names = Names.read(Path(arguments[3])) if len(arguments) > 3 else Names.empty()
    target = Path(document).resolve()
    os.chdir(folder)
    found = run_case(case_named(name), Path.cwd(), names)
    target.write_text(json.dumps(found, indent=1, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")


def answer_orders() -> None:
    """Run each order in its folder, and answer by what it gave or the traceback of what failed."""
    for line in sys.stdin:
        order = json.loads(line)
        os.chdir(order["folder"])
        try:
            given = _run_order(order, Path.cwd())
        except Exception:  # noqa: BLE001  the process that ordered raises it
            given = {"failed": traceback.format_exc()}
        sys.stdout.write(f"{ANSWER}{json.dumps(given)}\n")
        sys.stdout.flush()


def _run_order(order: dict[str, Any], folder: Path) -> dict[str, Any]:
    if "case" in order:
        return run_case(case_named(order["case"]), folder, Names.read(Path(order["names"])))
    os.environ["EPIC22_HOME"] = str(folder / "home")
    return _run_command(Command("answers", tuple(order["words"])), Names.empty())


class Driver:
    """A process that runs one order after another with the same source tree."""

    def __init__(self, source: Path) -> None:
        command = [sys.executable, str(Path(__file__).resolve())]
        self.process = subprocess.Popen(
            command, env=_build_environment(source), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def run_case(self, name: str, folder: Path, names: Path) -> dict[str, Any]:
        """The document of a case that is run in this fresh folder. Raises RuntimeError."""
        return self._order({"case": name, "folder": str(folder), "names": str(names)})

    def run_command(self, words: list[str], folder: Path) -> dict[str, Any]:
        """The exit code and the output of a command in a folder with a home. Raises RuntimeError."""
        return self._order({"words": words, "folder": str(folder)})

    def _order(self, order: dict[str, Any]) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        limit = threading.Timer(900, self.process.kill)
        limit.start()
        try:
            self.process.stdin.write(f"{json.dumps(order)}\n")
            self.process.stdin.flush()
            # Libraries may print as well.
            answer = next((line for line in self.process.stdout if line.startswith(ANSWER)), None)
        finally:
            limit.cancel()
        if answer is None:
            raise RuntimeError(f"{order}: the process ended with {self.process.wait()}")
        given: dict[str, Any] = json.loads(answer.removeprefix(ANSWER))
        if "failed" in given:
            raise RuntimeError(f"{order}: {given['failed']}")
        return given

    def stop(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.communicate()


def _build_environment(source: Path) -> dict[str, str]:
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("EPIC22_", "COVERAGE", "PYTEST"))}
    return {**inherited, **ENVIRONMENT, "PYTHONPATH": str(source)}


def document_of(case: str, source: Path, folder: Path, names: Path | None = None) -> dict[str, Any]:
    """The document of a case run by the source tree, in a process and a fresh folder of its own. Raises RuntimeError."""
    place = folder / case
    place.mkdir(parents=True)
    target = folder / f"{case}.json"
    command = [
        sys.executable,
        str(Path(__file__).resolve()),
        case,
        str(place),
        str(target),
        *([] if names is None else [str(names)]),
    ]
    done = subprocess.run(command, env=_build_environment(source), capture_output=True, text=True, timeout=900)
    if done.returncode:
        raise RuntimeError(f"case {case} with {source}: {done.stderr}{done.stdout}")
    found: dict[str, Any] = json.loads(target.read_text(encoding="utf-8"))
    return found


if __name__ == "__main__":
    main(sys.argv[1:])
