"""Runs of the real A3C in parallel processes, told to one server of whose answers every tenth goes wrong."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from harness import StoreUnavailable, Study, load_study
from harness.commands.sync import sync_study
from studies import run_study
from tests.faults.delivery import assert_delivered
from tests.faults.servers import MlflowServer, Proxy, Way
from tests.harness.lab import DATABASES, Lab

pytestmark = [*DATABASES, pytest.mark.slow]
WAYS = (Way.ERROR, Way.RESET, Way.RESET_AFTER_COMMIT, Way.DELAY, Way.TRUNCATE)
PATIENCE = 30  # syncs; each gets on by some 50 requests


def study_data(name: str) -> dict[str, Any]:
    """24 runs of a few hundred steps: with rollouts of whole episodes, n_step makes no difference."""
    return {
        "study": {"name": name, "question": "Is all of it told?", "seeds": 4},
        "base": {
            "total_steps": 300,
            "evaluations": 2,
            "evaluation_episodes": 2,
            "workers": 2,
            "hidden_sizes": [8],
            "bootstrap_truncated": False,
        },
        "sweep": {
            "rollout_length": [10, "episode"],
            "n_step": [10, 20],
            "target": ["missing_as_zero", "max_terms"],
        },
        "compare": {"factor": "target", "baseline": "missing_as_zero"},
    }


def report(study: Study) -> list[Path]:
    page = study.folder / "page.txt"
    page.write_text(f"{len(study.records)} runs", encoding="utf-8")
    return [page]


def results(study: Study) -> dict[str, dict[str, Any]]:
    """All that depends on config and seed alone, bit by bit."""
    return {
        record.run: {
            "metrics": {name: value.hex() for name, value in record.metrics.items()},
            **{path.name: path.read_bytes() for path in record.folder.iterdir() if path.suffix in (".csv", ".npz")},
        }
        for record in study.records
    }


@pytest.mark.fault(7, "every tenth request fails, in five ways in turn, while two runs at a time are told")
def test_a_bad_connection_loses_nothing_doubles_nothing_and_changes_no_bit(
    lab: Lab, mlflow_server: MlflowServer, proxy: Proxy
) -> None:
    name = "bad-connection"
    storage = lab.storage
    proxy.behave(*WAYS, every=10)
    options: dict[str, Any] = {"out": lab.out, "storage": storage, "jobs": 2, "tracking_uri": proxy.uri}
    with suppress(StoreUnavailable):
        run_study(study_data(name), report=report, **options)
    for _ in range(PATIENCE):
        try:
            sync_study(lab.out / name, storage, proxy.uri)
            break
        except StoreUnavailable:
            continue
    else:
        pytest.fail("sync does not get on")
    study = load_study(lab.out / name)
    assert len(study.records) == 24
    assert {way for _, way in proxy.mistreated} == set(WAYS)
    assert_delivered(lab, mlflow_server, study)
    undisturbed = run_study(study_data(name), out=lab.folder / "undisturbed", jobs=2, report=report)
    assert results(study) == results(undisturbed)
