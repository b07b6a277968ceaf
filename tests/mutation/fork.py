"""Run of collected tests on one mutant, in a fork of the process that collected them."""

import gc
import os
import re
import resource
import signal
import sys
import tempfile
import time
from importlib.abc import MetaPathFinder, SourceLoader
from importlib.util import spec_from_loader
from pathlib import Path
from types import CodeType, FunctionType

import pytest
from cosmic_ray.exceptions import CosmicRayTestingException

from tests.mutation.mutants import ROOT, Mutant

_MEMORY_LIMIT = 12 << 30  # address space of one mutant, bytes
_CPU_LIMIT_S = 6  # an endless loop ends by it, however busy the machine is


def run_in_fork(mutant: Mutant | None, session: pytest.Session, timeout_s: float) -> str:
    """Run a session's tests on a mutant: "killed", "survived" or "timeout".

    None: on the project as it is, to sort them by their durations; exit if one fails.
    """
    with tempfile.TemporaryFile("w+") as log:
        if not (pid := os.fork()):
            status = 1
            try:
                os.setpgid(0, 0)
                os.dup2(log.fileno(), 1)
                os.dup2(log.fileno(), 2)
                resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_LIMIT, _MEMORY_LIMIT))
                resource.setrlimit(resource.RLIMIT_CPU, (_CPU_LIMIT_S, _CPU_LIMIT_S))
                status = _run(mutant, session)
            except BaseException as error:
                print(repr(error), flush=True)
            finally:
                os._exit(status)
        end = time.monotonic() + timeout_s
        while not (ended := os.waitpid(pid, os.WNOHANG))[0] and time.monotonic() < end:
            time.sleep(0.01)
        if not ended[0]:
            os.killpg(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return "timeout"
        if mutant is None:
            log.seek(0)
            said = log.read()
            if ended[1]:
                sys.exit(f"the tests fail without a mutant:\n{said[-4000:]}")
            durations = [float(text) for text in re.findall(r"^duration (.*)$", said, re.M)]
            order = sorted(range(len(durations)), key=durations.__getitem__)
            session.items[:] = [session.items[index] for index in order]
        return "killed" if ended[1] else "survived"


def _run(mutant: Mutant | None, session: pytest.Session) -> int:
    """Return 0 if every test passes."""
    if mutant is not None:
        stem = Path(mutant.module).stem
        session.items.sort(key=lambda item: stem not in item.path.stem)  # stable: then by duration
        if not _replace_functions(mutant):
            return _import_again(mutant, session)
    for index, item in enumerate(session.items):
        following = session.items[index + 1] if index + 1 < len(session.items) else None
        began = time.process_time()
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        if mutant is None:
            print(f"\nduration {time.process_time() - began}", flush=True)
        if session.testsfailed:
            return 1
    return 0


def _replace_functions(mutant: Mutant) -> bool:
    """Give the module's functions their mutated code; False if the module must be imported again for it.

    That is so where code outside of functions differs (constants, defaults, class bodies).
    """
    path = str(ROOT / mutant.module)
    vars(sys.modules[mutant.module_name])["CosmicRayTestingException"] = CosmicRayTestingException
    before = compile(Path(path).read_text(), path, "exec", dont_inherit=True)
    after = compile(mutant.source(), path, "exec", dont_inherit=True)
    functions: dict[tuple[str, int], list[FunctionType]] = {}
    for function in gc.get_objects():
        if isinstance(function, FunctionType) and function.__code__.co_filename == path:
            functions.setdefault(_place(function.__code__), []).append(function)
    return _replace(before, after, functions)


def _replace(before: CodeType, after: CodeType, functions: dict[tuple[str, int], list[FunctionType]]) -> bool:
    if before == after:
        return True
    if live := functions.get(_place(before)):
        if _place(before) != _place(after) or any(f.__code__.co_freevars != after.co_freevars for f in live):
            return False
        for function in live:
            function.__code__ = after
        return True
    inner, mutated = _inner(before), _inner(after)
    if _own(before) != _own(after) or len(inner) != len(mutated):
        return False
    return all(_replace(a, b, functions) for a, b in zip(inner, mutated, strict=True))


def _place(code: CodeType) -> tuple[str, int]:
    return code.co_qualname, code.co_firstlineno


def _inner(code: CodeType) -> list[CodeType]:
    return [constant for constant in code.co_consts if isinstance(constant, CodeType)]


def _own(code: CodeType) -> tuple[object, ...]:
    constants = [repr(constant) for constant in code.co_consts if not isinstance(constant, CodeType)]
    return code.co_code, code.co_names, code.co_varnames, constants


def _import_again(mutant: Mutant, session: pytest.Session) -> int:
    """Run the tests from their collection on, with every module of the project imported again."""
    for name in [
        name for name in sys.modules if name.split(".")[0] in ("lingbot_cli", "tests", "benchmarks")
    ]:
        if name != "tests" and not name.startswith("tests.mutation"):
            del sys.modules[name]
    sys.meta_path.insert(0, _MutatedModule(mutant))
    return int(pytest.main(session.config.invocation_params.args))


class _MutatedModule(MetaPathFinder, SourceLoader):
    """Import hook that gives one module its mutated source."""

    def __init__(self, mutant: Mutant) -> None:
        self._name = mutant.module_name
        self._path, self._source = str(ROOT / mutant.module), mutant.source()

    def find_spec(self, fullname, path, target=None):
        return spec_from_loader(fullname, self, origin=self._path) if fullname == self._name else None

    def get_filename(self, fullname: str) -> str:
        return self._path

    def get_data(self, path: str) -> bytes:
        return self._source.encode()

    def path_stats(self, path: str) -> dict[str, int]:
        raise OSError  # neither reads nor writes bytecode

    def exec_module(self, module) -> None:
        vars(module)["CosmicRayTestingException"] = CosmicRayTestingException
        super().exec_module(module)
