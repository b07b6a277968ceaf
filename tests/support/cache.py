"""A cache folder of its own for every test."""

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the cache folder of one test."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("LINGBOT_CACHE_DIR", str(folder))
    return folder
