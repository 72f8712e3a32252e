"""What is printed: printable, without passwords, in any encoding, and whether or not anybody reads it."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from harness.record.attempt import Failure
from studies.cli import run
from studies.terminal.study_display import StudyDisplay
from tests.harness.lab import DATABASES, FAKE, ROOT, Lab, study_data
from tests.studies.command import PATIENCE

pytestmark = DATABASES
SECRET = "hunter2-s3cr3t"  # noqa: S105 - what is looked for


def unread(arguments: list[str], streams: tuple[str, ...], cwd: Path) -> subprocess.CompletedProcess[bytes]:
    """Run a program whose output nobody reads."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=cwd,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            timeout=PATIENCE,
            **{name: writer if name in streams else subprocess.PIPE for name in ("stdout", "stderr")},
        )
    finally:
        os.close(writer)


def test_a_study_goes_on_though_nobody_reads_what_it_says(lab: Lab) -> None:
    data = study_data(seeds=1, cells=1)
    code = f"""
import sys
from harness import Algorithm, parse_spec, run_study
from studies.terminal.study_display import StudyDisplay
from studies.terminal.messages import console, show_end
from studies.terminal.output import make_patient
make_patient()
with StudyDisplay(console()) as display:
    study = run_study(parse_spec({data!r}), Algorithm({FAKE.config!r}, {FAKE.train!r}), storage={lab.storage!r},
                      executor="inline", observer=display)
show_end(study)
sys.exit(7)
"""
    done = unread(["-c", code], ("stdout",), lab.folder)
    assert (done.returncode, done.stderr) == (7, b"")
    lab.assert_invariant(lab.run(data))


@pytest.mark.parametrize(
    ("arguments", "streams", "code"),
    [(["list"], ("stdout",), 0), (["status", "nothing"], ("stdout", "stderr"), 2)],
    ids=["output", "errors"],
)
def test_a_command_ends_with_its_own_code_though_nobody_reads_it(
    tmp_path: Path, arguments: list[str], streams: tuple[str, ...], code: int
) -> None:
    done = unread(["-m", "studies.cli", *arguments], streams, tmp_path)
    assert done.returncode == code
    assert not done.stderr


def test_a_command_says_what_it_can_in_an_encoding_that_lacks_a_letter(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "ascii"}
    arguments = [sys.executable, "-m", "studies.cli", "run", "smoke", "--dry-run"]
    done = subprocess.run(arguments, cwd=tmp_path, env=environment, capture_output=True, timeout=PATIENCE)
    assert (done.returncode, done.stderr) == (0, b"")
    assert rb" cells \xd7 " in done.stdout


@pytest.mark.fault(18, "a password in an argument that is none, or is in the wrong place")
@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "smoke", f"http://bob:{SECRET}@h"],
        ["run", f"postgresql://bob:{SECRET}@h/db"],
        ["status", f"postgresql://bob:{SECRET}@h/db"],
        [f"http://bob:{SECRET}@h"],
        ["run", "smoke", f"http://bob:{SECRET}@h", "--debug"],
    ],
    ids=" ".join,
)
def test_no_refusal_tells_a_password(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(arguments) == 2
    captured = capsys.readouterr()
    assert SECRET not in captured.out + captured.err
    assert captured.err.splitlines()[-1].startswith("a3c-bench: ")


@pytest.mark.fault(17, "line breaks and signs that steer a terminal, in what a run raised and in a warning")
def test_what_is_shown_while_a_study_runs_is_one_printable_line() -> None:
    written = io.StringIO()
    with StudyDisplay(Console(file=written)) as display:
        display.failed(Failure("x", "n-1", "a", 0, 1, "ValueError: one\ntwo \x1b[31mred\x1b[0m", ""), will_retry=True)
        display.warned("one\ntwo \x1b[31mred")
    lines = written.getvalue().splitlines()
    assert len(lines) == 2
    assert all(line.isprintable() for line in lines)
    assert lines[0].startswith("x: ValueError: one two ")
    assert lines[0].endswith(", trying again")


def test_a_refusal_is_one_line_whatever_was_typed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["run", "smoke", "one\ntwo\x1b[31m"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.isprintable()
