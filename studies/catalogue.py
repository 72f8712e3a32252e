"""Find studies by name: files that come with the project, files of the user's, results on disk."""

from __future__ import annotations

from pathlib import Path

from harness.errors import BadInput, Problem, did_you_mean
from harness.record.folder import PLAN_FILE, RUNS_FOLDER, study_folder
from harness.record.run import finished_runs
from harness.study.checks import read_spec, read_study
from harness.study.spec import RESERVED, StudySpec
from studies.algorithms.names import A3C

HERE = Path(__file__).parent


def named_studies() -> dict[str, Path]:
    """Return the study files that come with the project, by name."""
    return {path.stem: path for path in sorted(HERE.glob("*.toml"))}


def find_spec(study: str) -> StudySpec:
    """Read the study file meant by a name or a path, and check it.

    Raises:
        BadInput: if there is none, or naming every invalid field.
    """
    return read_study(_find_file(study), A3C)


def find_name(study: str) -> str:
    """Return the name of the study whose file is meant by a name or a path; its settings need no longer be valid.

    Raises:
        BadInput: if there is none, or it is no study file.
    """
    return read_spec(_find_file(study)).name


def _find_file(study: str) -> Path:
    if study in (named := named_studies()):
        return named[study]
    path = Path(study)
    if path.suffix == ".toml" or _is_file(path):
        return path
    allowed = f"must be a study file (*.toml) or one of {', '.join(named)}{did_you_mean(study, named)}"
    raise BadInput([Problem("study", study, allowed)])


def find_folder(study: str, out: Path) -> Path:
    """Return the results folder of a study's name, file or folder; it may have lost its plan.

    Raises:
        BadInput: if no such study was run.
    """
    path = Path(study)
    candidates = [path, study_folder(study, out)]
    if study in named_studies() or path.suffix == ".toml":
        candidates.append(study_folder(find_name(study), out))
    for was_run in (_has_plan, _has_runs):
        for folder in filter(was_run, candidates):
            return folder
    ran = recorded_studies(out)
    shown = ", ".join(folder.name for folder in ran) or "none yet"
    hint = did_you_mean(study, [folder.name for folder in ran])
    raise BadInput([Problem("study", study, f"must have been run; under {out}: {shown}{hint}")])


def recorded_studies(out: Path) -> list[Path]:
    """Return the folders of studies that were run, those that have lost their plan included.

    Raises:
        BadInput: if ``out`` cannot be read.
    """
    try:
        return sorted(folder for folder in out.glob("*") if _has_plan(folder) or _has_runs(folder))
    except OSError as error:
        raise BadInput([Problem("out", str(out), f"must be a folder that can be read ({error.strerror})")]) from None


def _has_plan(folder: Path) -> bool:
    return _is_file(folder / PLAN_FILE)


def _has_runs(folder: Path) -> bool:
    """Check for a study's runs: they remain where its plan was lost."""
    try:
        return folder.name not in RESERVED and bool(finished_runs(folder / RUNS_FOLDER))
    except OSError:  # its name is too long, or it is another's
        return False


def _is_file(path: Path) -> bool:
    """Check for a file, also of a name that no file can have."""
    try:
        return path.is_file()
    except OSError:  # it is too long
        return False
