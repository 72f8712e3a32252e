"""Passwords in URIs: in nothing that is written, nothing that is printed, in no traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.mirrors.addresses import storage_url_problem, tracking_uri_problem
from harness.mirrors.databases import explain
from harness.redaction import redact
from tests.faults.servers import MlflowServer
from tests.harness.lab import DATABASES, ROOT
from tests.studies.command import TINY

pytestmark = DATABASES

SECRET = "hunter2-s3cr3t"  # noqa: S105 - what is looked for
PATIENCE = 150.0
BASE = "postgresql://bob@db.example/x"

URIS = {
    "user and password": f"http://bob:{SECRET}@server:5000/x",
    "password alone": f"http://:{SECRET}@server/x",
    "token alone": f"https://{SECRET}@server/x",
    "driver": f"postgresql+psycopg2://bob:{SECRET}@db.example/x",
    "a slash in it": f"postgresql://bob:pass/{SECRET}@db.example/x",
    "a question mark in it": f"postgresql://bob:pass?{SECRET}@db.example/x",
    "a hash in it": f"postgresql://bob:pass#{SECRET}@db.example/x",
    "an at sign in it": f"postgresql://bob:p@{SECRET}@db.example/x",
    "percent": f"postgresql://bob:%40{SECRET}@db.example/x",
    "query password": f"postgresql://db.example/x?user=bob&password={SECRET}",
    "query first": f"postgresql://db.example/x?password={SECRET}&sslmode=require",
    "query passwd": f"mysql://db.example/x?passwd={SECRET}",
    "query sslpassword": f"{BASE}?sslkey=a.pem&sslpassword={SECRET}",
    "query token": f"https://server/x?token={SECRET}",
    "query access_token": f"https://server/x?access_token={SECRET}#part",
    "query api_key": f"https://server/x?api_key={SECRET}",
    "query secret": f"https://server/x?client_secret={SECRET}",
    "upper case": f"https://server/x?Password={SECRET}",
    "file": f"sqlite:///x.db?password={SECRET}",
}


@pytest.mark.fault(
    18, "a password as part of a URI: before the host, as a parameter, with signs in it that URIs reserve"
)
@pytest.mark.parametrize("uri", URIS.values(), ids=URIS.keys())
@pytest.mark.parametrize("text", ["{}", "cannot reach {} (timeout)", "'{}'", "a {} b\nc", "--tracking-uri {} --jobs 2"])
def test_what_may_be_shown_of_a_uri_holds_no_password(uri: str, text: str) -> None:
    shown = redact(text.format(uri))
    assert SECRET not in shown
    assert SECRET not in explain(OSError(text.format(uri)))
    assert uri.split(":")[0] in shown
    before, _, after = text.partition("{}")
    assert shown.startswith(before)
    assert shown.endswith(after)


@pytest.mark.parametrize(
    "text", ["http://server:5000/a?b=c", "see https://x.example/y", "a@b.example", "sqlite:////a/b.db", ""]
)
def test_what_holds_no_password_is_shown_as_it_is(text: str) -> None:
    assert redact(text) == text


@pytest.mark.fault(18, "a password with a space in it, which could not be told from the text around it")
def test_a_uri_with_a_space_is_refused_unshown() -> None:
    for ask in (tracking_uri_problem, storage_url_problem):
        problem = ask(f"postgresql://bob:pass {SECRET}@db.example/x")
        assert problem is not None
        assert SECRET not in str(problem)
        assert ask("sqlite:///my folder/x.db") is None


def leaks(folder: Path, printed: str) -> list[str]:
    """Where the secret stands: files by content or by name, and what was printed."""
    found = ["printed"] if SECRET in printed else []
    for path in folder.rglob("*"):
        if SECRET in path.name or (path.is_file() and SECRET.encode() in path.read_bytes()):
            found.append(str(path.relative_to(folder)))
    return found


def call(*arguments: str, cwd: Path) -> tuple[int, str]:
    """Run the command line; return its exit code and all that it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "studies.cli", *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1"},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.fault(
    18, "a whole study against a tracking server whose URI holds a password; every file it leaves is searched"
)
def test_a_study_leaves_no_password_anywhere(workplace: Path, mlflow_server: MlflowServer) -> None:
    (workplace / "tiny.toml").write_text(TINY.replace('"tiny"', '"secretive"'), encoding="utf-8")
    uri = mlflow_server.uri.replace("http://", f"http://bob:{SECRET}@")
    code, printed = call("run", "tiny.toml", "--jobs", "1", "--tracking-uri", uri, cwd=workplace)
    assert code == 0, printed
    assert (workplace / "out" / "secretive" / "report.html").is_file()
    assert leaks(workplace, printed) == []
    assert leaks(mlflow_server.artifacts.parent, "") == []
    code, printed = call("report", "secretive", "--tracking-uri", uri, cwd=workplace)
    assert code == 0, printed
    assert leaks(workplace, printed) == []


BAD = {
    "server": ("--tracking-uri", f"http://bob:{SECRET}@127.0.0.1:9"),
    "tracking database": ("--tracking-uri", f"postgresql://bob:{SECRET}@127.0.0.1:9/x"),
    "tracking parameter": ("--tracking-uri", f"postgresql://127.0.0.1:9/x?user=bob&password={SECRET}"),
    "storage database": ("--storage", f"postgresql://bob:{SECRET}@127.0.0.1:9/x"),
    "storage parameter": ("--storage", f"mysql://127.0.0.1:9/x?passwd={SECRET}"),
    "storage file": ("--storage", f"sqlite:///optuna.db?password={SECRET}"),
    "storage that is none": ("--storage", f"htp://bob:{SECRET}@127.0.0.1:9/x"),
}


@pytest.mark.slow
@pytest.mark.fault(18, "stores that cannot be reached, their URIs holding a password: in no message and no traceback")
@pytest.mark.parametrize("debug", [False, True], ids=["message", "traceback"])
@pytest.mark.parametrize(("option", "uri"), BAD.values(), ids=BAD.keys())
def test_a_store_that_fails_tells_no_password(workplace: Path, option: str, uri: str, debug: bool) -> None:
    (workplace / "tiny.toml").write_text(TINY, encoding="utf-8")
    words = ["run", "tiny.toml", "--jobs", "1", option, uri, *(["--debug"] if debug else [])]
    code, printed = call(*words, cwd=workplace)
    assert code != 0 or "sqlite" in uri
    assert leaks(workplace, printed) == []
