"""How tail rules are found by name: those that are registered, and anybody's own."""

import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from a3c import Targets, TrainConfig, n_step_targets, tail_rule, train
from a3c.targets.n_step import drop, max_terms
from a3c.targets.registry import TAIL_RULES, find_tail_rule
from tests.a3c.oracles import small_config

ROOT = Path(__file__).parents[3]


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder that modules are found in, to be written into."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def worked_example():
    """The code block of docs/extending.md on tail rules."""
    section = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8").split("## A tail rule")[1]
    return section.split("```python\n")[1].split("```")[0]


def test_a_registered_rule_is_found_by_its_name_whatever_was_imported_before():
    code = "from a3c.targets.registry import find_tail_rule; print(find_tail_rule('wrong_gamma').__module__)"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert printed.strip() == "a3c.targets.n_step"
    assert find_tail_rule("drop") is drop


def test_a_rule_may_be_named_by_its_module():
    assert find_tail_rule("a3c.targets.n_step:max_terms") is max_terms
    ladder = [0, 1, 2, 3, 4]
    assert n_step_targets(ladder, ladder, 10, 2, 2, "a3c.targets.n_step:max_terms").tolist() == [10, 17, 24, 51, 24]


def test_a_name_is_taken_once():
    with pytest.raises(ValueError, match=r"'drop' is already a3c\.targets\.n_step:drop"):

        @tail_rule
        def drop(w):
            return Targets(w.rewards, w.missing)

    assert TAIL_RULES["drop"].__module__ == "a3c.targets.n_step"
    assert tail_rule(TAIL_RULES["drop"]) is TAIL_RULES["drop"]


SOURCES = {
    "no_rules_here:drop": (None, "No module named 'no_rules_here'"),
    "empty_rules:drop": ("", "has no attribute 'drop'"),
    "empty_rules:": ("", "has no attribute ''"),
    ":drop": (None, "Empty module name"),
    "broken_rules:drop": ("1 / 0", "ZeroDivisionError"),
    "leaving_rules:drop": ("raise SystemExit(3)", "SystemExit: 3"),
    "exit_rules:drop": ("def drop(w): raise SystemExit(4)", "SystemExit: 4"),
    "torn_rules:drop": ("def drop(w:", "SyntaxError"),
    "number_rules:drop": ("drop = 3", "not callable"),
    "other_rules:drop": ("def drop(a, b): return a", "missing 1 required positional argument"),
    "lone_rules:drop": ("def drop(w): return w.rewards", "too many values"),
    "short_rules:drop": ("def drop(w): return w.rewards[1:], ~w.missing", r"targets \(2,\) and use \(3,\)"),
}


@pytest.mark.parametrize("name", SOURCES)
def test_what_is_no_tail_rule_is_refused_before_anything_runs(name, place):
    source, reason = SOURCES[name]
    if source is not None:
        (place / f"{name.partition(':')[0]}.py").write_text(source, encoding="utf-8")
    with pytest.raises(ValidationError, match=rf"(?s)target.*module:name of a tail rule.*{reason}"):
        TrainConfig(target=name)


def test_the_worked_example_is_drop_to_the_bit(place):
    (place / "my_rules.py").write_text(worked_example(), encoding="utf-8")
    settings = {"env_id": "CartPole-v1", "n_step": 3, "rollout_length": 5, "total_steps": 2000}
    ours, theirs, other = (
        train(small_config(target=target, **settings)) for target in ("my_rules:drop", "drop", "max_terms")
    )
    assert ours.parameters_hash == theirs.parameters_hash != other.parameters_hash


@pytest.mark.parametrize(
    "changes", [{}, {"hidden_sizes": (17, 33), "n_step_head": "both"}, {"workers": 1, "n_step": 7}]
)
def test_where_nothing_is_bootstrapped_every_rule_gives_the_same_bits(changes):
    """In machine code or not: the control of a study looks at bits."""
    settings = {"env_id": "CartPole-v1", "rollout_length": "episode", "bootstrap_truncated": False, "total_steps": 1500}
    rules = ("missing_as_zero", "max_terms", "drop", "wrong_gamma", "a3c.targets.n_step:max_terms")
    assert len({train(small_config(target=rule, **settings | changes)).parameters_hash for rule in rules}) == 1
