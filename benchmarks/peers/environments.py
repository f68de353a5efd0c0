"""The systems, and the virtual environment each of them runs in, made from pinned requirements when first needed."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from packaging.requirements import Requirement

HERE = Path(__file__).resolve().parent
REQUIREMENTS = HERE / "requirements"
OURS = "epic22"
CHECK = """
import importlib.metadata as m, json, sys
found = {}
for name in json.loads(sys.argv[1]):
    try: found[name] = m.version(name)
    except m.PackageNotFoundError: found[name] = None
print(json.dumps(found))
"""


@dataclass(frozen=True)
class System:
    """One way to a model. `module` below peers/systems runs it; `environment` names its requirements, None = this Python."""

    name: str
    title: str
    module: str
    environment: str | None
    options: Mapping[str, str] = field(default_factory=dict)
    needs_java: bool = False

    @property
    def is_ours(self) -> bool:
        """Whether it is this project's own source that fits."""
        return self.module == OURS

    @property
    def source(self) -> Path:
        """The script that runs it."""
        return HERE / "systems" / f"{self.module}.py"


SYSTEMS = (
    System(OURS, "**ours**", "epic22", None),
    System("autogluon-best", "AutoGluon, best_quality", "autogluon", "autogluon", {"preset": "best_quality"}),
    System("autogluon-medium", "AutoGluon, medium_quality", "autogluon", "autogluon", {"preset": "medium_quality"}),
    System("flaml", "FLAML", "flaml", "flaml"),
    System("h2o", "H2O AutoML", "h2o", "h2o", needs_java=True),
    System("mljar", "mljar-supervised, Compete", "mljar", "mljar"),
    System("xgboost", "XGBoost, as it comes", "xgboost", "xgboost"),
    System("xgboost-optuna", "XGBoost + Optuna", "xgboost_optuna", "xgboost"),
)

WITH_NETWORKS = System(f"{OURS}-networks", "ours, networks searched too", OURS, None, {"also": "mlp"})
LINEAR = System(f"{OURS}-linear", "logistic or ridge regression alone, without a search", OURS, None, {"only": "linear"})
"""Ours by other options: `also` names families that a search tries beside its own, `only` the one family of a race."""


def system_named(name: str) -> System:
    """The system of that name. Raises ValueError naming those there are."""
    for one in SYSTEMS:
        if one.name == name:
            return one
    raise ValueError(f"no system is called {name!r}; there are {', '.join(one.name for one in SYSTEMS)}.")


def environments_home(environment: Mapping[str, str] = os.environ) -> Path:
    """Where the environments are: EPIC22_PEERS_HOME, else benchmarks/peers/environments."""
    return Path(environment.get("EPIC22_PEERS_HOME") or HERE / "environments").expanduser().absolute()


def pins(requirements: Path) -> dict[str, str]:
    """The pinned versions by name that a requirements file states for this platform."""
    lines = (line.split("#")[0].strip() for line in requirements.read_text().splitlines())
    wanted = [Requirement(line) for line in lines if line]
    here = [one for one in wanted if one.marker is None or one.marker.evaluate()]
    return {one.name: str(one.specifier).removeprefix("==") for one in here}


def python_of(system: System, home: Path) -> Path:
    """The system's Python; its environment is made or mended first where a pinned version is not there.

    Raises CalledProcessError where pip cannot install it.
    """
    if system.environment is None:
        return Path(sys.executable)
    requirements = REQUIREMENTS / f"{system.environment}.txt"
    python = home / system.environment / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(home / system.environment)], check=True)
    if lacking(python, pins(requirements)):
        print(f"{system.environment}: installing {requirements.name} ...", flush=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", "--requirement", str(requirements)], check=True)
    return python


def lacking(python: Path, wanted: Mapping[str, str]) -> dict[str, str | None]:
    """What is there instead of a pinned version, by name; a local part, as in 2.0+cpu, does not count."""
    line = [str(python), "-c", CHECK, json.dumps(list(wanted))]
    found = json.loads(subprocess.run(line, check=True, capture_output=True, text=True).stdout)
    return {name: there for name, there in found.items() if (there or "").split("+")[0] != wanted[name]}


def java_found() -> bool:
    """Whether a Java runtime answers."""
    java = shutil.which("java")
    return java is not None and subprocess.run([java, "-version"], capture_output=True).returncode == 0
