"""Who may import which library, what costs nothing to import, which names are public; the order: test_order.py."""

from __future__ import annotations

import ast
import importlib
import json
import subprocess
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import pytest

from a3c.config import EVALUATION_METRICS, TRAINING_METRICS
from studies.algorithms.a3c import METRIC_TRAITS

ROOT = Path(__file__).parents[1]
PACKAGES = ("a3c", "harness", "reports", "studies")
ONLY_IN = {
    "mlflow": {"harness/mirrors/mlflow/client.py"},
    "optuna": {"harness/mirrors/optuna/trials.py", "harness/mirrors/optuna/proposals.py"},
}
HEAVY = ("gymnasium", "matplotlib", "mlflow", "numba", "optuna", "pandas", "scipy", "seaborn", "torch")


def files(package: str) -> Iterator[Path]:
    return (ROOT / package).rglob("*.py")


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def imported(path: Path) -> set[str]:
    """Names of the top-level packages a file imports, wherever in it."""
    found = set()
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            found.add(node.module or "")
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name | ast.Attribute)
            and (node.func.id if isinstance(node.func, ast.Name) else node.func.attr) in ("import_module", "__import__")
            and isinstance(node.args[0], ast.Constant)
        ):
            found.add(str(node.args[0].value))
    return {name.split(".")[0] for name in found}


def every_file() -> list[Path]:
    return [path for package in PACKAGES for path in files(package)]


def test_the_walk_sees_what_there_is() -> None:
    assert len(every_file()) > 40
    assert "harness" in imported(ROOT / "studies" / "__init__.py")
    assert "mlflow" in imported(ROOT / "harness" / "mirrors" / "mlflow" / "client.py")
    assert "torch" in set().union(*map(imported, files("a3c")))


@pytest.mark.parametrize("library", ONLY_IN)
def test_one_file_talks_to(library: str) -> None:
    users = {path.relative_to(ROOT).as_posix() for path in every_file() if library in imported(path)}
    assert users == ONLY_IN[library]


def test_the_harness_names_no_algorithm() -> None:
    assert not [path for path in files("harness") if "a3c" in path.read_text(encoding="utf-8").split()]


WORDS = {"best", "episodes", "final", "solved", "steps", "updates"}  # that tables have, too
DEFAULT = ("harness/study/spec.py", {"auc"})  # the compared metric, if a study file names none


@pytest.mark.parametrize("package", ["harness", "reports"])
def test_metrics_of_the_algorithm_are_named_in_one_place(package: str) -> None:
    """Neither as a literal, nor, where a name is a word as well, in a question to a run's metrics."""
    metrics = {*METRIC_TRAITS, *TRAINING_METRICS, *EVALUATION_METRICS, "reward_threshold"}
    for path in files(package):
        place = path.relative_to(ROOT).as_posix()
        if place == "reports/data/names.py":
            continue
        tree = tree_of(path)
        asked = [
            *(node.slice for node in ast.walk(tree) if isinstance(node, ast.Subscript) and is_metrics(node.value)),
            *(node.args[0] for node in ast.walk(tree) if isinstance(node, ast.Call) and is_metrics_get(node.func)),
        ]
        assert not [node.value for node in asked if isinstance(node, ast.Constant)], place
        texts = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
        assert texts & (metrics - WORDS) <= (DEFAULT[1] if place == DEFAULT[0] else set()), place


def is_metrics(node: ast.expr) -> bool:
    return isinstance(node, ast.Attribute) and node.attr == "metrics"


def is_metrics_get(node: ast.expr) -> bool:
    return isinstance(node, ast.Attribute) and node.attr == "get" and is_metrics(node.value)


@pytest.mark.parametrize("package", ["harness", "reports", "studies"])
def test_a_config_is_asked_in_one_place(package: str) -> None:
    """Whoever wants to know something optional of a config asks :mod:`harness.algorithm.questions`."""
    for path in files(package):
        if path.relative_to(ROOT).as_posix() == "harness/algorithm/questions.py":
            continue
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("getattr", "hasattr"):
                assert "config" not in ast.unparse(node.args[0]), f"{path}:{node.lineno}"


HELP = "import sys; sys.argv = ['a3c-bench', '--help']\nfrom studies.cli import run; assert run(['--help']) == 0"
LIST = "from studies.cli import run; assert run(['list', '--out', 'nowhere']) == 0"
WITHOUT_NUMPY = ("import studies", "import studies.cli", HELP)
AT_EVERY_COMMAND = (
    *WITHOUT_NUMPY, "import harness", "import harness.study.spec", "import harness.study.design",
    "import harness.compute.processes", "import harness.commands.dispatcher", "import reports", "import a3c",
    "from a3c import TrainConfig", "from harness import StudySpec, parse_spec, expand", LIST,
)  # fmt: skip


def loaded_after_each(statements: Iterable[str]) -> dict[str, set[str]]:
    """The packages that a fresh interpreter has loaded after each of these statements, one after the other."""
    program = """
import json, sys
for statement in json.loads(sys.argv.pop()):
    exec(statement, {})
    print("\\n" + json.dumps([statement, sorted(sys.modules)]))
"""
    command = [sys.executable, "-c", program, json.dumps([*statements])]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    told = [json.loads(line) for line in answer.stdout.splitlines() if line.startswith('["')]
    return {statement: {name.split(".")[0] for name in modules} for statement, modules in told}


def test_what_is_imported_at_every_command_is_light_and_the_command_line_starts_without_numpy() -> None:
    """What is heavy is loaded by none of the statements if it is not by all of them together."""
    loaded = loaded_after_each(AT_EVERY_COMMAND)
    assert tuple(loaded) == AT_EVERY_COMMAND
    assert {statement: found for statement in loaded if (found := loaded[statement] & {*HEAVY})} == {}
    assert [statement for statement in WITHOUT_NUMPY if "numpy" in loaded[statement]] == []


PUBLIC = {
    "harness": [
        "Algorithm", "BadInput", "Design", "HarnessError", "Interrupted", "Observer", "RunRecord", "StoreUnavailable",
        "Study", "StudyChanged", "StudyLocked", "StudySpec", "Undelivered", "expand", "load_results", "load_study",
        "parse_spec", "read_spec", "run_study",
    ],
    "studies": ["A3C", "load_results", "run_study"],
}  # fmt: skip


@pytest.mark.parametrize("package", PUBLIC)
def test_public_names_are_pinned(package: str) -> None:
    module = importlib.import_module(package)
    assert module.__all__ == PUBLIC[package]
    assert module.__all__ == sorted(module.__all__)
    for name in module.__all__:
        assert getattr(module, name) is not None


@pytest.mark.parametrize("package", PACKAGES)
def test_a_name_that_is_not_there_is_an_attribute_error(package: str) -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        importlib.import_module(package).no_such_name  # noqa: B018
