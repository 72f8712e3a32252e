"""What ``a3c`` promises to the outside."""

import subprocess
import sys

import pytest

import a3c

PUBLIC = [
    "A3CError",
    "Diverged",
    "EnvironmentUnsuitable",
    "EpisodeTooLong",
    "EvaluationFailed",
    "Targets",
    "TrainConfig",
    "TrainResult",
    "Windows",
    "WorkerFailed",
    "n_step_targets",
    "tail_rule",
    "train",
]


def test_the_public_names_are_these():
    assert sorted(a3c.__all__) == PUBLIC
    for name in PUBLIC:
        assert getattr(a3c, name).__name__ == name


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = a3c.no_such_name


def test_every_error_is_an_a3c_error():
    for error in (a3c.Diverged, a3c.EnvironmentUnsuitable, a3c.EpisodeTooLong, a3c.EvaluationFailed, a3c.WorkerFailed):
        assert issubclass(error, a3c.A3CError)


def test_targets_are_loaded_without_torch():
    code = "import sys\nfrom a3c import Targets, Windows, n_step_targets, tail_rule\nprint('torch' in sys.modules)"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "False"
