"""What no module does, whatever it is given: unpickle, evaluate, run a shell, leave HTML unescaped, serve the world."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULES = [path for package in ("a3c", "harness", "reports", "studies") for path in (ROOT / package).rglob("*.py")]
FORBIDDEN_IMPORTS = {"pickle", "cPickle", "_pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "telnetlib"}
FORBIDDEN_CALLS = {
    "eval", "exec", "compile", "os.system", "os.popen", "yaml.load", "yaml.unsafe_load", "tempfile.mktemp",
    "subprocess.getoutput", "subprocess.getstatusoutput", "torch.load", "pd.read_pickle", "pandas.read_pickle",
}  # fmt: skip
FORBIDDEN_KEYWORDS = {"shell": True, "allow_pickle": True, "verify": False, "autoescape": False}
# a socket's send and recv pickle; send_bytes and recv_bytes do not
PICKLING = {("connection", "send"), ("connection", "recv")}


def name_of(node: ast.expr) -> str:
    """A dotted name, the end of it where it hangs on something else."""
    if isinstance(node, ast.Attribute):
        return f"{name_of(node.value)}.{node.attr}".lstrip(".")
    return node.id if isinstance(node, ast.Name) else ""


def found_in(tree: ast.AST) -> Iterator[str]:
    """Everything in a module that is forbidden."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (n.name for n in node.names if n.name.split(".")[0] in FORBIDDEN_IMPORTS)
        elif isinstance(node, ast.ImportFrom):
            names = {f"{node.module}.{n.name}" for n in node.names}
            yield from sorted(names & FORBIDDEN_CALLS)
            if (node.module or "").split(".")[0] in FORBIDDEN_IMPORTS:
                yield str(node.module)
        elif isinstance(node, ast.Call):
            name = name_of(node.func)
            if name in FORBIDDEN_CALLS or tuple(name.rsplit(".", 2)[-2:]) in PICKLING:
                yield name
            yield from (
                f"{name}({k.arg}=...)"
                for k in node.keywords
                if k.arg in FORBIDDEN_KEYWORDS
                and isinstance(k.value, ast.Constant)
                and k.value.value is FORBIDDEN_KEYWORDS[k.arg]
            )


@pytest.mark.parametrize(
    "code",
    [
        "import pickle", "from pickle import loads", "import joblib.externals", "def f():\n  import marshal",
        "eval('1')", "exec('1')", "import os; os.system('x')", "from os import system", "import yaml; yaml.load('x')",
        "import subprocess; subprocess.run('x', shell=True)", "import numpy as np; np.load('x', allow_pickle=True)",
        "self.connection.recv()", "connection.send(1)", "jinja2.Environment(autoescape=False)",
    ],
)  # fmt: skip
def test_the_walk_finds(code: str) -> None:
    assert list(found_in(ast.parse(code)))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_module_unpickles_evaluates_or_runs_a_shell(path: Path) -> None:
    assert list(found_in(ast.parse(path.read_text(encoding="utf-8")))) == []


def test_arrays_are_read_without_pickles() -> None:
    readers = ("np.load", "numpy.load", "format.read_array")
    loads = [
        (path, node)
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and name_of(node.func).endswith(readers)
    ]
    assert loads
    for path, node in loads:
        said = {k.arg: ast.unparse(k.value) for k in node.keywords}
        assert said.get("allow_pickle") == "False", path


def test_html_is_escaped_but_for_the_pages_own_script() -> None:
    marked = [path.name for path in MODULES if re.search(r"\bMarkup\(", path.read_text(encoding="utf-8"))]
    assert marked == ["rendering.py"]
    for path in (ROOT / "reports" / "page" / "templates").glob("*.html"):
        assert not re.search(r"\|\s*safe|autoescape|\bset\b.*\bsafe\b", path.read_text(encoding="utf-8")), path


def test_rules_of_security_are_ignored_only_for_a_stated_reason() -> None:
    ruff = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["ruff"]["lint"]
    assert "S" in ruff["select"]
    assert [rule for rule in ruff["ignore"] if rule.startswith("S")] == ["S311"]
    assert [files for files, rules in ruff["per-file-ignores"].items() if any(r[0] == "S" for r in rules)] == [
        "tests/**"
    ]
    for path in MODULES:
        for line in path.read_text(encoding="utf-8").splitlines():
            if re.search(r"noqa: .*\bS\d{3}", line):
                assert re.search(r"noqa: [A-Z0-9, ]+ - \w", line), f"{path.name}: {line.strip()}"


def test_the_ui_is_served_to_this_machine_alone() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    (recipe,) = re.findall(r"^\t.*mlflow ui.*$", makefile, re.MULTILINE)
    assert "--host 127.0.0.1" in recipe
