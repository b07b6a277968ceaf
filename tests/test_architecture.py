"""Walls of the package: imports, names, sizes and docstrings."""

import ast
import re
from collections import defaultdict
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "lingbot_cli"
FILES = sorted(ROOT.rglob("*.py"))
PACKAGES = sorted(path.parent for path in FILES if path.name == "__init__.py" and path.parent != ROOT)
TORCH_PACKAGES = ("model", "diagnostics")
QUESTION = re.compile(r"(What|Where|How|Who|Whose|Which|When|Whether|Whatever|Whoever)\b")
MAX_FUNCTION_LINES = 60


@cache
def tree(path):
    return ast.parse(path.read_text())


def at_import(nodes):
    """Yield the statements that run when a module is imported; not those for type checkers."""
    for node in nodes:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            yield from at_import(node.orelse)
            continue
        yield node
        yield from at_import([child for child in ast.iter_child_nodes(node) if isinstance(child, ast.stmt)])


def for_type_checkers(path):
    """Return the statements under TYPE_CHECKING."""
    found = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            found |= {id(child) for child in ast.walk(node)}
    return found


def imported(node):
    """Return the modules that a statement imports."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.module:
        return [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return []


def package(path):
    """Return the package of a file directly under lingbot_cli, or the file's own name."""
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def test_torch_is_imported_by_the_model_and_the_diagnostics_alone():
    wrong = []
    for path in FILES:
        if package(path) in TORCH_PACKAGES:
            continue
        types = for_type_checkers(path)
        wrong += [
            f"{path.relative_to(ROOT)}:{node.lineno}"
            for node in ast.walk(tree(path))
            if id(node) not in types and any(name.split(".")[0] == "torch" for name in imported(node))
        ]
    assert wrong == []


def test_packages_import_each_other_without_cycles():
    uses = defaultdict(set)
    for path in FILES:
        for node in at_import(tree(path).body):
            for name in imported(node):
                parts = name.split(".")
                if parts[0] == "lingbot_cli" and len(parts) > 1 and parts[1] != package(path):
                    uses[package(path)].add(parts[1])
    known = {package(path) for path in FILES}
    done, path = set(), []

    def visit(name):
        assert name not in path, " → ".join([*path, name])
        if name in done or name not in known:
            return
        path.append(name)
        for used in sorted(uses[name]):
            visit(used)
        done.add(path.pop())

    for name in sorted(known):
        visit(name)


@pytest.mark.parametrize(
    ("source", "forbidden"),
    [
        ("sinks", {"model", "checkpoints", "runtime", "render", "broadcast", "timeline", "server", "cli"}),
        ("timeline", {"model", "checkpoints", "runtime", "render", "sinks", "server", "cli"}),
        ("camera", {"model", "checkpoints", "runtime", "render", "sinks", "server", "cli", "timeline"}),
        ("model", {"render", "broadcast", "sinks", "server", "terminal", "cli", "ui", "batch", "remote"}),
        ("checkpoints", {"model", "render", "broadcast", "sinks", "server", "cli"}),
    ],
)
def test_a_package_does_not_know_those_above_it(source, forbidden):
    wrong = [
        f"{path.relative_to(ROOT)}:{node.lineno}: {name}"
        for path in FILES
        if package(path) == source
        for node in ast.walk(tree(path))
        for name in imported(node)
        if name.startswith("lingbot_cli.") and name.split(".")[1] in forbidden
    ]
    assert wrong == []


@pytest.mark.parametrize("folder", PACKAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_each_package_says_what_lives_in_it(folder):
    assert ast.get_docstring(tree(folder / "__init__.py"))


def test_names_of_files_and_classes_mean_one_thing():
    files, classes = defaultdict(list), defaultdict(list)
    for path in FILES:
        # A module of cli may have the name of the module whose work it calls.
        if path.name != "__init__.py" and package(path) != "cli":
            files[path.name].append(path)
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.ClassDef):
                classes[node.name].append(path)
    assert {name: paths for name, paths in files.items() if len(paths) > 1} == {}
    assert {name: paths for name, paths in classes.items() if len(paths) > 1} == {}


def test_functions_fit_a_screen():
    long = [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"
        for path in FILES
        for node in ast.walk(tree(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno - node.lineno + 1 > MAX_FUNCTION_LINES
    ]
    assert long == []


def test_docstrings_begin_with_the_thing_and_not_with_a_question():
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    questions = [
        f"{path.relative_to(ROOT)}: {docstring.splitlines()[0]}"
        for path in FILES
        for node in ast.walk(tree(path))
        if isinstance(node, documented)
        and (docstring := ast.get_docstring(node))
        and QUESTION.match(docstring)
    ]
    assert questions == []
