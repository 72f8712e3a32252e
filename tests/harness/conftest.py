from __future__ import annotations

from pathlib import Path

import pytest

from tests.harness.lab import Lab, make_lab


@pytest.fixture
def lab(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    """Studies of the fake algorithm in a folder of the test's own; see :func:`tests.harness.lab.make_lab`."""
    return make_lab(request, tmp_path, monkeypatch)
