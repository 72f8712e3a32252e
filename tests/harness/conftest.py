from __future__ import annotations

from pathlib import Path

import pytest

from tests.harness.lab import Lab


@pytest.fixture
def lab(workplace: Path, blank_databases: Path) -> Lab:
    """Studies of the fake algorithm in a folder of the test's own, which is the working directory."""
    return Lab(workplace, blank_databases)
