"""The studies that come with the project are what their comments say; rules of one's own reach spawned processes."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from harness import expand
from studies import A3C, run_study
from studies.catalogue import find_spec
from tests.a3c.targets.test_registry import worked_example
from tests.harness.lab import DATABASES
from tests.studies.command import TINY

pytestmark = DATABASES


def matched_discount(length: int, n: int, gamma: float) -> float:
    """1 − 1/V of the value that missing_as_zero makes of reward 1 a step, both heads learning, without an end."""
    m = min(n, length)
    S = gamma * (1 - gamma**m) / (1 - gamma)
    value = (1 - S / (m + (length - m) * (1 - gamma**n))) / (1 - gamma)
    return 1 - 1 / value


def test_the_controls_discounts_are_those_that_theory_matches() -> None:
    design = expand(find_spec("controls"), A3C)
    found = {}
    for run in design.runs:
        config = run.config.model_dump()
        assert config["n_step_head"] == "both"
        assert config["evaluation_env_kwargs"] == {}
        arm = found.setdefault((run.levels["cut"], run.arm), config)
        assert (arm["target"], arm["gamma"]) == (config["target"], config["gamma"])
    for cut in ("t5", "t20"):
        plain, matched = found[cut, "missing_as_zero"], found[cut, f"matched_{cut}"]
        assert matched["target"] == found[cut, "max_terms"]["target"] == "max_terms"
        assert plain["gamma"] == found[cut, "max_terms"]["gamma"]
        theory = matched_discount(plain["rollout_length"], plain["n_step"], plain["gamma"])
        assert matched["gamma"] == pytest.approx(theory, abs=1e-3)


@pytest.mark.parametrize(("study", "cells", "arms"), [("controls", 4, 4), ("tail_rules", 4, 4), ("aa", 2, 2)])
def test_designs_have_no_aliases(study: str, cells: int, arms: int) -> None:
    design = expand(find_spec(study), A3C)
    assert (len(design.cells), len(design.arms), len(design.aliases)) == (cells, arms, 0)


def test_a_rule_of_ones_own_is_trained_with_in_spawned_processes(
    workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(workplace)
    (workplace / "my_rules.py").write_text(worked_example(), encoding="utf-8")
    tables = tomllib.loads(TINY)
    tables["sweep"] = {"target": ["drop", "my_rules:drop"]}
    tables["base"] |= {"rollout_length": 5, "n_step": 3}
    tables["compare"]["baseline"] = "drop"
    study = run_study(tables, jobs=1, storage="memory:", tracking_uri="memory:")
    parameters = {record.arm: record.arrays("parameters")["parameters"].tobytes() for record in study.records}
    assert set(parameters) == {"drop", "my_rules:drop"}
    assert len(set(parameters.values())) == 1
