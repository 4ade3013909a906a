"""What the package may import and call: nothing that runs foreign code, heavy packages in their one file."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "tocsin"
MODULES = sorted(PACKAGE.rglob("*.py"))

RUNS_FOREIGN_CODE = {"pickle", "cloudpickle", "joblib", "dill", "shelve", "marshal"}
NOT_NEEDED = {"pandas", "scipy"}
FORBIDDEN = {
    "eval", "exec", "__import__", "__builtins__", "builtins.eval", "builtins.exec", "builtins.__import__",
    "os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput", "runpy.run_path", "runpy.run_module",
    "yaml.load", "yaml.load_all", "yaml.full_load", "yaml.full_load_all", "yaml.unsafe_load", "yaml.unsafe_load_all",
    "yaml.Loader", "yaml.FullLoader", "yaml.UnsafeLoader", "torch.load", "torch.jit.load", "numpy.lib.npyio.load",
}  # fmt: skip
"""What runs what it is given, by its full name; a mention is enough, since it could be called under another."""
SAID_BY_TEXT = {name.rpartition(".")[2] for name in FORBIDDEN if name.startswith(("builtins", "os"))}
FORBIDDEN_ARGUMENTS = {"shell", "allow_pickle"}

# The only files that may import a package: the rest of Tocsin runs without it.
HOME_OF = {
    "apprise": {"sinks/apprise.py"},
    "cryptography": {"connections/nats_keys.py", "registry/keys.py"},
    "polars": {"sources/base_arrow.py", "sources/parquet.py", "training/exports/tables.py"},
    "sklearn": {"bench/peers.py"},
    "pyod": {"bench/peers.py"},
    "river": {"bench/peers.py"},
    "matplotlib": {"evaluation/plots.py", "training/exports/pictures.py"},
    "jinja2": {"evaluation/page.py"},
    "optuna": {"training/study.py"},
    "structlog": {"log.py"},
    "torch": {"detectors/base_lstm_training.py"},
    "xgboost": {"detectors/xgboost.py"},
    "httpx2": {"connections/http.py", "connections/server_sent_events.py"},
    "google": {"sources/base_envelopes.py", "sources/base_google_tokens.py", "storage/gcs.py"},
    "obstore": {"storage/s3.py"},
    "requests": {"storage/gcs.py"},
    "gufo": {"sources/base_snmp_polls.py"},
    "mlflow": {"training/tracking.py"},
    "nats": {"connections/nats.py"},
    "paho": {"connections/mqtt.py"},
    "redis": {"connections/redis.py"},
    "fastapi": {"server/api.py"},
    "msgspec": {"server/bodies.py"},
    "uvicorn": {"server/protocol.py", "server/running.py"},
    "psutil": {"sources/base_processes.py", "sources/host.py"},
}
# `import tocsin` and `tocsin --help` stay light: none of these may be loaded by them.
HEAVY = {
    "apprise", "fastapi", "google", "gufo", "jinja2", "matplotlib", "mlflow", "msgspec", "nats", "obstore", "optuna",
    "paho", "polars", "prometheus_client", "psutil", "pyod", "redis", "river", "scipy", "sklearn", "torch", "uvicorn",
    "xgboost",
}  # fmt: skip


def imported(tree: ast.AST) -> Iterator[str]:
    """Every imported module and every name taken from one, dotted."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def packages(tree: ast.AST) -> set[str]:
    return {name.partition(".")[0] for name in imported(tree)}


def dangers(source: str) -> set[str]:
    """All that a file imports, names or says and must not."""
    tree = ast.parse(source)
    found = packages(tree) & (RUNS_FOREIGN_CODE | NOT_NEEDED) | set(imported(tree)) & FORBIDDEN
    known = aliases(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Name | ast.Attribute):
            found |= {full_name(node, known)} & FORBIDDEN
        elif isinstance(node, ast.Call):
            found |= dangers_of_call(node, full_name(node.func, known))
    return found


def aliases(tree: ast.AST) -> dict[str, str]:
    """What the names that imports bind stand for."""
    known = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            known.update({alias.asname: alias.name for alias in node.names if alias.asname})
        elif isinstance(node, ast.ImportFrom):
            known.update({alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names})
    return known


def full_name(node: ast.expr, known: dict[str, str]) -> str:
    """`np.load` -> `numpy.load`; empty for what is no name."""
    if isinstance(node, ast.Name):
        return known.get(node.id, node.id)
    if isinstance(node, ast.Attribute) and (holder := full_name(node.value, known)):
        return f"{holder}.{node.attr}"
    return ""


