"""Mutants of a module: cosmic-ray's operators at the places that areas.toml leaves in."""

import hashlib
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

import cosmic_ray.plugins
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code

ROOT = Path(__file__).parents[2]
CONFIG = tomllib.loads((Path(__file__).parent / "areas.toml").read_text())


@dataclass(frozen=True)
class Mutant:
    """One change of a module: the `occurrence`-th place of an operator, in the source with a digest."""

    module: str
    digest: str
    operator: str
    occurrence: int
    line: int

    @property
    def module_name(self) -> str:
        """Return the name to import the module by."""
        return self.module.removesuffix(".py").removesuffix("/__init__").replace("/", ".")

    def source(self) -> str:
        """Return the mutated source of the module."""
        operator = cosmic_ray.plugins.get_operator(f"core/{self.operator}")()
        mutated = mutate_code((ROOT / self.module).read_text(), operator, self.occurrence)
        assert mutated is not None
        return mutated

    def line_text(self) -> str:
        """Return the line as it is."""
        return (ROOT / self.module).read_text().splitlines()[self.line - 1]

    def change(self) -> str:
        """Return the changed line, before and after."""
        before, after = (ROOT / self.module).read_text().splitlines(), self.source().splitlines()
        changed = next(
            (i for i, pair in enumerate(zip(before, after, strict=False)) if len(set(pair)) > 1), -1
        )
        return f"{before[changed].strip()}  →  {after[changed].strip()}"


def find_mutants(module: Path) -> list[Mutant]:
    """Return every mutant of a module that the configuration leaves in."""
    text = module.read_text()
    digest, lines = hashlib.sha256(text.encode()).hexdigest()[:12], text.splitlines()
    chosen, left_out = re.compile("|".join(CONFIG["operators"])), re.compile("|".join(CONFIG["left_out"]))
    nodes, found = list(ast_nodes(get_ast(text))), []
    for name in sorted(cosmic_ray.plugins.operator_names()):
        short = name.removeprefix("core/")
        if not chosen.fullmatch(short):
            continue
        operator = cosmic_ray.plugins.get_operator(name)()
        places = [start for node in nodes for start, _ in operator.mutation_positions(node)]
        for occurrence, (line, _) in enumerate(places):
            if not left_out.search(lines[line - 1]):
                found.append(Mutant(str(module.relative_to(ROOT)), digest, short, occurrence, line))
    return found
