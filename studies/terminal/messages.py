"""Messages of the command line: problems on standard error, results on standard output."""

from __future__ import annotations

import shutil
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from harness.record.folder import REPORT_FILE

if TYPE_CHECKING:
    from typer.exceptions import TyperException

    from harness.errors import Undelivered
    from harness.record.run import RunRecord
    from harness.record.study import Study
    from harness.study.design import Design

MAX_USAGE = 500  # characters of a command line that is not understood


def show_page(page: Path, open_page: bool, what: str = "report") -> None:
    """Print where a page is, and open it if asked to."""
    print(f"{what}: {page}")
    if open_page:
        typer.launch(page.absolute().as_uri())


def warn(problem: str) -> None:
    """Print a warning on standard error."""
    complain(f"warning: {problem}")


def complain(problem: str) -> None:
    """Print a problem on standard error, in one printable line without passwords."""
    from harness.redaction import redact

    line = redact(problem)
    print(f"a3c-bench: {line if line.isprintable() else ascii(line)[1:-1]}", file=sys.stderr)


def usage(error: TyperException) -> str:
    """Return the problem of a command line, in typer's words; of an option's value, in the words of a setting's."""
    from pydantic import ValidationError

    from harness.algorithm.problems import problems_of
    from harness.errors import Problem
    from harness.redaction import redact
    from studies.terminal.options import parse_value

    option, cause = getattr(error, "param", None), error.__cause__
    if option is None or not isinstance(cause, ValidationError):
        words = redact(error.format_message() or "see a3c-bench --help")
        return words if len(words) <= MAX_USAGE else words[:MAX_USAGE] + "..."
    (problem, *_) = problems_of(cause, {})
    schema = option.get_runtime_param().adapter.json_schema()
    return str(Problem(option.opts[0], parse_value(str(problem.value)), _allowed(schema) or problem.allowed))


def _allowed(schema: dict[str, Any]) -> str:
    """Return the kind and both bounds of a number, in words; empty for other values."""
    kind = {"integer": "must be an integer", "number": "must be a number"}.get(schema.get("type", ""), "")
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and high is not None:
        return kind and f"{kind} from {low} to {high}"
    bounds = "" if low is None else f" of at least {low}"
    bounds += "" if high is None else f" of at most {high}"
    return kind and kind + bounds


def trace(error: BaseException) -> None:
    """Print an error's traceback on standard error, without passwords."""
    from harness.redaction import redact

    print(redact("".join([getattr(error, "detail", ""), *traceback.format_exception(error)])), file=sys.stderr)


def console() -> Any:
    """Return a console for progress."""
    from rich.console import Console

    return Console()


def show_design(design: Design) -> None:
    """Print a study's design."""
    from reports.text import show
    from studies.terminal.study_display import alias_in_words, design_in_words

    spec = design.spec
    arms = " vs ".join(show(arm) for arm in design.arms)
    print(f"{show(spec.name)}: {show(spec.study.question, 500)}")
    print(f"compared: {show(spec.compare.factor)}: {arms}, by {spec.compare.metric}")
    for cell in design.cells:
        print(f"  cell {cell.id}" + ("" if cell.primary else " (exploratory)"))
    for alias in design.aliases:
        print(alias_in_words(alias))
    print(f"{len(design.cells) * len(design.arms) * spec.study.stages[0]} runs{design_in_words(design)}")


def show_end(study: Study) -> None:
    """Print a study's numbers of finished, diverged and failed runs, and where its report is."""
    print(_finished(study) + (f", {len(study.failures)} failed" if study.failures else ""))
    if study.failed_trials:
        print(f"{len(study.failed_trials)} runs of the search failed: each counts as the worst score in its trial")
    print(f"report:    {study.folder / REPORT_FILE}")


def _finished(study: Study) -> str:
    diverged = sum(record.outcome == "diverged" for record in study.records)
    finished = f"{len(study.records)} of {len(study.planned)} runs finished"
    return finished + (f", {diverged} of them diverged" if diverged else "")


def show_undelivered(study: str, error: Undelivered, **options: Any) -> None:
    """Print the command that delivers to MLflow what it missed."""
    if error.damaged:
        repair = again(["doctor", study, "--repair"], **options)
        print(f"repair:    {repair}  (and continue: what is damaged is computed again)")
    else:
        print(f"deliver:   {again(['sync', study], **options)}  (when MLflow answers again)")


def show_status(study: Study) -> None:
    """Print how many runs of a study are finished, arm by arm, and which failed."""
    from reports.text import show

    print(f"{show(study.spec.name)}: {_finished(study)}")
    for arm in study.arms:
        print(f"  {show(arm)}: {sum(record.arm == arm for record in study.records)}")
    for failure in (*study.failures, *study.failed_trials):
        print(f"  failed: {failure.run} (attempt {failure.attempt}): {show(failure.reason, 500)}")
    for damaged in study.damaged:
        print(f"  {damaged}: continue the study to compute it again")
    page = study.folder / REPORT_FILE
    print(f"report: {page if page.exists() else 'not written yet'}")


def show_continue(study: Study, resume: str) -> None:
    """Print the command that continues a study."""
    print(f"continue:  {resume}" + ("  (failed runs are tried again)" if study.failures else "  (nothing is lost)"))


def show_run(record: RunRecord, tracking_uri: str | None) -> None:
    """Print a single run's metrics and outcome."""
    from harness.commands.single import EXPERIMENT

    for name, value in {**record.metrics, **record.timings}.items():
        print(f"  {name:26} {value:.6g}")
    for name, text in record.labels.items():
        print(f"  {name:26} {text}")
    print(f"{record.outcome}; files: {record.folder}")
    show_tracking(EXPERIMENT, tracking_uri)


def show_tracking(experiment: str, tracking_uri: str | None) -> None:
    """Print the command that starts MLflow's page, and the address; its front page hides runs behind a switch."""
    from harness.errors import StoreUnavailable
    from harness.mirrors.addresses import MEMORY, default_tracking_uri
    from harness.mirrors.mlflow.download import experiment_page
    from harness.redaction import redact

    if tracking_uri == MEMORY:
        return
    try:
        page = experiment_page(experiment, tracking_uri or default_tracking_uri())
    except StoreUnavailable as error:  # all is done and delivered: the address is not worth a failure
        print(f"runs:      not to be seen now: {error}")
        return
    if tracking_uri is not None and tracking_uri.startswith(("http://", "https://")):
        print(f"runs:      {redact(tracking_uri).rstrip('/')}/{page}")
        return
    store = f" --backend-store-uri {redact(tracking_uri)}" if tracking_uri is not None else ""
    print(f"runs:      {_program('mlflow')} ui{store}")
    print(f"           then http://localhost:5000/{page}")


def _program(name: str) -> str:
    """Return how to call a program of this environment from here."""
    beside = Path(sys.executable).with_name(name)
    return name if shutil.which(name) or not beside.exists() else _shown(beside)


def _shown(path: Path) -> str:
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def again(command: list[str], **options: Any) -> str:
    """Return the command that continues, with the options this one was given."""
    import shlex

    from harness.redaction import redact

    defaults = {"out": Path("out")}
    words = [_program("a3c-bench"), *command]
    for name, value in options.items():
        if value is not None and value != defaults.get(name):
            words += [f"--{name.replace('_', '-')}", str(value)]
    return redact(shlex.join(words))
