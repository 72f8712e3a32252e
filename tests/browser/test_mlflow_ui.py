"""MLflow's own pages show a recorded study: its experiment, and its runs by name."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from selenium.webdriver.common.by import By

from harness import Study, load_study
from harness.mirrors.databases import sqlite_url
from tests.browser.conftest import Browser
from tests.harness.lab import DATABASES
from tests.sharing import copy_place

# a server that imports MLflow, and a browser for one page: half a minute
pytestmark = [*DATABASES, pytest.mark.slow]
PATIENCE = 60.0


def wait_for(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.2)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory, tiny_place: Path) -> Study:
    """A study of the real algorithm, of a few hundred steps, with its page."""
    place = tmp_path_factory.mktemp("recorded")
    copy_place(tiny_place, place)
    return load_study(place / "out" / "tiny")


@pytest.fixture(scope="module")
def server(browser: Browser, recorded: Study) -> Iterator[str]:
    """The address of MLflow's server on the study's database; the browser is asked for first, as it may be missing."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    place = recorded.folder.parents[1]
    command = [sys.executable, "-m", "mlflow", "ui", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    process = subprocess.Popen(
        [*command, "--backend-store-uri", sqlite_url(place / "mlflow.db")],
        cwd=place,
        env={**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    url = f"http://127.0.0.1:{port}/"

    def answers() -> bool:
        assert process.poll() is None, "the server ended"
        with suppress(OSError), urllib.request.urlopen(f"{url}health", timeout=5) as answer:  # noqa: S310
            return bool(answer.status == 200)
        return False

    try:
        wait_for(answers)
        yield url
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, 15)
        process.wait(PATIENCE)


def test_the_experiment_shows_the_studys_runs_by_name(browser: Browser, server: str, recorded: Study) -> None:
    from harness.mirrors.mlflow.download import experiment_page  # MLflow takes seconds to import: not at collection

    uri = sqlite_url(recorded.folder.parents[1] / "mlflow.db")
    browser.open(server + experiment_page("tiny", uri), width=1600, height=1200)

    parent = (By.XPATH, "//*[@role='gridcell'][.//a[normalize-space()='tiny']]//button")
    wait_for(lambda: len(browser.driver.find_elements(*parent)) == 1)
    browser.driver.find_element(*parent).click()  # unfolds its children

    def names() -> set[str]:
        links = browser.driver.find_elements(By.CSS_SELECTOR, "[role=gridcell] a[href*='/runs/']")
        return {link.get_attribute("textContent") or "" for link in links}

    wait_for(lambda: {"tiny", *recorded.planned} <= names())
    outside = [url for url in browser.requests() if not url.startswith((server, "data:", "blob:", "about:"))]
    assert outside == []
