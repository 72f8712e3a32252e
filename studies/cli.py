"""The command line, ``a3c-bench``. Everything heavy is imported by the command that needs it."""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.exceptions import TyperException

from studies.terminal import messages
from studies.terminal.output import make_patient

if TYPE_CHECKING:
    from harness.record.study import Study

Out = Annotated[Path, typer.Option("--out", help="Folder for results.")]


def _tracking_uri(uri: str | None) -> str | None:
    from harness.mirrors.addresses import checked_tracking_uri

    return checked_tracking_uri(uri)


def _storage(url: str | None) -> str | None:
    from harness.mirrors.addresses import checked_storage_url

    return checked_storage_url(url)


TrackingUri = Annotated[
    str | None,
    typer.Option("--tracking-uri", help="MLflow's tracking URI. (default: ./mlflow.db)", callback=_tracking_uri),
]
Storage = Annotated[
    str | None,
    typer.Option("--storage", help="Optuna's storage URL. (default: OUT/STUDY/optuna.db)", callback=_storage),
]
StudyName = Annotated[str, typer.Argument(help="A study's name or file (see `a3c-bench list`).", metavar="STUDY")]
DEFAULT_OUT = Path("out")

app = typer.Typer(
    name="a3c-bench",
    help="Does a detail of an asynchronous actor-critic matter? Studies that answer with paired seeds and a control.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def main() -> None:
    """Run the command line and exit: 0 done, 1 runs failed, 2 bad input, 3 a store unavailable, 4 conflict."""
    make_patient()
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code; problems go to standard error, one line each."""
    from harness.compute.program import SINGLE_THREADED
    from harness.errors import HarnessError, disk_errors

    for name, value in SINGLE_THREADED.items():
        os.environ.setdefault(name, value)  # before anything numeric is imported
    for place in (str(Path(__file__).parents[1]), ""):  # a console script does not look in the working directory;
        if place not in sys.path:  # one that holds a package named like one of ours must not stand in for it
            sys.path.append(place)
    arguments = list(arguments)
    debug = "--debug" in arguments
    if debug:
        arguments.remove("--debug")
    if arguments[:1] == ["train"]:
        from a3c import TrainConfig
        from studies.terminal.options import add_field_options

        add_field_options(train, TrainConfig)
    try:
        with disk_errors():
            code = app(arguments, standalone_mode=False)
    except HarnessError as error:
        if debug:
            messages.trace(error)
        for problem in () if debug else str(error).splitlines():
            messages.complain(problem)
        return error.exit_code
    except TyperException as error:
        if debug:
            messages.trace(error)
        messages.complain(messages.usage(error))
        return 2
    except (KeyboardInterrupt, typer.Abort):
        return 130
    return code if isinstance(code, int) else 0


@app.command("run")
def run_command(
    study: StudyName,
    jobs: Annotated[int | None, typer.Option("--jobs", help="Runs at a time. (default: one a core)")] = None,
    seeds: Annotated[int | None, typer.Option("--seeds", help="How many seeds, instead of the study's own.")] = None,
    out: Out = DEFAULT_OUT,
    storage: Storage = None,
    tracking_uri: TrackingUri = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check and show the design; run nothing.")] = False,
) -> int:
    """Run a study, or continue one that was interrupted, and write its report."""
    from harness.errors import HarnessError, Interrupted, Undelivered
    from harness.record.folder import study_folder
    from harness.record.study import load_study
    from harness.study.design import expand
    from studies import A3C, run_study
    from studies.catalogue import find_spec

    resume = messages.again(["run", study], jobs=jobs, seeds=seeds, out=out, storage=storage, tracking_uri=tracking_uri)
    try:
        spec = find_spec(study)
        if seeds is not None:
            spec = spec.with_seeds(seeds)
        if dry_run:
            messages.show_design(expand(spec, A3C))
            return 0
        from studies.terminal.study_display import StudyDisplay

        with StudyDisplay(messages.console()) as display:
            result = run_study(
                spec,
                out=out,
                jobs=jobs,
                storage=storage,
                tracking_uri=tracking_uri,
                observer=display,
                report=lambda finished: [_write_report(finished)],
            )
    except (Interrupted, KeyboardInterrupt):  # the latter while the study file is still being read
        print(f"stopped; what was finished is kept. To continue: {resume}", file=sys.stderr)
        raise
    except Undelivered as error:
        with suppress(HarnessError):  # the error that is reported is the missing delivery
            messages.show_end(load_study(study_folder(spec.name, out)))
        messages.show_undelivered(study, error, out=out, storage=storage, tracking_uri=tracking_uri)
        raise
    messages.show_end(result)
    messages.show_tracking(result.spec.name, tracking_uri)
    messages.show_continue(result, resume)
    return 1 if result.failures or result.failed_trials else 0


@app.command()
def status(study: StudyName, out: Out = DEFAULT_OUT) -> None:
    """Show how far a study has come."""
    messages.show_status(_load(study, out))


@app.command()
def sync(
    study: StudyName,
    out: Out = DEFAULT_OUT,
    storage: Storage = None,
    tracking_uri: TrackingUri = None,
) -> None:
    """Deliver to Optuna and MLflow what they missed while they were away; nothing is computed, nothing doubled."""
    from harness.commands.single import EXPERIMENT, sync_singles
    from harness.commands.sync import sync_study
    from studies.catalogue import find_folder

    if study == EXPERIMENT:
        count, damaged = sync_singles(out, tracking_uri)
        for file in damaged:
            messages.warn(f"{file}: left out")
        print(f"{EXPERIMENT}: all {count} single runs are in MLflow")
        return
    synced = sync_study(find_folder(study, out), storage, tracking_uri, messages.warn)
    waited = f", {synced.waited} attempts had been waiting" if synced.waited else ""
    print(f"{synced.study.spec.name}: all {synced.records} finished runs are in both stores{waited}")
    messages.show_tracking(synced.study.spec.name, synced.tracking_uri)


@app.command()
def report(
    study: StudyName,
    out: Out = DEFAULT_OUT,
    tracking_uri: Annotated[
        str | None,
        typer.Option("--tracking-uri", help="Read from MLflow's artifacts instead of OUT.", callback=_tracking_uri),
    ] = None,
    open_page: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
) -> None:
    """Write a study's report again, from its records on disk or from MLflow's artifacts."""
    import tempfile

    from harness.record.folder import study_folder
    from studies.catalogue import find_name, named_studies

    if tracking_uri is None:
        page = _write_report(_load(study, out), verify=True)
    else:
        from harness.mirrors.mlflow.download import download_study

        name = find_name(study) if study in named_studies() or study.endswith(".toml") else study
        with tempfile.TemporaryDirectory() as folder:
            downloaded = download_study(name, tracking_uri, Path(folder))
            page = _write_report(downloaded, study_folder(name, out), verify=True)
    messages.show_page(page, open_page)


@app.command()
def calibrate(
    study: StudyName,
    replicates: Annotated[
        int, typer.Option("--replicates", help="Studies made in each way.", min=100, max=1_000_000)
    ] = 2000,
    seed: Annotated[int, typer.Option("--seed", help="Of the random numbers.", min=0)] = 0,
    out: Out = DEFAULT_OUT,
) -> None:
    """The A/A check: redraw a study's own runs so that nothing differs; how often do they still come out DIFFERENT?"""
    from reports.comparison.calibration import calibrate as measure
    from reports.comparison.calibration import write_calibration

    found = _load(study, out, verify=True)
    calibration = measure(found, replicates, seed)
    write_calibration(found.folder, calibration)
    for rate in calibration.rates:
        found_of = f"{rate.false_different} of {rate.replicates} studies came out DIFFERENT"
        print(f"{rate.method}: {found_of}: {rate.rate:.3f} [{rate.low:.3f}, {rate.high:.3f}]")
    print(f"report: {_write_report(found)}")


@app.command()
def compare(
    one: Annotated[str, typer.Argument(metavar="A", help="A study that was run: its name, file or folder.")],
    other: Annotated[str, typer.Argument(metavar="B", help="Another.")],
    out: Out = DEFAULT_OUT,
    open_page: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
) -> None:
    """Lay two studies side by side on one page: what differs between them, and cell by cell what each found."""
    from reports import write_comparison

    a, b = (_load(name, out, verify=True) for name in (one, other))
    for damaged in (*a.damaged, *b.damaged):
        messages.warn(f"{damaged}: left out")
    messages.show_page(write_comparison(a, b, out / f"{a.folder.name}--{b.folder.name}"), open_page, "comparison")


@app.command("list")
def list_command(out: Out = DEFAULT_OUT) -> None:
    """List the studies that come with the project, and those that were run."""
    from harness.errors import HarnessError
    from harness.record.study import load_study
    from harness.study.checks import read_spec
    from studies.catalogue import named_studies, recorded_studies

    print("studies that come with the project:")
    for name, path in named_studies().items():
        print(f"  {name:18} {read_spec(path).study.question}")
    print(f"studies run under {out}:")
    folders = recorded_studies(out)
    for folder in folders:
        try:
            found = load_study(folder)
            print(f"  {folder.name:18} {len(found.records)} of {len(found.planned)} runs finished")
        except HarnessError as error:
            print(f"  {folder.name:18} {error}")
    if not folders:
        print("  none yet: try `a3c-bench run smoke`")


@app.command()
def train(
    out: Out = DEFAULT_OUT,
    tracking_uri: TrackingUri = None,
    **fields: str | None,
) -> None:
    """Train one run, shown live and tracked in MLflow's experiment `train`.

    Every setting is an option; values are as in a study file (--hidden-sizes "[64, 64]", --env-kwargs '{"a": 1}').
    """
    from harness.commands.single import EXPERIMENT, run_single
    from harness.errors import Undelivered
    from studies import A3C
    from studies.terminal.options import parse_value
    from studies.terminal.run_display import LiveRun

    settings = {name: parse_value(text) for name, text in fields.items() if text is not None}
    try:
        with LiveRun(messages.console()) as live:
            record = run_single(settings, A3C, out=out, tracking_uri=tracking_uri, emit=live.emit)
    except Undelivered as error:
        messages.show_undelivered(EXPERIMENT, error, out=out, tracking_uri=tracking_uri)
        raise
    messages.show_run(record, tracking_uri)


@app.command()
def bench(
    rounds: Annotated[
        int | None, typer.Option("--rounds", help="Measurements of each contestant. (default: 5)")
    ] = None,
    seconds: Annotated[
        float | None, typer.Option("--seconds", help="A contestant runs at least so long a round. (default: 0.5)")
    ] = None,
    steps: Annotated[
        int | None, typer.Option("--steps", help="Environment steps of one training run. (default: 20000)")
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option("--only", help="Part of a contestant's name (compiled w4 t20 round_robin); may be repeated."),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="2 rounds of 0.2 seconds and 5000 steps.")] = False,
    out: Out = DEFAULT_OUT,
    tracking_uri: TrackingUri = None,
) -> int:
    """Measure how fast training is, beside the environment alone and Stable-Baselines3's A2C.

    Takes about 8 minutes, with --quick about 1; needs an idle machine. Tracked in MLflow's experiment `bench`.
    """
    from dataclasses import replace

    from harness.errors import Interrupted
    from studies.bench.display import BenchDisplay, show
    from studies.bench.record import EXPERIMENT
    from studies.bench.runner import QUICK, Options, run_bench

    given: dict[str, Any] = {
        "rounds": rounds,
        "seconds": seconds,
        "steps": steps,
        "only": tuple(only) if only else None,
    }
    options = replace(QUICK if quick else Options(), **{k: v for k, v in given.items() if v is not None})
    console = messages.console()
    try:
        with BenchDisplay(console) as display:
            result = run_bench(options, out=out, tracking_uri=tracking_uri, watcher=display)
    except Interrupted:
        print("stopped; a bench that was not finished leaves no results", file=sys.stderr)
        raise
    show(result, console)
    print(f"files:     {result.folder} (and {result.folder.parent / 'latest'})")
    messages.show_tracking(EXPERIMENT, tracking_uri)
    return 1 if result.failures else 0