def dangers_of_call(call: ast.Call, name: str) -> set[str]:
    """Arguments that turn a harmless function into one that runs what it is given."""
    given = {keyword.arg: keyword.value for keyword in call.keywords if keyword.arg}
    for keyword in call.keywords:
        if keyword.arg is None and isinstance(keyword.value, ast.Dict):
            pairs = zip(keyword.value.keys, keyword.value.values, strict=True)
            given |= {str(key.value): value for key, value in pairs if isinstance(key, ast.Constant)}
    found = {
        argument
        for argument, value in given.items()
        if argument in FORBIDDEN_ARGUMENTS and not (isinstance(value, ast.Constant) and value.value is False)
    }
    if name == "numpy.load" and "allow_pickle" not in given:
        found.add("allow_pickle")
    if name == "getattr":
        found |= {str(text.value) for text in call.args[1:2] if isinstance(text, ast.Constant)} & SAID_BY_TEXT
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_a_module_runs_no_foreign_code(path: Path) -> None:
    assert dangers(path.read_text(encoding="utf-8")) == set()


@pytest.mark.parametrize(
    ("source", "danger"),
    [
        ("import pickle as harmless", "pickle"),
        ("def late():\n    from joblib import load", "joblib"),
        ("from yaml import load", "yaml.load"),
        ("value = yaml.load(text, Loader=yaml.SafeLoader)", "yaml.load"),
        ("value = eval('1')", "eval"),
        ("run(command, shell=True)", "shell"),
        ("run(command, shell=chosen)", "shell"),
        ("np.load(path, allow_pickle=True)", "allow_pickle"),
        ("import numpy as np\nnp.load(path)", "allow_pickle"),
        ("from numpy import load as read\nread(path, None, True)", "allow_pickle"),
        ("run(command, **{'shell': True})", "shell"),
        ("from pickle import loads as parse", "pickle"),
        ("import yaml as y\ny.load(text, y.SafeLoader)", "yaml.load"),
        ("from yaml import unsafe_load as read\nread(text)", "yaml.unsafe_load"),
        ("import builtins\nbuiltins.eval(text)", "builtins.eval"),
        ("import builtins as b\nb.exec(text)", "builtins.exec"),
        ("from builtins import eval as compute\ncompute(text)", "builtins.eval"),
        ("compute = eval", "eval"),
        ("getattr(builtins, 'exec')(text)", "exec"),
        ("__builtins__['eval'](text)", "__builtins__"),
        ("from os import system as go\ngo(text)", "os.system"),
        ("import torch\ntorch.load(path)", "torch.load"),
        ("from torch import load\nload(path)", "torch.load"),
    ],
)
def test_each_danger_would_be_found(source: str, danger: str) -> None:
    assert dangers(source) == {danger}


def test_words_in_a_text_are_no_danger() -> None:
    assert dangers('"""Never eval(), never pickle."""\nnp.load(path, allow_pickle=False)\nre.compile("exec(")') == set()


@pytest.mark.parametrize("package", HOME_OF)
def test_a_package_is_imported_only_in_its_home(package: str) -> None:
    importers = {
        path.relative_to(PACKAGE).as_posix()
        for path in MODULES
        if package in packages(ast.parse(path.read_text(encoding="utf-8")))
    }
    assert importers == HOME_OF[package]


def test_parts_are_looked_up_by_name_in_one_file_alone() -> None:
    importers = {
        path.relative_to(PACKAGE).as_posix()
        for path in MODULES
        if {"importlib", "importlib.import_module"} & set(imported(ast.parse(path.read_text(encoding="utf-8"))))
    }
    assert importers == {"component.py"}


@pytest.mark.parametrize(
    "statement", ["import tocsin", "import tocsin.cli; sys.argv = ['tocsin', '--help']; tocsin.cli.main()"]
)
def test_starting_tocsin_stays_light(statement: str) -> None:
    script = (
        "import atexit, json, sys\n"
        "atexit.register(lambda: print(json.dumps(sorted(sys.modules)), file=sys.stderr))\n"
        f"{statement}"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in json.loads(done.stderr.splitlines()[-1])}
    assert "tocsin" in loaded
    assert loaded & HEAVY == set()


def test_every_floor_stands_on_those_below_it() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
