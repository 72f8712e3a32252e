"""Named studies of this project's A3C, run by the harness.

``from studies import run_study, load_results``::

    study = run_study("smoke")              # a name, a path, a dict with the tables of a study file, or a StudySpec
    table = load_results(study)             # one row per run
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness import Study, StudySpec, load_results
from harness import run_study as _run_study
from harness.study.checks import read_study
from studies.algorithms.names import A3C
from studies.catalogue import find_spec

__all__ = ["A3C", "load_results", "run_study"]


def run_study(study: str | Path | Mapping[str, Any] | StudySpec, **options: Any) -> Study:
    """Run a study of this project's A3C, or continue it.

    Args:
        study: the name of a study that comes with the project, a study file, its tables as a dict, or a spec.
        **options: as in :func:`harness.run_study` (``out``, ``jobs``, ``storage``, ``tracking_uri``, …), and
            ``seeds``, a number of seeds instead of the study's own. Where seeds are given in looks, the verdicts of
            :mod:`reports` say which cells get more of them.
    """
    from reports import seeds_wanted

    if isinstance(study, StudySpec):
        spec = study
    elif isinstance(study, Mapping):
        spec = read_study(study, A3C)
    else:
        spec = find_spec(str(study))
    if (seeds := options.pop("seeds", None)) is not None:
        spec = spec.with_seeds(seeds)
    return _run_study(spec, A3C, **{"judge": seeds_wanted, **options})