@app.command()
def doctor(
    study: Annotated[
        str | None, typer.Argument(help="A study that was run. (default: all under OUT)", metavar="[STUDY]")
    ] = None,
    out: Out = DEFAULT_OUT,
    storage: Storage = None,
    tracking_uri: TrackingUri = None,
    repair: Annotated[bool, typer.Option("--repair", help="Make good what is wrong with studies.")] = False,
) -> int:
    """Find what is wrong with the machine, and with studies after a crash (locks, runs left open, unsynced results)."""
    from reports.text import show
    from studies.catalogue import find_folder, recorded_studies
    from studies.doctor import examine, examine_studies

    healthy = True
    folders = recorded_studies(out) if study is None else [find_folder(study, out)]
    findings = examine() if study is None else iter(())
    for finding in itertools.chain(findings, examine_studies(folders, storage, tracking_uri, repair)):
        healthy &= finding.good
        print(f"{'ok     ' if finding.good else finding.bad:7} {show(finding.what)}: {show(finding.detail, 1000)}")
    return 0 if healthy else 1


def _load(study: str, out: Path, verify: bool = False) -> Study:
    """Read a study that was run, by its name, file or folder."""
    from harness.record.study import load_study
    from studies.catalogue import find_folder

    return load_study(find_folder(study, out), verify=verify)


def _write_report(study: Study, folder: Path | None = None, verify: bool = False) -> Path:
    """Write a study's report; where that finds a damaged record, of the others."""
    from harness.errors import DamagedRecord
    from harness.record.study import load_study
    from reports import write_report
    from studies.film.choosing import make_film

    def write() -> Path:
        film = make_film(study)
        return write_report(study, folder, films=[film] if film is not None else [], verify=verify)

    try:
        page = write()
    except DamagedRecord:  # seldom; only then every file is read twice
        study, verify = load_study(study.folder, verify=True), False
        page = write()
    for damaged in study.damaged:
        messages.warn(f"{damaged}: left out; continue the study to compute it again")
    return page


if __name__ == "__main__":
    main()
