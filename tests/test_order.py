"""The order of the house: who may import whom. Every import counts, also in functions and under TYPE_CHECKING."""

from __future__ import annotations

import ast
import graphlib
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("a3c", "harness", "reports", "studies")
BELOW = {"a3c": set(), "harness": set(), "reports": {"harness"}, "studies": {"a3c", "harness", "reports"}}

# Lowest first. A part may import the parts of the rows above its own, never one of its own row or of a row below.
ORDER = {
    "a3c": [
        "errors streams kernels schedules rollout",
        "targets",
        "config",
        "networks environments",
        "engines",
        "workers",
        "evaluation",
        "results",
        "training",
        "__init__",
    ],
    "a3c.engines": ["signal", "residuals", "base", "autograd compiled", "choice", "__init__"],
    "a3c.workers": ["update_log profile collector", "store", "learner", "worker", "__init__"],
    "harness": [
        "redaction machine",
        "errors provenance",
        "interrupts algorithm",
        "study compute",
        "record",
        "mirrors",
        "commands",
        "__init__",
    ],
    "harness.algorithm": ["problems traits", "questions", "protocol", "output", "__init__"],
    "harness.study": ["file names search_space", "spec", "settings", "checks design", "__init__"],
    "harness.record": ["folder", "files lock", "json_file", "attempt run search", "plan scores", "study", "__init__"],
    "harness.commands": ["damage observer single tuning", "agenda sync", "dispatcher doctor", "__init__"],
    "harness.compute": ["task stacks program", "run messages", "executor child", "processes", "choice", "__init__"],
    "harness.mirrors": ["databases", "mirror optuna addresses", "mlflow patient spool memory", "opening", "__init__"],
    "reports": ["text theory statistics", "data", "comparison", "figures", "page", "__init__"],
    "reports.statistics": ["bootstrap sequential", "intervals", "decisions", "verdicts", "__init__"],
    "reports.data": ["names pairs reading settings", "units", "curves", "wallclock", "__init__"],
    "reports.comparison": ["control evidence pairing", "cells", "calibration matching", "__init__"],
    "reports.page": [
        "answer csv downloads films signs",
        "rendering rows summary",
        "comparison_of_studies report",
        "__init__",
    ],
    "studies": ["algorithms terminal film doctor", "catalogue bench", "__init__", "cli"],
    "studies.terminal": ["output options bar", "run_display study_display", "messages", "__init__"],
    "studies.film": ["animation", "acting", "choosing", "__init__"],
    "studies.bench": ["contestants", "measure", "summary", "record", "runner", "display", "__init__"],
}
NEVER = [  # rows alone would allow these
    ("a3c.engines", "a3c.environments"),
    ("a3c.workers", "a3c.kernels"),
    ("a3c.evaluation", "a3c.kernels"),
    ("a3c.evaluation", "a3c.engines"),
    ("harness.record", "harness.compute"),
    ("harness.mirrors", "harness.compute"),
    ("reports.statistics", "harness"),
]


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


MODULES = {name_of(path): path for package in PACKAGES for path in (ROOT / package).rglob("*.py")}


def module_of(dotted: str) -> str | None:
    """The file behind ``package.module.name``, if it is one of ours; a package is its ``__init__``."""
    while dotted:
        for name in (dotted, f"{dotted}.__init__"):
            if name in MODULES:
                return name
        dotted = dotted.rpartition(".")[0]
    return None


def imports(module: str) -> set[str]:
    asked = set()
    for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            asked |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            asked |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {found for dotted in asked if (found := module_of(dotted))} - {module}


@cache
def graph() -> dict[str, set[str]]:
    return {module: imports(module) for module in MODULES}


def inside(module: str, package: str) -> bool:
    return module.startswith(f"{package}.")


def test_no_files_import_each_other_in_a_circle() -> None:
    graphlib.TopologicalSorter(graph()).prepare()  # raises CycleError, which names the circle


@pytest.mark.parametrize("package", ORDER)
def test_imports_follow_the_order(package: str) -> None:
    row = {part: number for number, parts in enumerate(ORDER[package]) for part in parts.split()}
    part = {m: m.removeprefix(f"{package}.").split(".")[0] for m in MODULES if inside(m, package)}
    unlisted = set(part.values()) - row.keys() - {"__init__"}
    assert not unlisted, f"give {unlisted} a row"
    wrong = [
        f"{a} imports {b}"
        for a in part
        for b in graph()[a] & part.keys()
        if part[a] != part[b] and row[part[b]] >= row[part[a]]
    ]
    assert not wrong


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_import_only_those_below(package: str) -> None:
    assert not [
        f"{a} imports {b}"
        for a in graph()
        if inside(a, package)
        for b in graph()[a]
        if b.split(".")[0] not in {package, *BELOW[package]}
    ]


@pytest.mark.parametrize(("upper", "lower"), NEVER)
def test_these_do_not_know_each_other(upper: str, lower: str) -> None:
    assert not [f"{a} imports {b}" for a in graph() if inside(a, upper) for b in graph()[a] if inside(b, lower)]
