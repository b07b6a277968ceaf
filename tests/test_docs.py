"""Pages: citations, links, paths, commands and options, and the tree and journeys of docs/architecture.md."""

import ast
import re
import shlex
from functools import cache
from pathlib import Path

import pytest
import typer

from lingbot_cli.cli import COMMANDS, import_command

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    path for folder in ("", "docs", "recipes", "tests", "training") for path in (ROOT / folder).glob("*.md")
)
ARCHITECTURE = ROOT / "docs" / "architecture.md"
SOURCES = ("lingbot_cli", "tests", "training", "benchmarks")
FOLDERS = ("lingbot_cli", "tests", "training", "benchmarks", "docs", "recipes", "samples")

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))


def test_every_citation_of_the_model_has_a_heading():
    headings = set(re.findall(r"^## §(\d+) ", (ROOT / "docs" / "model.md").read_text(), re.MULTILINE))
    cited = {
        number
        for folder in SOURCES
        for path in (ROOT / folder).rglob("*.py")
        for number in re.findall(r"model §(\d+)", path.read_text())
    }
    assert cited
    assert cited <= headings


def test_the_readme_has_at_most_200_lines():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 200


def anchors(page):
    """Return the anchors of a page's headings, as GitHub makes them."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@each_page
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if re.match(r"https?://", target):
            continue
        path, _, anchor = target.partition("#")
        found = page.parent / path if path else page
        assert found.exists(), target
        assert not anchor or anchor in anchors(found), target


@each_page
def test_named_paths_exist(page):
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    for name in re.findall(rf"`((?:{'|'.join(FOLDERS)})/[^`\s]*)`", text):
        assert list(ROOT.glob(name.rstrip("/"))), name


@cache
def options(command, inner=None):
    """Return the options of a command or of its sub-command; None when there is no such command."""
    if command not in COMMANDS:
        return None
    found = import_command(command)
    if inner is not None:
        context = typer.Context(found)
        found = found.get_command(context, inner) if hasattr(found, "get_command") else None
    if found is None:
        return None
    names = {name for each in found.params for name in (*each.opts, *each.secondary_opts)}
    return names | {"--help", "--help-all", "-h"}


GLOBAL_OPTIONS = {"--version", "--debug", "--install-completion", "--show-completion", "--help", "--help-all"}


def code_blocks(text):
    return re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def command_lines(page):
    """Return every `lingbot …` of a page: lines of code blocks, with continuations, and inline code."""
    text = page.read_text()
    lines = [
        re.split(r"(?<=\s)#|[|<>]", line)[0]
        for block in code_blocks(text)
        for line in block.replace("\\\n", " ").splitlines()
    ]
    inline = re.findall(
        r"`(lingbot [^`]*)`", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    )
    calls = [re.sub(r"^\s*(?:\$ )?(?:[A-Z_]+=\S+ )*", "", line) for line in [*lines, *inline]]
    return [call for call in calls if re.match(r"lingbot [a-z-]", call)]


@each_page
def test_commands_and_options_exist(page):
    for line in command_lines(page):
        words = shlex.split(line.replace("…", " "))[1:]
        given = [word for word in words if re.match(r"--?[a-z]", word)]
        names = [word for word in words if re.fullmatch(r"[a-z]+", word)]
        if words[0] not in COMMANDS:
            assert words[0] in GLOBAL_OPTIONS, line
            continue
        known = options(words[0])
        if words[0] in ("timeline", "models", "config") and names[1:]:
            known = options(words[0], names[1])
        assert known is not None, line
        for option in given:
            assert option in known, f"{option} of {line}"


@each_page
def test_options_named_alone_exist_in_some_command(page):
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    known = set(GLOBAL_OPTIONS)
    for name in COMMANDS:
        known |= options(name)
        group = import_command(name)
        for inner in group.list_commands(typer.Context(group)) if hasattr(group, "list_commands") else ():
            known |= options(name, inner)
    for option in re.findall(r"`(--[a-z][a-z-]*)", text):
        assert option in known or page.parent.name in ("tests", "training"), option


def package_files():
    return {
        str(path.relative_to(ROOT))
        for path in (ROOT / "lingbot_cli").rglob("*")
        if path.suffix in (".py", ".js", ".html", ".css", ".yaml") and "builtin" not in path.parts
    }


def tree_files():
    """Return the files of the tree in docs/architecture.md: two spaces a level, `name  description`."""
    stack, found = [], set()
    for line in code_blocks(ARCHITECTURE.read_text())[0].splitlines():
        if not line.strip():
            continue
        depth, name = (len(line) - len(line.lstrip())) // 2, line.split()[0]
        stack[depth:] = [name.rstrip("/")]
        if not name.endswith("/"):
            assert len(line.split(maxsplit=1)) == 2, f"{name} has no description"
            found.add("/".join(stack))
    return found


def test_the_tree_of_the_architecture_has_every_file():
    wanted = {name for name in package_files() if not name.endswith("__init__.py")}
    found = {name for name in tree_files() if not name.endswith("__init__.py")}
    assert sorted(wanted - found) == []
    assert sorted(found - package_files()) == []


def test_the_journeys_of_the_architecture_name_functions_that_exist():
    text = ARCHITECTURE.read_text().split("## Journeys")[1]
    for file in re.findall(r"`([a-z_/0-9]+\.(?:py|js))", text):
        assert (ROOT / "lingbot_cli" / file).exists(), file
    steps = re.findall(r"`([a-z_/0-9]+\.py):([\w.]+)`", text)
    assert len(steps) > 20
    for file, name in steps:
        tree = ast.parse((ROOT / "lingbot_cli" / file).read_text())
        for part in name.split("."):
            inner = [
                node
                for node in tree.body
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
                and node.name == part
            ]
            assert inner, f"{file} has no {name}"
            tree = inner[0]
