"""What Optuna is told of a run that diverged before any run showed on which scale scores are."""

from __future__ import annotations

import optuna
import pytest

from harness import parse_spec
from harness.mirrors.optuna.trials import WITHOUT_METRIC, OptunaMirror
from tests.harness.lab import DATABASES, Lab, study_data
from tests.harness.record.test_scores import TRAITS, run

pytestmark = DATABASES


@pytest.mark.parametrize(
    ("shown", "value"),
    [({"solved": 1.0}, 0.0), ({"random": -36.0}, -36.0), (None, None)],
    ids=["scaled", "plain", "nothing completes"],
)
@pytest.mark.parametrize("resumed", [False, True])
def test_it_counts_once_a_complete_run_shows_the_scale(
    lab: Lab, shown: dict[str, float] | None, value: float | None, resumed: bool
) -> None:
    spec = parse_spec(study_data(cells=1))
    trials = OptunaMirror(lab.storage, spec, "owner", metrics=TRAITS)
    levels = {"n": 1, "arm": "a"}
    records = [run(None, levels=levels), *([] if shown is None else [run(-4.0, seed=1, levels=levels, **shown)])]
    if resumed:
        trials.repair(records, [], frozenset(record.run for record in records))
    else:
        for record in records:
            trials.finished(record)
    trials.close("FINISHED")
    found = optuna.load_study(study_name=spec.name, storage=lab.storage).get_trials()
    by_run = {trial.user_attrs["run"]: trial for trial in found}
    assert len(by_run) == len(found) == len(records)
    lost = by_run[records[0].run]
    assert (lost.value, WITHOUT_METRIC in lost.user_attrs) == (value, value is None)
