"""Realtime modules of the published `sglang` package, imported without the rest of it.

The package is installed without its dependencies (tests/peers.txt). Its realtime API, sessions, adapters and
queues need none of them; every other module of it is replaced by an empty one here.
"""

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.metadata import distribution
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import MagicMock

_RUNTIME = "sglang.multimodal_gen.runtime"
REALTIME = f"{_RUNTIME}.entrypoints.openai.realtime"
HARNESS = "sglang.multimodal_gen.test.server.realtime_consistency"
REAL = (
    REALTIME,
    HARNESS,
    f"{_RUNTIME}.entrypoints.openai.protocol",
    f"{_RUNTIME}.entrypoints.control_requests",
    f"{_RUNTIME}.realtime",
)


def root() -> Path:
    """Return the folder of the installed package `sglang`; PackageNotFoundError without it."""
    return Path(str(distribution("sglang").locate_file("sglang")))


def webui() -> Path:
    """Return the folder of its realtime page."""
    return root() / "multimodal_gen" / "apps" / "realtime_webui"


class _Empty(ModuleType):
    """A module in which every name is a stand-in; names of configurations are classes of their own."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        made = type(name, (), {}) if name.endswith("Config") else MagicMock(name=f"{self.__name__}.{name}")
        setattr(self, name, made)
        return made


class _Finder(MetaPathFinder, Loader):
    def __init__(self) -> None:
        self._root = root()

    def find_spec(self, name: str, *_: object) -> ModuleSpec | None:
        if name.split(".")[0] not in ("sglang", "openai"):
            return None
        if any(name == real or name.startswith(f"{real}.") for real in REAL):
            return None
        spec = ModuleSpec(name, self, is_package=True)
        folder = self._root.joinpath(*name.split(".")[1:])
        spec.submodule_search_locations = [str(folder)]
        return spec

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _Empty(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Leave it empty."""


@contextmanager
def published() -> Iterator[None]:
    """Make the published modules importable within the block, and forget them afterwards."""
    finder = _Finder()
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        for name in [name for name in sys.modules if name.split(".")[0] in ("sglang", "openai")]:
            del sys.modules[name]


def load(name: str) -> ModuleType:
    """Import one of the published modules, within `published()`."""
    return importlib.import_module(name)
