"""Run of collected tests on one mutant, in a fork of the process that collected them."""

import gc
import itertools
import json
import os
import re
import resource
import signal
import sys
import tempfile
import threading
import time
import traceback
from importlib.abc import MetaPathFinder, SourceLoader
from importlib.util import spec_from_loader
from pathlib import Path
from types import CodeType, FrameType, FunctionType

import pytest
from cosmic_ray.exceptions import CosmicRayTestingException

from tests.mutation.mutants import ROOT, Mutant

Place = tuple[str, int]
"""A function by its file and first line."""
DURATION = pytest.StashKey[float]()
CALLED = pytest.StashKey[set[Place]]()
_PACKAGE = str(ROOT / "lingbot_cli")
_MEMORY_LIMIT = 12 << 30  # address space of one mutant, bytes
_BROKEN = 70  # exit status of a fork that did not come to its tests
_INVALID = 71  # exit status for a mutant that is no Python
_CPU_LIMIT_S = 20  # an endless loop ends by it, however busy the machine is


def run_in_fork(mutant: Mutant | None, session: pytest.Session, timeout_s: float) -> str:
    """Run a session's tests on a mutant: "killed", "survived", "timeout" or "invalid".

    None: on the project as it is, to learn which functions they call and how long they take; exit if one fails.
    """
    with tempfile.TemporaryFile("w+") as log:
        if not (pid := os.fork()):
            status = _BROKEN
            try:
                os.setpgid(0, 0)
                os.dup2(log.fileno(), 1)
                os.dup2(log.fileno(), 2)
                resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_LIMIT, _MEMORY_LIMIT))
                if mutant is not None:
                    resource.setrlimit(resource.RLIMIT_CPU, (_CPU_LIMIT_S, _CPU_LIMIT_S))
                status = _run(mutant, session)
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(status)
        end = time.monotonic() + (timeout_s if mutant else 10 * timeout_s)
        while not (ended := os.waitpid(pid, os.WNOHANG))[0] and time.monotonic() < end:
            time.sleep(0.01)
        if not ended[0]:
            os.killpg(pid, signal.SIGKILL)
            ended = os.waitpid(pid, 0)
            if mutant is not None:
                return "timeout"
        log.seek(0)
        said = log.read()
        if os.waitstatus_to_exitcode(ended[1]) == _BROKEN or (mutant is None and ended[1]):
            said = re.sub(r"^ran .*$", "", said, flags=re.M)
            pytest.exit(f"the tests fail on {mutant or 'the project as it is'}:\n{said[-4000:]}", 1)
        if mutant is None:
            runs = [json.loads(line) for line in re.findall(r"^ran (.*)$", said, re.M)]
            for item, (duration, called) in zip(session.items, runs, strict=True):
                item.stash[DURATION], item.stash[CALLED] = duration, {(path, line) for path, line in called}
            session.items.sort(key=lambda item: item.stash[DURATION])
        status = os.waitstatus_to_exitcode(ended[1])
        return {0: "survived", _INVALID: "invalid"}.get(status, "killed")


def _run(mutant: Mutant | None, session: pytest.Session) -> int:
    """Return 0 if every test that calls a mutated function passes, or every test where other code is mutated."""
    if mutant is None:
        return _run_items(session, profile=True)
    if mutant.module_name not in sys.modules:
        return 0
    try:
        replaced = _replace_functions(mutant)
    except SyntaxError:  # cosmic-ray took something for an operator that is none
        return _INVALID
    if replaced is None:
        return _import_again(mutant, session)
    session.items[:] = [item for item in session.items if item.stash[CALLED] & replaced]
    return _run_items(session)


def _run_items(session: pytest.Session, *, profile: bool = False) -> int:
    for item, following in itertools.zip_longest(session.items, session.items[1:]):
        began, called = time.process_time(), set()

        def record(frame: FrameType, event: str, _: object, called: set[Place] = called) -> None:
            if event == "call" and frame.f_code.co_filename.startswith(_PACKAGE):
                called.add((frame.f_code.co_filename, frame.f_code.co_firstlineno))

        if profile:
            threading.setprofile(record)
            sys.setprofile(record)
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        if profile:
            sys.setprofile(None)
            print(f"\nran {json.dumps([time.process_time() - began, sorted(called)])}", flush=True)
        if session.testsfailed:
            return 1
    return 0


def _replace_functions(mutant: Mutant) -> set[Place] | None:
    """Give the module's functions their mutated code and return them; None if the module must be imported again.

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
    replaced: set[Place] = set()
    return replaced if _replace(before, after, functions, replaced) else None


def _replace(
    before: CodeType,
    after: CodeType,
    functions: dict[tuple[str, int], list[FunctionType]],
    replaced: set[Place],
) -> bool:
    if before == after:
        return True
    if live := functions.get(_place(before)):
        if _place(before) != _place(after) or any(f.__code__.co_freevars != after.co_freevars for f in live):
            return False
        for function in live:
            function.__code__ = after
        replaced.add((before.co_filename, before.co_firstlineno))
        return True
    inner, mutated = _inner(before), _inner(after)
    if _own(before) != _own(after) or len(inner) != len(mutated):
        return False
    return all(_replace(a, b, functions, replaced) for a, b in zip(inner, mutated, strict=True))


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
    return int(pytest.main([*session.config.invocation_params.args]))


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
