"""What the command line says when something is done."""

from __future__ import annotations

import shutil
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from typer.exceptions import TyperException

    from harness.record.run import RunRecord
    from harness.record.study import Study
    from harness.study.design import Design

MAX_USAGE = 500  # characters of a command line that is not understood


def show_page(page: Path, open_page: bool, what: str = "report") -> None:
    """Print where a page is, and open it if asked to."""
    print(f"{what}: {page}")
    if open_page:
        typer.launch(page.absolute().as_uri())


def warn(what: str) -> None:
    """Say on standard error what went wrong that does not stop the command."""
    complain(f"warning: {what}")


def complain(what: str) -> None:
    """Say on standard error what is wrong, in one printable line without passwords."""
    from harness.redaction import redact

    line = redact(what)
    print(f"a3c-bench: {line if line.isprintable() else ascii(line)[1:-1]}", file=sys.stderr)


def usage(error: TyperException) -> str:
    """Return what is wrong with a command line: of an option's value as of a setting's, field, value, what is allowed.

    What is not of one value is said in typer's own words.
    """
    from pydantic import ValidationError

    from harness.algorithm.problems import problems_of
    from harness.errors import Problem
    from harness.redaction import redact
    from studies.terminal.options import parse_value

    option, cause = getattr(error, "param", None), error.__cause__
    if option is None or not isinstance(cause, ValidationError):
        said = redact(error.format_message() or "see a3c-bench --help")
        return said if len(said) <= MAX_USAGE else said[:MAX_USAGE] + "..."
    (problem, *_) = problems_of(cause, {})
    schema = option.get_runtime_param().adapter.json_schema()
    return str(Problem(option.opts[0], parse_value(str(problem.value)), _allowed(schema) or problem.allowed))


def _allowed(schema: dict[str, Any]) -> str:
    """Say what a number may be, both bounds at once; empty for what is no number."""
    kind = {"integer": "must be an integer", "number": "must be a number"}.get(schema.get("type", ""), "")
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and high is not None:
        return kind and f"{kind} from {low} to {high}"
    bounds = "" if low is None else f" of at least {low}"
    bounds += "" if high is None else f" of at most {high}"
    return kind and kind + bounds


def trace(error: BaseException) -> None:
    """Say on standard error where an error came from, without passwords."""
    from harness.redaction import redact

    print(redact("".join([getattr(error, "detail", ""), *traceback.format_exception(error)])), file=sys.stderr)


def console() -> Any:
    """Return a console for progress."""
    from rich.console import Console

    return Console()


def show_design(design: Design) -> None:
    """Print a study's design."""
    from reports.text import show
    from studies.terminal.study_display import design_in_words

    spec = design.spec
    arms = " vs ".join(show(arm) for arm in design.arms)
    print(f"{show(spec.name)}: {show(spec.study.question, 500)}")
    print(f"compared: {show(spec.compare.factor)}: {arms}, by {spec.compare.metric}")
    for cell in design.cells:
        print(f"  cell {cell.id}" + ("" if cell.primary else " (exploratory)"))
    for alias in design.aliases:
        levels = ", ".join(f"{show(name)}={show(value)}" for name, value in alias.levels.items())
        print(f"  {levels} comes to the same as {alias.cell}: kept once")
    print(f"{len(design.cells) * len(design.arms) * spec.study.stages[0]} runs{design_in_words(design)}")


def show_end(study: Study) -> None:
    """Print how a study ended, and where its report is."""
    diverged = sum(record.outcome == "diverged" for record in study.records)
    print(f"{len(study.records)} of {len(study.planned)} runs finished", end="")
    print(f", {diverged} of them diverged" if diverged else "", end="")
    print(f", {len(study.failures)} failed" if study.failures else "")
    if study.failed_trials:
        print(f"{len(study.failed_trials)} runs of the search failed: each counts as the worst score in its trial")
    print(f"report:    {study.folder / 'report.html'}")


def show_continue(study: Study, resume: str) -> None:
    """Print the command that goes on with a study."""
    print(f"continue:  {resume}" + ("  (failed runs are tried again)" if study.failures else "  (nothing is lost)"))


def show_run(record: RunRecord, tracking_uri: str | None) -> None:
    """Print what a single run came to."""
    from harness.commands.single import EXPERIMENT

    for name, value in {**record.metrics, **record.timings}.items():
        print(f"  {name:26} {value:.6g}")
    for name, text in record.labels.items():
        print(f"  {name:26} {text}")
    print(f"{record.outcome}; files: {record.folder}")
    show_tracking(EXPERIMENT, tracking_uri)


def show_tracking(experiment: str, tracking_uri: str | None) -> None:
    """Print the command that shows the runs, and the page; MLflow's front page hides them behind a switch."""
    from harness.errors import StoreUnavailable
    from harness.mirrors.addresses import default_tracking_uri
    from harness.mirrors.mlflow.download import experiment_page
    from harness.redaction import redact

    try:
        page = experiment_page(experiment, tracking_uri or default_tracking_uri())
    except StoreUnavailable as error:  # all is done, and told: where to look is not worth a failure
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
